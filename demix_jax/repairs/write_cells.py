"""New values for cells of a column, written as its other values are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def with_cells(column: Any, rows: np.ndarray, values: Sequence[Any] | np.ndarray) -> pd.Series:
    """A copy of `column` with other values in the given rows (numbers 0 … N − 1) and the same dtype.

    Durations may be given in seconds, as they are read.
    """
    import pandas as pd

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
    """The values as texts; numbers are written as the column writes its own."""
    from demix_jax.data.kinds import levels, value_text
    from demix_jax.data.written_numbers import number_style

    if all(isinstance(value, str) for value in values):
        return list(values)
    style = number_style(levels(column)[1])
    write = value_text if style is None else lambda value: style.write(float(value))
    return [value if isinstance(value, str) else write(value) for value in values]
