"""Wrong numeric targets: a slip of one constant, of sign, of a digit, of unit."""

from __future__ import annotations

import numpy as np
import pandas as pd

NUMBER_KINDS = ("constant", "sign", "digit", "unit")
_UNITS = (10.0, 0.1, 100.0, 1000.0, 2.54, 0.4536, 1.609)


def wrong_numbers(target: pd.Series, kind: str, rate: float, rng: np.random.Generator) -> pd.Series:
    """A target in which a share of the values, as near to `rate` as can be, is wrong in one way.

    Constant: all wrong values are off by the same number, 0.7 to 1.5 standard deviations. Sign: the other one. Digit:
    one of the first two significant digits is another. Unit: all wrong values are times the same factor. A value of
    zero has no wrong sign, digit or unit.

    Args:
      target: N numbers. kind: of NUMBER_KINDS.
    """
    values = target.to_numpy(float).copy()
    able = np.arange(len(values)) if kind == "constant" else np.flatnonzero(values)
    rows = rng.permutation(able)[: round(rate * len(values))]
    if kind == "constant":
        slip = rng.choice([-1, 1]) * rng.uniform(0.7, 1.5) * values.std()
        values[rows] += _rounded(slip, target)
    elif kind == "sign":
        values[rows] *= -1
    elif kind == "unit":
        values[rows] *= rng.choice(_UNITS)
    else:
        values[rows] = [_other_digit(value, rng) for value in values[rows]]
    whole = pd.api.types.is_integer_dtype(target) and bool(np.all(values % 1 == 0))
    return pd.Series(values, name=target.name, index=target.index).astype("int64" if whole else float)


def _rounded(slip: float, target: pd.Series) -> float:
    """A slip that whole numbers stay whole under, and that is never zero."""
    if not pd.api.types.is_integer_dtype(target):
        return slip
    return float(np.sign(slip) * max(1.0, np.round(abs(slip))))


def _other_digit(value: float, rng: np.random.Generator) -> float:
    """The number as written, with another digit in its first or second significant place."""
    text = list(repr(float(value)))
    places = [i for i, letter in enumerate(text) if letter.isdigit()]
    first = next(i for i in places if text[i] != "0")
    significant = [i for i in places if i >= first and "e" not in text[:i]][:2]
    place = int(rng.choice(significant))
    lowest = 1 if place == first else 0  # the number keeps its length
    text[place] = str(rng.choice([digit for digit in range(lowest, 10) if str(digit) != text[place]]))
    return float("".join(text))
