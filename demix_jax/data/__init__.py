"""Tables in, arrays out: reading, inspection, checks and encoding of tables."""

from demix_jax.data.encoding import Dataset, TableEncoder
from demix_jax.data.inspected_table import Table, as_inspected, inspect_table
from demix_jax.data.kinds import Column
from demix_jax.data.named import NAMES, adult_sample, load_named
from demix_jax.data.notes import table_notes
from demix_jax.data.read import as_table, read_table
from demix_jax.data.table_checks import check_table, infer_task

__all__ = [
    "NAMES",
    "Column",
    "Dataset",
    "Table",
    "TableEncoder",
    "adult_sample",
    "as_inspected",
    "as_table",
    "check_table",
    "infer_task",
    "inspect_table",
    "load_named",
    "read_table",
    "table_notes",
]
