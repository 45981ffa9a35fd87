"""A column that alone tells most of what all columns tell about the label, which without it are much worse."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from demix_jax.common.threads import one_thread
from demix_jax.data.notes.one_column import Feature, bins_of, gini, r_squared

# Skill is 2 · AUC − 1 of classes and R² of amounts. Chosen on UCI tables with a known leak (Bank's duration, Titanic's
# boat) and on others with one strong column that is none (Titanic's sex, Bike's hour, Covertype's elevation).
_LEAST_ALONE, _LEAST_LOSS = 0.5, 0.34
_LEAST_SHARE, _LEAST_SHARE_OF_AMOUNTS = 0.62, 0.85
_NEARLY_ALL, _LEAST_LOSS_OF_NEARLY_ALL = 0.9, 0.22
_FEWEST_ROWS, _FEWEST_COLUMNS = 300, 3  # in fewer rows, what a column adds is told too inexactly
_MOST_COLUMNS = 30
_MOST_CODES = 200
_NUM_TREES = 120  # over all classes


def near_giveaway(
    features: Sequence[Feature], skills: np.ndarray, y: np.ndarray, fold: np.ndarray, copies: Collection[str] = ()
) -> Feature | None:
    """The column that may be known only after the label, None if there is none.

    Args:
      features: columns of n rows, sorted by name. skills: f64[Q], of each column alone.
      y: i64[n], classes, or f64[n], amounts. fold: i64[n], 0 or 1.
      copies: names of columns that repeat another one; they are left out.
    """
    kept = [q for q in range(len(features)) if features[q].name not in copies]
    order = sorted(kept, key=lambda q: (-skills[q], features[q].name))[:_MOST_COLUMNS]
    if len(y) < _FEWEST_ROWS or len(order) < _FEWEST_COLUMNS or skills[order[0]] < _LEAST_ALONE:
        return None
    x = np.stack([_as_numbers(features[q]) for q in order], axis=1)
    alone = float(skills[order[0]])
    together = max(_skill_of_trees(x, y, fold), alone)
    is_classes = np.issubdtype(y.dtype, np.integer)
    if alone < (_LEAST_SHARE if is_classes else _LEAST_SHARE_OF_AMOUNTS) * together:
        return None
    loss = 1 - max(_skill_of_trees(x[:, 1:], y, fold), float(skills[order[1]])) / together
    is_near = loss >= _LEAST_LOSS or (alone >= _NEARLY_ALL and loss >= _LEAST_LOSS_OF_NEARLY_ALL)
    return features[order[0]] if is_near else None


def _as_numbers(one: Feature) -> np.ndarray:
    """f32[n]: ranks of numbers, or codes of texts by frequency; missing values are −1."""
    if one.numbers is None:
        return np.minimum(bins_of(one), _MOST_CODES).astype(np.float32)
    finite = np.isfinite(one.numbers)
    ranks = np.searchsorted(np.unique(one.numbers[finite]), one.numbers)
    return np.where(finite, ranks, -1).astype(np.float32)


def _skill_of_trees(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Skill of boosted trees on x f32[n, Q], out of fold; in one thread, since so little work is not worth more."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    is_classes = np.issubdtype(y.dtype, np.integer)
    num_classes = int(y.max()) + 1 if is_classes else 1
    options = {
        "max_iter": max(10, _NUM_TREES // max(num_classes, 2)),
        "max_leaf_nodes": 12,
        "min_samples_leaf": 10,
        "early_stopping": False,
        "random_state": 0,
    }
    found = np.zeros((len(y), num_classes))
    skill = 0.0
    for f in (0, 1):
        learned, asked = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        with one_thread():
            if is_classes:
                trees = HistGradientBoostingClassifier(**options).fit(x[learned], y[learned])
                found[np.ix_(asked, trees.classes_)] = trees.predict_proba(x[asked])
                skill += 0.5 * gini(found[asked], np.eye(found.shape[1])[y[asked]])
            else:
                found[asked, 0] = HistGradientBoostingRegressor(**options).fit(x[learned], y[learned]).predict(x[asked])
    return skill if is_classes else r_squared(y, found[:, 0])
