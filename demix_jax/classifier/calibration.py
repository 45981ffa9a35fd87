"""Calibration of the networks' logits, and the bounds that hold flags back."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from demix_jax.classifier.decision import LARGEST_LOG_ODDS, Bounds
from demix_jax.classifier.mixture import Mixture
from demix_jax.common.error_types import ALL_TYPES, ERROR_TYPES, PROBED_TYPES


class CalibrationInput(enum.IntEnum):
    """Positions of the inputs from which the log-odds of one error type are computed."""

    CONSTANT = 0
    LOGIT = 1
    TABLE_MEAN = 2  # of the logits of the table's rows
    PROBE_LOG_RATIO = 3  # log density ratio of probes to rows at this logit
    PROBE_LOG_SHARE = 4  # log of `Mixture.share`
    PROBE_LOG_HALF = 5  # log of `Mixture.half`


NUM_INPUTS = len(CalibrationInput)


class TableLevel(NamedTuple):
    """Summary of one table by one network.

    mean: f64[3], mean logits of the table's rows.
    mixtures: per error type, the rows as a mixture with rows like the probes; None for a type without probes.
    """

    mean: np.ndarray
    mixtures: tuple[Mixture | None, ...]

    @classmethod
    def of(cls, logits: np.ndarray, probes: tuple[np.ndarray, np.ndarray] | None = None) -> TableLevel:
        """Summarises a table.

        Args:
          logits: f32[N, 3] of the table's rows.
          probes: logits f32[P, 3] of the table's probes, and bool[P, 3], the errors in them; None without probes.
        """
        chex.assert_shape(logits, (None, len(ERROR_TYPES)))
        mixtures: list[Mixture | None] = [None] * len(ERROR_TYPES)
        if probes is not None:
            of_probes, truth = probes
            chex.assert_equal_shape([of_probes, truth])
            for t in (error_type.column for error_type in PROBED_TYPES):
                mixtures[t] = Mixture.fit(logits[:, t], of_probes[truth[:, t], t])
        return cls(logits.mean(axis=0), tuple(mixtures))

    @property
    def has_probes(self) -> bool:
        """Whether the table has probes."""
        return any(mixture is not None for mixture in self.mixtures)

    def inputs(self, logits: np.ndarray) -> np.ndarray:
        """Inputs of the calibration for rows of the table: f32[n, 3] -> f64[n, 3, 6], see `CalibrationInput`."""
        result = np.zeros((*logits.shape, NUM_INPUTS))
        result[..., CalibrationInput.CONSTANT] = 1.0
        result[..., CalibrationInput.LOGIT] = logits
        result[..., CalibrationInput.TABLE_MEAN] = self.mean
        for t, mixture in enumerate(self.mixtures):
            if mixture is not None:
                result[:, t, CalibrationInput.PROBE_LOG_RATIO] = mixture.of_scores(logits[:, t])
                result[:, t, CalibrationInput.PROBE_LOG_SHARE] = np.log(mixture.share)
                result[:, t, CalibrationInput.PROBE_LOG_HALF] = np.log(mixture.half)
        return result


class Calibration(NamedTuple):
    """Maps logits to calibrated probabilities, and gives the bounds of flags.

    plain, probed: f32[3, 6], coefficients of the log-odds per error type and `CalibrationInput`, for tables without
      and with probes.
    floor, presence: f32[2, 3] and f32[2, 3, 3], see `Bounds`; first for tables without probes, then for those with.
    """

    plain: np.ndarray
    probed: np.ndarray
    floor: np.ndarray
    presence: np.ndarray

    def log_odds(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """Calibrated log-odds of each of G networks: logits f32[G, N, 3], G summaries of the table -> f64[G, N, 3]."""
        coefficients = self.probed if levels[0].has_probes else self.plain
        chex.assert_shape(coefficients, (len(ALL_TYPES), NUM_INPUTS))
        both = zip(levels, logits, strict=True)
        return np.stack([np.einsum("ntk,tk->nt", level.inputs(of_rows), coefficients) for level, of_rows in both])

    def probability(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f32[N, 3], probabilities from the mean log-odds of the networks; arguments as for `log_odds`."""
        return from_log_odds(self.log_odds(logits, levels).mean(axis=0)).astype(np.float32)

    def bounds(self, levels: Sequence[TableLevel]) -> Bounds:
        """Bounds of flags for a table with these summaries."""
        probed = int(levels[0].has_probes)
        return Bounds(self.floor[probed], self.presence[probed])


def identity_coefficients() -> np.ndarray:
    """f32[3, 6], coefficients that leave every logit as it is."""
    coefficients = np.zeros((len(ERROR_TYPES), NUM_INPUTS), np.float32)
    coefficients[:, CalibrationInput.LOGIT] = 1.0
    return coefficients


def from_log_odds(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities, same shape; log-odds are clipped at ±`LARGEST_LOG_ODDS`."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)))
