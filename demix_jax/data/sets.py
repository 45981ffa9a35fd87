"""Columns of sets of texts, such as the tags of an article."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from demix_jax.common.threads import threads_for
from demix_jax.data.bins import QuantileNormal
from demix_jax.data.encoded import Encoded, with_indicator
from demix_jax.data.kinds import levels, most_frequent
from demix_jax.data.levels import Levels
from demix_jax.data.lists import as_sets
from demix_jax.data.vectors import Scaling, VectorSpace, sample_of

NUM_SHOWN = 28  # sets of at most this many elements have a feature per element
_MAX_ELEMENTS = 256
_MAX_GROUPS = 24
_NUM_STARTS: Any = 3  # of k-means; scikit-learn's types say that it must be a string
_NUM_TYPICAL = 3  # elements that describe a group
_Set = tuple[str, ...] | None


@dataclass(frozen=True)
class Groups:
    """Groups of similar sets by k-means, the largest first. centers: f32[G, k], in terms of `VectorSpace.scores`."""

    centers: np.ndarray

    @classmethod
    def fit(cls, scores: np.ndarray) -> Groups:
        """Fit on f32[n, k]; half the square root of n is the number of groups, from 2 to 24."""
        from sklearn.cluster import KMeans

        distinct = len(np.unique(np.round(scores, 4), axis=0)) if scores.shape[1] else 1
        if distinct == 1:
            return cls(np.zeros((1, scores.shape[1]), np.float32))
        wanted = int(np.clip(np.sqrt(len(scores)) / 2, 2, _MAX_GROUPS))
        with threads_for(scores.size):
            found: Any = KMeans(min(wanted, distinct), n_init=_NUM_STARTS, random_state=0).fit(scores)
        order = np.argsort(-np.bincount(found.labels_, minlength=found.n_clusters), kind="stable")
        return cls(found.cluster_centers_[order].astype(np.float32))

    def __len__(self) -> int:
        return len(self.centers)

    def nearest(self, scores: np.ndarray) -> np.ndarray:
        """i32[n]: the group whose center is nearest to f32[n, k]."""
        distance = np.square(self.centers).sum(axis=1) - 2 * scores @ self.centers.T
        return distance.argmin(axis=1).astype(np.int32)


@dataclass(frozen=True)
class SetGroups:
    """Groups of similar sets. typical: for each group its commonest elements, in words."""

    groups: Groups
    typical: tuple[str, ...]

    @property
    def num_codes(self) -> int:
        """Number of codes: the groups and a code for missing."""
        return len(self.groups) + 1

    def code_name(self, name: str, code: int) -> str:
        """The code of column `name` in words."""
        if code == len(self.groups):
            return f"{name} missing"
        return f"{name} = group {code + 1} of {len(self.groups)} ({self.typical[code]})"


@dataclass(frozen=True)
class SetEncoder:
    """A column of sets. x: which elements a set has, how many, and whether it is missing.

    Sets of more than 28 different elements are reduced to at most 64 principal components of their 256 commonest
    elements. Codes stand for the 30 most frequent sets if these make up at least half of the rows, else for groups of
    similar sets.
    """

    elements: tuple[str, ...]
    space: VectorSpace
    size: QuantileNormal
    codes: Levels | SetGroups

    @classmethod
    def fit(cls, column: pd.Series) -> SetEncoder:
        sets = as_sets(column)
        counts = Counter(element for of_row in sets for element in of_row or ())
        repeated = {element: count for element, count in counts.items() if count > 1}
        elements = tuple(most_frequent(repeated or counts, _MAX_ELEMENTS))
        hot = sample_of(_multi_hot(sets, elements)[[of_row is not None for of_row in sets]])
        unscaled = Scaling(np.zeros(len(elements), np.float32), np.ones(len(elements), np.float32))
        space = VectorSpace.fit(hot, unscaled)
        level_codes, names = levels(_written(sets))
        frequent = Levels.fit(level_codes, names)
        often = np.mean(frequent.codes(level_codes, names) < len(frequent.values)) >= 0.5
        codes = frequent if often else _fit_groups(space, hot, elements)
        return cls(elements, space, QuantileNormal.fit(_sizes(sets)), codes)

    @property
    def num_codes(self) -> int:
        return self.codes.num_codes

    @property
    def of_numbers(self) -> None:
        return None

    def encode(self, column: pd.Series) -> Encoded:
        sets = as_sets(column)
        hot, sizes = _multi_hot(sets, self.elements), _sizes(sets)
        missing = np.isnan(sizes)
        if isinstance(self.codes, Levels):
            codes = self.codes.codes(*levels(_written(sets)))
        else:
            nearest = self.codes.groups.nearest(self.space.scores(hot))
            codes = np.where(missing, len(self.codes.groups), nearest).astype(np.int32)
        wide = len(self.elements) > NUM_SHOWN
        features = np.where(missing[:, None], 0, self.space.features(hot)) if wide else hot
        nothing = np.zeros(len(sets), np.float32)
        x = with_indicator([features, self.size(sizes)], missing)
        return Encoded(x=x, codes=codes, robust_z=nothing, misspelt=nothing)

    def code_name(self, name: str, code: int) -> str:
        return self.codes.code_name(name, code)


def _multi_hot(sets: list[_Set], elements: tuple[str, ...]) -> np.ndarray:
    """f32[N, E]: 1 where the set has the element."""
    place = {element: e for e, element in enumerate(elements)}
    pairs = [(row, place[el]) for row, of_row in enumerate(sets) for el in of_row or () if el in place]
    hot = np.zeros((len(sets), len(elements)), np.float32)
    if pairs:
        hot[tuple(np.array(pairs).T)] = 1.0
    return hot


def _sizes(sets: list[_Set]) -> np.ndarray:
    """f64[N]: number of elements; NaN where the set is missing."""
    return np.array([np.nan if of_row is None else len(of_row) for of_row in sets], np.float64)


def _written(sets: list[_Set]) -> pd.Series:
    """Each set in words, in braces; None where missing."""
    return pd.Series([None if of_row is None else f"{{{', '.join(of_row)}}}" for of_row in sets], dtype=object)


def _fit_groups(space: VectorSpace, hot: np.ndarray, elements: tuple[str, ...]) -> SetGroups:
    """Groups of the sets with elements f32[n, E]."""
    groups = Groups.fit(space.scores(hot))
    nearest, typical = groups.nearest(space.scores(hot)), []
    for group in range(len(groups)):
        share = hot[nearest == group].mean(axis=0) if (nearest == group).any() else np.zeros(len(elements))
        most = np.argsort(-share, kind="stable")[:_NUM_TYPICAL]
        names = [elements[e] for e in most if share[e] >= 0.5] or [elements[e] for e in most[:1]]
        typical.append("mostly " + ", ".join(names) if names else "no common element")
    return SetGroups(groups, tuple(typical))
