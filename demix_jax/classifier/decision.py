"""From probabilities to flags: the threshold that promises the best F1 on this table, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_IN_DOUBT = 0.05  # share of the rows that is flagged where a table may well have no error of a type
# In the order of ERROR_TYPES:
# Factor of the best threshold, as the probabilities of a whole table may be too low together where errors are many. Of
# shortcuts the share differs less, and at 0.8 the F1 fell by 0.004 where the minority was 8 to 18 % of held-out worlds.
_LENIENCE = (0.8, 0.8, 1.0)
# The chance that a table has errors of a type, below which that is in doubt. Shortcuts are the hardest to tell: at 0.5,
# the F1 of those of kinds that networks do not know fell by 0.05.
_ENOUGH = (0.5, 0.5, 0.35)
SUREST = 10.0  # log-odds; no calibration on held-out rows can tell more


class Bounds(NamedTuple):
    """What holds flags back, for each type of ERROR_TYPES.

    floor: f32[3], no row less probable than that is flagged, however the rest of its table looks.
    presence: f32[3, 3], what the log-odds that a table has any error of the type gain per unit of `presence_inputs`.
    """

    floor: np.ndarray
    presence: np.ndarray


class Decision(NamedTuple):
    """For each type of ERROR_TYPES, which rows of a table are flagged.

    threshold: f64[3], rows at least as probable are. held_back: bool[3], whether fewer are since there may be no such
      errors.
    """

    threshold: np.ndarray
    held_back: np.ndarray


class BestF1(NamedTuple):
    """Flagging the rows at least as probable as `threshold` has the largest expected F1, `promised`."""

    threshold: float
    promised: float


def best_f1(probability: np.ndarray) -> BestF1:
    """Where flagging rows has the largest expected F1, if the probabilities are calibrated.

    Flagging the k most probable rows has expected F1 of about 2 Σ p over them / (k + Σ p over all rows). The best is
    low if few rows are probable, or nothing tells wrong rows from others.

    Args:
      probability: f[N].
    Source: Lipton, Elkan & Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure".
    """
    ranked = np.sort(probability.astype(float))[::-1]
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum() + 1e-12)
    best = int(np.argmax(expected))
    return BestF1(float(ranked[best]), float(expected[best]))


def presence_inputs(probability: np.ndarray) -> np.ndarray:
    """f64[3] of what tells whether any row is wrong: 1, log-odds of the promised best F1, mean log-odds of p f[N].

    Where some are, more is promised, and all rows are somewhat more probable.
    """
    return np.array([1.0, _log_odds(np.array(best_f1(probability).promised)), _log_odds(probability).mean()])


def decide(probability: np.ndarray, of_networks: Sequence[np.ndarray], bounds: Bounds) -> Decision:
    """Thresholds: for wrong labels and features somewhat below the best for F1, but within bounds.

    How common these are in a table is uncertain, and where there are more of them than it seemed too few are flagged.
    Without a floor, a clean table would have its least improbable rows flagged. Where it is doubtful whether any row is
    wrong, no more than 5 of 100 rows are flagged, the most probable ones. That is asked of each network by itself, as
    it was learned: what several say together promises less than each, since they differ.

    Args:
      probability: f[N, 3], of the networks together. of_networks: the same of each by itself.
    """
    threshold, held_back = np.empty((2, probability.shape[1]))
    for t, (floor, presence) in enumerate(zip(*bounds, strict=True)):
        of_type = probability[:, t]
        wanted = threshold[t] = max(_LENIENCE[t] * best_f1(of_type).threshold, floor)
        present = np.mean([presence @ presence_inputs(by_one[:, t]) for by_one in of_networks])
        if present < _log_odds(np.array(_ENOUGH[t])):
            threshold[t] = max(wanted, _lowest_of_top(of_type, MOST_IN_DOUBT))
        held_back[t] = threshold[t] > wanted
    return Decision(threshold, held_back.astype(bool))


def _log_odds(probability: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probability) - np.log1p(-probability), -SUREST, SUREST)


def _lowest_of_top(probability: np.ndarray, share: float) -> float:
    """The lowest threshold in f[N] that no more than this share of the rows reach."""
    ranked = np.sort(probability)[::-1]
    beyond = ranked[int(share * len(ranked))]  # the most probable of those that are too many
    above = ranked[ranked > beyond]
    return float(above[-1] if len(above) else np.nextafter(beyond, np.inf))
