"""`NumberForm`, how a column writes its numbers: it reads texts as numbers and writes numbers as texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from demix_jax.data.written.number_shapes import (
    SPACES,
    Digits,
    NumberShape,
    digits_otherwise,
    digits_with,
    number_shape,
)
from demix_jax.data.written.shapes import shapes_of, texts_at
from demix_jax.data.written.units import NO_MULTIPLIER, Multiplier

_MINUS_AS_ASCII = str.maketrans("−", "-")
_TO_ASCII = {
    mark: str.maketrans({**dict.fromkeys(".,'’_" + SPACES), mark: ".", "−": "-"} if mark else
                        {**dict.fromkeys(".,'’_" + SPACES), "−": "-"})
    for mark in ("", ".", ",")
}  # fmt: skip
_SMALL, _LARGE = 1e-4, 1e16  # programs write numbers outside of this range with exponent
_NAMES = {",": "comma", ".": "point", "'": "apostrophe", "’": "apostrophe", "_": "underscore"}


@dataclass(frozen=True)
class NumberForm:
    """How a column writes its numbers.

    Attributes:
      mark: decimal mark. group: separator of thousands, "" if the column usually writes none. indian: whether groups
        before the last have two digits. unit: what may stand beside a number, from `unit_of`; "" for nothing.
      positive, negative: the text around a number, with "{}" in its place: "$ {}", "({})".
      fewest, most: decimals; zeros at the end are written up to `fewest`.
      multipliers: of the column, such as " Mio."; none if it uses none. letters: whether m, B and T multiply too.
      exponent: its shape, "e+99"; "" if the column has none. is_scientific: whether nearly all numbers have one; else
        very small and very large ones have, as programs write them.
    """

    mark: str = "."
    group: str = ""
    indian: bool = False
    unit: str = ""
    positive: str = "{}"
    negative: str = "-{}"
    fewest: int = 0
    most: int = 0
    multipliers: tuple[Multiplier, ...] = ()
    letters: bool = False
    exponent: str = ""
    is_scientific: bool = False

    def parse(self, texts: Sequence[str]) -> np.ndarray:
        """f64[n]: the numbers of n stripped texts; NaN where a text is not a number in this form.

        Example:
          >>> NumberForm(mark=",", group=".", unit="€").parse(["1.234,50 €", "7", "12 kg"]).tolist()
          [1234.5, 7.0, nan]
        """
        values = np.full(len(texts), np.nan)
        for text, rows in shapes_of(texts):
            shape = number_shape(text, letters=self.letters)
            if shape is not None and shape.unit in ("", self.unit):
                for zero, some, chosen in split_by_zero(texts, rows, shape.start):
                    digits = digits_in(shape.core, self.mark, zero=zero)
                    if digits is not None:
                        values[some] = shape_values(chosen, shape, digits)
        return values

    def write(self, value: float) -> str:
        """A finite number as text in the usual form of the column, rounded to its decimals.

        Example:
          >>> NumberForm(mark=",", group=".", positive="{} €", negative="-{} €", fewest=2, most=2).write(-1234.5)
          '-1.234,50 €'
        """
        size = abs(float(value))
        extreme = size != 0 and not _SMALL <= size < _LARGE
        body = self._scientific(size) if self.exponent and (self.is_scientific or extreme) else self._scaled(size)
        is_zero = not re.search(r"[1-9]", re.split("[eE]", body)[0])
        return (self.negative if value < 0 and not is_zero else self.positive).replace("{}", body)

    @property
    def how(self) -> str:
        """A short phrase for people: "decimal comma, thousands by point", "plain"."""
        said = []
        if self.mark == ",":
            said.append("decimal comma")
        if self.group:
            said.append(f"thousands by {_NAMES.get(self.group, 'space')}")
        if self.unit:
            said.append(f"with {self.positive.replace('{}', '').strip(' +') or self.unit}")
        if any(multiplier.text for multiplier in self.multipliers):
            said.append("with " + ", ".join(one.text.strip() for one in self.multipliers if one.text))
        if "(" in self.negative:
            said.append("negative in brackets")
        elif self.negative.endswith(("-", "−", "–")):
            said.append("minus at the end")
        return ", ".join(said) or "plain"

    def _scaled(self, value: float) -> str:
        """A number that is not negative, with multiplier where the column has them."""
        known = sorted(self.multipliers, key=lambda one: (-one.factor, one.text)) or [NO_MULTIPLIER]
        used = next((one for one in known if value >= one.factor), known[-1])
        return self._decimal(value / used.factor) + used.text

    def _scientific(self, value: float) -> str:
        """A number that is not negative, with exponent."""
        exact = Decimal(repr(value))
        mantissa, _, power = (f"{exact:.{self.most}e}" if self.is_scientific else f"{exact:e}").partition("e")
        if self.is_scientific and "." in mantissa:
            mantissa = _trimmed(mantissa, self.fewest)
        sign = "-" if power.startswith("-") else "+" if "+" in self.exponent else ""
        width = self.exponent.count("9")
        return f"{mantissa.replace('.', self.mark)}{self.exponent[0]}{sign}{abs(int(power)):0{width}d}"

    def _decimal(self, value: float) -> str:
        """Digits with separators and decimals."""
        whole, _, rest = f"{Decimal(repr(value)):.{self.most}f}".partition(".")
        if rest:
            whole, _, rest = _trimmed(f"{whole}.{rest}", self.fewest).partition(".")
        if self.group:
            head, tail = whole[:-3], whole[-3:]
            size = 2 if self.indian else 3
            while head:
                head, tail = head[:-size], f"{head[-size:]}{self.group}{tail}"
            whole = tail
        return f"{whole}{self.mark}{rest}" if rest else whole


def digits_in(core: str, mark: str, *, zero: bool) -> Digits | None:
    """How digits are meant in a column with decimal mark `mark`; None if they are no number.

    Args:
      core, zero: as for `digits_with`.
    """
    return digits_with(core, mark, zero=zero) or digits_otherwise(core, zero=zero)


def split_by_zero(texts: Sequence[str], rows: np.ndarray, start: int) -> list[tuple[bool, np.ndarray, list[str]]]:
    """Texts of one shape, divided by whether the character at `start` is 0: flag, positions i64[m] and m texts."""
    chosen = texts_at(texts, rows)
    zero = np.array([text[start] == "0" for text in chosen], dtype=bool)
    if zero.all() or not zero.any():
        return [(bool(zero[0]), rows, chosen)]
    return [(flag, rows[zero == flag], texts_at(chosen, np.flatnonzero(zero == flag))) for flag in (False, True)]


def shape_values(texts: Sequence[str], shape: NumberShape, digits: Digits) -> np.ndarray:
    """f64[m]: the numbers of m texts of one shape; NaN where too large for a number."""
    start, stop = shape.start, shape.stop
    if (digits.mark == "." and not digits.group) or set(shape.core) == {"9"}:
        if shape.exponent and "−" in shape.exponent:
            values = [float(text[start:stop].translate(_MINUS_AS_ASCII)) for text in texts]
        else:
            values = [float(text[start:stop]) for text in texts]
    else:
        table = _TO_ASCII[digits.mark]
        values = [float(text[start:stop].translate(table)) for text in texts]
    numbers = np.array(values)
    if shape.multiplier.text:
        numbers = np.round(numbers * shape.multiplier.factor, digits.decimals)  # 2.3K is 2300 exactly
    return np.where(np.isfinite(numbers), -numbers if shape.negative else numbers, np.nan)


def decimals_written(shape: NumberShape, digits: Digits) -> int:
    """Decimals of the texts of one shape; with exponent: all digits after the first, as many as it takes."""
    return digits.whole + digits.decimals - 1 if shape.exponent else digits.decimals


def _trimmed(text: str, fewest: int) -> str:
    """A number with point, without zeros at the end beyond `fewest` decimals."""
    whole, _, rest = text.partition(".")
    kept = max(fewest, len(rest.rstrip("0")))
    return f"{whole}.{rest[:kept]}" if kept else whole
