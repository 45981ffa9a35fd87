"""Thresholds: against trying every set of most probable rows, and against the F1 of labels drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.classifier.decision import Bounds, best_f1, decide, presence_inputs


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


def test_no_row_below_the_floor_is_flagged():
    probability = np.column_stack([np.full(50, 0.04), np.linspace(0, 0.2, 50), np.linspace(0, 1, 50)])
    got = decide(probability, [probability], Bounds(np.full(3, 0.3), np.zeros((3, 3))))
    assert (probability >= got.threshold).sum(axis=0).tolist()[:2] == [0, 0]
    assert got.threshold[2] == pytest.approx(max(0.3, best_f1(probability[:, 2]).threshold))
    assert not got.held_back.any()


def test_every_likely_row_is_flagged():
    """Whatever floor and doubt say: 30 of 100 rows have a probability of 0.5 or more, and 5 % may be flagged."""
    p = np.repeat([0.49, 0.5, 0.8], [70, 10, 20])[:, None].repeat(3, axis=1).astype(np.float32)
    got = decide(p, [p], Bounds(np.full(3, 0.9), np.outer([5.0, -5.0, -5.0], [1, 0, 0])))
    assert got.threshold.tolist() == [0.5] * 3 and (p >= got.threshold).sum(axis=0).tolist() == [30] * 3
    assert not got.held_back.any(), "the floor alone leaves no other row to hold back"


def test_wrong_labels_and_features_are_flagged_from_somewhat_below_the_best_threshold():
    p = np.random.default_rng(3).beta(0.4, 1.5, 500)
    p_of_types = np.repeat(p[:, None], 3, axis=1)
    got = decide(p_of_types, [p_of_types], Bounds(np.zeros(3), np.zeros((3, 3))))
    np.testing.assert_allclose(got.threshold / best_f1(p).threshold, [0.8, 0.8, 1.0])


def test_presence_is_told_by_what_is_promised_and_by_the_other_rows():
    low, high = np.repeat([0.01, 0.45], [90, 10]), np.repeat([0.2, 0.45], [90, 10])
    best = 2 * 4.5 / (10 + 5.4)
    assert best_f1(low) == pytest.approx((0.45, best))
    one, promised, mean = presence_inputs(low)
    assert one == 1 and promised == pytest.approx(np.log(best / (1 - best)))
    assert mean == pytest.approx(0.9 * np.log(0.01 / 0.99) + 0.1 * np.log(0.45 / 0.55))
    stand_out = np.tile([-2.0, 1.0, -1.0], (3, 1))
    for p, doubted in ((low, False), (high, True)):
        p_of_types = np.repeat(p[:, None], 3, axis=1)
        got = decide(p_of_types, [p_of_types], Bounds(np.zeros(3), stand_out))
        assert got.held_back.tolist() == [doubted] * 3
    for p in (np.zeros(5), np.ones(5)):
        assert np.isfinite(presence_inputs(p)).all()


def test_presence_is_the_mean_of_what_each_network_says():
    low, high = (np.repeat([p, 0.45], [90, 10])[:, None].repeat(3, axis=1) for p in (0.01, 0.2))
    told = [np.array([-2.0, 1.0, -1.0]) @ presence_inputs(p[:, 0]) for p in (low, high)]
    even = -float(np.mean(told))
    for offset, doubted in ((even - 1, True), (even + 1, False)):
        bounds = Bounds(np.zeros(3), np.tile([-2.0 + offset, 1.0, -1.0], (3, 1)))
        for together in (low, high):  # which is what decides the threshold
            got = decide(together, [low, high], bounds)
            wanted = decide(together, [together], Bounds(np.zeros(3), np.zeros((3, 3)))).threshold
            assert (got.threshold > wanted).tolist() == [doubted] * 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([0.01, 0.2, 0.21, 0.3, 0.49]), min_size=1, max_size=90))
def test_in_doubt_few_rows_are_flagged_the_most_probable_ones(values):
    """But for likely rows, which are all flagged."""
    probability = np.repeat(np.array(values, np.float32)[:, None], 3, axis=1)
    got = decide(probability, [probability], Bounds(np.full(3, 0.1), np.outer([5.0, 0.0, -5.0], [1, 0, 0])))
    at_ease, in_doubt = (np.flatnonzero(probability[:, t] >= got.threshold[t]) for t in (1, 2))
    assert got.threshold[0] == got.threshold[1] and got.held_back.tolist() == [
        False,
        False,
        len(at_ease) > len(in_doubt),
    ]
    most = int(0.05 * len(values))
    assert len(in_doubt) <= most and set(in_doubt) <= set(at_ease)
    left = np.setdiff1d(at_ease, in_doubt)
    if len(left):  # whoever is left out is less probable, and with those as probable they would be too many
        assert not len(in_doubt) or probability[left, 2].max() < probability[in_doubt, 2].min()
        assert len(in_doubt) + (probability[left, 2] == probability[left, 2].max()).sum() > most
