"""Fingerprints of tables, by which a saved diagnosis recognises the table it was computed from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of the column names, whether each column is text or numbers, and the values in row order.

    The index does not count. Numbers are rounded to single precision. The fingerprint thus survives a round trip
    through CSV, and other number widths in Parquet. Digits stored as text count as numbers.

    Args:
      frame: table of N rows.
    Returns:
      64 hexadecimal digits.
    """
    digest = TableFingerprint(text_columns(frame))
    digest.update(frame)
    return digest.hexdigest()


class TableFingerprint:
    """The `fingerprint` of a table that is read in parts.

    Args:
      text: positions of the columns that hold text: those in `text_columns` of any part.
    """

    def __init__(self, text: frozenset[int]):
        self._text = text
        self._num_rows = 0
        self._names: list[str] = []
        self._columns: list[Any] = []

    def update(self, frame: pd.DataFrame) -> None:
        """Add the next rows."""
        if not self._columns:
            self._names = [str(name) for name in frame.columns]
            self._columns = [hashlib.sha256() for _ in self._names]
        self._num_rows += len(frame)
        for q, digest in enumerate(self._columns):
            column = frame.iloc[:, q]
            digest.update(_text_content(column) if q in self._text else _number_content(column))

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        digest = hashlib.sha256(f"{self._num_rows} rows".encode())
        for q, (name, column) in enumerate(zip(self._names, self._columns, strict=True)):
            digest.update(f"\0{name}\0{'text' if q in self._text else 'number'}\0".encode() + column.digest())
        return digest.hexdigest()


def text_columns(frame: pd.DataFrame) -> frozenset[int]:
    """Positions of the columns that hold anything other than numbers and digits."""
    return frozenset(q for q in range(frame.shape[1]) if _is_text(frame.iloc[:, q]))


def _is_text(column: pd.Series) -> bool:
    return not _is_numeric(column) and _numbers(column).isna().to_numpy().sum() > column.isna().to_numpy().sum()


def _is_numeric(column: pd.Series) -> bool:
    import pandas as pd

    is_real = not pd.api.types.is_bool_dtype(column) and column.dtype.kind != "c"
    return pd.api.types.is_numeric_dtype(column) and is_real


def _numbers(column: pd.Series) -> pd.Series:
    """f64[N]: a column's text parsed as numbers; NaN where it is none."""
    import pandas as pd

    present = pd.Series(_text(column), dtype=object).where(~column.isna().to_numpy())
    return pd.Series(pd.to_numeric(present, errors="coerce"))


def _text(column: pd.Series) -> np.ndarray:
    return np.where(column.isna().to_numpy(), "", column.astype(str).to_numpy(dtype=object))


def _text_content(column: pd.Series) -> bytes:
    from pandas.util import hash_array

    hashes = hash_array(_text(column).astype(object), categorize=True)  # pyright: ignore[reportCallIssue]
    return np.ascontiguousarray(hashes).tobytes()


def _number_content(column: pd.Series) -> bytes:
    numbers = column if _is_numeric(column) else _numbers(column)
    with np.errstate(over="ignore"):
        values = numbers.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)
    values = values + np.float32(0.0)  # −0 becomes 0, since some tools write both alike
    values[np.isnan(values)] = np.nan  # one bit pattern for every missing number
    return values.tobytes()
