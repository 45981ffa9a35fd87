"""Columns of vectors, such as embeddings: principal components, groups of similar vectors, and outlying vectors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_jax.common.threads import threads_for
from demix_jax.data.bins import CLIP, Bins
from demix_jax.data.encoded import Encoded, with_indicator
from demix_jax.data.lists import as_vectors

NUM_COMPONENTS = 24
_NARROW = 8  # vectors of at most this many numbers keep them as features
_VARIANCE_KEPT = 0.95
_WILD = 20.0  # robust standard deviations; farther values are moved there, so that they do not dominate a component
_MAX_GROUPS = 24
_MAX_FIT_ROWS, _MAX_FIT_VALUES = 5_000, 8_000_000
_ROWS_AT_ONCE = 20_000


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
      components: f32[d, k], orthonormal; k ≤ 24. spread: f32[k], standard deviation along each component.
      rest: standard deviation along each of the d − k other directions.
    Source of the distance: Tipping & Bishop 1999, "Probabilistic Principal Component Analysis".
    """

    scaling: Scaling
    mean: np.ndarray
    components: np.ndarray
    spread: np.ndarray
    rest: float

    @classmethod
    def fit(cls, values: np.ndarray, scaling: Scaling) -> VectorSpace:
        """Fit on f32[n, d]: as many components as explain 95 % of the variance, at most 24."""
        from sklearn.decomposition import PCA

        z = scaling(values)
        varies = np.ptp(z, axis=0) > 0
        most = min(NUM_COMPONENTS, int(varies.sum()), len(z) - 1)
        if most < 1:
            none = np.zeros((z.shape[1], 0), np.float32)
            return cls(scaling, z.mean(axis=0), none, np.zeros(0, np.float32), 1.0)
        with threads_for(z.size):
            pca = PCA(most, random_state=0).fit(z)
        explained = np.cumsum(pca.explained_variance_ratio_)
        num = min(most, int(np.searchsorted(explained, _VARIANCE_KEPT)) + 1)
        variance = pca.explained_variance_[:num]
        left = max(float(z.var(axis=0, ddof=1).sum() - variance.sum()), 0.0)
        rest = left / max(int(varies.sum()) - num, 1)
        return cls(
            scaling=scaling,
            mean=np.asarray(pca.mean_, np.float32),
            components=np.asarray(pca.components_[:num].T, np.float32),
            spread=np.sqrt(np.maximum(variance, 1e-9)).astype(np.float32),
            rest=float(np.sqrt(max(rest, 1e-4 * variance.mean()))),
        )

    def scores(self, values: np.ndarray) -> np.ndarray:
        """f32[n, k]: position of vectors f32[n, d] along each component."""
        return (self.scaling(values) - self.mean) @ self.components

    def features(self, values: np.ndarray) -> np.ndarray:
        """f32[n, k], or f32[n, d] of narrow vectors: features with standard deviation 1, within ±3."""
        narrow = values.shape[1] <= _NARROW
        return np.clip(self.scaling(values) if narrow else self.scores(values) / self.spread, -CLIP, CLIP)

    def distance(self, values: np.ndarray) -> np.ndarray:
        """f64[n]: Mahalanobis distance of vectors f32[n, d] from the mean, by the square root of d smaller."""
        z = self.scaling(values) - self.mean
        scores = z @ self.components
        inside = np.square(scores / self.spread, dtype=np.float64).sum(axis=1)
        residual = np.square(z - scores @ self.components.T, dtype=np.float64).sum(axis=1)
        return np.sqrt((inside + residual / self.rest**2) / max(values.shape[1], 1))


