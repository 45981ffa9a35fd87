"""From probabilities to flags: the threshold that promises the best F1 on this table, within bounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_LENIENCE = 0.8  # of the best threshold, where the probabilities of a whole table may be too low together
MOST_IN_DOUBT = 0.05  # share of the rows that is flagged where a table may well have no error of a type


class Bounds(NamedTuple):
    """What holds flags back, for each type of ERROR_TYPES.

    floor: f32[3], no row less probable than that is flagged, however the rest of its table looks.
    doubt: f32[3], in a table whose `promised_f1` is lower, no more than MOST_IN_DOUBT of the rows are flagged.
    """

    floor: np.ndarray
    doubt: np.ndarray


class Decision(NamedTuple):
    """For each type of ERROR_TYPES, which rows of a table are flagged.

    threshold: f64[3], rows at least as probable are. held_back: bool[3], whether fewer are because of the bound of
    doubt.
    """

    threshold: np.ndarray
    held_back: np.ndarray


def f1_threshold(probability: np.ndarray) -> float:
    """Threshold at which flagging rows has the largest expected F1, if the probabilities are calibrated.

    Flagging the k most probable rows has expected F1 of about 2 Σ p over them / (k + Σ p over all rows).

    Args:
      probability: f[N].
    Returns:
      The lowest probability to flag, in [0, 1].
    Source: Lipton, Elkan & Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1 Measure".
    """
    ranked = np.sort(probability)[::-1]
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum() + 1e-12)
    return float(ranked[int(np.argmax(expected))])


def promised_f1(probability: np.ndarray) -> float:
    """Expected F1 at `f1_threshold` of f[N]: low if few rows are probable, or nothing tells wrong rows from others."""
    flagged = probability >= f1_threshold(probability)
    return float(2 * probability[flagged].sum() / (flagged.sum() + probability.sum() + 1e-12))


def decide(probability: np.ndarray, bounds: Bounds) -> Decision:
    """Thresholds for p f[N, 3]: somewhat below the best for F1, but within bounds.

    How common errors are in a table is uncertain, and where there are more of them than it seemed too few are flagged.
    Without a floor, a clean table would have its least improbable rows flagged. Where not even the best threshold
    promises much, a table may be clean, and only the most probable rows are flagged.
    """
    threshold, held_back = np.empty((2, probability.shape[1]))
    for t, (floor, doubt) in enumerate(zip(*bounds, strict=True)):
        of_type = probability[:, t]
        wanted = max(_LENIENCE * f1_threshold(of_type), floor)
        in_doubt = promised_f1(of_type) < doubt
        threshold[t] = max(wanted, _lowest_of_top(of_type, MOST_IN_DOUBT)) if in_doubt else wanted
        held_back[t] = threshold[t] > wanted
    return Decision(threshold, held_back.astype(bool))


def _lowest_of_top(probability: np.ndarray, share: float) -> float:
    """The lowest threshold in f[N] that no more than this share of the rows reach."""
    ranked = np.sort(probability)[::-1]
    beyond = ranked[int(share * len(ranked))]  # the most probable of those that are too many
    above = ranked[ranked > beyond]
    return float(above[-1] if len(above) else np.nextafter(beyond, np.inf))
