"""The two bands of flagged rows: likely, and worth a look."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.common.error_types import ERROR_TYPES

LIKELY = 0.5  # probability from which a row is more likely wrong than right
IN_LIKELY, IN_LOOK = "likely", "look"  # as written in tables
BAND_COLUMNS = tuple(f"band_{name}" for name in ERROR_TYPES)


class Bands(NamedTuple):
    """Flagged rows by band, arrays of one shape.

    likely: bool, rows that are likely wrong, or likely break a shortcut.
    look: bool, other flagged rows. They are less likely wrong than right, but worth a look.
    """

    likely: np.ndarray
    look: np.ndarray

    def named(self) -> np.ndarray:
        """object, "likely", "look" or "" for every entry."""
        return np.where(self.likely, IN_LIKELY, np.where(self.look, IN_LOOK, "")).astype(object)


def bands_of(flags: np.ndarray, probability: np.ndarray) -> Bands:
    """Bands of rows with flags and probabilities of one shape; the likely ones have a probability of at least `LIKELY`.

    A flag without a probability (NaN) is likely: somebody set it by hand.

    Example:
      >>> bands_of(np.array([True, True, True, False]), np.array([0.5, 0.3, np.nan, 0.1])).named().tolist()
      ['likely', 'look', 'likely', '']
    """
    unlikely = probability < LIKELY
    return Bands(flags & ~unlikely, flags & unlikely)
