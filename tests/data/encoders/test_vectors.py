"""Columns of vectors: against scikit-learn, damaged vectors made by hand, and values that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.decomposition import PCA

from demix_jax.common.checks import InputError
from demix_jax.data.encoders.vectors import MAX_DIRECTIONS, Scaling, VectorEncoder, VectorSpace
from demix_jax.data.encoding import TableEncoder
from demix_jax.data.inspect_column import inspect_column
from demix_jax.data.inspected_table import inspect_table
from demix_jax.data.lists import as_sets, as_vectors, flat_numbers
from demix_jax.data.table_checks import check_table, is_empty


def embedding(n=300, d=32, seed=0):
    """Vectors of two groups, as cells of a table, and the group of each."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    vectors = rng.normal(size=(n, d)) + np.where(group, 0.7, -0.7)[:, None]
    return pd.Series(list(vectors.astype(np.float32)), name="embedding"), group


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        ([1, 2.5], [1, 2.5]),
        (np.array([1, 2], np.uint8), [1, 2]),
        (np.array([0.5, -1], np.float16), [0.5, -1]),
        ([[1, 2], [3, 4]], [1, 2, 3, 4]),
        (np.array([np.array([1.0, 2.0]), np.array([3.0, 4.0])], dtype=object), [1, 2, 3, 4]),
        ([1, None, 3], [1, np.nan, 3]),
        ((True, False), [1, 0]),
        ([], []),
        (["1", "2"], None),
        ([1, "a"], None),
        ([[1, 2], [3]], None),
        ({1, 2}, None),
        ("[1, 2]", None),
        (None, None),
        (3.0, None),
    ],
)
def test_numbers_of_a_list(cell, numbers):
    got = flat_numbers(cell)
    assert (got is None) == (numbers is None)
    if got is not None:
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, np.array(numbers, np.float32))


def test_lists_of_another_length_are_missing():
    column = pd.Series([[1, 2], None, [3, 4, 5], [np.inf, 7], np.nan, [8, 9]])
    missing = [np.nan, np.nan]
    np.testing.assert_array_equal(as_vectors(column), [[1, 2], missing, missing, [np.nan, 7], missing, [8, 9]])
    assert as_vectors(column, length=3)[2].tolist() == [3, 4, 5]


def test_sets_are_distinct_texts_in_order():
    column = pd.Series([["b", "a", "b"], None, [], ("x",), np.array([3.0, 1.0]), {" y "}, ["a", None]])
    assert as_sets(column) == [("a", "b"), None, (), ("x",), ("1", "3"), ("y",), ("a",)]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([[0.5, 1], [2, 3], None], "vector"),
        ([[1, 2]] * 20 + [[1, 3]] * 20 + [[1]] * 2, "vector"),
        ([np.ones(3)] * 4, "constant"),
        ([np.ones(3)] * 4 + [None], "vector"),
        ([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "vector"),
        ([["a"], ["a", "b"], None], "set"),
        ([[12, 7], [7], [3, 12, 9]], "set"),
        ([[], ["a"]], "set"),
        ([["a"]] * 5, "constant"),
        ([("a", "b"), ("b", "a")], "constant"),
    ],
)
def test_kinds_of_lists(cells, kind):
    assert inspect_column("x", pd.Series(cells)).column.kind == kind
    assert inspect_column("x", pd.Series(cells[::-1])).column.kind == kind


@pytest.mark.parametrize("of", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float16())])
def test_arrow_lists_are_vectors(of):
    cells = [np.array([1, 2], np.float16), None, np.array([3, 4], np.float16)] * 4
    column = pd.Series(pa.array(cells, type=of), dtype=pd.ArrowDtype(of))
    assert inspect_column("x", column).column.kind == "vector"
    np.testing.assert_array_equal(as_vectors(column)[:3], [[1, 2], [np.nan, np.nan], [3, 4]])
    assert not is_empty(column)


def test_labels_that_are_lists_are_refused():
    frame = pd.DataFrame({"x": range(40), "label": [(i % 2, 1) for i in range(40)]})
    with pytest.raises(InputError, match="holds lists"):
        check_table(frame, "label")


