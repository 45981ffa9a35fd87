"""Writes new values into cells of a column, in the form of its other values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from demix_jax.data.kinds import levels, value_text
from demix_jax.data.written_numbers import number_style


def with_cells(column: Any, rows: np.ndarray, values: Sequence[Any] | np.ndarray) -> pd.Series:
    """A copy of `column` with new values in some rows and the same dtype.

    Args:
      column: Series of N values. rows: i64[n], positions in 0 … N − 1.
      values: one per row; durations may be given in seconds.
    """
    result = column.copy()
    if not len(rows):
        return result
    dtype = column.dtype
    if pd.api.types.is_bool_dtype(dtype):
        new = np.array([bool(value) for value in values])
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
    else:
        if pd.api.types.infer_dtype(column, skipna=True) == "string":
            values = _as_texts(column, values)
        new = np.empty(len(values), object)
        new[:] = list(values)
    result.iloc[rows] = new
    return result


def _as_texts(column: Any, values: Sequence[Any] | np.ndarray) -> list[str]:
    """The values as texts; numbers are written in the column's own style."""
    if all(isinstance(value, str) for value in values):
        return list(values)
    style = number_style(levels(column)[1])
    write = value_text if style is None else lambda value: style.write(float(value))
    return [value if isinstance(value, str) else write(value) for value in values]
