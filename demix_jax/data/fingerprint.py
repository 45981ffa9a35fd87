"""Fingerprints of rows and tables, by which a saved diagnosis finds the rows that it is about.

A fingerprint depends on what the cells say, not on how they are stored: 36 and 36.0 are one number, an empty cell and a
missing value are alike. It thus survives a round trip through CSV, Parquet or pandas.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.data.kinds import MISSING_TEXT
from demix_jax.data.lists import flat_numbers

if TYPE_CHECKING:
    import pandas as pd

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_SALT_OF_NUMBERS, _SALT_OF_TEXTS = np.uint64(0x51), np.uint64(0x7E)
_BOOLS = {"true": 1.0, "false": 0.0}


def row_fingerprints(frame: pd.DataFrame) -> np.ndarray:
    """u64[N]: a fingerprint per row. Neither the order of the columns, nor the index, nor other rows count.

    Args:
      frame: N rows, as written or as stored.
    """
    total = np.zeros(len(frame), np.uint64)
    for place, name in enumerate(frame.columns):
        salt = _hashes([str(name)])[0]
        total += _mixed(_cell_hashes(frame.iloc[:, place]) ^ salt)
    return total


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of the column names and the values in row order, as 64 hexadecimal digits; the index does not count."""
    return table_fingerprint(list(frame.columns), row_fingerprints(frame))


def table_fingerprint(names: list[Any], of_rows: np.ndarray) -> str:
    """`fingerprint` of a table with these columns and `row_fingerprints` u64[N]."""
    digest = TableFingerprint(names)
    digest.update(of_rows)
    return digest.hexdigest()


class TableFingerprint:
    """The `fingerprint` of a table that is read in parts.

    Args:
      names: of its columns.
    """

    def __init__(self, names: list[Any]):
        text = "\0".join(sorted(str(name) for name in names))
        self._digest = hashlib.sha256(text.encode("utf-8", "replace"))

    def update(self, of_rows: np.ndarray) -> None:
        """Add the next n rows, by their `row_fingerprints` u64[n]."""
        self._digest.update(of_rows.astype("<u8").tobytes())

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._digest.hexdigest()


def _cell_hashes(column: pd.Series) -> np.ndarray:
    """u64[N]: a hash of what each cell says."""
    import pandas as pd

    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return _number_hashes(_as_doubles(column))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        column = _iso_texts(column)
    codes, distinct = _factorized(column)
    hashes = _text_hashes([str(value) for value in distinct])
    return np.append(hashes, _MISSING)[codes]


def _factorized(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    import pandas as pd

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
    import pandas as pd

    stamps = pd.DatetimeIndex(column)
    stamps = stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)
    codes, distinct = pd.factorize(stamps)
    texts = [value.isoformat(sep=" ").removesuffix(" 00:00:00") for value in distinct]
    return pd.Series(np.array([*texts, None], dtype=object)[codes])


def _text_hashes(texts: list[str]) -> np.ndarray:
    """u64[n]: hashes of texts; a text that is a plain number counts as this number."""
    import pandas as pd

    stripped = [text.strip().removesuffix(" 00:00:00") for text in texts]  # as `_iso_texts` writes midnight
    result = _hashes(stripped)
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
    return np.where(np.isnan(values), _MISSING, _mixed(bits ^ _SALT_OF_NUMBERS))


def _hashes(texts: list[str]) -> np.ndarray:
    from pandas.util import hash_array

    if not texts:
        return np.zeros(0, np.uint64)
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    hash_texts: Any = hash_array  # pandas types it as any object
    return _mixed(hash_texts(np.array(clean, dtype=object), categorize=False) ^ _SALT_OF_TEXTS)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """u64[n]: bits spread over the whole word. Source: Steele et al. 2014, SplitMix64."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
