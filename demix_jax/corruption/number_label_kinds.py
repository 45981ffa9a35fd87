"""Kinds of label errors for targets that are numbers."""

from __future__ import annotations

import numpy as np

from demix_jax.corruption.class_label_kinds import falling_weights
from demix_jax.corruption.feature_kinds import NUMBER_KINDS, UNITS
from demix_jax.corruption.label_features import margins_to_centroids
from demix_jax.corruption.label_proposals import Proposal, Targets, drawn_by, random_group

_FACTORS = (0.1, 0.5, 0.8, 1.25, 2.0, 10.0)
_OFFSETS = (0.3, 3.0)  # standard deviations
_POWERS = tuple((10.0**power, 0.0) for power in (-3, -2, -1, 1, 2, 3))

# Each kind returns a Proposal for clean targets, a wanted number of wrong ones, and a random generator.


def uniform(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Any target moves by at least a quarter of the range."""
    return Proposal(rng.random(len(labels.values)), moved_targets(labels, rng))


def near(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Any target moves by an eighth to a half of the range."""
    low, high = target_range(labels.values)
    new = _moved_within(labels, (low, high), rng, least=(high - low) / 8, spread=0.375 * (high - low))
    return Proposal(rng.random(len(labels.values)), new)


def asymmetric(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Targets all move in one direction; one half, the high or the low, is more often wrong."""
    weight = rng.permutation(np.geomspace(1.0, 0.2, 2))[labels.halves]
    return Proposal(drawn_by(weight, rng), moved_targets(labels, rng, direction=int(rng.choice((-1, 1)))))


def feature_dependent(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Mostly rows whose features lie between those of high and of low targets have a target that moved."""
    margin, _ = margins_to_centroids(labels.features, labels.halves, 2)
    return Proposal(drawn_by(falling_weights(margin), rng), moved_targets(labels, rng))


def subgroup(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Targets of one group of rows move."""
    group = random_group(labels.features, count, rng)
    return Proposal(drawn_by(group.astype(np.float64), rng), moved_targets(labels, rng))


def constant(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Targets slip by one offset or factor, the same for all."""
    if rng.random() < 0.5:
        return _slipped(labels, labels.values * rng.choice(_FACTORS), rng)
    offset = rng.choice((-1, 1)) * rng.uniform(*_OFFSETS) * labels.column.std
    return _slipped(labels, labels.values + offset, rng)


def sign(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """The sign of targets changes."""
    return _slipped(labels, -labels.values, rng)


def digit(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """One digit of the written target is mistyped, left out, doubled or swapped with the next."""
    return _slipped(labels, NUMBER_KINDS["digit"](labels.column, np.arange(len(labels.values)), rng), rng)


def unit(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Targets are given in another unit of measurement or a power of ten of it, the same for all."""
    factor, offset = (_POWERS + UNITS)[int(rng.integers(len(_POWERS + UNITS)))]
    return _slipped(labels, factor * labels.values + offset, rng, more_decimals=2)


def swapped(labels: Targets, count: int, rng: np.random.Generator) -> Proposal:
    """Rows get the target of another row."""
    return Proposal(rng.random(len(labels.values)), rng.permutation(labels.values))


def _slipped(labels: Targets, new: np.ndarray, rng: np.random.Generator, more_decimals: int = 0) -> Proposal:
    """Any row gets its new target f64[N], as the column can hold it."""
    return Proposal(rng.random(len(new)), labels.column.fitted(new, more_decimals))


def moved_targets(labels: Targets, rng: np.random.Generator, direction: int = 0) -> np.ndarray:
    """f64[N]: targets moved by at least a quarter of their range, uniformly over the values that remain in the range.

    The range reaches from the lowest to the highest target. If outliers make it more than twice as wide as the range
    between the 1 % and 99 % quantiles, it is the latter.

    Args:
      labels: N clean targets.
      direction: 1 up or -1 down, where the range allows it; 0 either way.
    """
    low, high = target_range(labels.values)
    return _moved_within(labels, (low, high), rng, least=(high - low) / 4, direction=direction)


def _moved_within(
    labels: Targets,
    limits: tuple[float, float],
    rng: np.random.Generator,
    *,
    least: float,
    spread: float = np.inf,
    direction: int = 0,
) -> np.ndarray:
    """f64[N]: targets moved by at least `least` and at most `least + spread` within `limits`."""
    (low, high), old = limits, labels.values
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
    if labels.column.decimals is not None:  # round away from the old target, so that the distance does not shrink
        unit = 10.0**labels.column.decimals
        new = np.where(goes_up, np.ceil(new * unit), np.floor(new * unit)) / unit
    return new


def target_range(numbers: np.ndarray) -> tuple[float, float]:
    """Lowest and highest plausible target; see `moved_targets`."""
    low, high = np.quantile(numbers, (0.01, 0.99))
    if numbers.max() - numbers.min() > 2 * (high - low) > 0:
        return float(low), float(high)
    return float(numbers.min()), float(numbers.max())
