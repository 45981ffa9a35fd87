"""Cross-fitting folds: the rows a model is trained on, stopped by and evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.shared_sizes import shared_size
from demix_jax.common.target import Target
from demix_jax.data.folds.group_parts import parts_of_groups, without_large_groups

MIN_ROWS_BEHIND_A_MODEL = 10  # with fewer rows outside of a fold, no model can be trained that judges it


class Folds(NamedTuple):
    """Cross-fitting plan of N rows in F folds.

    fold: i32[N], the fold whose model is evaluated on the row; that model is not trained on it.
    train: i32[F, n], training rows of model f.
    valid: i32[F, m], its validation rows, used for early stopping and to measure its skill.
    """

    fold: np.ndarray
    train: np.ndarray
    valid: np.ndarray

    def without(self, leave_out: np.ndarray) -> Folds:
        """The same plan without the rows `leave_out` bool[N].

        Other rows are repeated, so that shapes stay the same. A part of a fold that would become empty is unchanged.
        """

        def thinned(rows: np.ndarray) -> np.ndarray:
            kept = rows[~leave_out[rows]]
            return kept[np.linspace(0, len(kept) - 1, len(rows)).round().astype(int)] if len(kept) else rows

        train, valid = (np.stack([thinned(rows) for rows in part]) for part in (self.train, self.valid))
        return Folds(self.fold, train, valid)

    @classmethod
    def of_unequal(cls, fold: np.ndarray, trains: list[np.ndarray], valids: list[np.ndarray]) -> Folds:
        """A plan from the training and validation rows i[·] of each fold; rows of the shorter ones are repeated."""
        parts = []
        for rows_of_folds in (trains, valids):
            width = max(map(len, rows_of_folds))
            parts.append(np.stack([repeated(rows, width) for rows in rows_of_folds]).astype(np.int32))
        return cls(fold.astype(np.int32), *parts)


def make_folds(
    rng: np.random.Generator,
    strata: np.ndarray,
    *,
    num_folds: int,
    groups: np.ndarray | None = None,
    valid_share: float = 0.2,
    max_train: int = 50_000,
    max_valid: int = 4_000,
) -> Folds:
    """Stratified folds; the rows outside a fold are split into training and validation rows.

    Args:
      rng: source of randomness.
      strata: int[N], class index or target bin; every part has them in the same proportions, as far as groups allow.
      num_folds: F; with fewer groups than that, there are as many folds as groups.
      groups: i64[N]; rows of one group lie in one fold, and for every other fold they are either all training or all
        validation rows. Only a group larger than half of the validation rows is split between these two. None: no row
        belongs to another.
      valid_share: share of the rows outside a fold that become validation rows.
      max_train, max_valid: upper limits per fold, which bound the cost on large tables.
    Raises:
      InputError: all rows but a few are in one group.
    """
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
        if groups.max() < len(strata) - 1:
            caps = (max_train, max_valid)
            return _grouped_folds(rng, strata, groups, num_folds=num_folds, valid_share=valid_share, caps=caps)
    num_rows = len(strata)
    fold = np.empty(num_rows, np.int32)
    fold[stratified_order(rng, strata)] = np.arange(num_rows) % num_folds
    trains, valids = [], []
    for f in range(num_folds):
        outside = np.flatnonzero(fold != f)
        outside = outside[stratified_order(rng, strata[outside])]
        every = max(2, round(1 / valid_share))
        is_valid = np.arange(len(outside)) % every == 0
        valids.append(thin(outside[is_valid], max_valid))
        trains.append(thin(outside[~is_valid], max_train))
    num_train, num_valid = min(map(len, trains)), min(map(len, valids))
    return Folds(
        fold,
        np.stack([thin(t, num_train) for t in trains]).astype(np.int32),
        np.stack([thin(v, num_valid) for v in valids]).astype(np.int32),
    )


def _grouped_folds(
    rng: np.random.Generator,
    strata: np.ndarray,
    groups: np.ndarray,
    *,
    num_folds: int,
    valid_share: float,
    caps: tuple[int, int],
) -> Folds:
    """`make_folds` with groups i64[N], numbered from 0; `caps` are the largest numbers of training, validation rows."""
    largest = int(np.bincount(groups).max())
    outside_largest = len(groups) - largest
    if outside_largest < MIN_ROWS_BEHIND_A_MODEL:
        raise InputError(
            f"One group has {largest} of the {len(groups)} rows, so that {outside_largest} would be left to train the "
            f"models that judge it; at least {MIN_ROWS_BEHIND_A_MODEL} are needed. Give smaller groups, or none."
        )
    num_folds = min(num_folds, int(groups.max()) + 1)
    fold = parts_of_groups(rng, strata, groups, np.full(num_folds, 1 / num_folds))
    trains, valids = [], []
    for f in range(num_folds):
        outside = np.flatnonzero(fold != f)
        outside = outside[stratified_order(rng, strata[outside])]
        small = without_large_groups(groups[outside], int(valid_share * len(outside) / 2))
        is_valid = parts_of_groups(rng, strata[outside], small, np.array([1 - valid_share, valid_share])) == 1
        trains.append(thin(outside[~is_valid], caps[0]))
        valids.append(thin(outside[is_valid], caps[1]))
    return Folds.of_unequal(fold, trains, valids)


def fold_blocks(fold: np.ndarray, num_folds: int, block: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Split the rows into blocks that lie in one fold each.

    Padding repeats rows, so that all blocks have one size, see `shared_size`, and compiled programs are reused.

    Args:
      fold: i32[N]. num_folds: F. block: largest number of rows in a block.
    Yields:
      (fold, rows i[n], padded rows i[size]); every row is in one block.
    """
    largest = int(np.bincount(fold, minlength=num_folds).max())
    size = min(block, shared_size(largest))
    for f in range(num_folds):
        rows = np.flatnonzero(fold == f)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield f, part, np.resize(part, size)


def strata_of(y: np.ndarray, target: Target, num_bins: int = 8, *, among: np.ndarray | None = None) -> np.ndarray:
    """int[N]: class index of every row, or for regression the quantile bin of its target.

    Args:
      y: [N], as in `Dataset.y`. target: what the label is. num_bins: for regression.
      among: targets whose quantiles are the edges of the bins; None: `y`.
    """
    if not target.ordered:
        return np.asarray(y)
    edges = np.quantile(y if among is None else among, np.linspace(0, 1, num_bins + 1)[1:-1])
    return np.searchsorted(edges, y, side="right").astype(np.int32)


def stratified_order(rng: np.random.Generator, strata: np.ndarray) -> np.ndarray:
    """A random order of the rows in which rows of one stratum are adjacent."""
    shuffled = rng.permutation(len(strata))
    return shuffled[np.argsort(strata[shuffled], kind="stable")]


def distinct(rows: np.ndarray) -> np.ndarray:
    """The rows i[n] in their order, each once."""
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


def repeated(rows: np.ndarray, width: int) -> np.ndarray:
    """i[width]: each of the n ≤ `width` rows, as equally often as can be."""
    return rows[np.arange(width) * len(rows) // width]


def thin(rows: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` of the rows, evenly spaced, so that strata keep their proportions."""
    if len(rows) <= limit:
        return rows
    return rows[(np.arange(limit) * (len(rows) / limit)).astype(int)]
