"""Free text in columns: whether a column holds some, and the words of its texts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csc_matrix

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")  # a Chinese or Japanese character counts as a word
_SAMPLE = 200  # texts that decide whether a column is free text
_LEAST_DISTINCT = 10
_LEAST_MEAN_WORDS = 4.0  # names and addresses have fewer


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.lower())


def are_free_texts(values: Iterable[object]) -> bool:
    """Whether the distinct values of a column are texts of several words each, such as titles or reviews."""
    texts = [value for value in values if isinstance(value, str)]
    sample = texts[:: -(-len(texts) // _SAMPLE)] if texts else []
    mean_words = sum(len(words_of(text)) for text in sample) / max(len(sample), 1)
    return len(texts) >= _LEAST_DISTINCT and mean_words >= _LEAST_MEAN_WORDS


def is_free_text(series: pd.Series) -> bool:
    """Whether a column holds free text, see `are_free_texts`."""
    if series.dtype.kind in "fiubM":
        return False
    try:
        return are_free_texts(series.dropna().unique())
    except TypeError:  # unhashable values, such as dicts
        return False


def word_matrix(texts: pd.Series, *, max_words: int, max_share: float) -> csc_matrix:
    """Which texts contain which words, for the words that many texts contain.

    Args:
      texts: N texts; a missing one has no words.
      max_words: largest number of words, the most frequent ones.
      max_share: words in a larger share of the texts are left out.
    Returns:
      f32[N, V] of zeros and ones, V ≤ max_words, by falling number of texts. Each word is in at least three texts.
    """
    from scipy.sparse import csc_matrix

    place: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        if isinstance(text, str):
            at = {place.setdefault(word, len(place)) for word in words_of(text)}
            rows += [row] * len(at)
            columns += at
    all_words = csc_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=(len(texts), len(place)), dtype=np.float32
    )
    num_texts = np.diff(all_words.indptr)
    kept = np.flatnonzero((num_texts >= 3) & (num_texts <= max_share * len(texts)))
    kept = kept[np.argsort(-num_texts[kept], kind="stable")][:max_words]
    return csc_matrix(all_words[:, kept])
