"""Thresholds: against trying every set of most probable rows, and against the F1 of labels drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.classifier.decision import best_f1, thresholds


def expected_f1(probability, threshold):
    flagged = probability >= threshold
    return 2 * probability[flagged].sum() / (flagged.sum() + probability.sum())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.01, 0.1, 0.2, 0.35, 0.5, 0.8, 0.97]), min_size=1, max_size=30))
def test_no_other_threshold_promises_more(values):
    probability = np.array(values)
    best = max(expected_f1(probability, threshold) for threshold in probability)
    assert expected_f1(probability, best_f1(probability).threshold) == pytest.approx(best, rel=1e-9)


def test_hand_computed():
    # flagging 1, 2, 3 rows: 1.6/2.2, 2.6/3.2, 2.8... : 2·0.8/(1+1.4), 2·1.3/(2+1.4), 2·1.4/(3+1.4)
    assert 2 * 1.3 / 3.4 > max(2 * 0.8 / 2.4, 2 * 1.4 / 4.4)
    assert best_f1(np.array([0.1, 0.8, 0.5])) == pytest.approx((0.5, 2 * 1.3 / 3.4))


def test_best_for_labels_drawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    probability = rng.beta(0.5, 2.0, 4_000)
    truth = rng.random((20, 4_000)) < probability

    def mean_f1(threshold):
        flagged = probability >= threshold
        return np.mean(2 * (truth & flagged).sum(axis=1) / (flagged.sum() + truth.sum(axis=1)))

    chosen = mean_f1(best_f1(probability).threshold)
    assert chosen > max(mean_f1(t) for t in np.linspace(0.05, 0.95, 19)) - 0.003


def test_threshold_is_half_the_best_f1():  # Lipton et al. 2014, theorem 1
    probability = np.random.default_rng(1).beta(0.4, 1.5, 50_000)
    threshold, promised = best_f1(probability)
    assert threshold == pytest.approx(promised / 2, abs=2e-3)


def test_promised_f1_is_the_best_expected_one():
    probability = np.random.default_rng(2).beta(0.4, 1.5, 500)
    assert best_f1(probability).promised == pytest.approx(max(expected_f1(probability, t) for t in probability))
    assert best_f1(np.zeros(20)).promised == 0


def test_every_likely_row_is_flagged_and_no_improbable_one():
    p = np.column_stack([np.repeat([0.97, 0.6], [5, 45]), np.repeat([0.3, 0.02], [10, 40]), np.full(50, 1e-4)])
    np.testing.assert_allclose(thresholds(p), [0.5, 0.3, 0.1])
    rare = np.repeat([0.9, 0.5, 0.01], [40, 1, 9])[:, None].repeat(3, axis=1)
    assert (thresholds(rare) <= 0.5).all()
    np.testing.assert_allclose(thresholds(np.zeros((20, 3))), 0.1)
