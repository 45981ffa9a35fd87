"""Folds: properties that cross-fitting rests on, checked for many sizes, and blocks against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.common.target import ClassTarget, RegressionTarget
from demix_jax.data.folds.plan import Folds, fold_blocks, make_folds, strata_of


@settings(max_examples=60, deadline=None)
@given(
    num_rows=st.integers(30, 400),
    num_folds=st.integers(2, 6),
    num_classes=st.integers(1, 7),
    share=st.sampled_from([0.01, 0.2, 0.34]),
    seed=st.integers(0, 1000),
)
def test_no_model_trains_on_or_is_judged_on_what_it_describes(num_rows, num_folds, num_classes, share, seed):
    rng = np.random.default_rng(seed)
    strata = rng.integers(0, num_classes, num_rows)
    folds = make_folds(rng, strata, num_folds=num_folds, valid_share=share)
    assert folds.fold.shape == (num_rows,)
    assert sorted(set(folds.fold)) == list(range(num_folds))
    assert folds.train.shape[0] == folds.valid.shape[0] == num_folds
    for f in range(num_folds):
        train, valid, described = set(folds.train[f]), set(folds.valid[f]), set(np.flatnonzero(folds.fold == f))
        assert len(train) == folds.train.shape[1] and len(valid) == folds.valid.shape[1], "a row is used twice"
        assert not train & valid and not train & described and not valid & described
        unused = num_rows - len(train) - len(valid) - len(described)
        assert unused <= 2, "folds are cut to one length, which costs a row or two"


def test_every_part_keeps_the_shares_of_the_classes():
    rng = np.random.default_rng(0)
    strata = rng.choice(3, 1_000, p=[0.7, 0.2, 0.1])
    folds = make_folds(rng, strata, num_folds=5)
    whole = np.bincount(strata) / len(strata)
    for f in range(5):
        for rows in (np.flatnonzero(folds.fold == f), folds.train[f], folds.valid[f]):
            counts = np.bincount(strata[rows], minlength=3)
            np.testing.assert_allclose(counts, whole * len(rows), atol=2.5)


def test_caps_bound_the_cost_and_keep_the_shares():
    rng = np.random.default_rng(1)
    strata = rng.choice(2, 2_000, p=[0.9, 0.1])
    folds = make_folds(rng, strata, num_folds=2, max_train=300, max_valid=50)
    assert folds.train.shape == (2, 300) and folds.valid.shape == (2, 50)
    np.testing.assert_allclose(strata[folds.train].mean(axis=1), strata.mean(), atol=0.02)
    np.testing.assert_allclose(strata[folds.valid].mean(axis=1), strata.mean(), atol=0.03)


def test_equal_seeds_give_equal_folds_and_other_seeds_others():
    strata = np.arange(100) % 2
    first, again, other = (make_folds(np.random.default_rng(s), strata, num_folds=3) for s in (4, 4, 5))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.fold != other.fold).any()


@pytest.mark.parametrize(
    ("num_rows", "num_folds", "block"), [(500, 3, 64), (500, 3, 8_192), (7, 2, 100), (130, 1, 128)]
)
def test_blocks_hold_every_row_once_and_have_one_size(num_rows, num_folds, block):
    fold = np.random.default_rng(0).integers(0, num_folds, num_rows)
    blocks = list(fold_blocks(fold, num_folds, block))
    assert sorted(row for _, rows, _ in blocks for row in rows) == list(range(num_rows))
    assert len({len(padded) for _, _, padded in blocks}) == 1
    for f, rows, padded in blocks:
        assert (fold[padded] == f).all()
        np.testing.assert_array_equal(padded[: len(rows)], rows)
        assert len(padded) % 64 == 0 or len(padded) == block


def test_a_fold_without_rows_yields_no_block():
    blocks = list(fold_blocks(np.array([0, 2, 2]), 3, 64))
    assert [f for f, _, _ in blocks] == [0, 2]


def test_strata_are_classes_or_bins_of_equal_size():
    np.testing.assert_array_equal(strata_of(np.array([2, 0, 1]), ClassTarget((0, 1, 2))), [2, 0, 1])
    y = np.random.default_rng(0).permutation(800).astype(np.float32)
    bins = strata_of(y, RegressionTarget())
    np.testing.assert_array_equal(np.bincount(bins), [100] * 8)
    assert all(y[bins == b].max() < y[bins == b + 1].min() for b in range(7))


def test_equal_targets_share_a_stratum():
    y = np.repeat(np.array([0.0, 1.0, 5.0], np.float32), [60, 25, 15])
    bins = strata_of(y, RegressionTarget())
    assert [len(set(bins[y == value])) for value in (0.0, 1.0, 5.0)] == [1, 1, 1]
    assert len(set(bins)) == 3


def test_a_plan_without_some_rows_keeps_its_shape_and_its_proportions():
    rng = np.random.default_rng(0)
    strata = rng.integers(0, 3, 600)
    plan, leave_out = make_folds(rng, strata, num_folds=4), rng.random(600) < 0.3
    got = plan.without(leave_out)
    np.testing.assert_array_equal(got.fold, plan.fold)
    for before, after in ((plan.train, got.train), (plan.valid, got.valid)):
        assert after.shape == before.shape and after.dtype == before.dtype
        assert not leave_out[after].any()
        for old, new in zip(before, after, strict=True):
            assert set(new) == set(old[~leave_out[old]])
            had, has = (np.bincount(strata[rows], minlength=3) / len(rows) for rows in (old[~leave_out[old]], new))
            np.testing.assert_allclose(had, has, atol=0.02)


def test_a_part_that_would_be_empty_stays():
    plan = Folds(np.zeros(4, np.int32), np.array([[0, 1]], np.int32), np.array([[2, 3]], np.int32))
    got = plan.without(np.array([True, True, False, True]))
    np.testing.assert_array_equal(got.train, [[0, 1]])
    np.testing.assert_array_equal(got.valid, [[2, 2]])
