"""Linear models of a table: of the terms of its texts and of the encoded features of all other columns.

The strength of regularisation is chosen on validation rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, hstack

from demix_jax.common.sparse import Sparse
from demix_jax.common.target import Target
from demix_jax.common.threads import one_thread

if TYPE_CHECKING:
    from demix_jax.data import Dataset

MIN_VALID = 30  # validation rows from which on something is chosen by them
_OF_CLASSES = 16.0, 64.0, 4.0, 1.0  # inverse strengths of regularisation C that are tried, see `_least_loss`
_OF_NUMBERS = 1.0, 4.0, 0.25, 0.0625
_UNCHOSEN = 2  # position of the C that is taken without enough validation rows
_MAX_STEPS, _TOLERANCE = 30, 2e-5
# Stored values of the training rows times classes; of more, evenly spaced rows are used. Many rows say little more of
# a few features.
_MAX_WORK, _MAX_WORK_OF_FEATURES = 100_000_000, 3_000_000
_WILD = 4.0  # target: numbers farther from the median, in robust standard deviations, are moved there
_LEAST_P = 1e-6


class LinearInputs(NamedTuple):
    """What linear models read of N rows: the terms of texts and the features of all other columns, V in all.

    values: f32[N, V], sparse if there are terms; those of a text have norm at most 1, and so have the other features on
      average.
    columns: i[V], the encoded column that each input comes from.
    """

    values: Sparse | np.ndarray
    columns: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset) -> LinearInputs:
        """The inputs of a dataset."""
        texts = set(dataset.term_columns.tolist())
        others = [q for q in range(len(dataset.groups)) if q not in texts]
        features = np.concatenate([np.zeros(0, int), *(np.arange(*dataset.groups[q]) for q in others)])
        sources = [np.full(dataset.groups[q][1] - dataset.groups[q][0], q) for q in others]
        values = dataset.x[:, features] / np.float32(np.sqrt(max(len(features), 1)))
        if texts:
            values = hstack([dataset.terms, csr_matrix(values)], format="csr", dtype=np.float32)
        return cls(values, np.concatenate([dataset.term_columns, *sources]))

    def without(self, columns: Sequence[int]) -> np.ndarray:
        """Positions i[v] of the inputs of other columns than these."""
        return np.flatnonzero(~np.isin(self.columns, columns))


class LinearLearner(NamedTuple):
    """A linear model of K classes or one target.

    model: from scikit-learn. default: f32[K], probabilities of classes that it never saw. read: i[v], inputs it reads.
    """

    model: Any
    default: np.ndarray
    read: np.ndarray

    def predict(self, values: Sparse | np.ndarray) -> np.ndarray:
        """f32[n, K] for inputs f32[n, V]."""
        result = np.tile(self.default, (values.shape[0], 1))
        if not values.shape[0]:
            return result
        values = _of_columns(values, self.read)
        if not hasattr(self.model, "classes_"):
            return self.model.predict(values).astype(np.float32)[:, None]
        result[:, self.model.classes_] = self.model.predict_proba(values)
        return result / result.sum(axis=1, keepdims=True)


def fit_linear(
    dataset: Dataset, values: Sparse | np.ndarray, read: np.ndarray, *, train: np.ndarray, valid: np.ndarray
) -> LinearLearner | None:
    """Fits a linear model: multinomial logistic regression, or ridge regression of a target without wild values.

    Args:
      dataset: N rows. values: their inputs f32[N, V]. read: i[v], the inputs that the model reads.
      train: i[n], rows to fit. valid: i[m], rows on which the regularisation is chosen, by log loss or absolute error.
    Returns:
      The learner; None where it could only predict the class of all training rows, or reads nothing.
    """
    if not len(read) or (not dataset.target.ordered and len(np.unique(dataset.y[train])) < 2):
        return None
    train = affordable(values, train, dataset.num_classes)
    fit, strengths = (_fit_ridge, _OF_NUMBERS) if dataset.target.ordered else (_fit_logistic, _OF_CLASSES)
    inputs = _of_columns(values[train], read)
    unseen = np.full(dataset.num_classes, _LEAST_P, np.float32)

    def learner(strength: float, start: LinearLearner | None) -> LinearLearner:
        return LinearLearner(fit(inputs, dataset.y[train], strength, start and start.model), unseen, read)

    def loss(fitted: LinearLearner) -> float:
        return _loss(dataset.y[valid], fitted.predict(values[valid]), dataset.target)

    with one_thread():
        if len(valid) < MIN_VALID:
            return learner(strengths[_UNCHOSEN], None)
        return _least_loss(learner, loss, strengths)


def affordable(values: Sparse | np.ndarray, train: np.ndarray, num_classes: int) -> np.ndarray:
    """Evenly spaced ones of the rows `train`, all of them if they are few."""
    if isinstance(values, np.ndarray):
        of_row, most = values.shape[1], _MAX_WORK_OF_FEATURES
    else:
        of_row, most = values.nnz / values.shape[0], _MAX_WORK
    count = int(min(len(train), most / (of_row * num_classes)))
    return train[np.linspace(0, len(train) - 1, max(count, 1)).astype(int)]


def _least_loss(
    learner: Callable[[float, LinearLearner | None], LinearLearner],
    loss: Callable[[LinearLearner], float],
    strengths: tuple[float, ...],
) -> LinearLearner:
    """The learner of least loss among those tried: with the second C if it is better than the first, else smaller ones.

    Each starts from the best before it.
    """
    best = learner(strengths[0], None)
    least, larger = loss(best), learner(strengths[1], best)
    if loss(larger) < least:
        return larger
    for strength in strengths[2:]:
        smaller = learner(strength, best)
        if (new := loss(smaller)) >= least:
            break
        best, least = smaller, new
    return best


def _loss(y: np.ndarray, prediction: np.ndarray, target: Target) -> float:
    """Mean log loss in nats of class probabilities f32[m, K], or mean absolute error of predicted targets f32[m, 1]."""
    if target.ordered:
        return float(np.abs(y - prediction[:, 0]).mean())
    return float(-np.log(np.maximum(prediction[np.arange(len(y)), y], _LEAST_P)).mean())


def _fit_logistic(inputs: Sparse | np.ndarray, y: np.ndarray, strength: float, start: Any) -> Any:
    """A logistic regression with inverse strength of regularisation C; it starts from the weights of `start`."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=_MAX_STEPS, tol=_TOLERANCE, warm_start=start is not None)
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start.coef_, start.intercept_, start.classes_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that nearly converged
        return model.fit(inputs, y)


def _fit_ridge(inputs: Sparse | np.ndarray, y: np.ndarray, strength: float, start: Any) -> Any:
    """A ridge regression with penalty 1 / `strength`; targets far from the median are moved nearer."""
    from sklearn.linear_model import Ridge

    del start
    center = np.median(y)
    reach = _WILD * np.median(np.abs(y - center)) / 0.6745
    model = Ridge(alpha=1 / strength, solver="sparse_cg", tol=_TOLERANCE, max_iter=_MAX_STEPS)
    return model.fit(inputs, np.clip(y, center - reach, center + reach) if reach > 0 else y)


def _of_columns(values: Sparse | np.ndarray, read: np.ndarray) -> Sparse | np.ndarray:
    """The columns i[v] `read` of f32[n, V]."""
    return values if len(read) == values.shape[1] else values[:, read]
