"""Which of a pair's two answers is put first: a random order, so that places tell nothing of the preference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIDES = ("first", "second")


class Order(NamedTuple):
    """second: bool[N], whether the second answer is the chosen one."""

    second: np.ndarray

    def arranged(self, of_chosen: np.ndarray, of_rejected: np.ndarray) -> np.ndarray:
        """[N, 2, …]: what belongs to the first answer and to the second one."""
        stacked = np.stack([of_chosen, of_rejected], axis=1)
        return np.where(self.second.reshape(-1, *[1] * (stacked.ndim - 1)), stacked[:, ::-1], stacked)

    def take(self, rows: np.ndarray) -> Order:
        """The order of the pairs at `rows`."""
        return Order(self.second[rows])

    def side(self, row: int, name: str) -> int:
        """Place, 0 or 1, of the pair's answer called "chosen" or "rejected"."""
        return int(self.second[row]) if name == "chosen" else 1 - int(self.second[row])

    def side_name(self, row: int, name: str) -> str:
        """ "first" or "second": the place of the pair's answer called "chosen" or "rejected"."""
        return SIDES[self.side(row, name)]


def draw_order(rng: np.random.Generator, num_pairs: int) -> Order:
    """A random order in which half of the pairs have the chosen answer second."""
    return Order(rng.permutation(num_pairs) % 2 == 1)
