"""Plans of worlds: table, seed and variety."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from demix_jax.meta_training.synthetic import LABEL
from demix_jax.meta_training.world import USUAL, Variety

if TYPE_CHECKING:
    import pandas as pd


# Varieties of worlds, used in rotation: a quarter has probes of some kinds only, and one in twelve chance labels.
VARIETIES = tuple(Variety(every_probe=k % 4 != 3, chance_labels=k == 5) for k in range(12))


class PlannedWorld(NamedTuple):
    """Plan of a world.

    table: name of the table. load: returns (frame, label). seed: seed of the world. variety: see `Variety`.
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
