"""What an encoder makes of a column, and the interfaces of encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from demix_jax.common.sparse import Sparse
from demix_jax.data.encoders.bins import Bins


class Encoded(NamedTuple):
    """An encoded column of N rows, see `Dataset`.

    x: f32[N, d]. codes: i32[N]. robust_z, misspelt: f32[N].
    numbers: f64[N], or NaN for all rows. texts: i32[N], or 0 for all rows. terms: sparse f32[N, v], or None.
    """

    x: np.ndarray
    codes: np.ndarray
    robust_z: np.ndarray
    misspelt: np.ndarray
    numbers: np.ndarray | float = np.nan
    texts: np.ndarray | int = 0
    terms: Sparse | None = None


CodesOfNumbers = Callable[[np.ndarray], np.ndarray]  # i32[n] of f64[n]


class ColumnCodes(Protocol):
    """What the codes of an encoded column mean."""

    @property
    def num_codes(self) -> int:
        """Number of codes."""
        ...

    @property
    def of_numbers(self) -> CodesOfNumbers | None:
        """Maps numbers to codes; None if the column does not hold numbers."""
        ...

    def code_name(self, name: str, code: int) -> str:
        """The code in words, for a column called `name`."""
        ...


class ColumnEncoder(ColumnCodes, Protocol):
    """The interface of the encoder of a column whose values are not vectors."""

    def encode(self, column: pd.Series) -> Encoded:
        """Encode a column of N rows."""
        ...


def with_indicator(parts: list[np.ndarray], missing: np.ndarray) -> np.ndarray:
    """f32[N, d + 1]: the features `parts` and whether the value is missing bool[N]."""
    return np.column_stack([*parts, missing]).astype(np.float32, copy=False)


def in_ranges(bins: Bins, values: np.ndarray, x: np.ndarray) -> Encoded:
    """Numbers f64[N], NaN where missing, by their ranges and their distance from the median; x: f32[N, d]."""
    return Encoded(
        x=x, codes=bins.codes(values), robust_z=bins.robust_z(values), misspelt=np.zeros(len(values), np.float32)
    )
