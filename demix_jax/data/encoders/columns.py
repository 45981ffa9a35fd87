"""Encoders of one column: features for task models, discrete codes, and how extreme each value is.

Each encoder is fitted on one column and then encodes any column of that name. The diagnosis counts rows by code;
`code_name` describes a code in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.util import hash_array

from demix_jax.data.encoders.bins import Bins, QuantileNormal, number_text
from demix_jax.data.encoders.encoded import (
    CodesOfNumbers,
    ColumnCodes,
    ColumnEncoder,
    Encoded,
    in_ranges,
    with_indicator,
)
from demix_jax.data.encoders.levels import Levels
from demix_jax.data.encoders.sets import SetColumnEncoder
from demix_jax.data.encoders.text import TextFeatures
from demix_jax.data.encoders.text_form import TextForm
from demix_jax.data.encoders.vectors import VectorEncoder
from demix_jax.data.kinds import Column, as_dates, as_numbers, levels, nature
from demix_jax.data.spelling import Spelling


@dataclass(frozen=True)
class NumberEncoder:
    """A column of numbers. x: the value by `QuantileNormal`, and whether it is missing."""

    bins: Bins
    scale: QuantileNormal

    @classmethod
    def fit(cls, column: pd.Series) -> NumberEncoder:
        values = as_numbers(column)
        return cls(Bins.fit(values), QuantileNormal.fit(values))

    @property
    def num_codes(self) -> int:
        return self.bins.num_codes

    @property
    def of_numbers(self) -> CodesOfNumbers:
        return self.bins.codes

    def encode(self, column: pd.Series) -> Encoded:
        values = as_numbers(column)
        x = with_indicator([self.scale(values)], np.isnan(values))
        return in_ranges(self.bins, values, x)._replace(numbers=values)

    def code_name(self, name: str, code: int) -> str:
        return self.bins.code_name(name, code, number_text)


@dataclass(frozen=True)
class DateEncoder:
    """A column of dates.

    x: time by `QuantileNormal` (the trend); month, weekday and hour as points on a circle; whether it is missing.
    """

    bins: Bins
    scale: QuantileNormal

    @classmethod
    def fit(cls, column: pd.Series) -> DateEncoder:
        seconds = _seconds(as_dates(column))
        return cls(Bins.fit(seconds), QuantileNormal.fit(seconds))

    @property
    def num_codes(self) -> int:
        return self.bins.num_codes

    @property
    def of_numbers(self) -> None:
        return None

    def encode(self, column: pd.Series) -> Encoded:
        stamps = as_dates(column)
        seconds = _seconds(stamps)
        parts = [self.scale(seconds)]
        for phase in ((stamps.month - 1) / 12, stamps.day_of_week / 7, (stamps.hour + stamps.minute / 60) / 24):
            angle = 2 * np.pi * np.asarray(phase, dtype=np.float64)
            parts += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
        x = with_indicator(parts, np.isnan(seconds))
        return in_ranges(self.bins, seconds, x)

    def code_name(self, name: str, code: int) -> str:
        return self.bins.code_name(name, code, _date_text)


def _seconds(stamps: pd.DatetimeIndex) -> np.ndarray:
    """f64[N]: seconds since 1970; NaN where missing."""
    seconds = stamps.to_numpy(dtype="datetime64[s]").astype(np.int64).astype(np.float64)
    return np.where(stamps.isna(), np.nan, seconds)


def _date_text(seconds: float) -> str:
    stamp = str(np.datetime64(int(seconds), "s")).replace("T", " ")
    return stamp.removesuffix(" 00:00:00")


@dataclass(frozen=True)
class CategoryEncoder:
    """A category. x: the code one-hot (at most 32 features); one feature if only two codes occur.

    shown: codes that have a feature. of_numbers: only for a column that is stored as numbers, else None.
    """

    levels: Levels
    spelling: Spelling
    shown: np.ndarray
    of_numbers: CodesOfNumbers | None

    @classmethod
    def fit(cls, column: pd.Series) -> CategoryEncoder:
        codes, names = levels(column)
        chosen = Levels.fit(codes, names)
        seen = np.flatnonzero(np.bincount(chosen.codes(codes, names), minlength=chosen.num_codes))
        of_numbers = chosen.codes_of_numbers if nature(column) == "number" else None
        return cls(chosen, Spelling.fit(codes, names), seen[1:] if len(seen) == 2 else seen, of_numbers)

    @property
    def num_codes(self) -> int:
        return self.levels.num_codes

    def encode(self, column: pd.Series) -> Encoded:
        level_codes, names = levels(column)
        codes = self.levels.codes(level_codes, names)
        x = (codes[:, None] == self.shown).astype(np.float32)
        encoded = Encoded(
            x=x,
            codes=codes,
            robust_z=np.zeros(len(codes), np.float32),
            misspelt=_of_rows(self.spelling.misspelt(names), level_codes),
        )
        if self.of_numbers is None:
            return encoded._replace(texts=_hashed(names, level_codes))
        return encoded._replace(numbers=as_numbers(column))

    def code_name(self, name: str, code: int) -> str:
        return self.levels.code_name(name, code)


@dataclass(frozen=True)
class TextEncoder:
    """A column of free text. x: latent features of words and characters, and whether the text is missing.

    Its terms are the TF-IDF of words, pairs of words and character n-grams, see `TextFeatures`.

    Codes stand for the 30 most frequent texts if these make up at least half of the rows, else for ranges of length.
    """

    features: TextFeatures
    spelling: Spelling
    codes: Levels | Bins

    @classmethod
    def fit(cls, level_codes: np.ndarray, names: list[str]) -> TextEncoder:
        """Fit on the output of `kinds.levels`."""
        frequent = Levels.fit(level_codes, names)
        other = len(frequent.values)
        repeated = np.mean(frequent.codes(level_codes, names) < other) >= 0.5
        codes = frequent if repeated else Bins.fit(_lengths(level_codes, names))
        spelling = Spelling.fit(level_codes, names) if repeated else Spelling({}, ())
        return cls(TextFeatures.fit(names), spelling, codes)

    @property
    def num_codes(self) -> int:
        return self.codes.num_codes

    @property
    def of_numbers(self) -> None:
        return None

    def encode(self, level_codes: np.ndarray, names: list[str]) -> Encoded:
        terms = self.features.terms([*names, ""])  # the last stands for missing texts
        per_text = self.features.latent(terms)
        per_text[-1] = 0.0
        x = with_indicator([per_text[level_codes]], level_codes < 0)
        texts: np.ndarray | int = 0
        if isinstance(self.codes, Levels):
            codes, texts = self.codes.codes(level_codes, names), _hashed(names, level_codes)
        else:
            codes = self.codes.codes(_lengths(level_codes, names))
        return Encoded(
            x=x,
            codes=codes,
            robust_z=np.zeros(len(x), np.float32),
            misspelt=_of_rows(self.spelling.misspelt(names), level_codes),
            texts=texts,
            terms=terms[level_codes],
        )

    def code_name(self, name: str, code: int) -> str:
        if isinstance(self.codes, Levels):
            return self.codes.code_name(name, code)
        return self.codes.code_name(f"length of {name}", code, number_text)


@dataclass(frozen=True)
class FreeTextEncoder:
    """A column of free text, as parts: the text, and how it is written, see `TextForm`.

    The first part has the features of the text and the codes of its length. Texts that mostly repeat are no free text:
    they have only the part of `text`, and `form` is None.
    """

    text: TextEncoder
    form: TextForm | None

    @classmethod
    def fit(cls, column: pd.Series) -> FreeTextEncoder:
        level_codes, names = levels(column)
        text = TextEncoder.fit(level_codes, names)
        return cls(text, None if isinstance(text.codes, Levels) else TextForm.fit(level_codes, names))

    @property
    def parts(self) -> tuple[ColumnCodes, ...]:
        return (self.text,) if self.form is None else self.form.parts

    def names(self, name: str) -> tuple[str, ...]:
        """What each part is called, in a column called `name`."""
        return (name,) if self.form is None else tuple(f"{part.name} of {name}" for part in self.form.parts)

    def encode(self, column: pd.Series) -> tuple[Encoded, ...]:
        level_codes, names = levels(column)
        text = self.text.encode(level_codes, names)
        if self.form is None:
            return (text,)
        length, *others = self.form.encode(level_codes, names)
        first = length._replace(x=np.concatenate([length.x, text.x], axis=1), terms=text.terms)
        return (first, *others)


def _of_rows(of_names: np.ndarray, level_codes: np.ndarray) -> np.ndarray:
    """f32[N]: the value of each row's text, from one value per text; 0 where the text is missing."""
    return np.append(of_names, np.float32(0))[level_codes]


