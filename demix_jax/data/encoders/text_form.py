"""Columns of free text, encoded as several parts: what a text says, and measures of how it is written.

The first part has the features of what a text says; its codes are ranges of length. The others tell a damaged text: see
`text_measures`. The diagnosis reads each like a column of numbers or a category.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from demix_jax.data.encoders.bins import Bins, QuantileNormal, number_text
from demix_jax.data.encoders.encoded import Encoded
from demix_jax.data.encoders.number_part import NumberPart
from demix_jax.data.encoders.text_measures import (
    BEGINNINGS,
    ENDINGS,
    NUMBERS,
    SCRIPTS,
    TextMeasures,
    UsualText,
)

_COUNTS = frozenset({"length", "garbled characters", "markup", "shared sentences", "copies"})
_SHARES = frozenset({"capitals", "digits", "punctuation", "foreign letters", "repeated words"})
_CATEGORIES = {"script": SCRIPTS, "beginning": BEGINNINGS, "ending": ENDINGS}


class MeasurePart(NumberPart):
    """A measure of a text; name: as in "length of review". bins, scale: of the measure on the scale of `_scaled`."""

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> MeasurePart:
        """Fit on f64[N], NaN where missing.

        The spread is that of the middle half or of the middle 80 %, whichever is wider: measures have heavy tails.
        """
        values = _scaled(name, values)
        bins = Bins.fit(values)
        p10, p90 = np.nanquantile(values, [0.1, 0.9])
        return cls(name, replace(bins, spread=max(bins.spread, float(p90 - p10) / 2.563)), QuantileNormal.fit(values))

    def encode(self, values: np.ndarray) -> Encoded:
        """Encode f64[N]; NaN where the text is missing."""
        return super().encode(_scaled(self.name, values))

    def code_name(self, name: str, code: int) -> str:
        return self.bins.code_name(f"{self.name} of {name}", code, lambda value: _in_words(self.name, value))


@dataclass(frozen=True)
class CategoryPart:
    """A property of a text, with a code for each of `values` and one for missing. x: the code one-hot.

    name: as in "script of review", without the column's name.
    """

    name: str
    values: tuple[str, ...]

    @property
    def num_codes(self) -> int:
        return len(self.values) + 1

    @property
    def of_numbers(self) -> None:
        return None

    def encode(self, places: np.ndarray) -> Encoded:
        """Encode places f64[N] in `values`; NaN where the text is missing."""
        codes = np.where(np.isnan(places), len(self.values), np.nan_to_num(places)).astype(np.int32)
        none = np.zeros(len(codes), np.float32)
        x = (codes[:, None] == np.arange(len(self.values))).astype(np.float32)
        return Encoded(x=x, codes=codes, robust_z=none, misspelt=none)

    def code_name(self, name: str, code: int) -> str:
        found = f"{self.name} of {name}"
        return f"{found} missing" if code == len(self.values) else f"{found} = {self.values[code]}"


@dataclass(frozen=True)
class TextForm:
    """How the texts of a column are written: `usual`, learned from them, and the `parts` that a text is encoded as."""

    usual: UsualText
    parts: tuple[MeasurePart | CategoryPart, ...]

    @classmethod
    def fit(cls, level_codes: np.ndarray, names: list[str]) -> TextForm:
        """Fit on the output of `kinds.levels` for a column with at least one text."""
        usual = UsualText.fit(names, np.bincount(level_codes[level_codes >= 0], minlength=len(names)))
        of_rows = _of_rows(usual.measure(names), level_codes)
        numbers = [MeasurePart.fit(name, of_rows[name]) for name in NUMBERS]
        return cls(usual, (*numbers, *(CategoryPart(name, values) for name, values in _CATEGORIES.items())))

    def encode(self, level_codes: np.ndarray, names: list[str]) -> tuple[Encoded, ...]:
        """Encode N rows, from the output of `kinds.levels` for them; a missing text is missing in every part."""
        of_rows = _of_rows(self.usual.measure(names), level_codes)
        return tuple(part.encode(of_rows[part.name]) for part in self.parts)


def _of_rows(measures: TextMeasures, level_codes: np.ndarray) -> dict[str, np.ndarray]:
    """f64[N] by measure, from measures of each distinct text; NaN where the text is missing."""
    of_texts = dict(zip(NUMBERS, measures.numbers.T, strict=True))
    of_texts |= {name: getattr(measures, name) for name in _CATEGORIES}
    return {name: np.append(values, np.nan)[level_codes] for name, values in of_texts.items()}


def _scaled(name: str, values: np.ndarray) -> np.ndarray:
    """Values on a scale where their spread depends little on their size: the logarithm of counts, arcsine of shares.

    Source: Anscombe 1948, "The Transformation of Poisson, Binomial and Negative-Binomial Data".
    """
    if name in _SHARES:
        return np.arcsin(np.sqrt(np.minimum(values, 1.0)))
    return np.log1p(values) if name in _COUNTS else values


def _in_words(name: str, value: float) -> str:
    """A value on the scale of `_scaled` as a number for people."""
    if name in _SHARES:
        return f"{100 * np.sin(value) ** 2:.3g} %"
    return number_text(round(float(np.expm1(value))) if name in _COUNTS else value)
