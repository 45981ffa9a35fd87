"""From logits to probabilities, by what held-out worlds say of a network, and what probes say of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.classifier.inputs import PROBED
from demix_jax.classifier.mixture import Mixture
from demix_jax.error_types import ERROR_TYPES

if TYPE_CHECKING:
    from demix_jax.classifier.classifier import ErrorClassifier
    from demix_jax.classifier.examples import World

_SUREST = 10.0  # log-odds; no calibration on held-out rows can tell more
_FEWEST_WORLDS = 20  # held out; from fewer, what differs between tables cannot be told
NUM_INPUTS = 6


class TableLevel(NamedTuple):
    """What one network makes of a table as a whole.

    mean: f64[3], of its rows' logits. mixtures: for each type, what its probes say; None where there are none.
    """

    mean: np.ndarray
    mixtures: tuple[Mixture | None, ...]

    @classmethod
    def of(cls, logits: np.ndarray, probe_logits: np.ndarray | None, probe_truth: np.ndarray | None) -> TableLevel:
        """Of logits f32[N, 3] of a table's rows, and f32[P, 3] of its probes, with the errors in them bool[P, 3]."""
        mixtures: list[Mixture | None] = [None] * len(ERROR_TYPES)
        if probe_logits is not None and probe_truth is not None:
            for t in PROBED:
                mixtures[t] = Mixture.fit(logits[:, t], probe_logits[probe_truth[:, t], t])
        return cls(logits.mean(axis=0), tuple(mixtures))

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
    """f32[3, 6] each: what the log-odds gain per unit of `TableLevel.inputs`.

    plain: of a table without probes. probed: of one that has some.
    """

    plain: np.ndarray
    probed: np.ndarray

    def probability(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f32[N, 3] of logits f32[G, N, 3], by the mean log-odds of G networks, which make `levels` of the table."""
        coefficients = self.plain if levels[0].mixtures[0] is None else self.probed
        inputs = np.mean([level.inputs(of_rows) for level, of_rows in zip(levels, logits, strict=True)], axis=0)
        log_odds = np.einsum("ntk,tk->nt", inputs, coefficients)
        return (1 / (1 + np.exp(-np.clip(log_odds, -_SUREST, _SUREST)))).astype(np.float32)


def calibrate(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]]) -> Calibration:
    """Calibration by worlds that networks were not trained on; every world has equal weight.

    What a network says of the error rates of a table that it has not seen is too sure for some types and not sure
    enough for others; the mean logit of the table undoes that, and probes tell what errors look like there.

    Args:
      held_out: networks, each alone in its classifier, with worlds that it has not seen.
    Source: Platt 1999, with more inputs.
    """
    every = [(member, world) for member, worlds in held_out for world in worlds]
    probed = [(member, world) for member, world in every if world.views[0].probes is not None]
    return Calibration(_fit(every, probed=False), _fit(probed, probed=True))


def _fit(pairs: list[tuple[ErrorClassifier, World]], *, probed: bool) -> np.ndarray:
    """f32[3, 6] coefficients."""
    from sklearn.linear_model import LogisticRegression

    coefficients = np.zeros((len(ERROR_TYPES), NUM_INPUTS), np.float32)
    coefficients[:, 1] = 1.0
    if not pairs:
        return coefficients
    inputs = []
    for member, world in pairs:
        vectors, signals, probes = world.views[0]
        logits, levels = member.read(vectors, signals, world.facts, probes if probed else None)
        inputs.append(levels[0].inputs(logits[0]))
    weight = np.concatenate([np.full(len(z), 1 / len(z)) for z in inputs])
    weight *= len(weight) / weight.sum()
    of_rows, truth = np.concatenate(inputs), np.concatenate([world.truth for _, world in pairs])
    for t in range(len(ERROR_TYPES)):
        if truth[:, t].any() and not truth[:, t].all():
            of_table = [2, 3, 4, 5] if probed and t in PROBED else [2]
            used = [1, *of_table] if len(pairs) >= _FEWEST_WORLDS else [1]
            fit = LogisticRegression(C=100.0, max_iter=1_000).fit(
                of_rows[:, t, used], truth[:, t], sample_weight=weight
            )
            coefficients[t, used], coefficients[t, 0] = fit.coef_[0], fit.intercept_[0]
            coefficients[t, 1] = max(coefficients[t, 1], 0.05)
    return coefficients
