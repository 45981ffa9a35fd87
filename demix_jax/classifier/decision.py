"""From probabilities to flags: the threshold that promises the best F1 on this table, above a floor."""

from __future__ import annotations

import numpy as np

_LENIENCE = 0.8  # of the best threshold, where the probabilities of a whole table may be too low together


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
    expected_f1 = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum() + 1e-12)
    return float(ranked[int(np.argmax(expected_f1))])


def thresholds(probability: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """f64[3] thresholds for p f[N, 3]: somewhat below the best for F1, but never below floor f[3].

    How common errors are in a table is uncertain, and where there are more of them than it seemed too few are flagged.
    Without a floor, a clean table would have its least improbable rows flagged.
    """
    best = np.array([f1_threshold(probability[:, t]) for t in range(probability.shape[1])])
    return np.maximum(_LENIENCE * best, floor)
