"""Folds in time: no model sees the future, ties stay together, and what is missing or too little is handled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.common.checks import InputError
from demix_jax.data.folds.in_time import time_blocks, time_folds, time_note


@settings(max_examples=40, deadline=None)
@given(
    num_rows=st.integers(60, 300),
    num_folds=st.integers(2, 5),
    num_times=st.sampled_from([12, 40, 10_000]),
    seed=st.integers(0, 1000),
)
def test_a_block_is_judged_by_models_of_the_blocks_before_it(num_rows, num_folds, num_times, seed):
    rng = np.random.default_rng(seed)
    times = rng.integers(0, num_times, num_rows).astype(float)
    times[rng.random(num_rows) < 0.05] = np.nan
    folds = time_folds(rng, rng.integers(0, 2, num_rows), times, num_folds=num_folds)
    known = ~np.isnan(times)
    assert all(len(set(folds.fold[times == t])) == 1 for t in times[known]), "rows of one time are in one block"
    assert (folds.fold[~known] == folds.fold.max()).all() and not np.isnan(times[folds.train]).any()
    for b in range(len(folds.train)):
        judged, seen = times[known & (folds.fold == b)], times[np.union1d(folds.train[b], folds.valid[b])]
        if b == 0:
            assert set(np.flatnonzero(known & (folds.fold == 1))) == set(folds.train[0]) | set(folds.valid[0])
            assert times[folds.valid[b]].max() <= times[folds.train[b]].min(), "validation rows are the closest ones"
        else:
            assert seen.max() < judged.min()
            assert times[folds.valid[b]].min() >= times[folds.train[b]].max(), "validation rows are the latest ones"


def test_blocks_are_of_one_size_and_small_ones_join_their_neighbours():
    np.testing.assert_array_equal(np.bincount(time_blocks(np.arange(100.0)[::-1], 5)), [20] * 5)
    heavy = np.concatenate([np.arange(5.0), np.full(95, 7.0), np.arange(10.0, 110.0)])
    blocks = time_blocks(heavy, 4)
    assert np.bincount(blocks).min() >= 25
    assert len(set(blocks[5:100])) == 1


def test_few_rows_make_few_blocks():
    assert time_blocks(np.arange(30.0), 5).max() == 2


def test_rows_of_a_group_are_not_seen_by_the_models_that_judge_it():
    rng = np.random.default_rng(0)
    times, groups = np.arange(400.0), rng.integers(0, 150, 400)
    folds = time_folds(rng, np.arange(400) % 2, times, num_folds=4, groups=groups)
    for b in range(4):
        judged = set(groups[folds.fold == b])
        assert not judged & set(groups[folds.train[b]]) and not judged & set(groups[folds.valid[b]])


def test_groups_that_are_in_every_block_exclude_time():
    with pytest.raises(InputError, match="either the groups or the time"):
        time_folds(
            np.random.default_rng(0), np.zeros(200, int), np.arange(200.0), num_folds=4, groups=np.arange(200) % 10
        )


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (np.where(np.arange(100) < 49, 1.0 * np.arange(100), np.nan), "51 of the 100 rows have no time"),
        (np.zeros(100), "1 distinct value in 100 rows"),
        (np.concatenate([[1.0, 2.0], np.full(98, 3.0)]), "3 distinct values in 100 rows and nearly all rows share one"),
    ],
)
def test_unusable_times_are_refused(times, said):
    with pytest.raises(InputError, match=said):
        time_blocks(times, 5)


def test_the_note_tells_blocks_and_missing_times():
    times = np.concatenate([np.arange(90.0), [np.nan] * 10])
    note = time_note(times, 3)
    assert "in 3 blocks of time" in note and "10 rows without a time" in note
    assert "without" not in time_note(times[:90], 3)
