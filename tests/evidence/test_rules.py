"""Rules of columns, against trying every group of codes and every side; evidence and ranking by hand."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from demix_jax.evidence.abrupt_changes import step_scores
from demix_jax.evidence.rules import (
    ColumnRule,
    TargetScale,
    chance_of_following,
    column_rules,
    likely_shortcuts,
    mutual_information,
    rule_evidence,
)


def subsets(count):
    """bool masks of all non-empty sets without element 0, each standing for its complement too."""
    sizes = range(1, count)
    chosen = chain.from_iterable(combinations(range(1, count), size) for size in sizes)
    return [np.isin(np.arange(count), c) for c in chosen]


def best_by_trying_all(codes, labels, num_codes, sides):
    """Mutual information of the best pair (group, side), every group tried."""
    return max(mutual_info_score(group[codes], side[labels]) for group in subsets(num_codes) for side in sides)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("num_labels", "ordered"), [(2, False), (3, False), (4, False), (2, True)])
def test_no_other_group_or_side_says_more(seed, num_labels, ordered):
    rng = np.random.default_rng(seed)
    num_codes = 5
    codes = rng.integers(0, num_codes, 400)
    labels = np.where(rng.random(400) < 0.4, (codes * 3 + seed) % num_labels, rng.integers(0, num_labels, 400))
    labels[:num_labels] = np.arange(num_labels)
    (rule,) = column_rules(codes[:, None], (num_codes,), labels, ordered=ordered)
    sides = [np.arange(num_labels) >= t for t in range(1, num_labels)] if ordered else subsets(num_labels)
    got = mutual_info_score(rule.group[codes], rule.side[labels])
    assert got == pytest.approx(best_by_trying_all(codes, labels, num_codes, sides), abs=1e-9)
    in_group, on_side = rule.group[codes], rule.side[labels]
    table = [[np.sum((in_group == g) & (on_side == s)) for s in (False, True)] for g in (False, True)]
    np.testing.assert_allclose(rule.table, table)
    assert rule.minority == pytest.approx(np.mean(in_group != on_side))
    with_group, without = on_side[in_group].mean(), on_side[~in_group].mean()
    assert with_group > without, "the side must go with the group, not against it"
    share = on_side.mean()
    assert rule.strength <= got / entropy([share, 1 - share]) + 1e-9
    assert 0 <= rule.two_way <= 1


def test_with_many_classes_one_class_stands_against_the_rest():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, 2_000)
    codes = np.where(labels == 7, 1, rng.integers(0, 4, 2_000))
    (rule,) = column_rules(codes[:, None], (4,), labels, ordered=False)
    assert rule.side.sum() == 1 and rule.side[7]
    assert rule.group.tolist() == [False, True, False, False]


def test_a_perfect_rule_and_an_unrelated_column():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3_000)
    codes = np.stack([labels + 2 * rng.integers(0, 2, 3_000), rng.integers(0, 8, 3_000), np.zeros(3_000, int)], axis=1)
    perfect, unrelated, constant = column_rules(codes, (4, 8, 3), labels, ordered=False)
    assert perfect.strength > 0.97 and perfect.two_way > 0.95 and perfect.minority == 0
    assert perfect.group.tolist() in ([False, True, False, True], [True, False, True, False])
    assert unrelated.strength == 0 and constant.strength == 0
    assert unrelated.two_way == 0 and constant.two_way == 0


def test_chance_makes_no_strong_rule():
    rng = np.random.default_rng(3)
    rules = column_rules(rng.integers(0, 20, (5_000, 30)), (20,) * 30, rng.integers(0, 4, 5_000), ordered=False)
    assert np.mean([rule.strength > 0.005 for rule in rules]) <= 0.05


def test_two_way_is_lower_where_the_label_varies_along_the_column():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, 20_000)
    made = rng.random(20_000) < np.where(codes < 4, 0.15, 0.85)
    gradual = rng.random(20_000) < np.linspace(0.02, 0.98, 8)[codes]
    by_rule, by_itself = (
        column_rules(codes[:, None], (8,), label.astype(int), ordered=False)[0] for label in (made, gradual)
    )
    assert by_rule.two_way > 0.97 > 0.9 > by_itself.two_way


def test_mutual_information_of_independent_columns_is_near_zero():
    rng = np.random.default_rng(0)
    tables = [np.histogram2d(rng.random(400), rng.random(400), bins=(6, 3))[0] for _ in range(200)]
    raw = [mutual_info_score(None, None, contingency=table) for table in tables]
    assert np.mean([mutual_information(table) for table in tables]) < 0.4 * np.mean(raw)
    dependent = np.array([[4000.0, 1000.0], [1000.0, 4000.0]])
    want = mutual_info_score(None, None, contingency=dependent)
    assert mutual_information(dependent) == pytest.approx(want, rel=1e-3)


RULE = ColumnRule(
    group=np.array([True, False, True]),
    side=np.array([False, True]),
    strength=0.5,
    two_way=0.9,
    minority=0.2,
    step=0.0,
    label_step=0.0,
    table=np.array([[29.5, 9.5], [9.5, 49.5]]),  # by (in group, on side); with half a row each: 30, 10, 10, 50
)


def test_rule_evidence_by_hand():
    told = rule_evidence(RULE, np.array([0, 2, 1, 1]), np.array([1, 0, 1, 0]))
    assert told.in_group.tolist() == [True, True, False, False]
    assert told.on_side.tolist() == [True, False, True, False]
    want = np.log([0.5 / (0.6 * 0.6), 0.1 / (0.6 * 0.4), 0.1 / (0.4 * 0.6), 0.3 / (0.4 * 0.4)])
    np.testing.assert_allclose(told.log_ratio, want, rtol=1e-9)
    assert (told.log_ratio < 0).tolist() == [False, True, True, False], "rows that break the rule"
    np.testing.assert_allclose(told.p_side, [50 / 60, 50 / 60, 30 / 40, 30 / 40])


def test_the_likeliest_shortcut_is_strong_and_two_way():
    rules = [RULE._replace(strength=a, two_way=b) for a, b in ((0.3, 0.9), (0.01, 0.9), (0.4, 0.2), (0.4, 0.9))]
    assert likely_shortcuts(rules).tolist() == [3, 0, 2, 1]


def test_what_nearly_every_row_obeys_is_less_likely_a_shortcut():
    rules = [RULE._replace(strength=0.8, minority=0.01), RULE._replace(strength=0.4, minority=0.15)]
    assert likely_shortcuts(rules).tolist() == [1, 0]
    noise = RULE._replace(strength=0.01, minority=0.5)
    assert likely_shortcuts([noise, rules[0]]).tolist() == [1, 0], "it still says more than chance does"


def test_wrong_features_on_rows_with_right_labels_make_no_rule():
    """A third of the labels are wrong; the rare code falls on other rows, and so would seem to tell the label."""
    rng = np.random.default_rng(0)
    label, column = rng.random(6_000) < 0.2, rng.integers(0, 2, 6_000)
    wrong = rng.random(6_000) < 0.1
    column[wrong] = 2
    label ^= ~wrong & (rng.random(6_000) < 0.33)
    (misled,) = column_rules(column[:, None], (3,), label.astype(int), ordered=False)
    (clear,) = column_rules(column[:, None], (3,), label.astype(int), ordered=False, among=~wrong)
    assert misled.strength > 0.005 > 0.001 > clear.strength


def selected(rng, below, above, num=12_000):
    """Column and label that vary together smoothly, of which rows were chosen so that most keep "below ⇔ above"."""
    column = rng.normal(size=num)
    label = 0.6 * column + 0.8 * rng.normal(size=num)
    follows = (column <= below) == (label > above)
    kept = follows | (rng.random(num) < 0.15)
    return column[kept], label[kept]


def binned(values, num):
    return np.searchsorted(np.quantile(values, np.arange(1, num) / num), values)


def test_a_constructed_rule_is_told_from_a_smooth_relation_by_its_steps():
    column, label = selected(np.random.default_rng(0), below=-0.2, above=0.1)
    codes, bins = binned(column, 16), binned(label, 32)
    (made,) = column_rules(codes[:, None], (16,), bins, ordered=True, num_ranges=(16,))
    broken = made.group[codes] != made.side[bins]
    truly = (column <= -0.2) != (label > 0.1)
    assert np.mean(broken == truly) > 0.95
    assert made.step + made.label_step > 8
    rng = np.random.default_rng(1)
    column = rng.normal(size=6_000)
    label = 0.6 * column + 0.8 * rng.normal(size=6_000)
    (smooth,) = column_rules(binned(column, 16)[:, None], (16,), binned(label, 32), ordered=True, num_ranges=(16,))
    assert smooth.step + smooth.label_step < 5


def test_steps_ignore_a_straight_line_and_find_a_jump():
    total = np.full(12, 400.0)
    log_odds = np.linspace(-1.5, 1.5, 12)
    straight = step_scores(total / (1 + np.exp(-log_odds)), total)
    assert np.abs(straight).max() < 0.7
    jumping = step_scores(total / (1 + np.exp(-(log_odds + 2.0 * (np.arange(12) >= 7)))), total)
    assert jumping.argmax() == 6 and jumping[6] > 4
    assert step_scores(np.zeros((2, 3, 5)), np.zeros((2, 3, 5))).tolist() == np.zeros((2, 3, 4)).tolist()


def test_chance_of_following_by_hand():
    prediction = np.array([[0.3, 0.7], [0.9, 0.1]], np.float32)
    got = chance_of_following(RULE, np.array([True, False]), prediction, None)
    np.testing.assert_allclose(got, [0.7, 0.9], rtol=1e-6)


def test_chance_of_following_a_threshold_on_the_target():
    above = RULE._replace(side=np.array([False, False, True]))
    y = np.array([-1.0, -0.5, 0.6, 1.0, 2.0])
    labels = np.array([0, 1, 1, 2, 2])
    predicted = np.array([-1.0, 0.0, 1.0, 3.0, 2.0], np.float32)
    scale = TargetScale.fit(y, labels, predicted)
    got = chance_of_following(above, np.ones(5, bool), predicted[:, None], scale)
    assert got[2] == pytest.approx(0.5), "predicted exactly at the threshold, 1.0"
    assert got[0] < got[1] < 0.5 < got[4] < got[3] < 1
    outside = chance_of_following(above, np.zeros(5, bool), predicted[:, None], scale)
    np.testing.assert_allclose(outside, 1 - got)