def _hashed(names: list[str], level_codes: np.ndarray) -> np.ndarray:
    """i32[N]: a hash of each row's text that is the same in every column; 0 where the text is missing."""
    hash_texts: Any = hash_array  # pandas types it as any object
    hashed = hash_texts(np.array(names, dtype=object)) if names else np.zeros(0, np.uint64)
    return np.append((hashed >> 33).astype(np.int32) + 1, np.int32(0))[level_codes]


def _lengths(level_codes: np.ndarray, names: list[str]) -> np.ndarray:
    """f64[N]: number of characters of each row's text; NaN where it is missing."""
    return np.array([len(n) for n in names] + [np.nan])[level_codes]


@dataclass(frozen=True)
class FittedEncoder:
    """The encoder of a used column. A vector, set or free text is encoded as several columns, its parts.

    Attributes:
      columns: what the codes of each encoded column mean. names: what each is called.
    """

    columns: tuple[ColumnCodes, ...]
    names: tuple[str, ...]
    _encoder: ColumnEncoder | VectorEncoder | SetColumnEncoder | FreeTextEncoder

    @classmethod
    def fit(cls, found: Column, column: pd.Series) -> FittedEncoder:
        """Fit on the values of a column; `found` is what was found in them."""
        if found.kind in ("vector", "set"):
            encoder = VectorEncoder.fit(column) if found.kind == "vector" else SetColumnEncoder.fit(column)
            return cls(encoder.parts, tuple(f"{found.name} {part.name}" for part in encoder.parts), encoder)
        if found.kind == "text":
            encoder = FreeTextEncoder.fit(column)
            return cls(encoder.parts, encoder.names(found.name), encoder)
        encoder = _ENCODERS[found.kind].fit(column)
        return cls((encoder,), (found.name,), encoder)

    def encode(self, column: pd.Series) -> tuple[Encoded, ...]:
        """Encode a column of N rows as one or more columns."""
        encoder = self._encoder
        return (
            encoder.encode(column)
            if isinstance(encoder, VectorEncoder | SetColumnEncoder | FreeTextEncoder)
            else (encoder.encode(column),)
        )


_ENCODERS = {"number": NumberEncoder, "date": DateEncoder, "category": CategoryEncoder}
