"""What the evidence of a diagnosis could tell at best: a learner that is given the truth of the table's other rows."""

from __future__ import annotations

import numpy as np

from demix_jax.classifier.decision import best_f1

_NUM_FOLDS = 5


def bound_flags(signals: np.ndarray, truth: np.ndarray, *, seed: int) -> np.ndarray:
    """Flags bool[N, 3]: for each type, trees learn it from four fifths of the rows and judge the rest.

    What such trees miss, no classifier can be expected to find by these signals on a table that it does not know: a
    wrong label of a majority row and an honest minority row look alike.

    Args:
      signals: f32[N, F], of `Diagnosis.signals`. truth: bool[N, 3].
      seed: of folds and learners.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    flags = np.zeros(truth.shape, bool)
    folds = StratifiedKFold(_NUM_FOLDS, shuffle=True, random_state=seed)
    for t, wrong in enumerate(truth.T):
        if min(wrong.sum(), (~wrong).sum()) < _NUM_FOLDS:
            continue
        learner = HistGradientBoostingClassifier(
            max_iter=100, learning_rate=0.07, max_leaf_nodes=8, max_features=0.3, random_state=seed
        )
        predicted = cross_val_predict(learner, signals, wrong, cv=folds, method="predict_proba")
        p = np.asarray(predicted)[:, 1]
        flags[:, t] = p >= best_f1(p).threshold
    return flags
