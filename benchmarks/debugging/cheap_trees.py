"""The peer without influence vectors: boosted trees on cheap signals of a row, learned on injected errors elsewhere.

It tells what influence is worth: it learns from the same kind of corrupted tables, none of them the one in question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.debugging.cheap_signals import neighbour_disagreement, outlier_scores
from demix_jax.classifier.decision import best_f1
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data import TableEncoder, load_named
from demix_jax.data.folds.plan import make_folds, strata_of
from demix_jax.evidence.out_of_fold import out_of_fold_predictions
from demix_jax.meta_training.world import inject_at_random

_NUM_FOLDS = 5


class Task(NamedTuple):
    """One corrupted table: cheap signals f32[N, 10] of its rows, truth bool[N, 3], and the table's name."""

    signals: np.ndarray
    truth: np.ndarray
    table: str


def cheap_signals(dataset, trees, outliers: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """f32[N, 10]: out-of-fold probability of the given label and its rank, entropy, class prior, disagreement of the
    neighbours' labels and its rank, anomaly score and its rank, and the two largest robust z-scores.
    """
    from scipy.stats import rankdata

    n = len(dataset.y)
    p = trees.prediction
    entropy = -np.sum(p * np.log(p + 1e-9), axis=1) if dataset.task == "classification" else np.zeros(n)
    labels = strata_of(dataset.y, dataset.target)
    z = np.sort(np.log1p(np.abs(dataset.robust_z)), axis=1)[:, ::-1]
    z = np.pad(z, ((0, 0), (0, max(0, 2 - z.shape[1]))))
    ranks = [rankdata(values) / n for values in (trees.p_given, neighbours, outliers)]
    columns = (trees.p_given, ranks[0], entropy, (np.bincount(labels) / n)[labels], neighbours, ranks[1])
    return np.stack([*columns, outliers, ranks[2], z[:, 0], z[:, 1]], axis=1).astype(np.float32)


def make_tasks(
    tables: Sequence[str], *, per_table: int, rows: int, on_task: Callable[[], None] = lambda: None
) -> list[Task]:
    """`per_table` corrupted versions of each named table, with random errors of the classifier's training range."""
    tasks = []
    for table in tables:
        frame, label = load_named(table)
        for seed in range(per_table):
            rng = np.random.default_rng([seed, 7])
            part = frame.iloc[rng.permutation(len(frame))[:rows]].reset_index(drop=True)
            injected = inject_at_random(part, label, seed=1_000 + seed)
            dataset = TableEncoder.fit(injected.table, label).transform(injected.table)
            strata = strata_of(dataset.y, dataset.target)
            folds = make_folds(np.random.default_rng(seed), strata, num_folds=_NUM_FOLDS)
            trees = out_of_fold_predictions(dataset, folds, seed=seed)
            signals = cheap_signals(dataset, trees, outlier_scores(dataset, seed=seed), neighbour_disagreement(dataset))
            tasks.append(Task(signals, injected.truth[list(ERROR_TYPES)].to_numpy(bool), table))
            on_task()
    return tasks


class CheapTrees:
    """Three boosted-tree classifiers, one per error type, on the cheap signals of all rows of all tasks.

    Args:
      tasks: of tables other than those to be flagged. seed: of the learner.
    """

    def __init__(self, tasks: Sequence[Task], *, seed: int):
        from sklearn.ensemble import HistGradientBoostingClassifier

        signals = np.concatenate([task.signals for task in tasks])
        truth = np.concatenate([task.truth for task in tasks])
        self._models = [
            HistGradientBoostingClassifier(max_iter=150, learning_rate=0.06, random_state=seed).fit(signals, of_type)
            for of_type in truth.T
        ]

    def flags(self, dataset, trees, outliers: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        """bool[N, 3] of the rows; arguments as for `cheap_signals`. No true rate is told: the cut is where the expected
        F1 on these rows is largest.
        """
        signals = cheap_signals(dataset, trees, outliers, neighbours)
        p = np.stack([model.predict_proba(signals)[:, 1] for model in self._models], axis=1)
        return p >= [best_f1(p[:, t]).threshold for t in range(p.shape[1])]
