"""From logits to probabilities and to what holds flags back, by worlds that a network has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.classifier.decision import SUREST, Bounds
from demix_jax.classifier.inputs import PROBED
from demix_jax.classifier.mixture import Mixture
from demix_jax.common.error_types import ERROR_TYPES

if TYPE_CHECKING:
    pass

NUM_INPUTS = 6


class TableLevel(NamedTuple):
    """What one network makes of a table as a whole.

    mean: f64[3], of its rows' logits. mixtures: for each type, what its probes say; None where there are none.
    """

    mean: np.ndarray
    mixtures: tuple[Mixture | None, ...]

    @classmethod
    def of(cls, logits: np.ndarray, probes: tuple[np.ndarray, np.ndarray] | None = None) -> TableLevel:
        """Of logits f32[N, 3] of a table's rows; probes: theirs f32[P, 3], and the errors in them bool[P, 3]."""
        mixtures: list[Mixture | None] = [None] * len(ERROR_TYPES)
        if probes is not None:
            of_probes, truth = probes
            for t in PROBED:
                mixtures[t] = Mixture.fit(logits[:, t], of_probes[truth[:, t], t])
        return cls(logits.mean(axis=0), tuple(mixtures))

    @property
    def has_probes(self) -> bool:
        """Whether there are probes of the table."""
        return any(mixture is not None for mixture in self.mixtures)

    def inputs(self, logits: np.ndarray) -> np.ndarray:
        """f64[n, 3, 6] for logits f32[n, 3] of rows of the table: 1, the logit, the mean, and what the mixture says."""
        result = np.zeros((*logits.shape, NUM_INPUTS))
        result[..., 0], result[..., 1], result[..., 2] = 1.0, logits, self.mean
        for t, mixture in enumerate(self.mixtures):
            if mixture is not None:
                result[:, t, 3] = mixture.of_scores(logits[:, t])
                result[:, t, 4], result[:, t, 5] = np.log(mixture.share), np.log(mixture.half)
        return result


class Calibration(NamedTuple):
    """What is made of logits.

    plain, probed: f32[3, 6], what the log-odds gain per unit of `TableLevel.inputs`, of a table without probes and of
      one that has some.
    floor, presence: f32[2, 3], f32[2, 3, 3], see `Bounds`; of tables without and with probes.
    """

    plain: np.ndarray
    probed: np.ndarray
    floor: np.ndarray
    presence: np.ndarray

    def log_odds(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f64[G, N, 3] of logits f32[G, N, 3] of G networks, which make `levels` of the table."""
        coefficients = self.probed if levels[0].has_probes else self.plain
        both = zip(levels, logits, strict=True)
        return np.stack([np.einsum("ntk,tk->nt", level.inputs(of_rows), coefficients) for level, of_rows in both])

    def probability(self, logits: np.ndarray, levels: Sequence[TableLevel]) -> np.ndarray:
        """f32[N, 3], by the mean log-odds of the networks; arguments as for `log_odds`."""
        return from_log_odds(self.log_odds(logits, levels).mean(axis=0)).astype(np.float32)

    def bounds(self, levels: Sequence[TableLevel]) -> Bounds:
        """Of a table of which networks make `levels`."""
        probed = int(levels[0].has_probes)
        return Bounds(self.floor[probed], self.presence[probed])


def from_log_odds(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities of the same shape; none is surer than `SUREST`."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -SUREST, SUREST)))
