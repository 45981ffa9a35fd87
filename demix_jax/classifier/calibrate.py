"""Fits the calibration on held-out worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.classifier.calibration import Calibration, CalibrationInput, from_log_odds, identity_coefficients
from demix_jax.classifier.decision import Bounds, presence_inputs
from demix_jax.common.error_types import ALL_TYPES, ErrorType

if TYPE_CHECKING:
    from demix_jax.classifier.classifier import ErrorClassifier
    from demix_jax.classifier.examples import World

_MIN_WORLDS = 20  # held out; fewer do not show how tables differ, so only the logit is scaled and shifted
_MIN_CLEAN_WORLDS = (
    10  # without a type; with fewer, its floor is _DEFAULT_FLOOR and every table counts as having errors
)
_DEFAULT_FLOOR = 0.25
_ALWAYS_PRESENT = (10.0, 0.0, 0.0)  # coefficients under which every table counts as having errors
_MIN_SLOPE = 0.05  # of the logit
_NUM_BINS = 15  # of probabilities, for the expected calibration error
_SCALES, _SHIFTS = np.arange(0.7, 2.21, 0.1), np.arange(-1.0, 1.01, 0.1)
_TABLE_INPUTS = [CalibrationInput.TABLE_MEAN]
_PROBE_INPUTS = [CalibrationInput.PROBE_LOG_RATIO, CalibrationInput.PROBE_LOG_SHARE, CalibrationInput.PROBE_LOG_HALF]


def calibrate(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]]) -> Calibration:
    """Fits the calibration on worlds that the networks were not trained on; every world has equal weight.

    A network is overconfident about the error rates of an unseen table for some types and underconfident for others.
    The mean logit of the table corrects that, and probes show what errors look like there. Tables differ in how common
    and how clear their errors are. So the best fit for the rows of all tables together is too flat within most tables.
    With probes, the log-odds are therefore scaled and shifted until the mean expected calibration error of a world with
    errors is lowest. Without probes too little is known of a table for that: on MovieLens too many labels were doubted,
    and a network trained after that repair was worse.

    The floor of a type is the probability that its `clean_share` of the rows of worlds without this type reach. So that
    share of a clean table may be flagged, on average. Whether a table has any error of a type is learned from the
    probabilities of its rows. Tables with and without such errors have equal weight there.

    Args:
      held_out: classifiers of one network each, with worlds that this network has not seen.
    Source: Platt 1999, with more inputs. Slopes within groups are steeper than over all groups: Zeger, Liang & Albert
      1988, "Models for Longitudinal Data: A Generalized Estimating Equation Approach".
    """
    pairs = [(member, world) for member, worlds in held_out for world in worlds]
    with_probes = [(member, world) for member, world in pairs if world.views[0].probes is not None]
    plain, plain_bounds = _fit(pairs, probed=False)
    probed, probed_bounds = _fit(with_probes, probed=True)
    return Calibration(
        plain=plain,
        probed=probed,
        floor=np.stack([plain_bounds.floor, probed_bounds.floor]),
        presence=np.stack([plain_bounds.presence, probed_bounds.presence]),
    )


class _HeldOutRows(NamedTuple):
    """Rows of W held-out worlds, one world after the other.

    inputs: f64[n, 3, 6], see `CalibrationInput`. truth: bool[n, 3]. world: i64[n], number of the row's world.
    weight: f64[n], with mean 1, so that every world has equal weight. probed: whether the inputs tell of probes.
    """

    inputs: np.ndarray
    truth: np.ndarray
    world: np.ndarray
    weight: np.ndarray
    probed: bool

    @property
    def num_worlds(self) -> int:
        """W."""
        return int(self.world[-1]) + 1

    def by_world(self, values: np.ndarray) -> list[np.ndarray]:
        """Values [n, ...] of the rows, an array per world."""
        return np.split(values, np.cumsum(np.bincount(self.world))[:-1])


def _fit(pairs: list[tuple[ErrorClassifier, World]], *, probed: bool) -> tuple[np.ndarray, Bounds]:
    """f32[3, 6] coefficients and the bounds, from the first view of each world."""
    coefficients, count = identity_coefficients(), len(ALL_TYPES)
    bounds = Bounds(
        floor=np.full(count, _DEFAULT_FLOOR, np.float32),
        presence=np.tile(np.array(_ALWAYS_PRESENT, np.float32), (count, 1)),
    )
    if not pairs:
        return coefficients, bounds
    rows = _held_out_rows(pairs, probed=probed)
    for t, error_type in enumerate(ALL_TYPES):
        if rows.truth[:, t].any() and not rows.truth[:, t].all():
            coefficients[t] = _fit_coefficients(rows, error_type)
        has_type = np.array([of_world[:, t].any() for of_world in rows.by_world(rows.truth)])
        if np.sum(~has_type) >= _MIN_CLEAN_WORLDS:
            log_odds = rows.by_world(rows.inputs[:, t] @ coefficients[t])
            clean = [z for z, has_errors in zip(log_odds, has_type, strict=True) if not has_errors]
            bounds.floor[t] = _floor(clean, error_type.clean_share)
            if has_type.any():
                bounds.presence[t] = _fit_presence(log_odds, has_type)
    return coefficients, bounds


def _held_out_rows(pairs: list[tuple[ErrorClassifier, World]], *, probed: bool) -> _HeldOutRows:
    inputs = []
    for member, world in pairs:
        vectors, signals, probes = world.views[0]
        probes = probes if probed else None
        logits, levels = member.of_table(signals, world.facts, probes).read(vectors, signals, probes)
        inputs.append(levels[0].inputs(logits[0]))
    sizes = np.array([len(of_world) for of_world in inputs])
    number = np.repeat(np.arange(len(pairs)), sizes)
    weight = 1 / sizes[number]
    weight *= len(weight) / weight.sum()
    truth = np.concatenate([world.truth for _, world in pairs])
    return _HeldOutRows(inputs=np.concatenate(inputs), truth=truth, world=number, weight=weight, probed=probed)


def _fit_coefficients(rows: _HeldOutRows, error_type: ErrorType) -> np.ndarray:
    """f32[6], coefficients of one type by logistic regression; scaled and shifted where there are probes."""
    from sklearn.linear_model import LogisticRegression

    t, enough = error_type.column, rows.num_worlds >= _MIN_WORLDS
    used = [CalibrationInput.LOGIT]
    if enough:
        used += _TABLE_INPUTS
        if rows.probed and error_type.probed:
            used += _PROBE_INPUTS
    fit = LogisticRegression(C=100.0, max_iter=1_000).fit(
        rows.inputs[:, t, used], rows.truth[:, t], sample_weight=rows.weight
    )
    coefficients = identity_coefficients()[t]
    coefficients[used], coefficients[CalibrationInput.CONSTANT] = fit.coef_[0], fit.intercept_[0]
    coefficients[CalibrationInput.LOGIT] = max(coefficients[CalibrationInput.LOGIT], _MIN_SLOPE)
    if rows.probed and enough:
        with_errors = np.array([of_world.any() for of_world in rows.by_world(rows.truth)])[rows.world]
        log_odds = rows.inputs[with_errors, t] @ coefficients
        scale, shift = _best_scale_and_shift(log_odds, rows.truth[with_errors, t], rows.world[with_errors])
        coefficients *= scale
        coefficients[CalibrationInput.CONSTANT] += shift
    return coefficients


def _fit_presence(log_odds: list[np.ndarray], has_type: np.ndarray) -> np.ndarray:
    """f64[3], see `Bounds.presence`, from log-odds of the rows of each world and whether it has errors of the type."""
    from sklearn.linear_model import LogisticRegression

    inputs = np.stack([presence_inputs(p) for p in map(from_log_odds, log_odds)])
    balanced = LogisticRegression(C=100.0, class_weight="balanced", fit_intercept=False, max_iter=1_000)
    return balanced.fit(inputs, has_type).coef_[0]


def _floor(log_odds: list[np.ndarray], share: float) -> float:
    """Probability that this share of the rows reach; log-odds f64[n] of each world, worlds of equal weight."""
    weight = np.concatenate([np.full(len(z), 1 / len(z)) for z in log_odds])
    high = np.quantile(np.concatenate(log_odds), 1 - share, weights=weight, method="inverted_cdf")
    return float(from_log_odds(high))


def _best_scale_and_shift(log_odds: np.ndarray, truth: np.ndarray, world: np.ndarray) -> tuple[float, float]:
    """Scale and shift of log-odds with the lowest mean expected calibration error of a world.

    Args:
      log_odds: f64[n]. truth: bool[n]. world: i64[n], number of the row's world.
    """
    place, size = np.unique(world, return_inverse=True, return_counts=True)[1:]

    def error(scale: float, shift: float) -> float:
        p = from_log_odds(scale * log_odds + shift)
        of_bin = place * _NUM_BINS + np.minimum((p * _NUM_BINS).astype(int), _NUM_BINS - 1)
        gap = np.abs(np.bincount(of_bin, p - truth, minlength=len(size) * _NUM_BINS))
        return float(np.mean(gap.reshape(-1, _NUM_BINS).sum(axis=1) / size))

    tried = [(error(scale, shift), scale, shift) for scale in _SCALES for shift in _SHIFTS]
    return min(tried)[1:]
