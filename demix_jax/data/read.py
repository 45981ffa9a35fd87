"""Tables from files and from memory, as they are written or parsed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.read_options import ReadOptions
from demix_jax.data.inspect_column import inspect_column
from demix_jax.data.inspected_table import Table, inspect_table, refuse_duplicate_names
from demix_jax.data.kinds import column_of
from demix_jax.data.sources.arrow_frame import arrow_frame
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.in_memory import frame_of, like_given
from demix_jax.data.sources.open import open_source, read_source
from demix_jax.data.sources.source import Source


class GivenTable(NamedTuple):
    """A table as it was given: N rows.

    frame: as written. source: None for a table in memory. like: turns a DataFrame into the type that was given.
    notes: sentences for the user on how it was read.
    """

    frame: pd.DataFrame
    source: Source | None
    like: Callable[[pd.DataFrame], Any]
    notes: tuple[str, ...]

    def inspected(self, label: object, options: ReadOptions | None = None) -> Table:
        """The inspected table, see `inspect_table`."""
        return inspect_table(self.frame, label, options, source=self.source, notes=self.notes)


def read_written(table: Any, options: ReadOptions | None = None, what: str = "The table") -> GivenTable:
    """A table as it is written.

    Args:
      table: path of a file, a folder or a pattern of files; or a table in memory: pandas, polars, pyarrow, a Hugging
        Face Dataset, a dict of arrays, a NumPy array or anything with the Arrow PyCapsule interface.
      options: encoding and sheet. what: names the table in messages.
    Raises:
      InputError: the table cannot be read; or two columns have one name; or there is no row.
    """
    options = options or ReadOptions()
    if isinstance(table, (str, os.PathLike)):
        source = open_source(table, encoding=options.encoding, sheet=options.sheet)
        what = printable(source.path or table)
        frame, notes = arrow_frame(read_source(source), what)
        given = GivenTable(frame, source, lambda made: made, (*source.notes, *notes))
    else:
        frame, notes = frame_of(table, what)
        given = GivenTable(frame, None, lambda made: like_given(made, table), notes)
    refuse_duplicate_names(given.frame, what)
    if len(given.frame) == 0:
        raise InputError(f"{what} has a header but no rows; expected at least one row of data.")
    return given


def read_inspected(table: Any, label: object, options: ReadOptions | None = None) -> Table:
    """Read and inspect a table; arguments as for `read_written` and `inspect_table`."""
    return read_written(table, options).inspected(label, options)


def read_table(path: str | os.PathLike, options: ReadOptions | None = None) -> pd.DataFrame:
    """The parsed rows of a file: numbers and dates where a column holds such, texts elsewhere.

    Args:
      path: CSV or other delimited text, Parquet, Feather, JSON, JSON lines, Excel or ODS; or a folder or pattern of
        these.
      options: what the user says of the table.
    Raises:
      InputError: the file cannot be read, see `read_written`.
    """
    options = options or ReadOptions()
    frame = read_written(path, options).frame
    of_column = {"missing": options.missing, "is_label": True}
    columns = {
        key: inspect_column(key, column_of(frame, key), kind=options.kinds.get(str(key)), **of_column).values
        for key in frame.columns
    }
    return pd.DataFrame(columns, index=frame.index)


def as_table(table: Any, what: str = "The table") -> pd.DataFrame:
    """A DataFrame of a table in memory, or the parsed rows of the file at this path.

    Raises:
      InputError: `table` is neither, or `read_table` refuses it.
    """
    return read_table(table) if isinstance(table, (str, os.PathLike)) else frame_of(table, what)[0]
