"""Worlds that are still to be made: of which table, and by which seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from demix_jax.meta_training.synthetic import LABEL
from demix_jax.meta_training.world import USUAL, Variety

if TYPE_CHECKING:
    import pandas as pd


class PlannedWorld(NamedTuple):
    """A world to be made.

    table: its name. load: gives (frame, label). seed: of the world. variety: of its errors.
    """

    table: str
    load: Callable[[], tuple[pd.DataFrame, str]]
    seed: int
    variety: Variety = USUAL

    @property
    def file_name(self) -> str:
        """Of the world in a folder of many."""
        return f"{self.table.replace(' ', '-')}-{self.seed}.npz"


def load_synthetic(draw: Callable[[int, int], pd.DataFrame], seed: int, num_rows: int) -> tuple[pd.DataFrame, str]:
    """(frame, label) of a table that `draw` makes of a seed and a number of rows, as `synthetic_table` does."""
    return draw(seed, num_rows), LABEL
