"""Plans of worlds: table, seed and variety of errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from demix_jax.meta_training.synthetic import LABEL
from demix_jax.meta_training.world import USUAL, Variety

if TYPE_CHECKING:
    import pandas as pd


class PlannedWorld(NamedTuple):
    """Plan of a world.

    table: name of the table. load: returns (frame, label). seed: seed of the world. variety: kinds of its errors.
    """

    table: str
    load: Callable[[], tuple[pd.DataFrame, str]]
    seed: int
    variety: Variety = USUAL

    @property
    def file_name(self) -> str:
        """Name of the world's file in a folder of worlds."""
        return f"{self.table.replace(' ', '-')}-{self.seed}.npz"


def load_synthetic(draw: Callable[[int, int], pd.DataFrame], seed: int, num_rows: int) -> tuple[pd.DataFrame, str]:
    """(frame, label) of the table that `draw(seed, num_rows)` returns; `synthetic_table` is such a function."""
    return draw(seed, num_rows), LABEL
