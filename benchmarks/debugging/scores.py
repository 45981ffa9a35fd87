"""How well flags and probabilities match the true error types."""

from __future__ import annotations

import numpy as np

from demix_jax.common.bands import bands_of
from demix_jax.common.error_types import ERROR_TYPES

NUM_BINS = 15


def flag_scores(truth: np.ndarray, flags: np.ndarray) -> dict:
    """Precision, recall and F1 of flags bool[N, 3] against the true types bool[N, 3].

    Returns:
      {"types": {type: {precision, recall, f1, flagged, true}}, "macro_f1", "any": the same five for "wrong in any
      way"}; flagged and true are shares of the rows. A type that neither occurs nor is flagged has F1 = 1.
    """
    types = {name: binary_scores(truth[:, t], flags[:, t]) for t, name in enumerate(ERROR_TYPES)}
    return {
        "types": types,
        "macro_f1": float(np.mean([scores["f1"] for scores in types.values()])),
        "any": binary_scores(np.asarray(truth.any(axis=1)), np.asarray(flags.any(axis=1))),
    }


def diagnosis_scores(truth: np.ndarray, flags: np.ndarray, probability: np.ndarray) -> dict:
    """`flag_scores`, and per type auroc, average_precision, ece, reliability bins of p f[N, 3], and share likely.

    AUROC and average precision are None for a type that no row or every row has.
    """
    scores = flag_scores(truth, flags)
    for t, name in enumerate(ERROR_TYPES):
        bins = reliability(truth[:, t], probability[:, t])
        scores["types"][name]["likely"] = float(bands_of(flags[:, t], probability[:, t]).likely.mean())
        scores["types"][name] |= ranking_scores(truth[:, t], probability[:, t])
        scores["types"][name] |= {"ece": expected_calibration_error(bins), "reliability": bins}
    scores["ece"] = float(np.mean([scores["types"][name]["ece"] for name in ERROR_TYPES]))
    return scores


def ranking_scores(truth: np.ndarray, probability: np.ndarray) -> dict[str, float | None]:
    """auroc and average_precision of p f[N] for one type bool[N]; None if no row or every row has it."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    mixed = bool(truth.any() and not truth.all())
    return {
        "auroc": float(roc_auc_score(truth, probability)) if mixed else None,
        "average_precision": float(average_precision_score(truth, probability)) if mixed else None,
    }


def reliability(truth: np.ndarray, probability: np.ndarray) -> dict[str, list]:
    """Rows, sum of probabilities and number of true ones in NUM_BINS bins of equal width over [0, 1]."""
    place = np.minimum((probability * NUM_BINS).astype(int), NUM_BINS - 1)

    def total(weights: np.ndarray | None) -> list:
        return np.bincount(place, weights=weights, minlength=NUM_BINS).tolist()

    return {
        "rows": total(None),
        "probability": total(probability.astype(np.float64)),
        "true": total(truth.astype(np.float64)),
    }


def expected_calibration_error(bins: dict[str, list]) -> float:
    """Mean distance, over rows, of a bin's mean probability and its share of true ones.

    Source: Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, eq. 3.
    """
    gap = np.abs(np.subtract(bins["probability"], bins["true"]))
    return float(gap.sum() / max(1, sum(bins["rows"])))


def binary_scores(truth: np.ndarray, flag: np.ndarray) -> dict[str, float]:
    """Precision, recall and F1 of flags bool[N] against the truth bool[N], and the shares flagged and true.

    If no row is wrong and none is flagged, F1 = 1.
    """
    hits, flagged, true = int(np.sum(truth & flag)), int(flag.sum()), int(truth.sum())
    return {
        "precision": hits / flagged if flagged else float(not true),
        "recall": hits / true if true else 1.0,
        "f1": 2 * hits / (flagged + true) if flagged + true else 1.0,
        "flagged": flagged / len(truth),
        "true": true / len(truth),
    }
