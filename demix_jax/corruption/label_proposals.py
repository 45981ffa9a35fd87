"""What kinds of label errors are given and what they return; drawing rows by weight, and random groups of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.columns import CleanNumbers
from demix_jax.corruption.groups import OF_ONE_COLUMN, candidate_groups

if TYPE_CHECKING:
    import pandas as pd


class Classes(NamedTuple):
    """Clean labels that are classes. features: N rows without the label. values: i64[N], codes. num_classes: K."""

    features: pd.DataFrame
    values: np.ndarray
    num_classes: int


class Targets(NamedTuple):
    """Clean labels that are numbers. features: N rows without the label. values: f64[N]. column: the label column."""

    features: pd.DataFrame
    values: np.ndarray
    column: CleanNumbers

    @property
    def halves(self) -> np.ndarray:
        """i64[N]: 1 for the targets above the median."""
        return (self.values > np.median(self.values)).astype(np.int64)


class Proposal(NamedTuple):
    """Rows in the order in which they become wrong, and their wrong labels.

    score: f64[N], highest first; −inf: never wrong. new: i64[N] codes or f64[N] targets; a row whose new label is its
    own stays right.
    """

    score: np.ndarray
    new: np.ndarray


def drawn_by(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """f64[N], scores whose order is a draw without replacement, weighted by f64[N] (Gumbel-top-k); −inf at weight 0."""
    with np.errstate(divide="ignore"):
        return np.log(weight) + rng.gumbel(size=len(weight))


def in_order(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """f64[N], scores that take rows by ascending position f64[N], equal ones at random; −inf where it is infinite."""
    score = np.empty(len(position))
    score[np.lexsort((rng.random(len(position)), position))] = -np.arange(len(position), dtype=np.float64)
    return np.where(np.isfinite(position), score, -np.inf)


def random_group(features: pd.DataFrame, count: int, rng: np.random.Generator) -> np.ndarray:
    """bool[N]: a random group of at least `count` rows, or else the largest group that is found.

    Raises:
      InputError: no condition on a column defines a group.
    """
    # some more than needed, as shares may be measured on a sample
    least = min(max(1.25 * count / len(features), 0.05), 0.9)
    for lowest in (least, 0.05):
        groups = candidate_groups(features, list(features.columns), OF_ONE_COLUMN, (lowest, 0.9), rng)
        masks = [groups[index].mask(features) for index in rng.permutation(len(groups))]
        if masks:
            return next((mask for mask in masks if mask.sum() >= count), max(masks, key=np.sum))
    raise InputError(
        'LabelErrors.kind "subgroup" found no group of rows, as no column has numbers or a few values; choose another '
        "kind."
    )
