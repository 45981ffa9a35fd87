"""Calibration of the networks' logits, by what else is known of the row and of its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from demix_jax.classifier.table_level import NUM_ROW_INPUTS, NUM_TABLE_INPUTS, RowInput, TableLevel, from_log_odds
from demix_jax.common.error_types import ERROR_TYPES

_STEEPEST = 3.0  # a table's slopes are at most this many times the usual ones, and at least this part of them


class Calibration(NamedTuple):
    """Maps logits to calibrated log-odds: per error type a logistic regression that depends on the table.

    For one row, the log-odds are the sum of K `RowInput`s times slopes, plus a constant. How common the errors of a
    table are moves the constant, and how clear they are makes all slopes steeper or flatter: both are read off J
    `TableInput`s. That an input counts for an error, and not against it, holds in every table.

    mean, scale: f32[3, J], standardisation of the table inputs. slopes: f32[3, K], of an average table, none negative.
    steepness: f32[3, J], log factor of the slopes per standardised table input. constant: f32[3, J + 1], that of an
      average table and the change per standardised table input.
    """

    mean: np.ndarray
    scale: np.ndarray
    slopes: np.ndarray
    steepness: np.ndarray
    constant: np.ndarray

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
    """Slopes f[3, K] and constants f[3] for a table with inputs f[3, J]; numpy: NumPy or jax.numpy, which computes."""
    standard = numpy.clip((inputs - calibration.mean) / calibration.scale, -3, 3)
    steeper = (standard * calibration.steepness).sum(axis=1)
    factor = numpy.exp(numpy.clip(steeper, -np.log(_STEEPEST), np.log(_STEEPEST)))
    constant = calibration.constant[:, 0] + (standard * calibration.constant[:, 1:]).sum(axis=1)
    return factor[:, None] * calibration.slopes, constant


def weighted_sum(of_rows, coefficients, numpy=np):
    """Log-odds f[n, 3] of rows with inputs f[n, 3, K] by the slopes and constants of their table; numpy: as above."""
    slopes, constant = coefficients
    return numpy.einsum("ntk,tk->nt", of_rows, slopes) + constant[None]


def identity_calibration() -> Calibration:
    """A calibration that takes logits as log-odds."""
    types = len(ERROR_TYPES)
    slopes = np.zeros((types, NUM_ROW_INPUTS), np.float32)
    slopes[:, RowInput.LOGIT] = 1.0
    return Calibration(
        mean=np.zeros((types, NUM_TABLE_INPUTS), np.float32),
        scale=np.ones((types, NUM_TABLE_INPUTS), np.float32),
        slopes=slopes,
        steepness=np.zeros((types, NUM_TABLE_INPUTS), np.float32),
        constant=np.zeros((types, NUM_TABLE_INPUTS + 1), np.float32),
    )


def check_shapes(calibration: Calibration) -> None:
    """Asserts that the arrays of a calibration fit one another."""
    chex.assert_trees_all_equal_shapes(calibration, identity_calibration())
