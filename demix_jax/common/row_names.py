"""Names of the columns of diagnosis.csv by which a row of a table is found again."""

from __future__ import annotations

import re

import numpy as np

ROW = "row"  # its number in the diagnosed table, from 0
ROW_FINGERPRINT = "row_fingerprint"

_WRITTEN = re.compile(r"r([0-9a-f]{16})")


def fingerprint_texts(fingerprints: np.ndarray) -> np.ndarray:
    """object[N]: fingerprints u64[N] as texts that no spreadsheet takes for numbers."""
    return np.array([f"r{value:016x}" for value in fingerprints.tolist()], dtype=object)


def read_fingerprints(texts: list[str]) -> np.ndarray | None:
    """u64[N] of the texts that `fingerprint_texts` writes; None if one of them is no fingerprint."""
    found = [_WRITTEN.fullmatch(text.strip()) for text in texts]
    if not all(found):
        return None
    return np.array([int(match[1], 16) for match in found if match], np.uint64)
