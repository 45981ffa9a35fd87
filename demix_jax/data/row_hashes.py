"""Hashes of what cells say, however they are stored, by which equal cells and rows are found.

36, 36.0 and "36" are one number; an empty cell and a missing value are alike; a date is its text in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from demix_jax.data.kinds import MISSING_TEXT
from demix_jax.data.lists import flat_numbers

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MISSING = _STEP
_SALT_OF_NUMBERS, _SALT_OF_TEXTS = np.uint64(0x51), np.uint64(0x7E)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_BOOLS = {"true": 1.0, "false": 0.0}


def row_hashes(columns: Iterable[pd.Series]) -> np.ndarray:
    """u64[N]: a hash of each row of `columns` in this order, all of N cells; there must be at least one column."""
    total: np.ndarray | None = None
    for column in columns:
        cells = cell_hashes(column)
        total = cells if total is None else mixed(total * _FACTORS[0] + cells)
    if total is None:
        raise ValueError("row_hashes needs at least one column.")
    return total


def cell_hashes(column: pd.Series) -> np.ndarray:
    """u64[N]: a hash of what each cell says."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return _number_hashes(_as_doubles(column))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        column = _iso_texts(column)
    codes, distinct = _factorized(column)
    hashes = _meant_hashes([str(value) for value in distinct])
    return np.append(hashes, _MISSING)[codes]


def _factorized(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:  # lists and arrays cannot be hashed
        codes, distinct = pd.factorize(column.map(_list_text, na_action=None))
    return np.asarray(codes), distinct.tolist()


def _list_text(value: Any) -> str | None:
    """The numbers of a list in single precision, whatever type holds them, or its elements as text."""
    if value is None:
        return None
    numbers = flat_numbers(value)
    if numbers is not None:
        return (numbers + np.float32(0.0)).tobytes().hex()
    return str(value.tolist() if isinstance(value, np.ndarray) else list(value) if isinstance(value, tuple) else value)


def _as_doubles(column: pd.Series) -> np.ndarray:
    """f64[N]; a number in single precision becomes the number that is written alike."""
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if str(column.dtype).lower() in ("float32", "float16"):
        distinct, place = np.unique(values, return_inverse=True)
        short = distinct.astype(str(column.dtype).lower())
        return np.array([float(str(value)) for value in short])[place]
    return values


def _iso_texts(column: pd.Series) -> pd.Series:
    """Instants as ISO 8601 without zone; without a time of day where that is midnight."""
    stamps = pd.DatetimeIndex(column)
    stamps = stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)
    codes, distinct = pd.factorize(stamps)
    texts = [value.isoformat(sep=" ").removesuffix(" 00:00:00") for value in distinct]
    return pd.Series(np.array([*texts, None], dtype=object)[codes])


def _meant_hashes(texts: list[str]) -> np.ndarray:
    """u64[n]: hashes of texts; a text that is a plain number counts as this number."""
    stripped = [text.strip().removesuffix(" 00:00:00") for text in texts]  # as `_iso_texts` writes midnight
    result = text_hashes(stripped)
    numbers = np.array(pd.to_numeric(pd.Series(stripped, dtype=object), errors="coerce"), dtype=np.float64)
    lowered = [text.lower() if len(text) <= 5 else "" for text in stripped]
    for place, text in enumerate(lowered):
        if text in _BOOLS:
            numbers[place] = _BOOLS[text]
    result = np.where(np.isnan(numbers), result, _number_hashes(numbers))
    missing = [text in MISSING_TEXT and not stripped[place][5:] for place, text in enumerate(lowered)]
    return np.where(missing, _MISSING, result)


def _number_hashes(values: np.ndarray) -> np.ndarray:
    bits = (values + 0.0).view(np.uint64)  # −0 becomes 0
    return np.where(np.isnan(values), _MISSING, mixed(bits ^ _SALT_OF_NUMBERS))


def text_hashes(texts: list[str]) -> np.ndarray:
    from pandas.util import hash_array

    if not texts:
        return np.zeros(0, np.uint64)
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    hash_texts: Any = hash_array  # pandas types it as any object
    return mixed(hash_texts(np.array(clean, dtype=object), categorize=False) ^ _SALT_OF_TEXTS)


def mixed(bits: np.ndarray) -> np.ndarray:
    """u64[n]: bits spread over the whole word. Source: Steele et al. 2014, SplitMix64."""
    bits = bits + _STEP
    bits = (bits ^ (bits >> np.uint64(30))) * _FACTORS[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _FACTORS[1]
    return bits ^ (bits >> np.uint64(31))
