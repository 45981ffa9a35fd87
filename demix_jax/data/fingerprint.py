"""Fingerprints of rows and tables, by which a saved diagnosis finds the rows that it is about.

A fingerprint depends on what the cells say, not on how they are stored, see `row_hashes`. It thus survives a round trip
through CSV, Parquet or pandas.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.data.row_hashes import cell_hashes, mixed, text_hashes

if TYPE_CHECKING:
    import pandas as pd


def row_fingerprints(frame: pd.DataFrame) -> np.ndarray:
    """u64[N]: a fingerprint per row. Neither the order of the columns, nor the index, nor other rows count.

    Args:
      frame: N rows, as written or as stored.
    """
    total = np.zeros(len(frame), np.uint64)
    for place, name in enumerate(frame.columns):
        salt = text_hashes([str(name)])[0]
        total += mixed(cell_hashes(frame.iloc[:, place]) ^ salt)
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
