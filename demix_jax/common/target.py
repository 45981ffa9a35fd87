"""Prediction targets: classes or numbers, and every operation that differs between the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import jax
import numpy as np


class ResidualScale(NamedTuple):
    """Typical size of regression residuals by prediction, for B groups of equal size.

    edges: f64[B − 1], ascending predictions between the groups. scale: f64[B], of a Laplace distribution in each.
    """

    edges: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, y: np.ndarray, predicted: np.ndarray, *, num_bins: int = 10) -> ResidualScale:
        """Fit scales to targets and predictions f32[N]; each group has at least 30 rows or is the only one."""
        residual = np.abs(y - predicted)
        parts = np.array_split(np.sort(predicted), max(1, min(num_bins, len(y) // 30)))
        edges = np.array([part[0] for part in parts[1:]])
        overall = np.median(residual) + 1e-6
        group = np.searchsorted(edges, predicted, side="right")
        medians = [np.median(residual[group == b]) if (group == b).any() else overall for b in range(len(parts))]
        return cls(edges, np.maximum(medians, 0.2 * overall) / np.log(2))

    def tail_probability(self, y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """f64[N] in (0, 1]: exp(−|residual| / scale), the probability of a residual at least as large."""
        return np.exp(-np.abs(y - predicted) / self.scale[np.searchsorted(self.edges, predicted, side="right")])


class Target(Protocol):
    """A label as models see it; N rows, K outputs.

    y: i32[N] class index, or f32[N] standardised target. prediction: f32[N, K] class probabilities, or f32[N, 1].
    """

    @property
    def task(self) -> str:
        """Name in options and summaries: "classification" or "regression"."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether the label is a number."""
        ...

    @property
    def num_outputs(self) -> int:
        """Number of outputs K."""
        ...

    def predictions(self, outputs: np.ndarray | jax.Array) -> np.ndarray:
        """Predictions f32[..., K] from task model outputs of the same shape."""
        ...

    def residual_scale(self, y: np.ndarray, prediction: np.ndarray) -> ResidualScale | None:
        """Typical size of the residuals; None for classes."""
        ...

    def probability_of_given(
        self, y: np.ndarray, prediction: np.ndarray, residuals: ResidualScale | None
    ) -> np.ndarray:
        """f32[N], probability of the given label; for a number, the tail probability of its residual."""
        ...

    def margin(self, y: np.ndarray, prediction: np.ndarray, p_given: np.ndarray) -> np.ndarray:
        """f[N] in [−1, 1], probability f32[N] of the given label minus the largest probability of another label."""
        ...

    def entropy(self, prediction: np.ndarray) -> np.ndarray:
        """f[N], entropy in nats of the predicted class probabilities; 0 for numbers."""
        ...

    def disagreement(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """f32[N], total variation distance between two predictions; for numbers, their absolute difference."""
        ...

    def prediction_similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """f32[n, m], probability that predictions f32[n, K] and f32[m, K] draw the same class.

        For numbers: exp(−2 |difference|).
        """
        ...

    def label_similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """f[n, m] for labels [n] and [m]: 1 if equal, else 0; for numbers, exp(−2 |difference|)."""
        ...

    def decode(self, y: Iterable) -> list:
        """Original label values of class indices or standardised targets."""
        ...

    def decode_prediction(self, prediction: np.ndarray) -> list:
        """Most probable label of each row as an original value; for numbers, the predicted value."""
        ...


@dataclasses.dataclass(frozen=True)
class ClassTarget:
    """A label with K classes; see `Target`. classes: label values in index order."""

    classes: tuple
    task: str = dataclasses.field(default="classification", init=False)
    ordered: bool = dataclasses.field(default=False, init=False)

    @property
    def num_outputs(self) -> int:
        """See `Target`."""
        return max(1, len(self.classes))

    def predictions(self, outputs: np.ndarray | jax.Array) -> np.ndarray:
        """See `Target`."""
        logits = np.asarray(outputs)
        likelihood = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return likelihood / likelihood.sum(axis=-1, keepdims=True)

    def residual_scale(self, y: np.ndarray, prediction: np.ndarray) -> None:
        """See `Target`."""
        del y, prediction

    def probability_of_given(
        self, y: np.ndarray, prediction: np.ndarray, residuals: ResidualScale | None
    ) -> np.ndarray:
        """See `Target`."""
        del residuals
        return prediction[np.arange(len(prediction)), y]

    def margin(self, y: np.ndarray, prediction: np.ndarray, p_given: np.ndarray) -> np.ndarray:
        """See `Target`."""
        others = prediction.copy()
        others[np.arange(len(y)), y] = 0.0
        return p_given - others.max(axis=1)

    def entropy(self, prediction: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return -np.sum(prediction * np.log(prediction + 1e-9), axis=1)

    def disagreement(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return 0.5 * np.abs(first - second).sum(axis=1)

    def prediction_similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return first @ second.T

    def label_similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return (first[:, None] == second[None]).astype(np.float32)

    def decode(self, y: Iterable) -> list:
        """See `Target`.

        Example:
          >>> ClassTarget(("no", "yes")).decode([1, 0, 1])
          ['yes', 'no', 'yes']
        """
        return [self.classes[int(i)] for i in y]

    def decode_prediction(self, prediction: np.ndarray) -> list:
        """See `Target`."""
        return self.decode(prediction.argmax(axis=1))


@dataclasses.dataclass(frozen=True)
class RegressionTarget:
    """A numeric label; see `Target`.

    mean, scale: y * scale + mean is the original target. whole: whether all given targets are whole numbers.
    """

    mean: float = 0.0
    scale: float = 1.0
    whole: bool = False
    task: str = dataclasses.field(default="regression", init=False)
    ordered: bool = dataclasses.field(default=True, init=False)
    num_outputs: int = dataclasses.field(default=1, init=False)

    def predictions(self, outputs: np.ndarray | jax.Array) -> np.ndarray:
        """See `Target`."""
        return np.asarray(outputs)

    def residual_scale(self, y: np.ndarray, prediction: np.ndarray) -> ResidualScale:
        """See `Target`."""
        return ResidualScale.fit(y, prediction[:, 0])

    def probability_of_given(
        self, y: np.ndarray, prediction: np.ndarray, residuals: ResidualScale | None
    ) -> np.ndarray:
        """See `Target`."""
        assert residuals is not None, "the residuals of a number have a scale"
        return residuals.tail_probability(y, prediction[:, 0]).astype(np.float32)

    def margin(self, y: np.ndarray, prediction: np.ndarray, p_given: np.ndarray) -> np.ndarray:
        """See `Target`."""
        del y, prediction
        return 2 * p_given - 1

    def entropy(self, prediction: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return np.zeros(len(prediction))

    def disagreement(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return np.abs(first - second)[:, 0]

    def prediction_similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Target`: exp(−2 |difference|)."""
        return np.exp(-2 * np.abs(first - second.T))

    def label_similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """See `Target`."""
        return np.exp(-2 * np.abs(first[:, None] - second[None]))

    def decode(self, y: Iterable) -> list:
        """See `Target`; values are whole numbers if all given targets are.

        Example:
          >>> RegressionTarget(mean=10.0, scale=2.0, whole=True).decode([-1.0, 0.0, 2.5])
          [8, 10, 15]
        """
        values = np.asarray(y, dtype=np.float64) * self.scale + self.mean
        return [round(v) for v in values.tolist()] if self.whole else values.tolist()

    def decode_prediction(self, prediction: np.ndarray) -> list:
        """See `Target`."""
        return self.decode(prediction[:, 0])
