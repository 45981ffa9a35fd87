"""Columns of sets of texts, such as the tags of an article. A set is encoded as several numbers, its parts.

The parts are whether the set has each of the commonest elements, and its size.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_jax.data.encoders.bins import Bins, QuantileNormal
from demix_jax.data.encoders.encoded import Encoded, with_indicator
from demix_jax.data.encoders.vectors import Scaling, VectorPart, VectorSpace, sample_of
from demix_jax.data.kinds import most_frequent
from demix_jax.data.lists import as_sets

NUM_SHOWN = 28  # elements with a part of their own
_MAX_ELEMENTS = 256
_Set = tuple[str, ...] | None


@dataclass(frozen=True)
class SetColumnEncoder:
    """A column of sets, encoded as `parts`; see the module.

    Where there are more than 28 elements, x of the size has principal components of the 256 commonest ones, too. The
    last feature of the size tells whether the set is missing.
    """

    elements: tuple[str, ...]
    space: VectorSpace
    parts: tuple[VectorPart, ...]

    @classmethod
    def fit(cls, column: pd.Series) -> SetColumnEncoder:
        """Fit on a column with at least one set."""
        sets = [of_row for of_row in as_sets(column) if of_row is not None]
        counts = Counter(element for of_row in sets for element in of_row)
        repeated = {element: count for element, count in counts.items() if count > 1}
        elements = tuple(most_frequent(repeated or counts, _MAX_ELEMENTS))
        has = _multi_hot(sets, elements)
        unscaled = Scaling(np.zeros(len(elements), np.float32), np.ones(len(elements), np.float32))
        names = [*(f"[{element}]" for element in elements[:NUM_SHOWN]), "size"]
        parts = [
            VectorPart(name, Bins.fit(of_part), QuantileNormal.fit(of_part))
            for name, of_part in zip(names, _numbers(sets, has).T, strict=True)
        ]
        return cls(elements, VectorSpace.fit(sample_of(has), unscaled), tuple(parts))

    def encode(self, column: pd.Series) -> tuple[Encoded, ...]:
        """Encode a column of N rows, part by part; robust_z is 0, since a rare element is no outlier."""
        sets = as_sets(column)
        has = _multi_hot(sets, self.elements)
        encoded = [part.encode(of_part) for part, of_part in zip(self.parts, _numbers(sets, has).T, strict=True)]
        *elements, size = (part._replace(robust_z=np.zeros_like(part.robust_z)) for part in encoded)
        missing = np.array([of_row is None for of_row in sets])
        features = [size.x]
        if len(self.elements) > NUM_SHOWN:
            features.append(np.where(missing[:, None], 0, self.space.features(has)))
        return *elements, size._replace(x=with_indicator(features, missing))


def _multi_hot(sets: list[_Set] | list[tuple[str, ...]], elements: tuple[str, ...]) -> np.ndarray:
    """f32[N, E]: 1 where the set has the element."""
    place = {element: e for e, element in enumerate(elements)}
    pairs = [(row, place[el]) for row, of_row in enumerate(sets) for el in of_row or () if el in place]
    has = np.zeros((len(sets), len(elements)), np.float32)
    if pairs:
        has[tuple(np.array(pairs).T)] = 1.0
    return has


def _numbers(sets: list[_Set] | list[tuple[str, ...]], has: np.ndarray) -> np.ndarray:
    """f64[N, P]: whether the sets have each of the shown elements f32[N, E], and their sizes; NaN where missing."""
    sizes = np.array([np.nan if of_row is None else len(of_row) for of_row in sets], np.float64)
    shown = np.where(np.isnan(sizes)[:, None], np.nan, has[:, :NUM_SHOWN])
    return np.column_stack([shown, sizes])
