"""From logits to probabilities and to what holds flags back, by worlds that a network has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.classifier.decision import SUREST, Bounds, presence_inputs
from demix_jax.classifier.inputs import PROBED
from demix_jax.classifier.mixture import Mixture
from demix_jax.error_types import ERROR_TYPES

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
NUM_INPUTS = 6


class TableLevel(NamedTuple):
    """What one network makes of a table as a whole.

    mean: f64[3], of its rows' logits. mixtures: for each type, what its probes say; None where there are none.
    """

    mean: np.ndarray
    mixtures: tuple[Mixture | None, ...]

    @classmethod
    def of(cls, logits: np.ndarray, probes: tuple[np.ndarray, np.ndarray] | None = None) -> TableLevel:
        """Of logits f32[N, 3] of a table's rows; probes: theirs f32[P, 3], and the errors in them bool[P, 3]."""
        mixtures: list[Mixture | None] = [None] * len(ERROR_TYPES)
        if probes is not None:
            of_probes, truth = probes
            for t in PROBED:
                mixtures[t] = Mixture.fit(logits[:, t], of_probes[truth[:, t], t])
        return cls(logits.mean(axis=0), tuple(mixtures))

    @property
    def has_probes(self) -> bool:
        """Whether there are probes of the table."""
        return any(mixture is not None for mixture in self.mixtures)

    def inputs(self, logits: np.ndarray) -> np.ndarray:
        """f64[n, 3, 6] for logits f32[n, 3] of rows of the table: 1, the logit, the mean, and what the mixture says."""
        result = np.zeros((*logits.shape, NUM_INPUTS))
        result[..., 0], result[..., 1], result[..., 2] = 1.0, logits, self.mean
        for t, mixture in enumerate(self.mixtures):
            if mixture is not None:
                result[:, t, 3] = mixture.of_scores(logits[:, t])
                result[:, t, 4], result[:, t, 5] = np.log(mixture.share), np.log(mixture.half)
        return result


class Calibration(NamedTuple):
    """What is made of logits.

    plain, probed: f32[3, 6], what the log-odds gain per unit of `TableLevel.inputs`, of a table without probes and of
      one that has some.
    floor, presence: f32[2, 3], f32[2, 3, 3], see `Bounds`; of tables without and with probes.
    """

    plain: np.ndarray
    probed: np.ndarray
    floor: np.ndarray
    presence: np.ndarray

    def log_odds(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f64[G, N, 3] of logits f32[G, N, 3] of G networks, which make `levels` of the table."""
        coefficients = self.probed if levels[0].has_probes else self.plain
        both = zip(levels, logits, strict=True)
        return np.stack([np.einsum("ntk,tk->nt", level.inputs(of_rows), coefficients) for level, of_rows in both])

    def probability(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f32[N, 3], by the mean log-odds of the networks; arguments as for `log_odds`."""
        return from_log_odds(self.log_odds(logits, levels).mean(axis=0)).astype(np.float32)

    def bounds(self, levels: Sequence[TableLevel]) -> Bounds:
        """Of a table of which networks make `levels`."""
        probed = int(levels[0].has_probes)
        return Bounds(self.floor[probed], self.presence[probed])


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


def from_log_odds(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities of the same shape; none is surer than `SUREST`."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -SUREST, SUREST)))
