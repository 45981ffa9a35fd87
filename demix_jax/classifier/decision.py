"""From probabilities to flags: the threshold with the best expected F1 on this table, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ALL_TYPES

MOST_IN_DOUBT = (
    0.05  # largest share of the rows that is flagged where a table may have no error of a type, see `decide`
)
LARGEST_LOG_ODDS = 10.0  # calibration on held-out rows cannot support more


class Bounds(NamedTuple):
    """Bounds of flags, in the order of `ERROR_TYPES`.

    floor: f32[3], no row with a lower probability is flagged unless it is likely wrong, whatever the rest of its table
      looks like.
    presence: f32[3, 3], per type the coefficients of `presence_inputs` in the log-odds that a table has such errors.
    """

    floor: np.ndarray
    presence: np.ndarray


class Decision(NamedTuple):
    """Thresholds of one table, in the order of `ERROR_TYPES`.

    threshold: f64[3] ≤ `LIKELY`, rows with at least this probability are flagged.
    held_back: bool[3], whether fewer rows are flagged because the table may have no such errors.
    """

    threshold: np.ndarray
    held_back: np.ndarray


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


def presence_inputs(probability: np.ndarray) -> np.ndarray:
    """Inputs for whether a table has any error of a type, from the probabilities f[N] of its rows.

    A table with errors has a higher best F1, and all of its rows are somewhat more probable.

    Returns:
      f64[3]: 1, log-odds of the best expected F1, mean log-odds of the rows.
    """
    return np.array([1.0, _log_odds(np.array(best_f1(probability).promised)), _log_odds(probability).mean()])


def decide(probability: np.ndarray, of_networks: Sequence[np.ndarray], bounds: Bounds) -> Decision:
    """Thresholds per error type: the best for F1 times the type's `lenience`, within bounds.

    How common errors are in a table is uncertain; where there are more than estimated, the best threshold flags too few
    rows. Without a floor, the least improbable rows of a clean table would be flagged. Where it is doubtful whether the
    table has any such error, at most 5 % of the rows are flagged, the most probable ones. That question is put to each
    network by itself, as its coefficients were fitted: the mean of networks that disagree promises a lower F1.

    No threshold exceeds `LIKELY`, so that every likely row is flagged, even if it is below the floor or beyond the 5 %.

    Args:
      probability: f[N, 3], of the ensemble. of_networks: f[N, 3] of each network.
    """
    chex.assert_equal_shape([probability, *of_networks])
    chex.assert_shape(probability, (None, len(ALL_TYPES)))
    threshold, held_back = np.empty((2, len(ALL_TYPES)))
    for t, error_type in enumerate(ALL_TYPES):
        of_type = probability[:, t]
        wanted = max(error_type.lenience * best_f1(of_type).threshold, bounds.floor[t])
        wanted = threshold[t] = min(wanted, LIKELY)
        present = np.mean([bounds.presence[t] @ presence_inputs(by_one[:, t]) for by_one in of_networks])
        if present < _log_odds(np.array(error_type.present_from)):
            threshold[t] = min(max(wanted, _threshold_of_share(of_type, MOST_IN_DOUBT)), LIKELY)
        held_back[t] = threshold[t] > wanted
    return Decision(threshold, held_back.astype(bool))


def _log_odds(probability: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probability) - np.log1p(-probability), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)


def _threshold_of_share(probability: np.ndarray, share: float) -> float:
    """Lowest threshold that at most this share of the rows f[N] reach."""
    ranked = np.sort(probability)[::-1]
    first_too_many = ranked[int(share * len(ranked))]
    above = ranked[ranked > first_too_many]
    return float(above[-1] if len(above) else np.nextafter(first_too_many, np.inf))
