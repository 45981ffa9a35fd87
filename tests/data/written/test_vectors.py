"""Written lists of numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from demix_jax.data.written.vectors import find_vectors


@pytest.mark.parametrize("write", [lambda row: json.dumps(row.tolist()), str, lambda row: f"({row[0]}; {row[1]})"])
def test_lists_in_brackets_are_vectors(write):
    rows = np.array([[0.25, -1.5], [3.0, 1e-3]])
    found = find_vectors([write(row) for row in rows])
    assert found is not None and found.dtype == np.float32
    np.testing.assert_array_equal(found, rows.astype(np.float32))


def test_numpy_prints_on_several_lines():
    rows = np.arange(80.0).reshape(2, 40)
    assert "\n" in str(rows[0])
    np.testing.assert_array_equal(find_vectors([str(row) for row in rows]), rows.astype(np.float32))


def test_bare_numbers_are_a_vector_from_eight_on():
    found = find_vectors(["1 2 3 4 5 6 7 8", "8 7 6 5 4 3 2 1"])
    assert found is not None and found.shape == (2, 8)
    assert find_vectors(["1 2 3", "4 5 6"]) is None


@pytest.mark.parametrize(
    "texts",
    [[], ["[1, 2]", "[1, 2, 3]"], ["[1, 2]", ""], ["[1, 2]", "red"], ["[1, x]"], ["[1]", "[2]"], ["[[1, 2], [3, 4]]"],
     ["[1, nan]"], ["[1, 1e39]"], ["[]"], ["[1 2 ... 9]"]],
    ids=str,
)  # fmt: skip
def test_what_is_no_vector(texts):
    assert find_vectors(texts) is None
