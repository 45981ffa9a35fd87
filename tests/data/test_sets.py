"""Columns of sets: features and codes that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_jax.data.sets import SetEncoder


def test_elements_are_features_and_frequent_sets_are_codes():
    column = pd.Series([["a"], ["b", "a"], None, [], ["a"], ["a", "b"], ["zebra"]], name="tags")
    encoder = SetEncoder.fit(column)
    assert encoder.elements == ("a", "b")
    encoded = encoder.encode(column)
    np.testing.assert_array_equal(encoded.x[:, :2], [[1, 0], [1, 1], [0, 0], [0, 0], [1, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(encoded.x[:, -1], [0, 0, 1, 0, 0, 0, 0])
    assert encoded.x[1, 2] > encoded.x[0, 2] > encoded.x[3, 2]  # the number of elements
    names = [encoder.code_name("tags", code) for code in encoded.codes]
    assert names == [
        "tags = {a}", "tags = {a, b}", "tags missing", "tags = {}", "tags = {a}", "tags = {a, b}", "tags = {zebra}",
    ]  # fmt: skip
    assert encoder.code_name("tags", encoder.encode(pd.Series([["new"]])).codes[0]) == "tags = another value"


def test_sets_that_hardly_repeat_form_groups():
    rng = np.random.default_rng(0)
    fruits, tools = [f"fruit{i}" for i in range(40)], [f"tool{i}" for i in range(40)]
    is_tool = rng.random(400) < 0.4
    sets = [["iron" if t else "sweet", *rng.choice(tools if t else fruits, 5)] for t in is_tool]
    encoder = SetEncoder.fit(pd.Series(sets))
    encoded = encoder.encode(pd.Series([*sets, None]))
    assert encoded.x.shape[1] <= 66 and np.abs(encoded.x).max() <= 3
    assert encoded.codes[-1] == encoder.num_codes - 1 and encoder.code_name("tags", encoded.codes[-1]) == "tags missing"
    words = np.array([encoder.code_name("tags", code) for code in encoded.codes[:-1]])
    assert np.mean([("iron" in word) == t for word, t in zip(words, is_tool, strict=True)]) > 0.99
    assert words[0].startswith("tags = group ")


def test_sets_without_any_element():
    column = pd.Series([[], None, [], []])
    encoded = SetEncoder.fit(column).encode(column)
    np.testing.assert_array_equal(encoded.x, [[0, 0], [0, 1], [0, 0], [0, 0]])
