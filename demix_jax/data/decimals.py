"""How many decimals a column's numbers have, and which numbers have more than it ever has."""

from __future__ import annotations

import numpy as np

_MOST = 6  # decimals that a column is said to have
_ROUNDING = 6.5e-8  # of a number stored in single precision, relative to its size
_FEWEST = 40  # numbers that tell a column's decimals for certain
_USUAL_SHARE = 0.75  # of them
_DENOMINATORS, _FRACTION = range(2, 13), 5e-4  # of simple fractions, and how near to one a number counts as such
_COARSE = 2  # a column with more decimals may have any number of them


def has_decimals(values: np.ndarray, decimals: int) -> np.ndarray:
    """bool[n]: whether each of values f64[n] is written with that many decimals or fewer."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = values == values.astype(np.float32)  # only then may it be a rounded one
        error = np.where(single, np.maximum(1e-9, _ROUNDING * np.abs(values)), 1e-9)
        return np.abs(values - np.round(values, decimals)) <= error


def decimals_of(values: np.ndarray, *, share: float = 0.8) -> int | None:
    """Fewest decimals (0 … 6) that leave a share of the values f64[n] unchanged; None if there are more.

    Not all of them, because wrong values that were not found are often written differently.
    """
    return next((d for d in range(_MOST + 1) if np.mean(has_decimals(values, d)) >= share), None)


def usual_decimals(values: np.ndarray) -> int | None:
    """How many decimals a column's values f64[N] have, where one with clearly more is odd; None where it is not.

    Zeros and the commonest number do not count, as an amount that is mostly zero may be any number elsewhere.
    """
    finite = values[np.isfinite(values)]
    numbers, counts = np.unique(finite, return_counts=True)
    if len(numbers) < 3:
        return None
    telling = finite[(finite != 0) & (finite != numbers[counts.argmax()])]
    decimals = decimals_of(telling, share=_USUAL_SHARE) if len(telling) >= _FEWEST else None
    return None if decimals is None or decimals > _COARSE else decimals


def stray_decimals(values: np.ndarray, usual: int | None) -> np.ndarray:
    """bool[n]: which of values f64[n] have at least three decimals more than is usual.

    Halves, thirds and the like of the last usual decimal do not count: such numbers come of averages and shares.
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
