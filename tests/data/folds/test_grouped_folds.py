"""Folds that keep groups together: none is split, and sizes and classes are as even as a plain search gets them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.common.checks import InputError
from demix_jax.data.folds.group_parts import parts_of_groups, without_large_groups
from demix_jax.data.folds.plan import distinct, make_folds, repeated


@settings(max_examples=40, deadline=None)
@given(
    num_groups=st.integers(20, 150),
    largest=st.integers(3, 12),
    num_folds=st.integers(2, 5),
    share=st.sampled_from([0.01, 0.2]),
    seed=st.integers(0, 1000),
)
def test_no_model_sees_a_group_that_it_judges(num_groups, largest, num_folds, share, seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(
        np.repeat(rng.choice(10_000, num_groups, replace=False), rng.integers(1, largest, num_groups))
    )
    strata = rng.integers(0, 3, len(groups))
    folds = make_folds(rng, strata, num_folds=num_folds, groups=groups, valid_share=share)
    sizes = np.bincount(folds.fold, minlength=num_folds)
    assert sizes.max() - sizes.min() <= largest
    for f in range(num_folds):
        train, valid = set(groups[folds.train[f]]), set(groups[folds.valid[f]])
        judged = set(groups[folds.fold == f])
        assert not judged & train and not judged & valid
        limit = int(share * np.sum(folds.fold != f) / 2)
        small = {g for g in train & valid if np.sum(groups == g) <= max(limit, 1)}
        assert not small, "only large groups are split into training and validation rows"
        used = set(folds.train[f]) | set(folds.valid[f])
        assert used == set(np.flatnonzero(folds.fold != f)), "no row is lost"


def test_groups_of_one_row_change_nothing():
    strata = np.random.default_rng(1).integers(0, 3, 300)
    plain = make_folds(np.random.default_rng(2), strata, num_folds=4)
    grouped = make_folds(np.random.default_rng(2), strata, num_folds=4, groups=np.arange(300)[::-1] * 7)
    for a, b in zip(plain, grouped, strict=True):
        np.testing.assert_array_equal(a, b)


def test_classes_stay_in_proportion():
    rng = np.random.default_rng(0)
    label_of_group = rng.choice(3, 300, p=[0.7, 0.2, 0.1])
    groups = np.repeat(np.arange(300), 4)
    strata = label_of_group[groups]
    folds = make_folds(rng, strata, num_folds=5, groups=groups)
    want = np.bincount(strata) / 5
    for f in range(5):
        np.testing.assert_allclose(np.bincount(strata[folds.fold == f], minlength=3), want, atol=4.1)
        np.testing.assert_allclose(
            np.bincount(strata[np.unique(folds.valid[f])], minlength=3), 0.2 * 4 * want, atol=8.1
        )


def test_fewer_groups_than_folds_give_as_many_folds():
    groups = np.repeat([5, 6, 7], 40)
    folds = make_folds(np.random.default_rng(0), np.arange(120) % 2, num_folds=5, groups=groups)
    assert len(folds.train) == 3
    assert all(len(set(folds.fold[groups == g])) == 1 for g in (5, 6, 7))
    assert folds.valid.shape[1] == 16, "a large group is split into training and validation rows"


def test_one_group_may_have_most_rows_but_not_nearly_all():
    groups = np.concatenate([np.zeros(85, int), np.arange(1, 16)])
    folds = make_folds(np.random.default_rng(0), np.arange(100) % 2, num_folds=4, groups=groups)
    giant = folds.fold[0]
    assert set(np.unique(folds.train[giant])) | set(np.unique(folds.valid[giant])) == set(range(85, 100))
    assert folds.train.shape[1] > 15, "rows are repeated, so that other folds need not do with as few"
    with pytest.raises(InputError, match="One group has 95 of the 100 rows, so that 5 would be left"):
        make_folds(np.random.default_rng(0), np.arange(100) % 2, num_folds=4, groups=np.maximum(np.arange(100) - 94, 0))


def test_parts_have_the_asked_sizes():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), rng.integers(1, 6, 200))
    part = parts_of_groups(rng, np.zeros(len(groups), int), groups, np.array([0.75, 0.05, 0.2]))
    np.testing.assert_allclose(np.bincount(part) / len(groups), [0.75, 0.05, 0.2], atol=0.01)


def test_parts_are_as_even_as_the_best_of_many_random_ones():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), [9, 7, 6, 6, 5, 4, 4, 3, 2, 2, 1, 1])
    sizes = np.bincount(groups)
    got = np.bincount(parts_of_groups(rng, np.zeros(len(groups), int), groups, np.array([0.5, 0.5])))
    best = min(abs(np.bincount(rng.integers(0, 2, 12), weights=sizes, minlength=2) @ [1, -1]) for _ in range(2_000))
    assert abs(got[0] - got[1]) <= best


def test_large_groups_fall_apart():
    got = without_large_groups(np.array([4, 4, 4, 9, 9, 2]), 2)
    assert len(set(got[:3])) == 3 and got[3] == got[4] and len(set(got)) == 5


def test_rows_are_repeated_and_made_distinct():
    np.testing.assert_array_equal(repeated(np.array([7, 3]), 4), [7, 7, 3, 3])
    assert all(set(repeated(np.arange(n), width)) == set(range(n)) for n in range(1, 9) for width in range(n, 20))
    np.testing.assert_array_equal(distinct(np.array([7, 3, 7, 9, 3])), [7, 3, 9])
