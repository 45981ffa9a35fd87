"""Folds: which rows a model trains on, which it stops by, and which it describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from demix_jax.common.target import Target


class Folds(NamedTuple):
    """Cross-fitting plan over N rows in F folds.

    fold: i32[N], the fold whose model describes the row; that model never saw it.
    train: i32[F, n], rows that model f trains on. valid: i32[F, m], rows it stops by and is judged on.
    """

    fold: np.ndarray
    train: np.ndarray
    valid: np.ndarray

    def without(self, leave_out: np.ndarray) -> Folds:
        """The same plan without the rows bool[N]; some others come twice, so that it keeps its shape.

        A part of a fold that would be left without any row stays as it is.
        """

        def thinned(rows: np.ndarray) -> np.ndarray:
            kept = rows[~leave_out[rows]]
            return kept[np.linspace(0, len(kept) - 1, len(rows)).round().astype(int)] if len(kept) else rows

        train, valid = (np.stack([thinned(rows) for rows in part]) for part in (self.train, self.valid))
        return Folds(self.fold, train, valid)


def make_folds(
    rng: np.random.Generator,
    strata: np.ndarray,
    *,
    num_folds: int,
    valid_share: float = 0.2,
    max_train: int = 50_000,
    max_valid: int = 4_000,
) -> Folds:
    """Stratified folds; the rows outside a fold are split into training and validation rows.

    Args:
      rng: source of randomness.
      strata: int[N], class index (or target bin) kept in proportion in every part.
      num_folds: F.
      valid_share: share of the rows outside a fold that become validation rows.
      max_train, max_valid: caps per fold, so that cost stays bounded on large tables.
    """
    num_rows = len(strata)
    fold = np.empty(num_rows, np.int32)
    fold[_stratified_order(rng, strata)] = np.arange(num_rows) % num_folds
    trains, valids = [], []
    for f in range(num_folds):
        outside = np.flatnonzero(fold != f)
        outside = outside[_stratified_order(rng, strata[outside])]
        every = max(2, round(1 / valid_share))
        is_valid = np.arange(len(outside)) % every == 0
        valids.append(_thin(outside[is_valid], max_valid))
        trains.append(_thin(outside[~is_valid], max_train))
    num_train, num_valid = min(map(len, trains)), min(map(len, valids))
    return Folds(
        fold,
        np.stack([_thin(t, num_train) for t in trains]).astype(np.int32),
        np.stack([_thin(v, num_valid) for v in valids]).astype(np.int32),
    )


def fold_blocks(fold: np.ndarray, num_folds: int, block: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Every row once, in blocks of one fold each: yields (fold, rows i[n], padded rows i[size]).

    Padding repeats rows, so that all blocks have one size, a multiple of 64 (of 512 from 2,048 on), and compiled code
    is reused.

    Args:
      fold: i32[N]. num_folds: F. block: most rows of a block.
    """
    largest = int(np.bincount(fold, minlength=num_folds).max())
    step = 64 if largest < 2_048 else 512
    size = min(block, -(-largest // step) * step)
    for f in range(num_folds):
        rows = np.flatnonzero(fold == f)
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield f, part, np.resize(part, size)


def strata_of(y: np.ndarray, target: Target, num_bins: int = 8, *, among: np.ndarray | None = None) -> np.ndarray:
    """Class index of every row, or for regression its quantile bin, by the targets `among` or those given: int[N]."""
    if not target.ordered:
        return np.asarray(y)
    edges = np.quantile(y if among is None else among, np.linspace(0, 1, num_bins + 1)[1:-1])
    return np.searchsorted(edges, y, side="right").astype(np.int32)


def _stratified_order(rng: np.random.Generator, strata: np.ndarray) -> np.ndarray:
    """Random order in which rows of equal stratum lie next to each other."""
    shuffled = rng.permutation(len(strata))
    return shuffled[np.argsort(strata[shuffled], kind="stable")]


def _thin(rows: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` rows, evenly spaced, so that an order by stratum keeps its proportions."""
    if len(rows) <= limit:
        return rows
    return rows[(np.arange(limit) * (len(rows) / limit)).astype(int)]
