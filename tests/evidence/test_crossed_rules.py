"""Shortcuts that two columns make together."""

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from demix_jax.evidence.crossed_rules import crossed_rule
from demix_jax.evidence.rules import column_rules

NUM_CODES = (3, 2, 16, 2, 4)  # the third column holds ranges of a number
RANGES = (0, 0, 13, 0, 0)
ROLES = ([0, 1], [2, 3, 4])


def drawn(seed, num=3_000):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, RANGES[q] or NUM_CODES[q], num) for q in range(5)], axis=1).astype(np.int32)
    return rng, codes


def found(codes, labels):
    rules = column_rules(codes, NUM_CODES, labels, ordered=False, num_ranges=RANGES)
    return rules, crossed_rule(codes, NUM_CODES, labels, rules, ROLES, ordered=False, num_ranges=RANGES)


def noisy(rng, group, noise=0.15):
    return (group ^ (rng.random(len(group)) < noise)).astype(np.int32)


MADE = {
    "both": lambda codes: (codes[:, 0] == 1) & (codes[:, 4] == 2),
    "not both": lambda codes: ~((codes[:, 1] == 0) & (codes[:, 2] <= 5)),
    "one but not the other": lambda codes: (codes[:, 1] == 1) & (codes[:, 4] != 3),
    "exactly one": lambda codes: (codes[:, 1] == 1) ^ (codes[:, 3] == 0),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", MADE)
def test_a_rule_of_two_columns_is_found(kind, seed):
    rng, codes = drawn(seed)
    group = MADE[kind](codes)
    labels = noisy(rng, group)
    rules, crossed = found(codes, labels)
    assert crossed is not None
    cross, rule = crossed
    in_group, on_side = rule.group[cross.codes(codes)], rule.side[labels]
    assert ((in_group == on_side) == (group == (labels == 1))).mean() > 0.9
    assert rule.minority == pytest.approx(np.mean(in_group != on_side))
    assert rule.strength > max(r.strength for r in rules) and rule.two_way > 0.9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "group",
    [lambda codes: codes[:, 4] == 2, lambda codes: codes[:, 2] <= 5, lambda codes: codes[:, 3] + codes[:, 4] >= 4],
    ids=["one column", "a threshold", "two of one role"],
)
def test_none_where_one_column_or_one_role_tells_it_all(group, seed):
    rng, codes = drawn(seed)
    assert found(codes, noisy(rng, group(codes)))[1] is None
    assert found(codes, rng.integers(0, 2, len(codes)))[1] is None


def test_no_pair_of_groups_says_more():
    """Every pair of single codes, whose four cells are put together in every way, against mutual information."""
    rng, codes = drawn(5)
    labels = noisy(rng, MADE["both"](codes), 0.3)
    _, crossed = found(codes, labels)
    assert crossed is not None
    cross, rule = crossed
    got = mutual_info_score(rule.group[cross.codes(codes)], labels)
    for first, second in product(*ROLES):
        for a, b in product(range(NUM_CODES[first]), range(NUM_CODES[second])):
            inside = codes[:, first] == a, codes[:, second] == b
            if 0.05 <= np.mean(inside[0]) and 0.05 <= np.mean(inside[1]):
                assert mutual_info_score(inside[0] & inside[1], labels) <= got + 1e-9


def test_roles_without_columns_have_no_rule():
    _, codes = drawn(0)
    labels = codes[:, 3]
    rules = column_rules(codes, NUM_CODES, labels, ordered=False, num_ranges=RANGES)
    assert crossed_rule(codes, NUM_CODES, labels, rules, ([], [2]), ordered=False, num_ranges=RANGES) is None
