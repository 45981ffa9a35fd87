"""Finds texts that are probably misspellings of a more common value of their column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demix_jax.data.kinds import level_counts, most_frequent

_NUM_COMMON = 30  # only misspellings of the most frequent values are found
_TIMES_COMMONER = 4.0  # a value must be this many times as common as its misspelling
_MOST_NATS = 8.0
_SHORT = 4  # in shorter texts, one letter makes another word
_CUT_TO = 3  # a text with less than a third of a value's letters is not a truncation of it


@dataclass(frozen=True)
class Spelling:
    """The texts of a column.

    counts: number of rows with each text. common: the most frequent texts, in descending order.
    """

    counts: dict[str, int]
    common: tuple[str, ...]

    @classmethod
    def fit(cls, codes: np.ndarray, names: list[str]) -> Spelling:
        """Fit on the output of `kinds.levels`."""
        counts = level_counts(codes, names)
        return cls(counts, tuple(most_frequent(counts, _NUM_COMMON)))

    def meant(self, name: str) -> tuple[str | None, float]:
        """The common value that a text probably misspells, and the log ratio of their counts in nats.

        (None, 0) if the text is probably spelt right.
        """
        own = self.counts.get(name, 0) + 1
        for value in self.common:
            count = self.counts[value]
            if count < _TIMES_COMMONER * own:
                break
            if is_misspelling(name, value):
                return value, min(float(np.log((count + 1) / own)), _MOST_NATS)
        return None, 0.0

    def misspelt(self, names: list[str]) -> np.ndarray:
        """f32[n]: the log ratio of `meant` for each of n texts, in nats; 0 where it is probably spelt right."""
        return np.array([self.meant(name)[1] for name in names], np.float32)


def is_misspelling(text: str, value: str) -> bool:
    """Whether `text` may be a misspelling of `value`.

    A misspelling differs in case or spaces, in one letter, in two exchanged neighbours, or lacks the end. A different
    digit is not a misspelling: 1st and 2nd, or zone 1 and zone 12, are different values. In values of fewer than four
    letters, only case, spaces, a doubled letter and exchanged neighbours count.
    """
    if text == value or not text or (abs(len(text) - len(value)) > 1 and text[:1].casefold() != value[:1].casefold()):
        return False
    if "".join(text.split()).casefold() == "".join(value.split()).casefold():
        return True
    same = next((i for i, (a, b) in enumerate(zip(text, value, strict=False)) if a != b), min(len(text), len(value)))
    rest, meant = text[same:], value[same:]
    if len(rest) >= 2 and rest[:2] == meant[1::-1] and rest[2:] == meant[2:]:
        return not rest[:2].isdigit()
    if same and rest == text[same - 1] + meant:
        return not rest[0].isdigit()
    if len(value) < _SHORT:
        return False
    if not rest:
        return _CUT_TO * len(text) >= len(value) and not any(letter.isdigit() for letter in meant)
    one_letter = rest[1:] == meant or rest == meant[1:] or rest[1:] == meant[1:]
    return one_letter and not (rest[:1] + meant[:1]).isdigit() and len(text) >= _SHORT - 1
