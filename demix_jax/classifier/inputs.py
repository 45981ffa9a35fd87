"""Inputs of the error network: standardised and rank-normalised signals, facts about the table, and probes."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from demix_jax.common.error_types import ErrorType
from demix_jax.common.ranks import mean_ranks
from demix_jax.common.target import Target

NUM_TABLE_FACTS = 4


class Probes(NamedTuple):
    """P rows of a table with injected errors, which show what an error looks like in this table.

    vectors: f16[P, S, C]. signals: f32[P, F].
    truth: bool[P, 3], an error of one of PROBED_TYPES in each row; each of these types occurs.
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
    """Signals in two forms: standardised over all training tables, and as normal scores within this table.

    The first form shows how bad a table is, the second which of its rows stand out.

    Args:
      signals: f32[N, F]. mean, scale: f32[F], of the training tables.
      among: f32[R, F], signals of the table's rows, each column in ascending order; None if `signals` are all of them.
    Returns:
      f32[N, 2F].
    """
    scores = normal_scores(signals, np.sort(signals, axis=0) if among is None else among)
    return with_scores(signals, mean, scale, scores)


def with_scores(signals: np.ndarray, mean: np.ndarray, scale: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """f32[N, 2F] as from `signal_inputs`, with normal scores f[N, F] that are known already."""
    chex.assert_equal_shape([signals, scores])
    chex.assert_shape([mean, scale], signals.shape[1:])
    standardised = np.clip((signals - mean) / scale, -4, 4)
    return np.concatenate([standardised, scores], axis=1, dtype=np.float32)


def normal_scores(signals: np.ndarray, among: np.ndarray) -> np.ndarray:
    """f64[N, F], standard normal quantiles of the signals' ranks, within ±3; arguments as for `signal_inputs`."""
    from scipy.special import ndtri

    ranks = np.clip((mean_ranks(signals, among) - 0.5) / len(among), 0.5 / len(among), 1 - 0.5 / len(among))
    return np.clip(ndtri(ranks), -3, 3)


def table_facts(num_rows: int, num_columns: int, target: Target) -> np.ndarray:
    """f32[4], facts about a table on comparable scales: numbers of rows, classes and columns, and the task."""
    return np.array(
        [
            (np.log(num_rows) - 8) / 2,
            np.log(target.num_outputs),
            (np.log(num_columns) - 2.5),
            float(target.ordered),
        ],
        np.float32,
    )
