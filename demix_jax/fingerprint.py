"""Fingerprints of a table and of arrays, by which a saved result recognises what it was computed from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_BYTES_AT_A_TIME = 2**22


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 over column names, kinds of column and values, in row order; the index does not count.

    Numbers are compared in single precision, so that writing a table to CSV and reading it back, or storing it
    as Parquet with other widths, leaves its fingerprint as it was. Digits stored as text count as numbers.

    Args:
      frame: table of N rows.
    Returns:
      64 hexadecimal digits.
    """
    digest = hashlib.sha256(f"{len(frame)} rows".encode())
    for position, name in enumerate(frame.columns):
        kind, content = _canonical(frame.iloc[:, position])
        digest.update(f"\0{name}\0{kind}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def array_fingerprint(tree: Any) -> str:
    """SHA-256 over the structure of a pytree and its arrays' dtypes, shapes and bits.

    Read a few megabytes at a time, so that arrays mapped from files need not fit in memory.

    Args:
      tree: pytree of arrays.
    Returns:
      64 hexadecimal digits.
    """
    import jax

    leaves, structure = jax.tree.flatten(tree)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        digest.update(f"\0{np.dtype(leaf.dtype)}{leaf.shape}\0".encode())
        rows = max(1, _BYTES_AT_A_TIME // max(1, leaf.nbytes // max(1, len(leaf)))) if leaf.ndim else 1
        parts = (leaf[start : start + rows] for start in range(0, len(leaf), rows)) if leaf.ndim else [leaf]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _canonical(column: pd.Series) -> tuple[str, bytes]:
    import pandas as pd
    from pandas.util import hash_array

    text = None
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        missing = column.isna().to_numpy()
        text = np.where(missing, "", column.astype(str).to_numpy(dtype=object))
        numbers: Any = pd.to_numeric(pd.Series(text, dtype=object).where(~missing), errors="coerce")
        if numbers.isna().to_numpy().sum() > missing.sum():
            hashes = hash_array(text.astype(object), categorize=True)  # pyright: ignore[reportCallIssue]
            return "text", np.ascontiguousarray(hashes).tobytes()
        column = numbers
    with np.errstate(over="ignore"):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)
    values = values + np.float32(0.0)  # −0 becomes 0: both are written as the same number by some tools
    values[np.isnan(values)] = np.nan  # one bit pattern for every missing number
    return "number", values.tobytes()
