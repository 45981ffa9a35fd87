"""Tables in, arrays out: the only part of the package that knows pandas."""

from demix_jax.data.encoding import Dataset, TableEncoder
from demix_jax.data.kinds import Column
from demix_jax.data.named import NAMES, adult_sample, load_named
from demix_jax.data.table import as_table, check_table, infer_task, read_table, table_notes

__all__ = [
    "NAMES",
    "Column",
    "Dataset",
    "TableEncoder",
    "adult_sample",
    "as_table",
    "check_table",
    "infer_task",
    "load_named",
    "read_table",
    "table_notes",
]
