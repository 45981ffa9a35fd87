"""Simple features of rows, and linear models of their classes, for label errors that depend on the features."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.corruption.groups import is_number, series_of
from demix_jax.corruption.words import is_free_text, word_matrix

if TYPE_CHECKING:
    import pandas as pd

_FREQUENT_VALUES = 5  # of a column of categories
_NUM_WORDS = 300  # of a column of free text
_MAX_WORD_SHARE = 0.3
_MAX_FIT = 4_000  # rows that a linear model is fitted on


def simple_features(features: pd.DataFrame) -> np.ndarray:
    """f64[N, D]: ranks of numbers in [−1/2, 1/2], indicators (0 or 1/2) of frequent values, and words of free text."""
    from demix_jax.data.lists import holds_lists

    columns = [np.zeros((len(features), 1))]
    for name in features.columns:
        series = series_of(features, name)
        if holds_lists(series):
            continue
        if is_number(series):
            ranks = series.rank(pct=True).fillna(0.5).to_numpy(dtype=np.float64) - 0.5
            columns.append(ranks[:, None])
        elif is_free_text(series):
            columns.append(_words(series))
        else:
            columns.append(_frequent_values(series))
    return np.concatenate(columns, axis=1)


def _frequent_values(series: pd.Series) -> np.ndarray:
    """f64[N, d]: 1/2 where the value is one of the five most frequent."""
    try:
        frequent = series.value_counts().index[:_FREQUENT_VALUES]
    except TypeError:  # unhashable values, such as dicts
        return np.zeros((len(series), 0))
    has = [0.5 * (series == value).to_numpy(dtype=np.float64, na_value=0.0) for value in frequent]
    return np.stack(has, axis=1) if has else np.zeros((len(series), 0))


def _words(series: pd.Series) -> np.ndarray:
    """f64[N, d]: the frequent words of each text by their inverse document frequency, rows of length 1."""
    has = np.asarray(word_matrix(series, max_words=_NUM_WORDS, max_share=_MAX_WORD_SHARE).todense(), dtype=np.float64)
    weighted = has * np.log(len(has) / np.maximum(has.sum(0), 1.0))
    return weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)


def margins_to_centroids(features: pd.DataFrame, codes: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """f64[N]: how much nearer a row is to its class's centroid than to the nearest other; i64[N]: that class."""
    x = simple_features(features)
    one_hot = np.eye(num_classes)[codes]
    centroids = (one_hot.T @ x) / np.maximum(one_hot.sum(0), 1.0)[:, None]
    distance = (centroids**2).sum(1) - 2 * x @ centroids.T  # without |x|², which is the same for all classes
    own = distance[np.arange(len(x)), codes]
    distance[np.arange(len(x)), codes] = np.inf
    return distance.min(1) - own, distance.argmin(1)


class LinearModel(NamedTuple):
    """Multinomial logistic regression of the classes on `simple_features`.

    x: f64[N, D], with a column of ones. weights: f64[D, K].
    """

    x: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, features: pd.DataFrame, codes: np.ndarray, num_classes: int, rng: np.random.Generator) -> LinearModel:
        """Fit on the codes i64[N]; of more than 4,000 rows, on random ones."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        x = simple_features(features)
        x = np.concatenate([x[:, 1:] / np.maximum(x[:, 1:].std(axis=0), 1e-3), np.ones((len(x), 1))], axis=1)
        rows = rng.permutation(len(x))[:_MAX_FIT]
        rows = np.union1d(rows, np.unique(codes, return_index=True)[1])  # every class has a row
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LogisticRegression(C=0.3, max_iter=60, fit_intercept=False).fit(x[rows], codes[rows])
        weights = np.zeros((x.shape[1], num_classes))
        if len(fitted.classes_) == 2:
            weights[:, fitted.classes_] = fitted.coef_.T * [[-0.5, 0.5]]
        else:
            weights[:, fitted.classes_] = fitted.coef_.T
        return cls(x, weights)

    @property
    def logits(self) -> np.ndarray:
        """f64[N, K]."""
        return self.x @ self.weights


def best_other(logits: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f64[N]: logit of the own class (codes i64[N]) less that of the likeliest other; i64[N]: that class."""
    rows = np.arange(len(codes))
    others = logits.copy()
    others[rows, codes] = -np.inf
    return logits[rows, codes] - others.max(1), others.argmax(1)
