"""The learners of a repair: histogram gradient boosting on the untransformed columns of a table."""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import numpy as np
import pandas as pd

from demix_jax.data.encoders.columns import FittedEncoder
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import as_dates, as_numbers, levels

MAX_LEVELS = 60


class TreeTable(NamedTuple):
    """A table as features of trees.

    features: f64[N, Q], one per usable column: numbers unchanged, dates in days, categories as codes of their most
      frequent levels. NaN where missing or where the level is rare. A vector or set has several features, those of
      task models.
    is_category: bool[Q]. kinds: str[Q], "number", "date", "category", "vector" or "set". names: the columns' labels
      in the frame.
    """

    features: np.ndarray
    is_category: np.ndarray
    kinds: tuple[str, ...]
    names: tuple[Any, ...]

    def take(self, rows: np.ndarray) -> TreeTable:
        """The same columns of these rows i[n]."""
        return self._replace(features=self.features[rows])


def tree_table(table: Table) -> TreeTable:
    """Encode the number, category, date, vector and set columns of an inspected table of N rows; not its label."""
    features, kinds, names = [], [], []
    for name, column, values in table.features():
        if column.kind == "number":
            features.append(as_numbers(values))
        elif column.kind == "category":
            features.append(_frequent_codes(values))
        elif column.kind == "date":
            features.append(_days(values))
        elif column.kind in ("vector", "set"):
            features += [x for part in FittedEncoder.fit(column, values).encode(values) for x in part.x.T]
        num_new = len(features) - len(names)
        kinds += [column.kind] * num_new
        names += [name] * num_new
    stacked = np.stack(features, axis=1) if features else np.zeros((len(table), 0))
    chex.assert_shape(stacked, (len(table), len(names)))
    return TreeTable(
        features=stacked, is_category=np.array(kinds) == "category", kinds=tuple(kinds), names=tuple(names)
    )


def fit_classifier(x: np.ndarray, y: np.ndarray, categorical: np.ndarray, *, num_steps: int, seed: int) -> Any:
    """A classifier of codes y i32[n] by features x f64[n, Q]; at least two codes must occur."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    num_codes = len(np.unique(y))
    steps = num_steps if num_codes <= 3 else max(15, 2 * num_steps // num_codes)
    return HistGradientBoostingClassifier(max_iter=steps, **_options(x, categorical, seed)).fit(x, y)


def fit_median(x: np.ndarray, y: np.ndarray, categorical: np.ndarray, *, num_steps: int, seed: int) -> Any:
    """A regressor of the conditional median of y f64[n] given features x f64[n, Q]."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    options = _options(x, categorical, seed)
    return HistGradientBoostingRegressor(loss="absolute_error", max_iter=num_steps, **options).fit(x, y)


def probabilities(model: Any, x: np.ndarray, num_codes: int) -> np.ndarray:
    """f64[n, num_codes]: class probabilities; almost 0 for a code that the model was not trained on."""
    result = np.full((len(x), num_codes), 1e-6)
    result[:, model.classes_.astype(int)] = model.predict_proba(x)
    return result / result.sum(axis=1, keepdims=True)


def _options(x: np.ndarray, categorical: np.ndarray, seed: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.1,
        "max_leaf_nodes": 15,
        "min_samples_leaf": max(3, min(20, len(x) // 50)),
        "l2_regularization": 1.0,
        "categorical_features": categorical if categorical.any() else None,
        "early_stopping": False,
        "random_state": seed,
    }


def _frequent_codes(column: pd.Series) -> np.ndarray:
    """f64[N]: rank of each row's level by frequency; NaN where missing, and from rank MAX_LEVELS on."""
    codes, _ = levels(column)
    counts = np.bincount(codes[codes >= 0], minlength=1)
    rank = np.full(len(counts) + 1, np.nan)  # the last entry serves code −1, missing
    frequent = np.argsort(-counts, kind="stable")[:MAX_LEVELS]
    rank[frequent] = np.arange(len(frequent))
    return rank[codes]


def _days(column: pd.Series) -> np.ndarray:
    """f64[N]: days since 1970; NaN where missing."""
    stamps = as_dates(column)
    days = stamps.to_numpy().astype("datetime64[s]").astype(np.float64) / 86_400
    return np.where(stamps.isna(), np.nan, days)
