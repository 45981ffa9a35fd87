"""Pools the predictions of two models, with weights fitted on validation rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from demix_jax.common.target import Target

_LEAST_P = 1e-6
_PRIOR_ROWS = 5.0  # the pull of the weights to one half, as strong as a few rows
_MOST = 3.0  # largest weight
_SHARES = np.linspace(0, 1, 21)


class Pool(NamedTuple):
    """A weighted geometric mean of class probabilities, p ∝ p₁ᵃ p₂ᵇ, or a weighted mean of two predicted targets.

    first, second: the weights a and b. Their sum is a temperature: above 1 it makes classes more certain.
    Source: logarithmic opinion pool, Genest & Zidek 1986.
    """

    first: float = 0.5
    second: float = 0.5

    @classmethod
    def fit(cls, y: np.ndarray, first: np.ndarray, second: np.ndarray, target: Target) -> Pool:
        """The weights of least log loss, or of least absolute error, on m rows.

        Args:
          y: [m], class index or standardised target. first, second: f32[m, K], predictions of the two models.
          target: what the label is.
        """
        if target.ordered:
            errors = [np.abs(y - (1 - b) * first[:, 0] - b * second[:, 0]).mean() for b in _SHARES]
            b = float(_SHARES[int(np.argmin(errors))])
            return cls(1 - b, b)
        logs = np.stack([_log(first), _log(second)]).astype(np.float64)
        rows = np.arange(len(y))

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            log_p = log_softmax(np.tensordot(weights, logs, 1), axis=1)
            expected = (logs * np.exp(log_p)).sum(axis=2)
            pull = _PRIOR_ROWS * (weights - 0.5)
            value = pull @ (weights - 0.5) / 2 - log_p[rows, y].sum()
            return float(value) / len(y), (pull + (expected - logs[:, rows, y]).sum(axis=1)) / len(y)

        found = minimize(loss, np.array([0.5, 0.5]), jac=True, bounds=[(0, _MOST)] * 2, method="L-BFGS-B")
        return cls(*map(float, found.x))

    def __call__(self, first: np.ndarray, second: np.ndarray, target: Target) -> np.ndarray:
        """f32[n, K]: pooled predictions from those of the two models."""
        if target.ordered:
            return self.first * first + self.second * second
        return np.exp(log_softmax(self.first * _log(first) + self.second * _log(second), axis=1))


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, _LEAST_P))
