"""Which of many features say most about the label: the trees of a wide table read only these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.data.folds.plan import strata_of

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_AT_ONCE = 512  # features


def label_association(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Share of each encoded feature's variance, or of its square's, that the label explains; the larger of the two.

    The square tells of a feature that is large in either direction for one label. All features have equally many
    degrees of freedom, so that the order of the shares is that of the F statistics.

    Args:
      dataset: N rows with D encoded features. rows: i[n], the rows that count.
    Returns:
      f64[D] in [0, 1]; 0 for a feature that is constant among the rows.
    Source: analysis of variance, Fisher 1925; screening by marginal association, Fan & Lv 2008.
    """
    labels = strata_of(dataset.y, dataset.target)[rows]
    is_label = (np.unique(labels)[:, None] == labels).astype(np.float64)  # [L, n]
    result = np.empty(dataset.x.shape[1])
    for start in range(0, len(result), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        x = dataset.x[rows, part].astype(np.float64)
        result[part] = np.maximum(_explained_share(x, is_label), _explained_share(np.square(x), is_label))
    return result


def most_predictive(association: np.ndarray, source: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
    """The features of the trees that say most about the label.

    Args:
      association: f64[D], see `label_association`.
      source: i[D], number of the tree feature that each encoded feature belongs to, −1 for none.
      among: i[k], tree features to choose from. count: how many to choose at most.
    Returns:
      i[min(k, count)], some of `among`, in their order.
    """
    of_tree = np.zeros(max(source.max(initial=-1), among.max(initial=-1)) + 1)
    np.maximum.at(of_tree, source[source >= 0], association[source >= 0])
    best = np.argsort(-of_tree[among], kind="stable")[:count]
    return among[np.sort(best)]


def _explained_share(x: np.ndarray, is_label: np.ndarray) -> np.ndarray:
    """f64[D]: share of the variance of x f64[n, D] that lies between the labels f64[L, n]."""
    x = x - x.mean(axis=0)
    between = (np.square(is_label @ x) / is_label.sum(axis=1, keepdims=True)).sum(axis=0)
    total = np.square(x).sum(axis=0)
    return np.where(total > 1e-12, between / np.maximum(total, 1e-12), 0.0)
