"""What the error network is fed: standardised and rank-normalised signals, and facts about the table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.classifier.schema import mean_ranks
from demix_jax.common.error_types import ErrorType
from demix_jax.common.target import Target

NUM_TABLE_FACTS = 4


class Probes(NamedTuple):
    """P rows of a table into which errors were put on purpose: what an error looks like there.

    vectors: f16[P, S, C]. signals: f32[P, F]. truth: bool[P, 3], a label error or a feature error in each; there are
    some of both.
    """

    vectors: np.ndarray
    signals: np.ndarray
    truth: np.ndarray

    def rows_of(self, error_type: ErrorType) -> np.ndarray:
        """i[k]: numbers of the probes with an error of this type."""
        return np.flatnonzero(self.truth[:, error_type.column])


def signal_inputs(
    signals: np.ndarray, mean: np.ndarray, scale: np.ndarray, among: np.ndarray | None = None
) -> np.ndarray:
    """Signals in two forms: on the scale of all training tables, and as normal scores within this table.

    The first tells how bad a table is, the second which of its rows stand out.

    Args:
      signals: f32[N, F]. mean, scale: f32[F], from the training tables.
      among: f32[R, F], each column ascending, the signals of the table; None if `signals` are all of them.
    Returns:
      f32[N, 2F].
    """
    scores = normal_scores(signals, np.sort(signals, axis=0) if among is None else among)
    return with_scores(signals, mean, scale, scores)


def with_scores(signals: np.ndarray, mean: np.ndarray, scale: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """f32[N, 2F], as by `signal_inputs`, where the normal scores f[N, F] are known already."""
    standardised = np.clip((signals - mean) / scale, -4, 4)
    return np.concatenate([standardised, scores], axis=1, dtype=np.float32)


def normal_scores(signals: np.ndarray, among: np.ndarray) -> np.ndarray:
    """f64[N, F], the second half of `signal_inputs`; arguments as there."""
    from scipy.special import ndtri

    ranks = np.clip((mean_ranks(signals, among) - 0.5) / len(among), 0.5 / len(among), 1 - 0.5 / len(among))
    return np.clip(ndtri(ranks), -3, 3)


def table_facts(num_rows: int, num_columns: int, target: Target) -> np.ndarray:
    """f32[4] facts about a table: its size, classes, columns and task, on comparable scales."""
    return np.array(
        [
            (np.log(num_rows) - 8) / 2,
            np.log(target.num_outputs),
            (np.log(num_columns) - 2.5),
            float(target.ordered),
        ],
        np.float32,
    )
