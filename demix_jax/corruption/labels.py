"""Label errors: drawing the rows and their wrong labels."""

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
      label: the label column.
      count: number of rows to mislabel.
      classes: whether the labels are classes; else they are numbers.
      kind: one of LABEL_KINDS; see `LabelErrors`.
    Returns:
      The label column with errors (same dtype) and bool[N], the mislabelled rows.
    Raises:
      InputError: the kind is "subgroup" and no group is large enough.
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
        # the largest log-weights plus Gumbel noise are a weighted draw without replacement (Gumbel-top-k)
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
    """Moves targets by at least a quarter of their range, uniformly over the values that remain in the range.

    The range reaches from the lowest to the highest target. If outliers make it more than twice as wide as the range
    between the 1 % and 99 % quantiles, it is the latter.

    Args:
      numbers: f64[N], clean targets.
      rows: i64[n], the rows to move.
      direction: 1 up or -1 down, where the range allows it; 0 either way.
      decimals: number of decimals of the new targets; None: any.
    Returns:
      f64[n], the new targets of `rows`.
    """
    low, high = target_range(numbers)
    least = (high - low) / 4
    return _moved_within(numbers[rows], (low, high), rng, least=least, direction=direction, decimals=decimals)


def _moved_somewhat(numbers: np.ndarray, rows: np.ndarray, direction: int, decimals: int | None, rng) -> np.ndarray:
    """Moves targets by an eighth to a half of their range; arguments and result as for `moved_targets`."""
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
    """Moves targets f64[n] by at least `least` and at most `least + spread` within `limits`."""
    low, high = limits
    # a target may move to [low, nearest_below] or [nearest_above, high]; at least one of these is not empty
    nearest_below, nearest_above = np.minimum(old - least, high), np.maximum(old + least, low)
    down, up = np.maximum(nearest_below - low, 0.0), np.maximum(high - nearest_above, 0.0)
    down, up = np.minimum(down, spread), np.minimum(up, spread)
    goes_up = rng.random(len(old)) * (down + up) < up
    if direction:
        goes_up[:] = direction > 0
    goes_up = np.where(nearest_above > high, False, np.where(nearest_below < low, True, goes_up))
    share = rng.random(len(old))
    new = np.where(goes_up, nearest_above + share * up, nearest_below - share * down)
    if decimals is not None:  # round away from the old target, so that the distance does not shrink
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
    """i64[K]: the class that each class is mistaken for; a random cycle through all classes."""
    order = rng.permutation(num_classes)
    partner = np.empty(num_classes, dtype=np.int64)
    partner[order] = np.roll(order, -1)
    return partner


def _margins(features: pd.DataFrame, codes: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """f64[N]: how much nearer a row is to the centroid of its class than to the nearest other; i64[N]: that class."""
    x = _proxy_features(features)
    one_hot = np.eye(num_classes)[codes]
    centroids = (one_hot.T @ x) / one_hot.sum(0)[:, None]
    distance = (centroids**2).sum(1) - 2 * x @ centroids.T  # without |x|², which is the same for all classes
    own = distance[np.arange(len(x)), codes]
    distance[np.arange(len(x)), codes] = np.inf
    return distance.min(1) - own, distance.argmin(1)


def _proxy_features(features: pd.DataFrame) -> np.ndarray:
    """f64[N, D]: ranks of numbers, scaled to [-1/2, 1/2], and 0 or 1/2 for the five most frequent other values."""
    from demix_jax.data.lists import holds_lists

    columns = []
    for name in features.columns:
        series = series_of(features, name)
        if is_number(series):
            columns.append(series.rank(pct=True).fillna(0.5).to_numpy(dtype=np.float64) - 0.5)
            continue
        if holds_lists(series):
            continue
        try:
            frequent = series.value_counts().index[:5]
        except TypeError:  # unhashable values, such as dicts
            continue
        columns += [0.5 * (series == value).to_numpy(dtype=np.float64, na_value=0.0) for value in frequent]
    return np.stack(columns, 1) if columns else np.zeros((len(features), 1))


def _subgroup(table: pd.DataFrame, label: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """bool[N]: a random group of at least `count` rows."""
    columns = [column for column in table.columns if column != label]
    least = max(1.25 * count / len(table), 0.05)  # some more than needed, as shares may be measured on a sample
    groups = candidate_groups(table, columns, OF_ONE_COLUMN, (least, 0.9), rng)
    for index in rng.permutation(len(groups)):
        mask = groups[index].mask(table)
        if mask.sum() >= count:
            return mask
    raise InputError(
        f'LabelErrors.kind "subgroup" found no group of rows large enough for {count} label errors among {len(table)} '
        "rows; lower the rate or choose another kind."
    )


def _like(values, series: pd.Series) -> pd.Series:
    """`values` as a column with the index, name and dtype of `series`."""
    import pandas as pd

    return pd.Series(values, index=series.index).astype(series.dtype).rename(series.name)
