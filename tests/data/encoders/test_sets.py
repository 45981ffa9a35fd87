"""Columns of sets: features and codes that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_jax.data.encoders.sets import NUM_SHOWN, SetColumnEncoder
from demix_jax.data.encoding import TableEncoder


def test_parts_are_the_elements_and_the_size():
    column = pd.Series([["a"], ["b", "a"], None, [], ["a"], ["a", "b"], ["zebra"]], name="tags")
    encoder = SetColumnEncoder.fit(column)
    assert encoder.elements == ("a", "b")
    has_a, has_b, size = encoder.encode(column)
    names = [encoder.parts[0].code_name("tags", code) for code in has_a.codes]
    yes, no = "tags [a] = 1", "tags [a] = 0"
    assert names == [yes, yes, "tags [a] missing", no, yes, yes, no]
    assert (has_b.x[[1, 5], 0] > has_b.x[[0, 3, 4, 6], 0].max()).all() and has_b.x[2, 0] == 0
    assert size.x[1, 0] > size.x[0, 0] > size.x[3, 0]
    np.testing.assert_array_equal(size.x[:, 1], [0, 0, 1, 0, 0, 0, 0])
    assert not has_a.robust_z.any()


def test_many_elements_are_reduced():
    rng = np.random.default_rng(0)
    fruits, tools = [f"fruit{i}" for i in range(40)], [f"tool{i}" for i in range(40)]
    is_tool = rng.random(400) < 0.4
    column = pd.Series([list(rng.choice(tools if tool else fruits, 5)) for tool in is_tool])
    *elements, size = SetColumnEncoder.fit(column).encode(pd.concat([column, pd.Series([None])]))
    assert len(elements) == NUM_SHOWN
    components = size.x[:, 1:-1]
    assert 2 <= components.shape[1] <= 64 and np.abs(components).max() <= 3 and not components[-1].any()
    assert np.abs(np.corrcoef(components[:-1, 0], is_tool)[0, 1]) > 0.95  # the first component tells tools from fruits


def test_sets_without_any_element():
    column = pd.Series([[], None, [], []])
    (size,) = SetColumnEncoder.fit(column).encode(column)
    np.testing.assert_array_equal(size.x, [[0, 0], [0, 1], [0, 0], [0, 0]])


def test_a_table_with_sets():
    frame = pd.DataFrame({"tags": [["x"], ["x", "y"], ["y"], None] * 10, "label": [0, 1] * 20})
    data = TableEncoder.fit(frame, "label").transform(frame)
    assert [column.name for column in data.columns] == ["tags"] * 3 and data.first_parts.tolist() == [0]
