"""One of several numbers that a value is encoded as, such as a direction of a vector or a measure of a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demix_jax.data.encoders.bins import Bins, QuantileNormal
from demix_jax.data.encoders.encoded import Encoded, in_ranges


@dataclass(frozen=True)
class NumberPart:
    """A number, read by its range; x is the number by `QuantileNormal`.

    name: of the part, without the column's name.
    """

    name: str
    bins: Bins
    scale: QuantileNormal

    @property
    def num_codes(self) -> int:
        return self.bins.num_codes

    @property
    def of_numbers(self) -> None:
        return None

    def encode(self, values: np.ndarray) -> Encoded:
        """Encode f64[N]; NaN where the column's value is missing."""
        return in_ranges(self.bins, values, self.scale(values)[:, None])
