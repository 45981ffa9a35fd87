"""From logits to probabilities, by what held-out worlds say of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.error_types import ERROR_TYPES

if TYPE_CHECKING:
    from demix_jax.classifier.classifier import ErrorClassifier
    from demix_jax.classifier.examples import World

_SUREST = 10.0  # log-odds; no calibration on held-out rows can tell more
_FEWEST_WORLDS = 20  # held out; from fewer, what differs between tables cannot be told


class Calibration(NamedTuple):
    """f32[..., 3] each: what the log-odds gain by a row's logit, by the mean logit of its table, and in any case."""

    slope: np.ndarray
    table_slope: np.ndarray
    offset: np.ndarray

    def probability(self, logits: np.ndarray, table_mean: np.ndarray | None = None) -> np.ndarray:
        """f32[N, 3] of logits f32[..., N, 3]: of the mean log-odds, where there are several networks'.

        Args:
          table_mean: f32[..., 3], the mean logits of the table; None if `logits` are of all its rows.
        """
        table_mean = logits.mean(axis=-2) if table_mean is None else table_mean
        of_table = (table_mean * self.table_slope + self.offset)[..., None, :]
        log_odds = logits * self.slope[..., None, :] + of_table
        if log_odds.ndim > 2:
            log_odds = log_odds.mean(axis=0)
        return 1 / (1 + np.exp(-np.clip(log_odds, -_SUREST, _SUREST)))


def calibrate(member: ErrorClassifier, worlds: Sequence[World]) -> Calibration:
    """Calibration of one network on held-out worlds.

    What a network says of the error rates of a table that it has not seen is too sure for some types and not sure
    enough for others; the mean logit of the table undoes that. Every world has equal weight.
    Source: Platt 1999, with a second input.
    """
    from sklearn.linear_model import LogisticRegression

    logits = [member.logits(world.views[0].vectors, world.views[0].signals, world.facts)[0] for world in worlds]
    means = [np.broadcast_to(z.mean(axis=0), z.shape) for z in logits]
    weight = np.concatenate([np.full(len(z), 1 / len(z)) for z in logits])
    weight *= len(weight) / weight.sum()
    truth = np.concatenate([world.truth for world in worlds])
    z, of_table = np.concatenate(logits), np.concatenate(means)
    slope, table_slope, offset = (np.full(len(ERROR_TYPES), value, np.float32) for value in (1.0, 0.0, 0.0))
    for t in range(len(ERROR_TYPES)):
        if truth[:, t].any() and not truth[:, t].all():
            inputs = [z[:, t], of_table[:, t]] if len(worlds) >= _FEWEST_WORLDS else [z[:, t]]
            fit = LogisticRegression(C=100.0).fit(np.stack(inputs, axis=1), truth[:, t], sample_weight=weight)
            slope[t], offset[t] = max(float(fit.coef_[0, 0]), 0.05), float(fit.intercept_[0])
            table_slope[t] = fit.coef_[0, 1] if len(inputs) > 1 else 0.0
    return Calibration(slope, table_slope, offset)
