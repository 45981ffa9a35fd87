"""Scores that need no model of the data: disagreement with neighbours, and outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from demix_jax.data import Dataset


def outlier_scores(dataset: Dataset, *, seed: int) -> np.ndarray:
    """f[N] anomaly scores of an isolation forest, positive where scikit-learn would flag the row by itself.

    It sees numbers on their own scale, which does not matter to it, and categories by rank of frequency.
    """
    from sklearn.ensemble import IsolationForest

    columns = []
    for q, (column, (start, stop)) in enumerate(zip(dataset.columns, dataset.groups, strict=True)):
        if column.kind in ("number", "date"):
            columns.append(dataset.robust_z[:, q : q + 1])
        else:
            columns.append(dataset.codes[:, q : q + 1] if column.kind == "category" else dataset.x[:, start:stop])
    x = np.concatenate(columns, axis=1).astype(np.float32)
    forest = IsolationForest(n_estimators=200, contamination="auto", random_state=seed).fit(x)
    return -forest.decision_function(x)


def neighbour_disagreement(dataset: Dataset, *, num_neighbours: int = 20) -> np.ndarray:
    """f[N]: share of the nearest rows whose label differs; for regression the distance from their mean target."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=min(num_neighbours + 1, len(dataset.y)), algorithm="brute")
    rows = nearest.fit(dataset.x).kneighbors(dataset.x, return_distance=False)
    is_other = rows != np.arange(len(rows))[:, None]  # a row may not vote on itself
    labels = dataset.y[rows]
    if dataset.task == "regression":
        return np.abs(dataset.y - np.average(labels, axis=1, weights=is_other))
    return np.average(labels != dataset.y[:, None], axis=1, weights=is_other)
