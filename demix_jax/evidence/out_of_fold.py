"""What models that never saw a row predict for it: gradient-boosted trees, cross-fitted."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.evidence.folds import Folds

if TYPE_CHECKING:
    from demix_jax.data import Dataset


class OutOfFold(NamedTuple):
    """Out-of-fold predictions for N rows.

    prediction: f32[N, K] class probabilities, or f32[N, 1] predicted standardised target.
    p_given: f32[N], probability of the given label; for regression the two-sided tail probability of the
      residual among rows with similar predictions.
    """

    prediction: np.ndarray
    p_given: np.ndarray


def tree_features(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Table as trees like it: f32[N, R] with categories as codes, and bool[R] marking those columns."""
    blocks, categorical = [], []
    for q, (column, (start, stop)) in enumerate(zip(dataset.columns, dataset.groups, strict=True)):
        if column.kind == "category":
            blocks.append(dataset.codes[:, q : q + 1].astype(np.float32))
            categorical.append(True)
        else:
            blocks.append(dataset.x[:, start:stop])
            categorical.extend([False] * (stop - start))
    return np.concatenate(blocks, axis=1), np.array(categorical)


def out_of_fold_predictions(
    dataset: Dataset,
    folds: Folds,
    *,
    seed: int,
    drop_column: int | None = None,
    max_train: int = 30_000,
    on_fold: Callable[[int], None] = lambda rows: None,
) -> OutOfFold:
    """Cross-fitted predictions of histogram gradient boosting.

    Args:
      dataset: N encoded rows.
      folds: a row is predicted by the model of its fold, trained on that fold's training rows.
      seed: of the learner.
      drop_column: index q of a used column that the learner must do without, or None.
      max_train: training rows per fold at most.
      on_fold: called with the number of rows predicted, after each fold.
    """
    from threadpoolctl import threadpool_limits

    features, categorical = tree_features(dataset)
    if drop_column is not None:
        keep = _features_without(dataset, drop_column)
        features, categorical = features[:, keep], categorical[keep]
    prediction = np.zeros((len(features), dataset.num_classes), np.float32)

    def predict_fold(f: int) -> tuple[np.ndarray, np.ndarray]:
        train = folds.train[f]
        train = train[np.linspace(0, len(train) - 1, min(len(train), max_train)).astype(int)]
        rows = np.flatnonzero(folds.fold == f)
        return rows, _fit_predict(dataset, features, categorical, train, rows, seed)

    # One thread a fold: the learner's own threads wait for each other far longer than they work on tables.
    with threadpool_limits(1, "openmp"), ThreadPoolExecutor(min(os.cpu_count() or 1, len(folds.train))) as pool:
        for rows, predicted in pool.map(predict_fold, range(len(folds.train))):
            prediction[rows] = predicted
            on_fold(len(rows))
    if dataset.task == "regression":
        p_given = residual_tail_probability(dataset.y, prediction[:, 0])
    else:
        p_given = prediction[np.arange(len(features)), dataset.y]
    return OutOfFold(prediction, p_given.astype(np.float32))


def residual_tail_probability(y: np.ndarray, predicted: np.ndarray, *, num_bins: int = 10) -> np.ndarray:
    """Two-sided tail probability of y − predicted under a Laplace law whose scale varies with the prediction.

    Args:
      y, predicted: f32[N] each.
      num_bins: groups of equal size by prediction; each has its own median absolute residual.
    Returns:
      f32[N] in (0, 1]: exp(−|residual| / scale), the chance of a residual at least as large.
    """
    residual = np.abs(y - predicted)
    order = np.argsort(predicted, kind="stable")
    scale = np.empty(len(y))
    overall = np.median(residual) + 1e-6
    for rows in np.array_split(order, max(1, min(num_bins, len(y) // 30))):
        scale[rows] = max(float(np.median(residual[rows])), 0.2 * overall) / np.log(2)
    return np.exp(-residual / scale)


def _features_without(dataset: Dataset, drop_column: int) -> np.ndarray:
    """Positions in `tree_features` that do not come from used column `drop_column`."""
    widths = [1 if c.kind == "category" else b - a for c, (a, b) in zip(dataset.columns, dataset.groups, strict=True)]
    source = np.repeat(np.arange(len(widths)), widths)
    return np.flatnonzero(source != drop_column)


def _fit_predict(dataset, features, categorical, train, rows, seed) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    num_iterations = 100 if dataset.num_classes <= 3 else max(20, 200 // dataset.num_classes)
    options = {
        "max_iter": num_iterations,
        "learning_rate": 0.1,
        "max_leaf_nodes": 15,
        "min_samples_leaf": max(5, min(30, len(train) // 50)),
        "l2_regularization": 1.0,
        "categorical_features": categorical,
        "early_stopping": False,
        "random_state": seed,
    }
    if dataset.task == "regression":
        model = HistGradientBoostingRegressor(loss="absolute_error", **options)
        model.fit(features[train], dataset.y[train])
        return model.predict(features[rows])[:, None]
    result = np.full((len(rows), dataset.num_classes), 1e-6, np.float32)
    present = np.unique(dataset.y[train])
    if len(present) == 1:
        result[:, present[0]] = 1.0
    else:
        model = HistGradientBoostingClassifier(**options).fit(features[train], dataset.y[train])
        result[:, model.classes_] = model.predict_proba(features[rows])
    return result / result.sum(axis=1, keepdims=True)
