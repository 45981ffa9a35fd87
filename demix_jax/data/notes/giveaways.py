"""Columns that alone give the label away, in nearly every row: they were probably made from it."""

from __future__ import annotations

import numpy as np

from demix_jax.data.decimals import decimals_of
from demix_jax.data.notes.one_column import Feature, bins_of

_MOST_WRONG = 0.01  # share of the errors of always predicting the commonest class
_MOST_WRONG_OUTSIDE = 0.05  # the same out of fold, where thresholds and classes by value are less exact
_FEWEST = 10  # rows outside of the commonest class that are needed to judge
_MOST_LEAVES = 32
_MOST_TURNS = 2
_FINE = 1e-3  # of the label's spread: a smaller residual is no residual
_COARSE = 0.05
_HUGE = 1e100


def share_given_away(one: Feature, y: np.ndarray, fold: np.ndarray | None) -> float | None:
    """Share of the rows whose class a column predicts, if it predicts nearly all of them; None otherwise.

    Numbers predict by at most 32 intervals, texts by the commonest class of each text.

    Args:
      one: the column, n rows. y: i64[n], classes from 0.
      fold: i64[n], 0 or 1, to predict each fold from the other one; None: predict the rows that are learned from.
    """
    usual = len(y) - np.bincount(y).max()
    if usual < _FEWEST:
        return None
    if fold is None:
        right = _predicted(one, y, np.ones(len(y), bool), np.ones(len(y), bool)) == y
    else:
        right = np.zeros(len(y), bool)
        for f in (0, 1):
            if not (0 < (fold == f).sum() < len(y)):
                return None
            right[fold == f] = _predicted(one, y, fold != f, fold == f) == y[fold == f]
    most = _MOST_WRONG if fold is None else _MOST_WRONG_OUTSIDE
    return float(right.mean()) if (~right).sum() <= most * usual else None


def _predicted(one: Feature, y: np.ndarray, learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """i64: classes of the rows `asked` bool[n] by what the rows `learned` bool[n] say."""
    from sklearn.tree import DecisionTreeClassifier

    if one.numbers is not None:
        x = _ranks(one.numbers)[:, None]
        tree = DecisionTreeClassifier(max_leaf_nodes=_MOST_LEAVES, random_state=0).fit(x[learned], y[learned])
        return tree.predict(x[asked])
    assert one.codes is not None
    num_classes = int(y.max()) + 1
    codes = one.codes + 1
    counts = np.bincount(codes[learned] * num_classes + y[learned], minlength=(codes.max() + 1) * num_classes)
    usual = np.bincount(y[learned], minlength=num_classes)
    counts = counts.reshape(-1, num_classes) + 1e-9 * usual
    return counts.argmax(1)[codes[asked]]


def _ranks(numbers: np.ndarray) -> np.ndarray:
    """i64[n]: ranks of the numbers f64[n] among their distinct values, from 1; 0 where missing."""
    finite = np.isfinite(numbers)
    return np.where(finite, np.searchsorted(np.unique(numbers[finite]), numbers) + 1, 0)


def share_determined(one: Feature, y: np.ndarray) -> float | None:
    """Share of the rows whose amount y f64[n] a column determines; None if these are not nearly all.

    If the column has at most a tenth as many values as rows, rows of one value must have one amount. Else the amount
    must be a smooth function of the column: each value is compared with the line through its neighbours. The function
    may turn twice at most: neighbours in time are alike too, but do not make the label.
    """
    spread = spread_of(y)
    if spread == 0 or one.kind == "date" or not is_moderate(y):
        return None
    keys = one.codes if one.numbers is None else _ranks(one.numbers)
    assert keys is not None
    values, place = np.unique(keys, return_inverse=True)
    means = np.bincount(place, weights=y) / np.bincount(place)
    if len(values) > len(y) / 10:
        if one.numbers is None or not is_moderate(one.numbers) or _turns(one, y, spread) > _MOST_TURNS:
            return None
        known = values > 0
        x = np.unique(one.numbers[np.isfinite(one.numbers)])
        means[known] = _through_neighbours(x, means[known])
    tolerance = min(max(_FINE * spread, 1.01 * resolution(y)), _COARSE * spread)
    share = float((np.abs(y - means[place]) <= tolerance).mean())
    return share if share >= 1 - _MOST_WRONG else None


def _through_neighbours(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    """f64[B]: the line through the neighbours at each of the ascending places x f64[B]; at the ends, the mean."""
    between = means.copy()
    even, odd = np.arange(0, len(x), 2), np.arange(1, len(x), 2)
    between[odd] = np.interp(x[odd], x[even], means[even])
    between[even] = np.interp(x[even], x[odd], means[odd])
    between[[0, -1]] = means[[0, -1]]
    return between


def _turns(one: Feature, y: np.ndarray, spread: float) -> int:
    """How often the mean label of a column's bins changes direction."""
    assert one.numbers is not None
    present = np.isfinite(one.numbers)
    bins = bins_of(one)[present]
    count = np.bincount(bins)
    means = np.bincount(bins, weights=y[present])[count > 0] / count[count > 0]
    steps = np.diff(means)
    directions = np.sign(steps[np.abs(steps) > _FINE * spread])
    return int((directions[1:] != directions[:-1]).sum())


def spread_of(y: np.ndarray) -> float:
    """Standard deviation of the amounts y f64[n] without the largest and smallest 1 %."""
    low, high = np.quantile(y, [0.01, 0.99])
    return float(np.clip(y, low, high).std())


def is_moderate(values: np.ndarray) -> bool:
    """Whether squares of the values f64[n], NaN where missing, can be computed."""
    return bool(np.nanmax(np.abs(values), initial=0.0) < _HUGE)


def resolution(values: np.ndarray) -> float:
    """The last decimal to which the values f64[n] are rounded, such as 0.01; 0 if they are not rounded."""
    decimals = decimals_of(values[np.isfinite(values)], share=0.95)
    return 0.0 if decimals is None else 10.0**-decimals
