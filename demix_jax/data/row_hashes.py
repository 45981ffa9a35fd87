"""Hashes of cells and rows, by which equal ones are found, also between parts of a table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from pandas.util import hash_array

_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of the finaliser of splitmix64
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x7FF8000000000001)


def cell_hashes(column: pd.Series) -> np.ndarray:
    """u64[N]: a hash of each cell; equal values have equal hashes, in any part of a table and in any number width.

    All missing cells are equal. Texts count without surrounding spaces.

    Args:
      column: N numbers, dates, texts, arrays of numbers (vectors) or tuples of texts (sets).
    """
    missing = column.isna().to_numpy()
    dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        bits = column.astype("int64").to_numpy().view(np.uint64)
    elif pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype) and dtype.kind != "c":
        bits = (column.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0).view(np.uint64)  # −0 becomes 0
    else:
        bits = _text_hashes(column)
    return _mixed(np.where(missing, _MISSING, bits))


def row_hashes(columns: Iterable[pd.Series]) -> np.ndarray:
    """u64[N]: a hash of each row of `columns`, all of N cells; there must be at least one column."""
    total: np.ndarray | None = None
    for column in columns:
        cells = cell_hashes(column)
        total = cells if total is None else _mixed(total + _STEP + cells * _MULTIPLIERS[0])
    if total is None:
        raise ValueError("row_hashes needs at least one column.")
    return total


def _text_hashes(column: pd.Series) -> np.ndarray:
    """u64[N]: hashes of the texts of all cells but the missing ones; each distinct text is hashed once."""
    if pd.api.types.is_object_dtype(column.dtype):
        try:
            codes, distinct = pd.factorize(column)
        except TypeError:  # arrays and lists
            codes, distinct = pd.factorize(column.map(_hashable))
    else:
        codes, distinct = pd.factorize(column)
    texts = np.array([*(str(value).strip() for value in distinct), ""], dtype=object)
    return hash_array(texts, categorize=False)[codes]  # pyright: ignore[reportCallIssue]


def _hashable(value: object) -> object:
    """An array as the text of its numbers in single precision, any other nested value as its text."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return value.astype(np.float32).tobytes().hex()
    return str(value) if isinstance(value, list | dict | set | np.ndarray) else value


def _mixed(bits: np.ndarray) -> np.ndarray:
    """u64[N]: bits spread so that a difference in one changes about half of them."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MULTIPLIERS[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MULTIPLIERS[1]
    return bits ^ (bits >> np.uint64(31))
