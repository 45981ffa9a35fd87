"""Label errors: which rows get a wrong label, and which one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.columns import num_decimals
from demix_jax.corruption.groups import OF_ONE_COLUMN, candidate_groups, is_number, series_of, to_floats

if TYPE_CHECKING:
    import pandas as pd

LABEL_KINDS = ("uniform", "near", "asymmetric", "feature_dependent", "subgroup")


def corrupt_labels(
    table: pd.DataFrame, label: str, count: int, rng: np.random.Generator, *, classes: bool, kind: str
) -> tuple[pd.Series, np.ndarray]:
    """Gives `count` rows another label.

    Args:
      table: N rows, clean.
      label: the label column; `classes` says whether it holds classes or numbers.
      count: how many rows.
      kind: "uniform": any row, any other class. "near": the same (numbers: moved by an eighth to a half of their range
        instead of by at least a quarter). "asymmetric": each class has its own error rate and one class that
        it is mistaken for (numbers: one direction). "feature_dependent": rows whose features lie between classes,
        towards the nearest other class (numbers: rows between the low and the high half). "subgroup": only rows of
        one group that a column marks off.
    Returns:
      The label column with errors (same dtype) and bool[N], the rows that were changed.
    Raises:
      InputError: "subgroup" and no group is large enough.
    """
    target = series_of(table, label)
    numbers, values = np.zeros(0), np.zeros(0)
    if classes:
        codes, values = target.factorize()
        num_classes = len(values)
    else:
        numbers = to_floats(target).copy()
        codes, num_classes = (numbers > np.median(numbers)).astype(np.int64), 2
    other = (codes + rng.integers(1, num_classes, len(table))) % num_classes
    weight = np.ones(len(table))
    if kind == "asymmetric":
        weight = rng.permutation(np.geomspace(1.0, 0.2, num_classes))[codes]
        other = _confused_with(num_classes, rng)[codes]
    elif kind == "feature_dependent":
        margin, other = _margins(table.drop(columns=label), codes, num_classes)
        rank = np.empty(len(table))
        rank[np.argsort(margin, kind="stable")] = np.arange(len(table))
        weight = (1.0 - rank / len(table)) ** 3
    elif kind == "subgroup":
        weight = _subgroup(table, label, count, rng).astype(np.float64)
    with np.errstate(divide="ignore"):
        # the largest of log-weight plus Gumbel noise: a weighted draw without replacement
        score = np.log(weight) + rng.gumbel(size=len(table))
    chosen = np.argsort(-score, kind="stable")[:count]
    changed = np.zeros(len(table), dtype=bool)
    changed[chosen] = True
    if classes:
        new = values.take(np.where(changed, other, codes))
    else:
        direction = rng.choice((-1, 1)) if kind == "asymmetric" else 0
        move = _moved_somewhat if kind == "near" else moved_targets
        numbers[chosen] = move(numbers, chosen, direction, num_decimals(numbers), rng)
        new = numbers
    return _like(new, target), changed


def moved_targets(
    numbers: np.ndarray, rows: np.ndarray, direction: int, decimals: int | None, rng: np.random.Generator
) -> np.ndarray:
    """New targets at least a quarter of the range away, uniform over what the range leaves room for: f64[n].

    The range is from the lowest to the highest target; where a few extreme targets stretch it to more than twice the
    distance between the 1 % and the 99 % quantile, it is that distance.

    Args:
      numbers: f64[N] clean targets.
      rows: i64[n] the rows to move.
      direction: 1 up, -1 down where there is room that way; 0 either way.
      decimals: how many the targets have and must keep; None: any number.
    """
    low, high = target_range(numbers)
    least = (high - low) / 4
    return _moved_within(numbers[rows], (low, high), rng, least=least, direction=direction, decimals=decimals)


def _moved_somewhat(numbers: np.ndarray, rows: np.ndarray, direction: int, decimals: int | None, rng) -> np.ndarray:
    """New targets between an eighth and a half of the range away; arguments as for `moved_targets`."""
    low, high = target_range(numbers)
    least, spread = (high - low) / 8, 0.375 * (high - low)
    return _moved_within(
        numbers[rows], (low, high), rng, least=least, spread=spread, direction=direction, decimals=decimals
    )


def _moved_within(
    old: np.ndarray,
    limits: tuple[float, float],
    rng: np.random.Generator,
    *,
    least: float,
    spread: float = np.inf,
    direction: int,
    decimals: int | None,
) -> np.ndarray:
    """f64[n]: targets moved by at least `least` and at most `least + spread`, within `limits`."""
    low, high = limits
    # where a target may go: [low, nearest_below] and [nearest_above, high]; one of the two is never empty
    nearest_below, nearest_above = np.minimum(old - least, high), np.maximum(old + least, low)
    down, up = np.maximum(nearest_below - low, 0.0), np.maximum(high - nearest_above, 0.0)
    down, up = np.minimum(down, spread), np.minimum(up, spread)
    goes_up = rng.random(len(old)) * (down + up) < up
    if direction:
        goes_up[:] = direction > 0
    goes_up = np.where(nearest_above > high, False, np.where(nearest_below < low, True, goes_up))
    share = rng.random(len(old))
    new = np.where(goes_up, nearest_above + share * up, nearest_below - share * down)
    if decimals is not None:  # rounded away from the old target, so that the distance stays
        unit = 10.0**decimals
        new = np.where(goes_up, np.ceil(new * unit), np.floor(new * unit)) / unit
    return new


def target_range(numbers: np.ndarray) -> tuple[float, float]:
    """Lowest and highest plausible target; see `moved_targets`."""
    low, high = np.quantile(numbers, (0.01, 0.99))
    if numbers.max() - numbers.min() > 2 * (high - low) > 0:
        return float(low), float(high)
    return float(numbers.min()), float(numbers.max())


def _confused_with(num_classes: int, rng: np.random.Generator) -> np.ndarray:
    """i64[K]: for each class the one it is taken for, never itself: a random cycle through all classes."""
    order = rng.permutation(num_classes)
    partner = np.empty(num_classes, dtype=np.int64)
    partner[order] = np.roll(order, -1)
    return partner


def _margins(features: pd.DataFrame, codes: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """How much nearer a row is to its own class centroid than to the nearest other one (f64[N]), and that other."""
    x = _proxy_features(features)
    one_hot = np.eye(num_classes)[codes]
    centroids = (one_hot.T @ x) / one_hot.sum(0)[:, None]
    distance = (centroids**2).sum(1) - 2 * x @ centroids.T  # |x|² is common to all classes
    own = distance[np.arange(len(x)), codes]
    distance[np.arange(len(x)), codes] = np.inf
    return distance.min(1) - own, distance.argmin(1)


def _proxy_features(features: pd.DataFrame) -> np.ndarray:
    """f64[N, D]: ranks of numbers in [-1/2, 1/2], the five most frequent values of other columns as 0 or 1/2."""
    columns = []
    for name in features.columns:
        series = series_of(features, name)
        if is_number(series):
            columns.append(series.rank(pct=True).fillna(0.5).to_numpy(dtype=np.float64) - 0.5)
            continue
        try:
            frequent = series.value_counts().index[:5]
        except TypeError:  # lists, dicts
            continue
        columns += [0.5 * (series == value).to_numpy(dtype=np.float64, na_value=0.0) for value in frequent]
    return np.stack(columns, 1) if columns else np.zeros((len(features), 1))


def _subgroup(table: pd.DataFrame, label: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """bool[N]: a random group with at least a quarter more rows than are to be changed."""
    columns = [column for column in table.columns if column != label]
    least = max(1.25 * count / len(table), 0.05)
    groups = candidate_groups(table, columns, OF_ONE_COLUMN, (least, 0.9), rng)
    for index in rng.permutation(len(groups)):
        mask = groups[index].mask(table)
        if mask.sum() >= count:
            return mask
    raise InputError(
        f'label_kind="subgroup" found no group of rows large enough for {count} label errors among {len(table)} '
        "rows; lower label_errors or choose another kind."
    )


def _like(values, series: pd.Series) -> pd.Series:
    """`values` as a column with the index, name and dtype of `series`."""
    import pandas as pd

    return pd.Series(values, index=series.index).astype(series.dtype).rename(series.name)
