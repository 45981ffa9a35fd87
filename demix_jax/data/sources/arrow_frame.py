"""Flat Arrow tables as pandas frames: numbers, dates, texts, vectors and sets in their plain forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.types as types

from demix_jax.data.sources.nested import flat_notes, flat_table, is_number_list, is_text_list, json_text

pc: Any = pyarrow.compute  # its functions are made at run time, unknown to type checkers
_EXACT = 2**53  # whole numbers up to here are exact as f64


def arrow_frame(table: pa.Table, where: str = "The table") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The pandas frame of an Arrow table, nested or flat, and notes for the user.

    Args:
      table: N rows. where: names the table in messages.
    Returns:
      Frame of N rows and notes. Texts of files share the memory of the Arrow table. Whole numbers are i64, or f64 where
      some are missing (Int64 where f64 would lose digits); other numbers, durations (in seconds) and decimals f64;
      dates and times datetime64, in UTC and without zone; lists of numbers of one length arrays f32[D]; lists of texts
      tuples; None or NaN where missing.
    Raises:
      InputError: as `flat_table`.
    """
    is_text = all(types.is_string(kind) for kind in table.schema.types)
    flat = table if is_text else flat_table(table, where)
    notes = list(flat_notes(table.schema))
    num_rows, names, waiting = len(flat), flat.column_names, flat.columns[::-1]
    del table, flat  # so that the memory of a column is free once it is converted
    columns = {}
    for name in names:
        kind = waiting[-1].type
        columns[name] = arrow_series(waiting.pop())
        if is_number_list(kind) and isinstance(columns[name].dtype, pd.StringDtype):
            notes.append(f"The lists in {name!r} differ in length, so they are read as text and not as vectors.")
    return pd.DataFrame(columns, index=pd.RangeIndex(num_rows), copy=False), tuple(notes)


def arrow_series(column: pa.ChunkedArray) -> pd.Series:
    """The pandas column of a flat Arrow column; see `arrow_frame`."""
    kind = column.type
    if is_number_list(kind):
        return _vectors(column)
    if is_text_list(kind):
        return _objects([None if v is None else tuple(t for t in v if t is not None) for v in column.to_pylist()])
    if types.is_integer(kind):
        return _whole_numbers(column)
    if types.is_floating(kind):
        return column.cast(pa.float32() if types.is_float16(kind) else kind).cast(pa.float64()).to_pandas()
    if types.is_decimal(kind):
        return _decimals(column)
    if types.is_duration(kind):
        return column.to_pandas().dt.total_seconds()
    if types.is_date(kind) or types.is_timestamp(kind):
        return _dates(column)
    if types.is_time(kind):
        column = column.cast(pa.time64("us"), safe=False)
    if types.is_string(kind) and not column.null_count:
        return column.to_pandas(types_mapper={kind: pd.ArrowDtype(kind)}.get)
    if types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind):
        return column.to_pandas()
    return pd.Series([None if v is None else str(v) for v in column.to_pylist()], dtype="str")


def vectors(column: pa.ChunkedArray) -> np.ndarray | None:
    """f32[N, D] of lists of numbers, NaN where missing; None if the lists differ in length, or none has a number."""
    lengths = pc.unique(pc.list_value_length(column)).drop_null()
    if len(lengths) != 1 or lengths[0].as_py() == 0:
        return None
    present = np.asarray(column.is_valid())
    rows = np.full((len(column), lengths[0].as_py()), np.nan, np.float32)
    values = pc.list_flatten(column).to_numpy().astype(np.float32)
    rows[present] = values.reshape(-1, rows.shape[1])
    return rows


def _vectors(column: pa.ChunkedArray) -> pd.Series:
    rows = vectors(column)
    if rows is None:
        return pd.Series([None if v is None else json_text(v) for v in column.to_pylist()], dtype="str")
    return _objects([row if there else None for row, there in zip(rows, np.asarray(column.is_valid()), strict=True)])


def _objects(values: list) -> pd.Series:
    """An object column; pandas would make a table of a list of arrays."""
    cells = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        cells[row] = value
    return pd.Series(cells, dtype=object)


def _whole_numbers(column: pa.ChunkedArray) -> pd.Series:
    bounds = pc.min_max(column)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    signed = "Int64" if high is None or high < 2**63 else "UInt64"
    if not column.null_count:
        return pd.Series(column.to_numpy().astype(signed.lower()))
    if high is None or max(-low, high) <= _EXACT:
        return column.cast(pa.float64()).to_pandas()
    return pd.Series(pd.array(column.to_pylist(), dtype=signed))


def _decimals(column: pa.ChunkedArray) -> pd.Series:
    """Decimals as f64; as texts where they are whole numbers too long for f64."""
    numbers = column.cast(pa.float64())
    largest = pc.max(pc.abs(numbers)).as_py()
    if column.type.scale <= 0 and largest is not None and largest > _EXACT:
        return pd.Series([None if v is None else f"{v:f}" for v in column.to_pylist()], dtype="str")
    return numbers.to_pandas()


def _dates(column: pa.ChunkedArray) -> pd.Series:
    """datetime64[ns] in UTC; in microseconds where a date lies outside of the years 1677 to 2262."""
    if types.is_date(column.type):
        column = column.cast(pa.timestamp("s" if types.is_date32(column.type) else "ms"))
    for unit in ("ns", "us"):
        try:
            return column.cast(pa.timestamp(unit)).to_pandas()
        except pa.ArrowInvalid:
            continue
    return column.cast(pa.timestamp("us"), safe=False).to_pandas()
