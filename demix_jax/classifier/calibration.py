"""Calibration of the networks' logits, by what else is known of the row and of its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from demix_jax.classifier.table_level import LARGEST_LOG_ODDS, NUM_ROW_INPUTS, NUM_TABLE_INPUTS, RowInput, TableLevel
from demix_jax.common.error_types import ERROR_TYPES

NUM_HIDDEN = 12


class Calibration(NamedTuple):
    """Maps logits to calibrated log-odds: per error type a logistic regression whose coefficients depend on the table.

    For one row, the log-odds are the sum of K `RowInput`s times coefficients, plus a constant. A small network reads
    the coefficients and the constant off the J `TableInput`s. How common and how clear the errors of a table are, that
    is up to the table.

    mean, scale: f32[3, J], standardisation of the table inputs. into: f32[3, J, H] and bias: f32[3, H], of the hidden
      layer. out: f32[3, H, K + 1], from the hidden layer to coefficients and constant. usual: f32[3, K + 1],
      coefficients and constant of an average table.
    """

    mean: np.ndarray
    scale: np.ndarray
    into: np.ndarray
    bias: np.ndarray
    out: np.ndarray
    usual: np.ndarray

    def log_odds(self, logits: np.ndarray, signals: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """Calibrated log-odds f64[G, N, 3] by each of G networks.

        Args:
          logits: f32[G, N, 3]. signals: f32[N, F], of the same rows. levels: G summaries of the table.
        """
        each = []
        for level, of_rows in zip(levels, logits, strict=True):
            coefficients = table_coefficients(self, level.inputs)
            each.append(weighted_sum(level.of_rows(of_rows, signals), coefficients))
        return np.stack(each)

    def probability(self, logits: np.ndarray, signals: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f32[N, 3], probabilities from the mean log-odds of the networks; arguments as for `log_odds`."""
        return from_log_odds(self.log_odds(logits, signals, levels).mean(axis=0)).astype(np.float32)


def table_coefficients(calibration: Calibration, inputs, numpy=np):
    """f[3, K + 1], coefficients and constant for a table with inputs f[3, J].

    numpy: the module that computes, NumPy or jax.numpy.
    """
    standard = numpy.clip((inputs - calibration.mean) / calibration.scale, -3, 3)
    hidden = numpy.tanh(numpy.einsum("tj,tjh->th", standard, calibration.into) + calibration.bias)
    return calibration.usual + numpy.einsum("th,thk->tk", hidden, calibration.out)


def weighted_sum(of_rows, coefficients, numpy=np):
    """Log-odds f[n, 3] of rows with inputs f[n, 3, K] in a table with coefficients f[3, K + 1]; numpy: as above."""
    return numpy.einsum("ntk,tk->nt", of_rows, coefficients[:, :-1]) + coefficients[None, :, -1]


def identity_calibration() -> Calibration:
    """A calibration that takes logits as log-odds."""
    types = len(ERROR_TYPES)
    usual = np.zeros((types, NUM_ROW_INPUTS + 1), np.float32)
    usual[:, RowInput.LOGIT] = 1.0
    return Calibration(
        mean=np.zeros((types, NUM_TABLE_INPUTS), np.float32),
        scale=np.ones((types, NUM_TABLE_INPUTS), np.float32),
        into=np.zeros((types, NUM_TABLE_INPUTS, NUM_HIDDEN), np.float32),
        bias=np.zeros((types, NUM_HIDDEN), np.float32),
        out=np.zeros((types, NUM_HIDDEN, NUM_ROW_INPUTS + 1), np.float32),
        usual=usual,
    )


def from_log_odds(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities, same shape; log-odds are clipped at ±`LARGEST_LOG_ODDS`."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)))


def check_shapes(calibration: Calibration) -> None:
    """Asserts that the arrays of a calibration fit one another."""
    chex.assert_trees_all_equal_shapes(calibration, identity_calibration())
