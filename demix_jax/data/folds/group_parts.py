"""Deals groups of rows out to parts of given sizes, so that no group is split."""

from __future__ import annotations

import math

import numpy as np


def parts_of_groups(rng: np.random.Generator, strata: np.ndarray, groups: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Deal whole groups out to B parts, the largest groups first.

    A group goes to the part that has room for it and fewest rows of the same strata so far. So parts have nearly the
    asked sizes, and strata nearly the same proportions in all of them.

    Args:
      rng: decides between groups of one size.
      strata: int[N], at least 0. groups: int[N].
      shares: f64[B], the share of the rows that each part should have; together 1.
    Returns:
      i32[N], the part of each row.
    """
    _, groups = np.unique(groups, return_inverse=True)
    sizes, places = np.bincount(groups), _rows_by_stratum(strata, groups)
    in_stratum = np.maximum(np.bincount(strata), 1)
    limits = [math.ceil(share * len(strata)) for share in shares]
    filled = [0] * len(shares)
    have = [[0.0] * len(in_stratum) for _ in shares]  # rows of each stratum, as a share of what the part should have
    part_of_group = np.empty(len(sizes), np.int32)
    shuffled = rng.permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        size, counts = int(sizes[group]), places[group]
        best, least = 0, (math.inf, math.inf, math.inf)
        for part, limit in enumerate(limits):
            overflow = max(filled[part] + size - limit, 0)
            crowded = sum(count * have[part][stratum] for stratum, count in counts)
            cost = (overflow, crowded, filled[part] / limit)
            if cost < least:
                best, least = part, cost
        part_of_group[group] = best
        filled[best] += size
        for stratum, count in counts:
            have[best][stratum] += count / (shares[best] * in_stratum[stratum])
    return part_of_group[groups]


def without_large_groups(groups: np.ndarray, limit: int) -> np.ndarray:
    """i64[N]: the groups int[N], where each row of a group of more than `limit` rows is a group of its own."""
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.where(sizes[groups] > max(limit, 1), len(sizes) + np.arange(len(groups)), groups)


def _rows_by_stratum(strata: np.ndarray, groups: np.ndarray) -> list[list[tuple[int, int]]]:
    """For each group the strata of its rows, and its number of rows in each."""
    num_strata = int(strata.max()) + 1
    keys, counts = np.unique(groups.astype(np.int64) * num_strata + strata, return_counts=True)
    found: list[list[tuple[int, int]]] = [[] for _ in range(int(groups.max()) + 1)]
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        found[key // num_strata].append((key % num_strata, count))
    return found
