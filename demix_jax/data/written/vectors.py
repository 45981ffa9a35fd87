"""Reads written lists of numbers, such as [0.1, 0.2], as vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_FEWEST_BARE = 8  # numbers of a list without brackets
_SEPARATORS = str.maketrans(",;\n\t", "    ")


def find_vectors(texts: Sequence[str]) -> np.ndarray | None:
    """The vectors that all texts write, as JSON ([0.1, 0.2]), as NumPy ([0.1 0.2]) or as eight bare numbers or more.

    Args:
      texts: n stripped texts, without those that mean missing.
    Returns:
      f32[n, d], d >= 2; None unless every text is a list of equally many finite numbers.

    Example:
      >>> find_vectors(["[1, 2.5]", "[3, 4]"]).tolist()
      [[1.0, 2.5], [3.0, 4.0]]
    """
    if not len(texts) or any(not text for text in texts):
        return None
    rows = []
    for text in texts:
        bracketed = _BRACKETS.get(text[0]) == text[-1]
        numbers = (text[1:-1] if bracketed else text).translate(_SEPARATORS).split()
        if len(numbers) < (2 if bracketed else _FEWEST_BARE) or (rows and len(numbers) != len(rows[0])):
            return None
        rows.append(numbers)
    try:
        vectors = np.array(rows, dtype=np.float64)
    except ValueError:  # a word, or brackets within brackets
        return None
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    return vectors if np.isfinite(vectors).all() else None
