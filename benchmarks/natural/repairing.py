"""What a repair of real label errors is worth: test accuracy of TF-IDF with a logistic regression."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.natural.peers import cleanlab_peer, text_learner, text_vectorizer
from benchmarks.natural.sets import LABEL, TEXT, LabelSet
from demix_jax import repair

STATES = ("noisy", "ours", "dropped by cleanlab", "relabelled by cleanlab", "true labels")
_WEIGHT = "sample_weight"


def accuracies(labels: LabelSet, found: pd.DataFrame, p: np.ndarray, *, seed: int) -> dict[str, float]:
    """Test accuracy, in [0, 1], of a model trained on each of STATES.

    Args:
      labels: a set of N texts with a test split. found: `Diagnosis.table` of it.
      p: f64[N, K], out-of-fold probabilities of the sorted classes, which cleanlab finds issues by and relabels with.
      seed: of the repair.
    """
    assert labels.true_label is not None and labels.test is not None
    given = labels.table[LABEL]
    y, classes = pd.factorize(given, sort=True)
    issues = cleanlab_peer(y, p).flags
    relabelled = np.where(issues, np.asarray(classes)[p.argmax(axis=1)], given)
    tables = {
        "noisy": labels.table,
        "ours": repair(labels.table, found, label=LABEL, seed=seed).table,
        "dropped by cleanlab": labels.table.loc[~issues],
        "relabelled by cleanlab": labels.table.assign(**{LABEL: relabelled}),
        "true labels": labels.table.assign(**{LABEL: labels.true_label}),
    }
    return {state: accuracy_on(tables[state], labels.test) for state in STATES}


def accuracy_on(train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Accuracy on `test` of TF-IDF (words and pairs) with a logistic regression; sample_weight of `train` counts."""
    vectorizer = text_vectorizer()
    x = vectorizer.fit_transform(train[TEXT])
    weight = train[_WEIGHT].to_numpy(float) if _WEIGHT in train.columns else np.ones(len(train))
    used = weight > 0
    model = text_learner().fit(x[used], train.loc[used, LABEL], sample_weight=weight[used])
    return float(np.mean(model.predict(vectorizer.transform(test[TEXT])) == test[LABEL].to_numpy()))
