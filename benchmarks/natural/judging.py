"""How well a diagnosis, and each peer, matches the truth: one record per error type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.debugging.scores import binary_scores, expected_calibration_error, ranking_scores, reliability
from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.natural.peers import Peer


def type_scores(found: pd.DataFrame, truth: np.ndarray, error_type: str) -> dict[str, Any]:
    """Scores of a diagnosis for one type.

    Args:
      found: `Diagnosis.table` of N rows. truth: bool[N].
    Returns:
      Of the flags precision, recall, f1, flagged and true (shares of the rows); of the rows with p ≥ 0.5 likely_f1 and
      likely (share); of the probabilities auroc, average_precision, ece, and estimated, their mean: the rate of wrong
      rows that the diagnosis implies. AUROC and average precision are None where all rows are alike.
    """
    p = found[f"p_{error_type}"].to_numpy(float)
    likely = binary_scores(truth, p >= LIKELY)
    return {
        **binary_scores(truth, found[error_type].to_numpy(bool)),
        "likely_f1": likely["f1"],
        "likely": likely["flagged"],
        **ranking_scores(truth, p),
        "ece": expected_calibration_error(reliability(truth, p)),
        "estimated": float(p.mean()),
    }


def all_scores(found: pd.DataFrame, truth: np.ndarray) -> dict[str, dict]:
    """`type_scores` of every type; truth: bool[N, 3]."""
    return {name: type_scores(found, truth[:, t], name) for t, name in enumerate(ERROR_TYPES)}


def peer_scores(peers: Mapping[str, Peer], truth: np.ndarray) -> dict[str, dict]:
    """precision, recall, f1, flagged, true, auroc and average_precision of each peer; truth: bool[N]."""
    return {name: binary_scores(truth, peer.flags) | ranking_scores(truth, peer.score) for name, peer in peers.items()}


def one_line(scores: dict[str, Any], peers: dict[str, dict]) -> str:
    """Scores of one type and of its peers as a line for the terminal."""
    ours = f"F1 {scores['f1']:.2f}, likely {scores['likely_f1']:.2f}, AP {_text(scores['average_precision'])}, "
    ours += f"rate {scores['true']:.3f} estimated {scores['estimated']:.3f}"
    others = "; ".join(
        f"{name} F1 {each['f1']:.2f}, AP {_text(each['average_precision'])}" for name, each in peers.items()
    )
    return f"{ours} | {others}" if others else ours


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
