"""Whether labels can be judged: against scikit-learn's AUC, its spread over draws, and tables of known skill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from demix_jax.common.target import ClassTarget, RegressionTarget
from demix_jax.diagnosis.predictability import class_skill, number_skill, predictability
from demix_jax.domains.preference.words import PAIRS
from demix_jax.report.row_words import ROWS


def out_of_fold(x, y, *, classes: bool):
    model = (DecisionTreeClassifier if classes else DecisionTreeRegressor)(min_samples_leaf=20, random_state=0)
    found: Any = cross_val_predict(model, x, y, cv=5, method="predict_proba" if classes else "predict")
    return found if classes else found[:, None]


@pytest.mark.parametrize("num_classes", [2, 5])
def test_random_labels_cannot_be_judged(num_classes):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(1_000, 6)), rng.integers(0, num_classes, 1_000)
        told = predictability(y, [out_of_fold(x, y, classes=True)], ClassTarget(tuple(range(num_classes))))
        sentence = told.doubt(ROWS)
        assert not told.labels_judged and sentence is not None
        assert sentence.startswith("Labels cannot be judged here") and "AUC 0." in sentence


def test_a_noise_target_cannot_be_judged():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(1_000, 6)), rng.standard_t(3, 1_000)
        told = predictability(y, [out_of_fold(x, y, classes=False)], RegressionTarget())
        assert not told.labels_judged and "rank correlation" in str(told.doubt(ROWS))


def weak(rng, num_rows=2_000):
    """Labels whose best score has an AUC of Φ(0.36 / √2) = 0.60."""
    y = rng.integers(0, 2, num_rows)
    p = 1 / (1 + np.exp(-(rng.normal(size=num_rows) + 0.36 * y)))
    return y, np.column_stack([1 - p, p])


def test_a_weakly_predictive_table_can_be_judged():
    for seed in range(20):
        y, prediction = weak(np.random.default_rng(seed))
        told = predictability(y, [np.full((2_000, 2), 0.5), prediction], ClassTarget((0, 1)))
        assert told.labels_judged and told.doubt(ROWS) is None, "one of the models is enough"


def test_a_target_with_wild_labels_can_be_judged():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=800)
    y = np.where(rng.random(800) < 0.1, truth + 500, truth)
    assert predictability(y, [truth[:, None]], RegressionTarget()).labels_judged


def test_class_skill_is_the_mean_auc_by_share():
    rng = np.random.default_rng(1)
    y = rng.choice(4, 600, p=[0.5, 0.3, 0.15, 0.05])
    prediction = np.round(rng.dirichlet(np.ones(4), 600) + 0.2 * np.eye(4)[y], 1)  # with ties
    areas = [roc_auc_score(y == k, prediction[:, k]) for k in range(4)]
    assert class_skill(y, prediction).value == pytest.approx(2 * np.average(areas, weights=np.bincount(y)) - 1)


@pytest.mark.parametrize("rare", [0.5, 0.05])
def test_standard_error_is_the_spread_over_draws(rare):
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        y = (rng.random(400) < rare).astype(int)
        p = 1 / (1 + np.exp(-(rng.normal(size=400) + 0.7 * y)))
        found.append(class_skill(y, np.column_stack([1 - p, p])))
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)


def test_number_skill_is_the_rank_correlation():
    rng = np.random.default_rng(2)
    y = rng.normal(size=300)
    prediction = np.round(y + rng.normal(size=300))
    want: Any = spearmanr(y, prediction)
    assert number_skill(y, prediction).value == pytest.approx(want.statistic)


@pytest.mark.parametrize("shown", [np.full((40, 1), 0.25), np.full((40, 3), 1 / 3)])
def test_constant_predictions_have_no_skill(shown):
    y = np.arange(40) % 3
    target = RegressionTarget() if shown.shape[1] == 1 else ClassTarget((0, 1, 2))
    told = predictability(y, [shown], target)
    assert told.skills[0].value == pytest.approx(0) and not told.labels_judged
    assert str(told.doubt(PAIRS)).startswith("Preferences cannot be judged here")


def test_a_single_class_has_no_skill():
    assert class_skill(np.zeros(9, int), np.ones((9, 1))) == (0.0, 0.0)
