"""How many decimals the numbers of a column have, and which numbers have unusually many."""

from __future__ import annotations

import numpy as np

_MOST = 6  # a column with more decimals counts as unrounded
_ROUNDING = 6.5e-8  # relative rounding error of a number in single precision
_FEWEST = 40  # numbers needed to tell a column's usual decimals
_USUAL_SHARE = 0.75  # share of numbers that must have the usual decimals
_DENOMINATORS, _FRACTION = range(2, 13), 5e-4  # denominators of simple fractions, and the tolerance of the comparison
_COARSE = 2  # a column with more usual decimals may have any number of them


def has_decimals(values: np.ndarray, decimals: int) -> np.ndarray:
    """bool[n]: whether each of the values f64[n] has at most that many decimals."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = values == values.astype(np.float32)  # only such a value may have been rounded to single precision
        error = np.where(single, np.maximum(1e-9, _ROUNDING * np.abs(values)), 1e-9)
        return np.abs(values - np.round(values, decimals)) <= error


def decimals_of(values: np.ndarray, *, share: float = 0.8) -> int | None:
    """The fewest decimals, 0 … 6, to which a share of the values f64[n] can be rounded unchanged; None if more.

    A share below 1 tolerates wrong values that were not found, which often have other decimals.
    """
    return next((d for d in range(_MOST + 1) if np.mean(has_decimals(values, d)) >= share), None)


def usual_decimals(values: np.ndarray) -> int | None:
    """The usual decimals of a column's values f64[N]; None if a value with more decimals would not be odd.

    Zeros and the most common number do not count: an amount that is mostly zero may have any decimals elsewhere.
    """
    finite = values[np.isfinite(values)]
    numbers, counts = np.unique(finite, return_counts=True)
    if len(numbers) < 3:
        return None
    telling = finite[(finite != 0) & (finite != numbers[counts.argmax()])]
    decimals = decimals_of(telling, share=_USUAL_SHARE) if len(telling) >= _FEWEST else None
    return None if decimals is None or decimals > _COARSE else decimals


def stray_decimals(values: np.ndarray, usual: int | None) -> np.ndarray:
    """bool[n]: which of the values f64[n] have at least three decimals more than usual.

    Simple fractions of the last usual decimal (halves, thirds) do not count: averages and shares have them.

    Args:
      values: NaN where missing. usual: from `usual_decimals`; None: no value is odd.
    """
    if usual is None:
        return np.zeros(values.shape, bool)
    stray = np.isfinite(values)
    stray[stray] = ~has_decimals(values[stray], usual + 2)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers too large to have decimals at all
        ticks = values[stray] * 10.0**usual
        nearest = np.min([np.abs(ticks * k - np.round(ticks * k)) / k for k in _DENOMINATORS], axis=0)
    stray[stray] = nearest > _FRACTION
    return stray