@dataclass(frozen=True)
class Groups:
    """Groups of similar vectors by k-means, the largest first. centers: f32[G, k], in terms of `VectorSpace.scores`."""

    centers: np.ndarray

    @classmethod
    def fit(cls, scores: np.ndarray) -> Groups:
        """Fit on f32[n, k]; half the square root of n is the number of groups, from 2 to 24."""
        from sklearn.cluster import KMeans

        distinct = len(np.unique(np.round(scores, 4), axis=0))
        wanted = int(np.clip(np.sqrt(len(scores)) / 2, 2, _MAX_GROUPS))
        if min(distinct, scores.shape[1]) < 1:
            return cls(np.zeros((1, scores.shape[1]), np.float32))
        with threads_for(scores.size):
            found = KMeans(min(wanted, distinct), n_init=3, random_state=0).fit(scores)
        order = np.argsort(-np.bincount(found.labels_, minlength=found.n_clusters), kind="stable")
        return cls(found.cluster_centers_[order].astype(np.float32))

    def __len__(self) -> int:
        return len(self.centers)

    def nearest(self, scores: np.ndarray) -> np.ndarray:
        """i32[n]: the group whose center is nearest to f32[n, k]."""
        distance = np.square(self.centers).sum(axis=1) - 2 * scores @ self.centers.T
        return distance.argmin(axis=1).astype(np.int32)


@dataclass(frozen=True)
class VectorEncoder:
    """A column of vectors. x: principal components, or the numbers of narrow vectors, and whether it is missing.

    A missing number counts as the median of its dimension. Codes stand for groups of similar vectors, for outlying
    vectors and for missing ones. robust_z is that of the distance: damaged vectors lie farther from the mean, or
    nearer to it (zeros), than all others.
    """

    length: int
    space: VectorSpace
    groups: Groups
    distances: Bins

    @classmethod
    def fit(cls, column: pd.Series) -> VectorEncoder:
        values = as_vectors(column)
        sample = sample_of(values[~np.isnan(values).all(axis=1)])
        space = VectorSpace.fit(sample, Scaling.fit(sample))
        distance = space.distance(sample)
        distances = Bins.fit(distance)
        usual = ~_beyond(distance, distances)
        return cls(values.shape[1], space, Groups.fit(space.scores(sample[usual])), distances)

    @property
    def num_codes(self) -> int:
        return len(self.groups) + 2

    @property
    def of_numbers(self) -> None:
        return None

    def encode(self, column: pd.Series) -> Encoded:
        values = as_vectors(column, self.length)
        parts = [self._encoded(values[i : i + _ROWS_AT_ONCE]) for i in range(0, max(len(values), 1), _ROWS_AT_ONCE)]
        x, codes, robust_z = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Encoded(x=x, codes=codes, robust_z=robust_z, misspelt=np.zeros(len(x), np.float32))

    def _encoded(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x f32[n, d'], codes i32[n] and robust_z f32[n] of vectors f32[n, d]."""
        missing = np.isnan(values).all(axis=1)
        distance = self.space.distance(values)
        codes = np.where(
            _beyond(distance, self.distances), len(self.groups), self.groups.nearest(self.space.scores(values))
        )
        x = np.where(missing[:, None], 0, self.space.features(values))
        robust_z = self.distances.robust_z(np.where(missing, np.nan, distance))
        return with_indicator([x], missing), np.where(missing, len(self.groups) + 1, codes).astype(np.int32), robust_z

    def code_name(self, name: str, code: int) -> str:
        num = len(self.groups)
        return f"{name} = group {code + 1} of {num}" if code < num else f"{name} {('outlying', 'missing')[code - num]}"


def sample_of(values: np.ndarray) -> np.ndarray:
    """At most 5,000 of f32[N, d], fewer of wide vectors; the same ones in the same order, however rows are ordered."""
    values = np.ascontiguousarray(values)
    if not values.size:
        return values
    order = np.argsort(values.view(np.dtype((np.void, values.strides[0]))).ravel(), kind="stable")
    num = min(len(values), int(np.clip(_MAX_FIT_VALUES // values.shape[1], 200, _MAX_FIT_ROWS)))
    return values[order[np.linspace(0, len(values) - 1, num).astype(int)]]


def _beyond(distance: np.ndarray, distances: Bins) -> np.ndarray:
    """bool[n]: distances f64[n] outside the fences."""
    return (distance < distances.low) | (distance > distances.high)
