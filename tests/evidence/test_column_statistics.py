"""What is usual in a column by itself."""

from __future__ import annotations

import numpy as np
import pytest

from demix_jax.evidence.column_statistics import Commonest, Usual

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=1_000).astype(np.float32)
MISSING = 3  # the last code


def fitted(z, codes=None):
    codes = np.zeros(len(z), int) if codes is None else codes
    return Usual.fit(codes[:, None], (MISSING + 1,), z[:, None]), codes[:, None], z[:, None]


def test_rarity_is_above_the_mean_of_the_column():
    codes = np.repeat([0, 1, 2], [6, 3, 1])
    usual, codes, _ = fitted(np.zeros(10, np.float32), codes)
    rarity = usual.rarities(codes)[:, 0]
    assert rarity.mean() == pytest.approx(0, abs=1e-6)
    assert rarity[-1] - rarity[0] == pytest.approx(np.log(7 / 2), rel=1e-5)


def test_values_that_stand_apart_have_the_gap_before_them():
    z = NUMBERS.copy()
    z[:50] = 30 + NUMBERS[:50]
    usual, _, z = fitted(z)
    gaps = usual.gaps(z)[:, 0]
    bulk, apart = z[50:, 0].max(), z[:50, 0].min()
    np.testing.assert_allclose(gaps[:50], np.log1p(apart) - np.log1p(bulk), rtol=1e-5)
    assert not gaps[50:][z[50:, 0] > -2].any()


def test_a_low_end_is_measured_as_a_high_one():
    z = np.concatenate([NUMBERS, -40 - np.arange(10, dtype=np.float32)])
    low, high = fitted(z), fitted(-z)
    np.testing.assert_array_equal(low[0].gaps(low[2]), high[0].gaps(high[2]))


def test_no_gap_in_a_category_or_a_constant_column():
    usual, _, z = fitted(np.zeros(20, np.float32))
    assert not usual.gaps(z).any()


def test_a_value_that_repeats_among_values_that_do_not():
    z, codes = NUMBERS.copy(), np.zeros(1_000, int)
    z[:100] = 0.0  # the median
    z[100:120], codes[100:120] = 0.0, MISSING
    usual, codes, z = fitted(z, codes)
    repeats = usual.repeats(codes, z)[:, 0]
    np.testing.assert_allclose(repeats[:100], np.log(101 / 2), rtol=1e-5)
    assert not repeats[100:].any(), "missing cells and values that occur once"
    np.testing.assert_array_equal(usual.missing(codes)[:, 0], codes[:, 0] == MISSING)


def test_few_distinct_values_do_not_repeat():
    usual, codes, z = fitted(np.repeat(np.arange(10, dtype=np.float32), [1, 90, 1, 1, 1, 1, 1, 1, 1, 2]))
    assert not usual.repeats(codes, z).any()


def test_the_commonest_value_of_a_category_and_of_a_number():
    codes = np.stack([np.repeat([0, 1, 2], [200, 500, 300]), np.zeros(1_000, int)], axis=1)
    z = np.stack([np.zeros(1_000, np.float32), NUMBERS], axis=1)
    z[:100, 1] = 0.5
    codes[300:, 1] = 1  # codes are ranges of numbers
    z[900:, 1], codes[900:, 1] = 0.0, MISSING
    commonest = Commonest.fit(codes, (3 + 1, MISSING + 1), z)
    assert commonest.codes.tolist() == [1, 0] and np.isnan(commonest.values[0]) and commonest.values[1] == 0.5
    np.testing.assert_allclose(commonest.share, [1.0, 100 / 300])
    held = commonest.held(codes, z)
    np.testing.assert_array_equal(np.flatnonzero(held[:, 0]), np.arange(200, 700))
    np.testing.assert_array_equal(np.flatnonzero(held[:, 1]), np.arange(100))


def test_no_value_is_common_where_all_differ_or_nothing_is_known():
    z = np.stack([NUMBERS, np.zeros(1_000, np.float32)], axis=1)
    codes = np.stack([np.zeros(1_000, int), np.full(1_000, MISSING)], axis=1)
    commonest = Commonest.fit(codes, (MISSING + 1, MISSING + 1), z)
    assert not commonest.held(codes, z).any() and commonest.share.tolist() == [0, 0]
