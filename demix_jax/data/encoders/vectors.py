"""Columns of vectors, such as embeddings. A vector is encoded as several numbers, its parts.

The parts are the vector's numbers and its distance from the mean. The numbers of a wide vector are replaced by 24
directions in the space of its principal components. The diagnosis reads every part like a column of numbers; task
models read the components themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_jax.common.threads import threads_for
from demix_jax.data.encoders.bins import CLIP, Bins, QuantileNormal, number_text
from demix_jax.data.encoders.encoded import Encoded, with_indicator
from demix_jax.data.encoders.number_part import NumberPart
from demix_jax.data.lists import as_vectors, is_missing

MAX_NUMBERS = 32  # a vector of more numbers is reduced
MAX_DIRECTIONS = 24
_MAX_COMPONENTS = 64
_VARIANCE_KEPT = 0.95
_WILD = 20.0  # robust standard deviations; farther values are moved there, so that they do not dominate a component
_MAX_FIT_ROWS, _MAX_FIT_VALUES = 5_000, 8_000_000
_ROWS_AT_ONCE = 20_000
_ROTATION = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float32) / 2  # Hadamard


@dataclass(frozen=True)
class Scaling:
    """Center and scale of each of d dimensions: f32[d]. The scale of a constant dimension is infinite."""

    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Scaling:
        """Median and robust standard deviation of f32[n, d]; NaN where missing.

        The spread is that of the middle half or of the middle 80 %, whichever is wider. Where most values are equal,
        it is the standard deviation.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dimensions without any value
            p10, q1, median, q3, p90 = np.nanquantile(values.astype(np.float64), [0.1, 0.25, 0.5, 0.75, 0.9], axis=0)
            std = np.nanstd(values, axis=0, dtype=np.float64)
        scale = np.fmax((q3 - q1) / 1.349, (p90 - p10) / 2.563)  # both are 1 for a standard normal distribution
        scale = np.where(scale > 0, scale, std)
        return cls(np.nan_to_num(median).astype(np.float32), np.where(scale > 0, scale, np.inf).astype(np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """f32[n, d]: standardised values within ±20; 0 where missing."""
        with np.errstate(over="ignore"):
            z = (values - self.center) / self.scale
        return np.clip(np.nan_to_num(z, nan=0.0, posinf=_WILD, neginf=-_WILD), -_WILD, _WILD)


@dataclass(frozen=True)
class VectorSpace:
    """Principal components of standardised vectors of d numbers.

    Attributes:
      scaling: of the d dimensions. mean: f32[d], mean of the standardised vectors.
      components: f32[d, k], orthonormal; k ≤ 64. spread: f32[k], standard deviation along each component.
      rest: standard deviation along each of the other directions.
    """

    scaling: Scaling
    mean: np.ndarray
    components: np.ndarray
    spread: np.ndarray
    rest: float

    @classmethod
    def fit(cls, values: np.ndarray, scaling: Scaling) -> VectorSpace:
        """Fit on f32[n, d], n ≥ 1: as many components as explain 95 % of the variance, at most 64."""
        from sklearn.decomposition import PCA

        z = scaling(values)
        num_varying = int((np.ptp(z, axis=0) > 0).sum())
        most = min(_MAX_COMPONENTS, num_varying, len(z) - 1)
        if most < 1:
            none = np.zeros((z.shape[1], 0), np.float32)
            return cls(scaling, z.mean(axis=0), none, np.zeros(0, np.float32), 1.0)
        with threads_for(z.size):
            pca: Any = PCA(most, random_state=0).fit(z)
        explained = np.cumsum(pca.explained_variance_ratio_)
        num = min(most, int(np.searchsorted(explained, _VARIANCE_KEPT)) + 1)
        variance = np.maximum(pca.explained_variance_[:num], 1e-9)
        left = max(float(z.var(axis=0, ddof=1).sum() - variance.sum()), 0.0) / max(num_varying - num, 1)
        return cls(
            scaling=scaling,
            mean=np.asarray(pca.mean_, np.float32),
            components=np.asarray(pca.components_[:num].T, np.float32),
            spread=np.sqrt(variance).astype(np.float32),
            rest=float(np.sqrt(max(left, 1e-4 * variance.mean()))),
        )

    def scores(self, values: np.ndarray) -> np.ndarray:
        """f32[n, k]: position of vectors f32[n, d] along each component."""
        return (self.scaling(values) - self.mean) @ self.components

    def features(self, values: np.ndarray) -> np.ndarray:
        """f32[n, k]: the scores in standard deviations, within ±3."""
        return np.clip(self.scores(values) / self.spread, -CLIP, CLIP)

    def directions(self, values: np.ndarray) -> np.ndarray:
        """f32[n, k'], k' ≤ 24: positions along directions, uncorrelated and with standard deviation 1.

        Each four components in turn are rotated among each other. What an embedding says of the label often lies along
        one component; as a column, this would look like a shortcut.
        """
        positions = self.scores(values) / self.spread
        blocks = [positions[:, i : i + 4] for i in range(0, min(MAX_DIRECTIONS, positions.shape[1]), 4)]
        rotated = [block @ _ROTATION if block.shape[1] == 4 else block for block in blocks]
        return np.concatenate([positions[:, :0], *rotated], axis=1)

    def distance(self, values: np.ndarray) -> np.ndarray:
        """f64[n]: Mahalanobis distance of vectors f32[n, d] from the mean, divided by the square root of d.

        Source: Tipping & Bishop 1999, "Probabilistic Principal Component Analysis".
        """
        z = self.scaling(values) - self.mean
        scores = z @ self.components
        inside = np.square(scores / self.spread, dtype=np.float64).sum(axis=1)
        outside = np.square(z - scores @ self.components.T, dtype=np.float64).sum(axis=1)
        return np.sqrt((inside + outside / self.rest**2) / max(values.shape[1], 1))


class VectorPart(NumberPart):
    """One of the numbers that a vector is encoded as; name: as in "embedding [3]"."""

    def code_name(self, name: str, code: int) -> str:
        return self.bins.code_name(f"{name} {self.name}", code, number_text)


@dataclass(frozen=True)
class VectorEncoder:
    """A column of vectors of `length` numbers, encoded as `parts`; see the module.

    A missing number counts as the median of its dimension. The distance from the mean, the last part, tells damaged
    vectors: they lie farther from it than all others, or nearer to it (zeros).
    """

    length: int
    space: VectorSpace
    parts: tuple[VectorPart, ...]

    @classmethod
    def fit(cls, column: pd.Series) -> VectorEncoder:
        """Fit on a column with at least one vector."""
        values = as_vectors(column)
        values = values[~is_missing(values)]
        sample = sample_of(values)
        space = VectorSpace.fit(sample, Scaling.fit(sample))
        numbers = _numbers(space, values)
        form = "[{}]" if values.shape[1] <= MAX_NUMBERS else "direction {}"
        names = [*(form.format(i) for i in range(numbers.shape[1] - 1)), "distance from the mean"]
        parts = [
            VectorPart(name, Bins.fit(of_part), QuantileNormal.fit(of_part))
            for name, of_part in zip(names, numbers.T, strict=True)
        ]
        return cls(values.shape[1], space, tuple(parts))

    def encode(self, column: pd.Series) -> tuple[Encoded, ...]:
        """Encode a column of N rows, part by part.

        Of a wide vector, x of each direction is one of the components instead, and x of the distance has the other
        components. The last feature of the distance tells whether the vector is missing.
        """
        values = as_vectors(column, self.length)
        missing = is_missing(values)
        numbers = np.where(missing[:, None], np.nan, _numbers(self.space, values))
        *others, distance = (part.encode(of_part) for part, of_part in zip(self.parts, numbers.T, strict=True))
        if self.length <= MAX_NUMBERS:
            return *others, distance._replace(x=with_indicator([distance.x], missing))
        features = np.where(missing[:, None], 0, _blockwise(self.space.features, values))
        others = [part._replace(x=features[:, i : i + 1]) for i, part in enumerate(others)]
        return *others, distance._replace(x=with_indicator([distance.x, features[:, len(others) :]], missing))


def _numbers(space: VectorSpace, values: np.ndarray) -> np.ndarray:
    """f64[N, k + 1]: the numbers of vectors f32[N, d] or their directions, and their distance from the mean."""
    narrow = values.shape[1] <= MAX_NUMBERS
    parts = np.where(np.isnan(values), space.scaling.center, values) if narrow else _blockwise(space.directions, values)
    return np.column_stack([parts, _blockwise(space.distance, values)]).astype(np.float64)


def _blockwise(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """`function` of vectors f32[N, d], some thousand at a time, so that wide ones need little memory."""
    starts = range(0, max(len(values), 1), _ROWS_AT_ONCE)
    return np.concatenate([function(values[start : start + _ROWS_AT_ONCE]) for start in starts])


def sample_of(values: np.ndarray) -> np.ndarray:
    """At most 5,000 of f32[N, d], fewer of wide vectors; the same ones in the same order, however rows are ordered."""
    if not values.size:
        return values
    values = np.ascontiguousarray(values)
    order = np.argsort(values.view(np.dtype((np.void, values.strides[0]))).ravel(), kind="stable")
    num = min(len(values), int(np.clip(_MAX_FIT_VALUES // values.shape[1], 200, _MAX_FIT_ROWS)))
    return values[order[np.linspace(0, len(values) - 1, num).astype(int)]]
