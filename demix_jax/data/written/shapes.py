"""Groups texts by shape, the text with every digit as 9, so that a column is read shape by shape, not text by text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

_LONGEST = 60  # characters of the longest number or date
_MOST_SHAPES = 5000  # numbers and dates of one column have few shapes; free text has one for nearly every text
_DIGITS_AS_NINE = bytes.maketrans(b"012345678", b"999999999")


class Shape(NamedTuple):
    """One shape of a column: the text with every digit as 9, and the positions i64[m] of its texts."""

    text: str
    rows: np.ndarray


def shapes_of(texts: Sequence[str]) -> list[Shape]:
    """The shapes of those texts that contain a digit and are not too long for a number or a date.

    Of more than 5,000 shapes, those of a single text are left out, and the 5,000 of the most texts are given.

    Args:
      texts: n distinct texts.

    Example:
      >>> [(shape.text, shape.rows.tolist()) for shape in shapes_of(["1.5", "yes", "2.7", "12"])]
      [('9.9', [0, 2]), ('99', [3])]
    """
    if not len(texts):
        return []
    joined = "\n".join(texts)
    if max(map(len, texts)) > _LONGEST or joined.count("\n") >= len(texts):
        joined = "\n".join([text if len(text) <= _LONGEST and "\n" not in text else "" for text in texts])
    shaped = joined.encode("utf-8", "surrogatepass").translate(_DIGITS_AS_NINE)
    codes, names = pd.factorize(np.array(shaped.decode("utf-8", "surrogatepass").split("\n"), dtype=object))
    sizes = np.bincount(codes, minlength=len(names))
    order, ends = np.argsort(codes, kind="stable"), np.cumsum(sizes)
    fewest = 1 if len(names) <= _MOST_SHAPES else 2
    kept = [place for place in np.flatnonzero(sizes >= fewest).tolist() if "9" in names[place]]
    if len(kept) > _MOST_SHAPES:
        kept = sorted(kept, key=lambda place: (-sizes[place], names[place]))[:_MOST_SHAPES]
    return [Shape(names[place], order[ends[place] - sizes[place] : ends[place]]) for place in kept]


def texts_at(texts: Sequence[str], rows: np.ndarray) -> list[str]:
    """The texts at the positions i64[m]."""
    places: list[int] = rows.tolist()
    return [texts[place] for place in places]