def test_components_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(400, 5)) @ rng.normal(size=(5, 60)) + 0.05 * rng.normal(size=(400, 60))).astype(
        np.float32
    )
    scaling = Scaling.fit(values)
    np.testing.assert_allclose(scaling.center, np.median(values, axis=0), rtol=1e-5)
    space = VectorSpace.fit(values, scaling)
    wanted = PCA(svd_solver="full").fit(scaling(values))
    assert len(space.spread) == np.searchsorted(np.cumsum(wanted.explained_variance_ratio_), 0.95) + 1 <= 5
    np.testing.assert_allclose(space.spread**2, wanted.explained_variance_[: len(space.spread)], rtol=1e-3)
    directions = space.directions(values)
    np.testing.assert_allclose(np.cov(directions.T), np.eye(len(space.spread)), atol=1e-2)  # uncorrelated, variance 1


def test_one_wild_vector_moves_no_scale():
    values = np.random.default_rng(2).normal(size=(500, 4)).astype(np.float32)
    wild = values.copy()
    wild[:20] = 1e30
    np.testing.assert_allclose(Scaling.fit(wild).scale, Scaling.fit(values).scale, rtol=0.2)
    assert np.isfinite(VectorSpace.fit(wild, Scaling.fit(wild)).distance(wild)).all()


@pytest.mark.parametrize("d", [3, 32, 200])
def test_damaged_vectors_stand_out(d):
    column, _ = embedding(d=d)
    encoder = VectorEncoder.fit(column)
    usual = np.abs(encoder.encode(column)[-1].robust_z)
    rng = np.random.default_rng(3)
    damaged = [column[0] * 100, column[1] + 6 * rng.normal(size=d), column[2] * 0, column[3] - 30]
    z = encoder.encode(pd.Series([*damaged, None, [1.0]]))[-1].robust_z
    assert (np.delete(np.abs(z[:4]), [2] if d == 3 else []) > usual.max()).all()  # three zeros are nothing unusual
    assert z[2] < 0 and (z[4:] == 0).all()


@pytest.mark.parametrize("d", [8, 100])
def test_parts_of_a_vector(d):
    column, group = embedding(d=d)
    column[5] = None
    frame = pd.DataFrame({"embedding": column, "size": np.arange(300) % 7, "label": group})
    encoder = TableEncoder.fit(frame, "label")
    data = encoder.transform(frame)
    num_parts = min(d, MAX_DIRECTIONS) + 1
    assert [column.name for column in data.columns] == ["embedding"] * num_parts + ["size"]
    assert [column.name for column in encoder.columns] == ["embedding", "size"]
    assert data.first_parts.tolist() == [0, num_parts]
    assert np.isfinite(data.x).all() and np.abs(data.x).max() <= 3 and max(data.num_codes) <= 32
    assert (data.codes[5, :num_parts] == np.array(data.num_codes[:num_parts]) - 1).all()
    assert np.isnan(data.numbers[:, :num_parts]).all() and not data.texts.any()
    first = "embedding [0]" if d == 8 else "embedding direction 0"
    assert encoder.code_name(0, 0).startswith(f"{first} ≤ ")
    assert (
        encoder.code_name(num_parts - 1, data.num_codes[num_parts - 1] - 1)
        == "embedding distance from the mean missing"
    )
    counts = np.bincount(data.codes[:, 1], minlength=data.num_codes[1])
    assert encoder.group_name(1, np.arange(data.num_codes[1]) < 4, counts).startswith(first.replace("0", "1") + " ≤ ")


def test_a_missing_number_counts_as_the_median():
    column, _ = embedding(d=6)
    encoder = VectorEncoder.fit(column)
    given = column[0].copy()
    given[2] = np.nan
    filled = np.where(np.isnan(given), np.median(np.stack(list(column)), axis=0), given)
    for got, wanted in zip(encoder.encode(pd.Series([given])), encoder.encode(pd.Series([filled])), strict=True):
        np.testing.assert_allclose(got.x, wanted.x, atol=1e-5)
        assert got.codes == wanted.codes


@pytest.mark.parametrize("d", [8, 100])
def test_the_order_of_rows_does_not_matter(d):
    column, group = embedding(d=d)
    frame = pd.DataFrame({"embedding": column, "tags": [[f"t{i % 5}"] * (i % 3) for i in range(300)], "label": group})
    order = np.random.default_rng(4).permutation(len(frame))
    shuffled = frame.iloc[order]
    assert inspect_table(frame, "label").columns == inspect_table(shuffled, "label").columns
    one, other = (TableEncoder.fit(table, "label").transform(frame) for table in (frame, shuffled))
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_allclose(one.x, other.x, atol=1e-6)
