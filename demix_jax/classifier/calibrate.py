"""Fit the calibration on held-out worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from demix_jax.classifier.calibration import NUM_INPUTS, Calibration, from_log_odds
from demix_jax.classifier.decision import Bounds, presence_inputs
from demix_jax.classifier.inputs import PROBED
from demix_jax.common.error_types import ERROR_TYPES

if TYPE_CHECKING:
    from demix_jax.classifier.classifier import ErrorClassifier
    from demix_jax.classifier.examples import World


_FEWEST_WORLDS = 20  # held out; from fewer, what differs between tables cannot be told


# Of the rows of held-out worlds without a type, so many may be as probable as its floor, in the order of ERROR_TYPES.
# Whether a table has a shortcut at all is hard to tell: at 0.05, the F1 of shortcuts fell by 0.1.
_CLEAN_SHARES = (0.08, 0.07, 0.18)


_FEWEST_CLEAN = 10  # such worlds; from fewer, a floor is _FLOOR, and whether a table is clean is not asked


_FLOOR = 0.25


_PRESENT = (10.0, 0.0, 0.0)  # says of every table that it has errors


_NUM_BINS = 15  # of probabilities, whose mean is compared to the share of wrong rows


_SCALES, _SHIFTS = np.arange(0.7, 2.21, 0.1), np.arange(-1.0, 1.01, 0.1)


def calibrate(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]]) -> Calibration:
    """Calibration by worlds that networks were not trained on; every world has equal weight.

    What a network says of the error rates of a table that it has not seen is too sure for some types and not sure
    enough for others; the mean logit of the table undoes that, and probes tell what errors look like there. What is
    best for the rows of all tables together is still too flat for most tables by themselves, as tables differ in how
    common and how clear their errors are. So with probes log-odds are scaled and shifted until the expected calibration
    error of a world with errors is lowest. (Without them too little is known of a table: of MovieLens, labels were
    doubted too much, and a network repaired by that was worse.) A type's floor is the probability that a small share
    (`_CLEAN_SHARES`) of the rows of worlds without this type reach: so much of a clean table may be flagged, on
    average. Whether a table has any error of a type is told by the probabilities of its rows, as if half of the tables
    had some.

    Args:
      held_out: networks, each alone in its classifier, with worlds that it has not seen.
    Source: Platt 1999, with more inputs; that slopes within groups are steeper than over all of them together, Zeger,
      Liang & Albert 1988, "Models for Longitudinal Data: A Generalized Estimating Equation Approach".
    """
    every = [(member, world) for member, worlds in held_out for world in worlds]
    with_probes = [(member, world) for member, world in every if world.views[0].probes is not None]
    (plain, plain_bounds), (probed, probed_bounds) = _fit(every, probed=False), _fit(with_probes, probed=True)
    both = zip(plain_bounds, probed_bounds, strict=True)
    return Calibration(plain, probed, *(np.stack(bound) for bound in both))


def _fit(pairs: list[tuple[ErrorClassifier, World]], *, probed: bool) -> tuple[np.ndarray, Bounds]:
    """f32[3, 6] coefficients and the bounds."""
    from sklearn.linear_model import LogisticRegression

    coefficients = np.zeros((len(ERROR_TYPES), NUM_INPUTS), np.float32)
    coefficients[:, 1] = 1.0
    count = len(ERROR_TYPES)
    bounds = Bounds(np.full(count, _FLOOR, np.float32), np.tile(np.array(_PRESENT, np.float32), (count, 1)))
    if not pairs:
        return coefficients, bounds
    inputs = []
    for member, world in pairs:
        vectors, signals, probes = world.views[0]
        probes = probes if probed else None
        logits, levels = member.of_table(signals, world.facts, probes).read(vectors, signals, probes)
        inputs.append(levels[0].inputs(logits[0]))
    sizes = np.array([len(z) for z in inputs])
    number = np.repeat(np.arange(len(pairs)), sizes)
    weight = 1 / sizes[number]
    weight *= len(weight) / weight.sum()
    of_rows, truth = np.concatenate(inputs), np.concatenate([world.truth for _, world in pairs])
    with_errors = np.array([world.truth.any() for _, world in pairs])[number]
    for t in range(len(ERROR_TYPES)):
        if truth[:, t].any() and not truth[:, t].all():
            of_table = [2, 3, 4, 5] if probed and t in PROBED else [2]
            used = [1, *of_table] if len(pairs) >= _FEWEST_WORLDS else [1]
            fit = LogisticRegression(C=100.0, max_iter=1_000).fit(
                of_rows[:, t, used], truth[:, t], sample_weight=weight
            )
            coefficients[t, used], coefficients[t, 0] = fit.coef_[0], fit.intercept_[0]
            coefficients[t, 1] = max(coefficients[t, 1], 0.05)
            if probed and len(pairs) >= _FEWEST_WORLDS:
                log_odds = of_rows[with_errors, t] @ coefficients[t]
                scale, shift = _least_error(log_odds, truth[with_errors, t], number[with_errors])
                coefficients[t] *= scale
                coefficients[t, 0] += shift
        clean = np.array([not world.truth[:, t].any() for _, world in pairs])
        if clean.sum() >= _FEWEST_CLEAN:
            log_odds = np.split(of_rows[:, t] @ coefficients[t], np.cumsum(sizes)[:-1])
            bounds.floor[t] = _floor(
                [z for z, without in zip(log_odds, clean, strict=True) if without], _CLEAN_SHARES[t]
            )
            if not clean.all():
                told = np.stack([presence_inputs(p) for p in map(from_log_odds, log_odds)])
                even = LogisticRegression(C=100.0, class_weight="balanced", fit_intercept=False, max_iter=1_000)
                bounds.presence[t] = even.fit(told, ~clean).coef_[0]
    return coefficients, bounds


def _floor(log_odds: list[np.ndarray], share: float) -> float:
    """The probability that this share of the rows of worlds reach, each of equal weight; log_odds: f64[n] of each."""
    weight = np.concatenate([np.full(len(z), 1 / len(z)) for z in log_odds])
    high = np.quantile(np.concatenate(log_odds), 1 - share, weights=weight, method="inverted_cdf")
    return float(from_log_odds(high))


def _least_error(log_odds: np.ndarray, truth: np.ndarray, number: np.ndarray) -> tuple[float, float]:
    """The factor and the summand of log-odds f64[n] for which the mean expected calibration error of a world is least.

    truth: bool[n]. number: i64[n], which world a row is of; every world has equal weight.
    """
    place, size = np.unique(number, return_inverse=True, return_counts=True)[1:]

    def error(scale: float, shift: float) -> float:
        p = from_log_odds(scale * log_odds + shift)
        of_bin = place * _NUM_BINS + np.minimum((p * _NUM_BINS).astype(int), _NUM_BINS - 1)
        gap = np.abs(np.bincount(of_bin, p - truth, minlength=len(size) * _NUM_BINS))
        return float(np.mean(gap.reshape(-1, _NUM_BINS).sum(axis=1) / size))

    tried = [(error(scale, shift), scale, shift) for scale in _SCALES for shift in _SHIFTS]
    return min(tried)[1:]
