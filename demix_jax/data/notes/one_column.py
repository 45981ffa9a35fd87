"""How well one column alone predicts the label: out-of-fold histograms, cheap enough for thousands of columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.data.kinds import Column, as_dates, as_numbers, levels, numbers_of

_FEWEST_BINS, _MOST_BINS, _ROWS_PER_BIN = 8, 64, 20
_MAX_LEVELS = 1_000
_PRIOR_ROWS = 2.0  # weight of the prior in the mean of a bin


class Feature(NamedTuple):
    """A column of n rows, either as numbers or as codes of its texts.

    name: of the column. kind: see `Column`. numbers: f64[n], NaN where missing; None for texts that are no numbers.
    codes: i64[n], positions in the sorted list of distinct texts, −1 where missing; None for numbers.
    """

    name: str
    kind: str
    numbers: np.ndarray | None = None
    codes: np.ndarray | None = None


def feature(column: Column, values: pd.Series) -> Feature | None:
    """The column as numbers, if all of its values are numbers or dates, else as codes.

    None for vectors, sets and columns that are not used.
    """
    if not column.used or column.kind in ("vector", "set"):
        return None
    if column.kind == "number":
        return Feature(column.name, column.kind, numbers=as_numbers(values))
    if column.kind == "date":
        stamps = as_dates(values)
        seconds = stamps.to_numpy().astype("datetime64[us]").astype(np.float64) / 1e6
        return Feature(column.name, column.kind, numbers=np.where(stamps.isna(), np.nan, seconds))
    codes, names = levels(values)
    numbers = numbers_of(names) if column.kind == "category" else np.full(1, np.nan)
    if np.isfinite(numbers).all():
        return Feature(column.name, column.kind, numbers=np.append(numbers, np.nan)[codes])
    place = np.full(len(names) + 1, -1)
    place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return Feature(column.name, column.kind, codes=place[codes])


def bins_of(one: Feature) -> np.ndarray:
    """i64[n]: bins of a column, from 0; missing values have a bin of their own.

    Numbers are binned by 8 to 64 quantiles, or by value if they are few. The most frequent texts have a bin each,
    in descending order of frequency.
    """
    if one.numbers is not None:
        present = np.sort(one.numbers[np.isfinite(one.numbers)])
        edges = np.unique(present)
        num_bins = min(max(_FEWEST_BINS, len(present) // _ROWS_PER_BIN), _MOST_BINS)
        if len(edges) > num_bins:
            edges = np.unique(present[np.linspace(0, len(present) - 1, num_bins + 1).round().astype(int)[1:]])
        return np.where(np.isfinite(one.numbers), np.searchsorted(edges, one.numbers), len(edges))
    assert one.codes is not None
    counts = np.bincount(one.codes[one.codes >= 0])
    kept = np.argsort(-counts, kind="stable")[:_MAX_LEVELS]
    place = np.full(len(counts) + 1, len(kept))
    place[kept] = np.arange(len(kept))
    place[-1] = len(kept) + 1
    return place[one.codes]


def class_skill(bins: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """2 · AUC − 1 of class shares by bin, out of fold; the mean over classes, each against the others.

    Args:
      bins: i64[n]. y: i64[n], classes from 0. fold: i64[n], 0 or 1.
    """
    num_bins, num_classes = int(bins.max()) + 1, int(y.max()) + 1
    flat = (fold * num_bins + bins) * num_classes + y
    counts = np.bincount(flat, minlength=2 * num_bins * num_classes).reshape(2, num_bins, num_classes).astype(float)
    prior = counts.sum((0, 1)) / counts.sum()
    shares = (counts + _PRIOR_ROWS * prior) / (counts.sum(2, keepdims=True) + _PRIOR_ROWS)
    return 0.5 * (gini(shares[1], counts[0]) + gini(shares[0], counts[1]))


def gini(scores: np.ndarray, counts: np.ndarray) -> float:
    """2 · AUC − 1 of scores f[B, K] of B bins that hold `counts` f[B, K] rows; classes are weighted by size."""
    order = np.argsort(scores, axis=0, kind="stable")
    own = np.take_along_axis(counts, order, 0)
    rest = np.take_along_axis(counts.sum(1, keepdims=True) - counts, order, 0)
    pairs = own.sum(0) * rest.sum(0)
    won = (own * (np.cumsum(rest, 0) - rest / 2)).sum(0)
    each = 2 * np.divide(won, pairs, out=np.full_like(pairs, 0.5), where=pairs > 0) - 1
    return float((each * own.sum(0)).sum() / max(own.sum(), 1.0))


def amount_skill(bins: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """R² of the means of the bins i64[n] for amounts y f64[n], out of fold i64[n]."""
    num_bins = int(bins.max()) + 1
    flat = fold * num_bins + bins
    count = np.bincount(flat, minlength=2 * num_bins).reshape(2, -1)
    total = np.bincount(flat, weights=y, minlength=2 * num_bins).reshape(2, -1)
    mean = (total + _PRIOR_ROWS * y.mean()) / (count + _PRIOR_ROWS)
    return r_squared(y, mean[1 - fold, bins])


def r_squared(y: np.ndarray, prediction: np.ndarray) -> float:
    """Share of the variance of y f64[n] that the prediction f64[n] explains; 0 if y is constant."""
    variance = float(y.var())
    return 1.0 - float(((y - prediction) ** 2).mean()) / variance if variance > 0 else 0.0
