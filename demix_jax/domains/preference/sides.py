"""Random order of the two answers of each pair, so that position reveals nothing about preference."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

SIDES = ("first", "second")


class Order(NamedTuple):
    """second: bool[N], True where the second answer is the chosen one."""

    second: np.ndarray

    def arranged(self, of_chosen: np.ndarray, of_rejected: np.ndarray) -> np.ndarray:
        """[N, 2, …]: values of the first and the second answer, given those of the chosen and the rejected, [N, …]."""
        chex.assert_equal_shape_prefix([self.second, of_chosen, of_rejected], 1)
        stacked = np.stack([of_chosen, of_rejected], axis=1)
        return np.where(self.second.reshape(-1, *[1] * (stacked.ndim - 1)), stacked[:, ::-1], stacked)

    def take(self, rows: np.ndarray) -> Order:
        """The order of the pairs at `rows`."""
        return Order(self.second[rows])

    def side(self, row: int, name: str) -> int:
        """Position, 0 or 1, of the "chosen" or "rejected" answer of a pair."""
        return int(self.second[row]) if name == "chosen" else 1 - int(self.second[row])

    def side_name(self, row: int, name: str) -> str:
        """Position, "first" or "second", of the "chosen" or "rejected" answer of a pair."""
        return SIDES[self.side(row, name)]


def draw_order(rng: np.random.Generator, num_pairs: int) -> Order:
    """Random order with the chosen answer second in half of the pairs."""
    return Order(rng.permutation(num_pairs) % 2 == 1)
