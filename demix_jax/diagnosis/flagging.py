"""From probabilities to flags in one table: thresholds, labels that cannot be judged, and rarer spellings."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES, LABEL_ERROR


class FlaggedRows(NamedTuple):
    """Flags bool[n, 3] and probabilities f32[n, 3] of n rows, in the order of `ERROR_TYPES`."""

    flags: np.ndarray
    probability: np.ndarray


class Flagging(NamedTuple):
    """Turns probabilities of a table's rows into flags.

    threshold: f64[3], rows with at least this probability are flagged.
    labels_judged: whether the labels can be judged at all.
    """

    threshold: np.ndarray
    labels_judged: bool

    @classmethod
    def of(cls, threshold: np.ndarray, *, labels_judged: bool) -> Flagging:
        """Flags by the classifier's thresholds f64[3].

        Where labels cannot be judged, probabilities of label errors are halved and so is their threshold. The same rows
        are flagged in the same order, but none is likely wrong.
        """
        scale = np.ones(len(ERROR_TYPES))
        if not labels_judged:
            scale[LABEL_ERROR.column] = LIKELY
        return cls(threshold * scale, labels_judged)

    def __call__(self, probability: np.ndarray, respelt: np.ndarray) -> FlaggedRows:
        """Flag n rows; a rarer spelling of a class is surely a label error.

        Args:
          probability: f32[n, 3], by the classifier. respelt: bool[n], rows whose label is spelled otherwise than most
            of its class.
        """
        chex.assert_shape(probability, (len(respelt), len(ERROR_TYPES)))
        probability = probability.copy()
        of_label = probability[:, LABEL_ERROR.column]
        if not self.labels_judged:
            of_label[:] = np.minimum(LIKELY * of_label, np.nextafter(np.float32(LIKELY), np.float32(0)))
        of_label[respelt] = 1.0
        return FlaggedRows(probability >= self.threshold, probability)
