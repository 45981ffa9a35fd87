"""Rows and folds that depend on what a table holds, never on the order of its rows or columns."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import column_of

MAX_ROWS = 5_000


class EvenSample(NamedTuple):
    """At most 5,000 of N rows, in a fixed order of their contents.

    rows: i64[n], row numbers. fold: i64[n], 0 or 1; equal rows have one fold.
    """

    rows: np.ndarray
    fold: np.ndarray


def even_sample(table: Table, max_rows: int = MAX_ROWS) -> EvenSample:
    """The `max_rows` rows with the smallest hashes, ascending by hash.

    Shuffling rows or columns selects rows with the same contents in the same order.
    """
    hashes = row_hashes(table)
    rows = np.argsort(hashes, kind="stable")[:max_rows]
    return EvenSample(rows, (hashes[rows] & np.uint64(1)).astype(np.int64))


def row_hashes(table: Table) -> np.ndarray:
    """u64[N]: a hash of each row's cells and label; equal rows have equal hashes."""
    total = np.zeros(len(table), np.uint64)
    for key in table.frame.columns:
        values = column_of(table.frame, key)
        salt = np.uint64(zlib.crc32(str(key).encode("utf-8", "surrogatepass")))
        total += _mixed(_cell_hashes(values) ^ (salt << np.uint64(17)))
    return _mixed(total)


def _cell_hashes(values: pd.Series) -> np.ndarray:
    """u64[N]: a hash of each cell; cells may hold arrays, lists or tuples."""
    from pandas.util import hash_array

    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0  # −0 becomes 0
        numbers[np.isnan(numbers)] = np.nan  # one bit pattern for every missing number
        return numbers.view(np.uint64)
    codes, distinct = _factorized(values)
    texts = np.array([*(_text(value) for value in distinct), "\0missing"], dtype=object)
    return hash_array(texts, categorize=False)[codes]  # pyright: ignore[reportCallIssue]


def _factorized(values: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Codes i64[N], −1 where missing, and the distinct values."""
    try:
        codes, distinct = pd.factorize(values)
    except TypeError:  # arrays, lists
        codes, distinct = pd.factorize(np.array([_text(value) for value in values], dtype=object))
    return codes, list(distinct)


def _text(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{zlib.crc32(value.tobytes())}{value.tobytes()[:16].hex()}"
    return str(value).encode("utf-8", "replace").decode()


def _mixed(bits: np.ndarray) -> np.ndarray:
    """Spread u64 bits, so that sums and low bits of hashes are even (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
