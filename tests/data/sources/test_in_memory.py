"""Tables in memory: every library's table gives the same frame, and comes back as what it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.kinds import column_of
from demix_jax.data.sources.in_memory import frame_of, like_given

pl = pytest.importorskip("polars")
datasets = pytest.importorskip("datasets")

COLUMNS = {"n": [1, 2, None], "t": ["x", None, "y"], "v": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}
ARROW = pa.table(COLUMNS)
TABLES = {
    "arrow": ARROW,
    "batch": ARROW.to_batches()[0],
    "polars": pl.DataFrame(COLUMNS),
    "lazy": pl.DataFrame(COLUMNS).lazy(),
    "dataset": datasets.Dataset.from_dict(COLUMNS),
    "dict": COLUMNS,
    "arrays": {"n": np.array([1, 2, np.nan]), "t": pd.Series(COLUMNS["t"]), "v": np.array(COLUMNS["v"])},
    "records": [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
    "arrow types": pd.DataFrame(
        {name: pd.array(column, pd.ArrowDtype(ARROW[name].type)) for name, column in COLUMNS.items()}
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_the_same_frame(name):
    frame, notes = frame_of(TABLES[name])
    assert list(frame.columns) == ["n", "t", "v"] and notes == ()
    pd.testing.assert_series_equal(column_of(frame, "n"), pd.Series([1, 2, np.nan], name="n"))
    assert frame["t"].isna().tolist() == [False, True, False] and frame["t"].tolist()[::2] == ["x", "y"]
    assert np.stack(frame["v"].tolist()).tolist() == COLUMNS["v"] and frame["v"][0].dtype == np.float32


@pytest.mark.parametrize("name", ["arrow", "batch", "polars", "lazy", "dataset"])
def test_a_changed_frame_comes_back_as_what_was_given(name):
    given = TABLES[name]
    frame, _ = frame_of(given)
    frame = frame.assign(p=[0.5, 0.25, 0.125])
    frame.loc[1, "t"], frame.loc[2, "n"] = "new", 7
    back = like_given(frame.loc[[1, 2]], given)
    expected = {"n": [2, 7], "t": ["new", "y"], "v": [[3.0, 4.0], [5.0, 6.0]], "p": [0.25, 0.125]}
    assert type(back) is (pa.Table if name == "batch" else type(given))
    plain = back.collect() if name == "lazy" else back
    columns = {"dataset": lambda: plain[:], "arrow": lambda: plain.to_pydict(), "batch": lambda: plain.to_pydict()}
    assert columns.get(name, lambda: plain.to_dict(as_series=False))() == expected


def test_types_come_back():
    given = pl.DataFrame({"i": pl.Series([1, None], dtype=pl.Int8), "c": pl.Series(["a", "b"], dtype=pl.Categorical)})
    given = given.with_columns(
        pl.struct(pl.lit(1).alias("k")).alias("s"), pl.Series("d", [None, "2020-01-02"]).str.to_date()
    )
    frame, notes = frame_of(given)
    assert list(frame.columns) == ["i", "c", "s.k", "d"] and "'s' are read as columns" in notes[0]
    frame.loc[1, ["i", "s.k"]] = [3, 9]
    back = like_given(frame, given)
    assert back.schema == given.schema and back.rows() == [(1, "a", {"k": 1}, None), (3, "b", {"k": 9}, given["d"][1])]


def test_numpy_arrays_and_pandas_frames():
    frame, _ = frame_of(np.arange(6).reshape(3, 2))
    assert frame.to_dict("list") == {"column_0": [0, 2, 4], "column_1": [1, 3, 5]}
    structured = np.array([(1, [1, 2]), (3, [3, 4])], dtype=[("a", "i4"), ("v", "f4", 2)])
    frame, _ = frame_of(structured)
    assert frame["a"].tolist() == [1, 3] and frame["v"][1].tolist() == [3, 4]
    frame, _ = frame_of(np.ma.masked_array([[1, 2]], mask=[[False, True]]))
    assert np.isnan(frame["column_1"][0])
    given = pd.DataFrame({"a": [1, 2], "s": pd.arrays.SparseArray([0, 1])}, index=[7, 9])
    frame, _ = frame_of(given)
    assert frame.index.tolist() == [7, 9] and frame["s"].dtype == np.int64 and like_given(frame, given) is frame


def test_records_may_lack_keys_and_be_nested():
    frame, _ = frame_of([{"a": {"b": 1}, "c": "x"}, {"a": None}, {"a": {"b": 3}}])
    assert frame["a.b"].tolist()[::2] == [1, 3] and list(frame.columns) == ["a.b", "c"]
    frame, _ = frame_of({"tags": [{"q", "p"}, {"r"}], "mixed": [[1], "x"]})
    assert frame["tags"].tolist() == [("p", "q"), ("r",)] and frame["mixed"].tolist() == ["[1]", "x"]


BAD = {
    "a number": (3, "The table is a int; give a path, a pandas"),
    "nothing": (None, "The table is a NoneType"),
    "numbers": ([1, 2], "The table is a list"),
    "one axis": (np.zeros(3), r"array of shape \(3,\)"),
    "one column": (pa.array([1]), "single Arrow column"),
    "a series": (pl.Series([1]), "exports no Arrow table"),
    "splits": (datasets.DatasetDict({"train": TABLES["dataset"]}), "has the splits train; give one of them"),
    "a stream": (TABLES["dataset"].to_iterable_dataset(), "a stream of rows"),
    "lengths": ({"a": [1], "b": [1, 2]}, r"different lengths \('a' 1, 'b' 2\)"),
    "a text": ({"a": "xyz"}, "The column 'a' of the table is a str"),
    "a scalar": ({"a": np.array(3)}, "a single value"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_table_is_told(case):
    table, words = BAD[case]
    with pytest.raises(InputError, match=words):
        frame_of(table)
