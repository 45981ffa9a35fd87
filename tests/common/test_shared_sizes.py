"""Shared sizes: few, never too small, and padding that is nothing but zeros at the end."""

from __future__ import annotations

import numpy as np
import pytest

from demix_jax.common.shared_sizes import power_of_two, rows_of_shared_size, shared_batch, shared_size, with_length


def test_sizes_are_few_and_never_too_small():
    sizes = [shared_size(num) for num in range(1, 4_001)]
    assert all(size >= num for num, size in enumerate(sizes, start=1))
    assert sorted(set(sizes)) == [64, 256, *range(512, 4_097, 512)]


@pytest.mark.parametrize(("number", "want"), [(1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_power_of_two(number, want):
    assert power_of_two(number) == want


@pytest.mark.parametrize(
    ("num_rows", "most", "want"),
    [(5, 256, (64, 1)), (200, 256, (64, 25)), (600, 256, (256, 75)), (2_048, 256, (256, 256)), (900, 32, (32, 32))],
)
def test_a_batch_has_at_most_an_eighth_of_the_rows(num_rows, most, want):
    batch = shared_batch(num_rows, most)
    assert (batch.width, int(batch.size)) == want


def test_padding_is_zeros_at_the_end_along_one_axis():
    array = np.array([[1, 2], [3, 4]])
    np.testing.assert_array_equal(with_length(array, 3, 1), [[1, 2, 0], [3, 4, 0]])
    np.testing.assert_array_equal(with_length(array, 3), [[1, 2], [3, 4], [0, 0]])
    assert with_length(array, 2) is array


def test_long_trees_stay_as_they_are():
    short, long = {"x": np.ones((5, 2))}, {"x": np.ones((4_097, 2))}
    padded = rows_of_shared_size(short)["x"]
    assert padded.shape == (4_096, 2) and padded.sum() == 10 and (padded[:5] == 1).all()
    assert rows_of_shared_size(long) is long
