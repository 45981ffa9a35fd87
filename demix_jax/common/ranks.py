"""Ranks of values among reference values."""

from __future__ import annotations

import numpy as np


def mean_ranks(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Ranks of values within each column, counted from 1; ties get their mean rank.

    Args:
      values: f[N, Q]. among: f[R, Q], reference values, each column in ascending order.
    Returns:
      f64[N, Q].
    """
    ranks = np.empty(values.shape)
    columns = zip(np.ascontiguousarray(values.T), np.ascontiguousarray(among.T), strict=True)
    for q, (column, known) in enumerate(columns):
        order = np.argsort(column)
        ascending = column[order]  # searching in ascending order is faster, since neighbours are in cache
        both = np.searchsorted(known, ascending, "left") + np.searchsorted(known, ascending, "right")
        ranks[order, q] = (both + 1) / 2
    return ranks
