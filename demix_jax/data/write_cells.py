"""Writes new values into cells: into parsed columns, and into columns as they are written, in their own form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import Column, column_of, value_text


def with_cells(column: Any, rows: np.ndarray, values: Sequence[Any] | np.ndarray) -> pd.Series:
    """A copy of `column` with new values in some rows and the same dtype.

    Args:
      column: Series of N values. rows: i64[n], positions in 0 … N − 1.
      values: one per row; durations may be given in seconds, instants without time zone.
    """
    result = column.copy()
    if not len(rows):
        return result
    dtype = column.dtype
    if pd.api.types.is_bool_dtype(dtype):
        new = np.array([str(value).strip().lower() in ("true", "1") for value in values])
    elif pd.api.types.is_integer_dtype(dtype):
        limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
        new = np.clip(np.round(np.asarray(values, np.float64)), float(limits.min), float(limits.max))
        new = new.astype(limits.dtype)
    elif pd.api.types.is_float_dtype(dtype):
        plain: Any = getattr(dtype, "numpy_dtype", dtype)
        new = np.asarray(values, np.float64).astype(plain)
    elif pd.api.types.is_timedelta64_dtype(dtype):
        seconds = [value.total_seconds() if isinstance(value, pd.Timedelta) else float(value) for value in values]
        new = pd.to_timedelta(seconds, unit="s").to_numpy().astype(dtype)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        new = pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(dtype.tz)
    else:
        if pd.api.types.infer_dtype(column, skipna=True) == "string":
            values = [value if isinstance(value, str) else value_text(value) for value in values]
        new = np.empty(len(values), object)
        new[:] = list(values)
    result.iloc[rows] = new
    return result


def as_written(table: Table, column: Column, rows: np.ndarray, values: pd.Series) -> list[Any]:
    """Parsed values as the column writes them: texts where it holds texts, else values of its type.

    Args:
      table: N rows. column: what was found in the column. rows: i64[n]. values: their n new parsed values.
    """
    given = column_of(table.written, next(key for key in table.written.columns if str(key) == column.name))
    if not _holds_texts(given):
        return with_cells(given, rows, values.tolist()).iloc[rows].tolist()
    form = column.form
    return [
        ""
        if pd.isna(value)
        else value
        if isinstance(value, str)
        else value_text(value)
        if form is None
        else form.write(value)
        for value in values
    ]


def _holds_texts(column: pd.Series) -> bool:
    return pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty", "mixed", "mixed-integer")
