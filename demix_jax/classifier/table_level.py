"""What one network sees of a table as a whole: estimates of how many of its rows are wrong, and how sure they are."""

from __future__ import annotations

import enum
from typing import NamedTuple

import chex
import numpy as np

from demix_jax.classifier.inputs import NUM_TABLE_FACTS
from demix_jax.classifier.mixture import Mixture
from demix_jax.classifier.schema import SIGNALS
from demix_jax.common.error_types import ERROR_TYPES, LABEL_ERROR, PROBED_TYPES

LARGEST_LOG_ODDS = 10.0  # calibration on held-out rows cannot support more
_NUM_STEPS = 50  # of expectation maximisation
_LEAST_SHARE = 1e-4
_MARGINS = (0.0, -0.5, -0.8)  # below these, out-of-fold predictions contradict a label more and more clearly


class RowInput(enum.IntEnum):
    """Positions of what the calibration reads of one row and error type."""

    LOGIT = 0
    PROBE_LOG_RATIO = 1  # log density ratio of probes to rows at this logit; 0 without probes
    LABEL_AGAINST = 2  # log-odds that the label is not what out-of-fold predictions say; 0 for other types
    TRUSTED_AGAINST = 3  # the same of predictions by models that never saw a doubtful row


class TableInput(enum.IntEnum):
    """Positions of what the calibration reads of a table and error type; shares as log-odds."""

    MEAN = 0  # mean probability of the rows, if logits were log-odds
    LIKELIEST_SHARE = 1  # the share under which the logits, as log-likelihood ratios, are likeliest
    PROBE_SHARE = 2  # `Mixture.share`; 0 without probes
    PROBE_HALF = 3  # `Mixture.half`; 0 without probes
    HAS_PROBES = 4
    EXPECTED_AGAINST = 5  # share of the rows whose label out-of-fold predictions expect to be another
    CONTRADICTED = 6  # shares of the rows with an out-of-fold margin below each of _MARGINS
    CLEARLY_CONTRADICTED = 7
    VERY_CLEARLY_CONTRADICTED = 8
    TRUSTED_CLEARLY = 9  # the same as CLEARLY_CONTRADICTED of models that never saw a doubtful row
    PREDICTED = 10  # nats that the out-of-fold predictions tell of the label
    FACTS = 11  # and the further ones, see `table_facts`


NUM_ROW_INPUTS = len(RowInput)
NUM_TABLE_INPUTS = TableInput.FACTS + NUM_TABLE_FACTS


class TableLevel(NamedTuple):
    """Summary of one table by one network.

    inputs: f64[3, J], see `TableInput`, in the order of ERROR_TYPES.
    mixtures: per error type, the rows as a mixture with rows like the probes; None for a type without probes.
    """

    inputs: np.ndarray
    mixtures: tuple[Mixture | None, ...]

    @classmethod
    def of(
        cls,
        logits: np.ndarray,
        signals: np.ndarray,
        facts: np.ndarray,
        probes: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> TableLevel:
        """Summarises a table.

        Args:
          logits, signals: f32[N, 3] and f32[N, F] of the table's rows. facts: f32[T], see `table_facts`.
          probes: logits f32[P, 3] of the table's probes, and bool[P, 3], the errors in them; None without probes.
        """
        chex.assert_shape(logits, (len(signals), len(ERROR_TYPES)))
        mixtures: list[Mixture | None] = [None] * len(ERROR_TYPES)
        if probes is not None:
            of_probes, truth = probes
            chex.assert_equal_shape([of_probes, truth])
            for t in (error_type.column for error_type in PROBED_TYPES):
                mixtures[t] = Mixture.fit(logits[:, t], of_probes[truth[:, t], t])
        inputs = np.zeros((len(ERROR_TYPES), NUM_TABLE_INPUTS))
        for t, mixture in enumerate(mixtures):
            inputs[t, TableInput.MEAN] = _log_odds(from_log_odds(logits[:, t]).mean())
            inputs[t, TableInput.LIKELIEST_SHARE] = _log_odds(likeliest_share(logits[:, t]))
            if mixture is not None:
                inputs[t, TableInput.PROBE_SHARE] = _log_odds(mixture.share)
                inputs[t, TableInput.PROBE_HALF] = _log_odds(mixture.half)
        inputs[:, TableInput.HAS_PROBES] = probes is not None
        inputs[:, TableInput.EXPECTED_AGAINST : TableInput.FACTS] = _of_labels(signals)
        inputs[:, TableInput.FACTS :] = facts
        return cls(inputs, tuple(mixtures))

    def of_rows(self, logits: np.ndarray, signals: np.ndarray) -> np.ndarray:
        """f64[n, 3, K], see `RowInput`, of rows of the table with logits f32[n, 3] and signals f32[n, F]."""
        result = np.zeros((*logits.shape, NUM_ROW_INPUTS))
        result[..., RowInput.LOGIT] = logits
        for t, mixture in enumerate(self.mixtures):
            if mixture is not None:
                result[:, t, RowInput.PROBE_LOG_RATIO] = mixture.of_scores(logits[:, t])
        against = (("tree", RowInput.LABEL_AGAINST), ("trusted", RowInput.TRUSTED_AGAINST))
        for learner, position in against:
            result[:, LABEL_ERROR.column, position] = _log_odds(_against(signals, learner))
        return result


def likeliest_share(log_ratio: np.ndarray) -> float:
    """The share of rows with an error under which the rows' log-likelihood ratios f[N] are likeliest, in (0, 1).

    Source: Saerens, Latinne & Decaestecker 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities".
    """
    share = 0.1
    for _ in range(_NUM_STEPS):
        share = float(np.clip(from_log_odds(log_ratio + _log_odds(share)).mean(), _LEAST_SHARE, 1 - _LEAST_SHARE))
    return share


def _of_labels(signals: np.ndarray) -> list[float]:
    """What out-of-fold predictions say of the table's labels: `TableInput` from EXPECTED_AGAINST to PREDICTED."""
    log_p, own, trusted = (_signal(signals, name) for name in ("tree_log_p", "tree_margin", "trusted_margin"))
    told = log_p.mean() - np.log(np.maximum(_signal(signals, "label_prior"), 1e-6)).mean()
    contradicted = [_log_odds(_share(own < margin)) for margin in _MARGINS]
    return [_log_odds(_against(signals, "tree").mean()), *contradicted, _log_odds(_share(trusted < _MARGINS[1])), told]


def _against(signals: np.ndarray, learner: str) -> np.ndarray:
    """f64[n], out-of-fold probability of another label than the given one."""
    return -np.expm1(np.minimum(_signal(signals, f"{learner}_log_p"), 0.0))


def _signal(signals: np.ndarray, name: str) -> np.ndarray:
    return signals[:, SIGNALS.index(name)].astype(np.float64)


def _share(hit: np.ndarray) -> float:
    """Share of the rows bool[n], slightly above 0 and below 1."""
    return (hit.sum() + 0.5) / (len(hit) + 1)


def from_log_odds(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities, same shape; log-odds are clipped at ±`LARGEST_LOG_ODDS`."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)))


def _log_odds(probability):
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probability) - np.log1p(-probability), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
