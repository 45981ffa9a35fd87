"""Codes of a column's most frequent values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demix_jax.data.kinds import level_counts, most_frequent

NUM_LEVELS = 30  # number of most frequent values of a category with their own code


@dataclass(frozen=True)
class Levels:
    """One code for each of a column's most frequent values, one for any other value and one for missing."""

    values: tuple[str, ...]

    @classmethod
    def fit(cls, codes: np.ndarray, names: list[str]) -> Levels:
        """Fit on the output of `kinds.levels`."""
        return cls(tuple(most_frequent(level_counts(codes, names), NUM_LEVELS)))

    @property
    def num_codes(self) -> int:
        return len(self.values) + 2

    def codes(self, level_codes: np.ndarray, names: list[str]) -> np.ndarray:
        """i32[N]: codes of any column, from the output of `kinds.levels` for it."""
        place = {value: i for i, value in enumerate(self.values)}
        other = len(self.values)
        moved = np.array([place.get(n, other) for n in names] + [other + 1], dtype=np.int32)
        return moved[level_codes]

    def codes_of_numbers(self, values: np.ndarray) -> np.ndarray:
        """i32[n]: codes of numbers f64[n], for a column that is stored as numbers."""
        known = np.array(self.values, dtype=np.float64)
        order, other = np.argsort(known), len(known)
        at = order[np.minimum(np.searchsorted(known, values, sorter=order), other - 1)]
        codes = np.where(known[at] == values, at, other)
        return np.where(np.isfinite(values), codes, other + 1).astype(np.int32)

    def code_name(self, name: str, code: int) -> str:
        if code < len(self.values):
            return f"{name} = {self.values[code]}"
        return f"{name} = another value" if code == len(self.values) else f"{name} missing"
