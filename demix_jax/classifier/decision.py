"""From probabilities to flags: the threshold with the best expected F1 on this table."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES

_LEAST_TO_LOOK_AT = 0.1  # probability; of ten such rows one is wrong


class BestF1(NamedTuple):
    """threshold: flagging the rows with at least this probability has the highest expected F1, `promised`."""

    threshold: float
    promised: float


def best_f1(probability: np.ndarray) -> BestF1:
    """Threshold with the highest expected F1, if the probabilities are calibrated.

    Flagging the k most probable rows has an expected F1 of about 2 Σ p over these rows / (k + Σ p over all rows). The
    best F1 is low if few rows are probable or if nothing separates wrong rows from others.

    Args:
      probability: f[N].
    Source: Lipton, Elkan & Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure".
    """
    ranked = np.sort(probability.astype(float))[::-1]
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum() + 1e-12)
    best = int(np.argmax(expected))
    return BestF1(float(ranked[best]), float(expected[best]))


def thresholds(probability: np.ndarray) -> np.ndarray:
    """f64[3], thresholds per error type from probabilities f[N, 3]: the best for F1, within bounds.

    Every likely row is flagged. In a table with hardly any errors, the best for F1 would be to flag its least
    improbable rows; rows below `_LEAST_TO_LOOK_AT` are not worth anyone's time.
    """
    chex.assert_shape(probability, (None, len(ERROR_TYPES)))
    return np.array([np.clip(best_f1(of_type).threshold, _LEAST_TO_LOOK_AT, LIKELY) for of_type in probability.T])
