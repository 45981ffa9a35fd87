"""Nested Arrow tables as flat ones, and flat ones as pandas frames."""

from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.kinds import column_of
from demix_jax.data.sources.arrow_frame import arrow_frame
from demix_jax.data.sources.nested import flat_notes, flat_paths, flat_table

D = decimal.Decimal


def flat(column: pa.Array) -> dict:
    return flat_table(pa.table({"a": column}), "in.parquet").to_pydict()


FLAT = {
    "struct": (pa.array([{"x": 1, "y": {"z": "q"}}, None]), {"a.x": [1, None], "a.y.z": ["q", None]}),
    "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())), {"a": ['{"k": 1}', None]}),
    "records": (pa.array([[{"k": 1}], []]), {"a": ['[{"k": 1}]', "[]"]}),
    "numbers": (pa.array([[1, 2], None]), {"a": [[1.0, 2.0], None]}),
    "fixed size": (pa.array([[1, 2], None], pa.list_(pa.float32(), 2)), {"a": [[1.0, 2.0], None]}),
    "half floats": (pa.array([[np.float16(1.5)]], pa.list_(pa.float16())), {"a": [[1.5]]}),
    "truth values": (pa.array([[True, False]]), {"a": [[1.0, 0.0]]}),
    "image": (pa.array([[[1, 2], [3, 4]], None, [[5, 6], [7, 8]]]), {"a": [[1, 2, 3, 4], None, [5, 6, 7, 8]]}),
    "sliced image": (pa.array([[[0], [0]], [[1], [2]], None]).slice(1), {"a": [[1, 2], None]}),
    "views of lists": (pa.array([[1], None, [2, 3]], pa.list_view(pa.int64())), {"a": [[1], None, [2, 3]]}),
    "texts": (pa.array([["p", "q"], None, []]), {"a": [["p", "q"], None, []]}),
    "lists of texts in lists": (pa.array([[["p"]]]), {"a": ['[["p"]]']}),
    "empty lists": (pa.array([[], None]), {"a": [[], None]}),
    "categories": (pa.array(["p", None, "p"]).dictionary_encode(), {"a": ["p", None, "p"]}),
    "categories of views": (
        pa.DictionaryArray.from_arrays(pa.array([0, None], pa.uint32()), pa.array(["p"], pa.string_view())),
        {"a": ["p", None]},
    ),
    "bytes": (pa.array([b"caf\xc3\xa9", None]), {"a": ["café", None]}),
    "bytes of fixed size": (pa.array([b"ab"], pa.binary(2)), {"a": ["ab"]}),
    "views of texts": (pa.array(["p"], pa.string_view()), {"a": ["p"]}),
    "null": (pa.nulls(2), {"a": [None, None]}),
    "run ends": (pa.RunEndEncodedArray.from_arrays([2, 3], [7, 8]), {"a": [7, 7, 8]}),
    "tensor": (
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), (2,)), pa.array([[1, 2]], pa.list_(pa.float32(), 2))
        ),
        {"a": [[1.0, 2.0]]},
    ),
}


@pytest.mark.parametrize("case", FLAT)
def test_every_nested_type_becomes_flat(case):
    column, expected = FLAT[case]
    assert flat(column) == expected


def test_names_that_collide_are_told():
    inner = pa.array([{"b": 1}])
    for columns, words in (
        ({"a": inner, "a.b": pa.array([1])}, "more than one column or field that is read as 'a.b'"),
        ([pa.field("a", pa.int64()), pa.field("a", pa.int64())], "more than one column named 'a'"),
    ):
        schema = pa.schema(columns) if isinstance(columns, list) else pa.table(columns).schema
        with pytest.raises(InputError, match=words):
            flat_paths(schema, "in.parquet")
    with pytest.raises(InputError, match=r"in.parquet has no columns"):
        flat_paths(pa.schema([]), "in.parquet")


def test_notes_name_what_is_read_otherwise():
    schema = pa.schema({"s": pa.struct({"x": pa.int8(), "m": pa.map_(pa.string(), pa.int8())}), "n": pa.int8()})
    assert flat_notes(schema) == (
        "The records in 's' are read as columns, one per field: s.x, s.m.",
        "Lists of records and maps are read as JSON text: s.m.",
    )


@pytest.mark.parametrize("kind", [pa.binary(), pa.list_(pa.binary())])
def test_bytes_that_are_no_text_are_named(kind):
    values = [b"ok", b"\xff\xd8"] if kind == pa.binary() else [[b"ok"], [b"\xff\xd8"]]
    table = pa.table({"photo": pa.array(values, kind)})
    with pytest.raises(InputError, match=r"in.parquet has bytes in the column 'photo' that are not UTF-8") as error:
        flat_table(table, "in.parquet", first_row=100)
    assert ("row 101" in str(error.value)) == (kind == pa.binary())


def series(column: pa.Array) -> pd.Series:
    frame, _ = arrow_frame(pa.table({"a": column}))
    return column_of(frame, "a")


PANDAS = {
    "whole numbers": (pa.array([1, 2], pa.int8()), [1, 2], "int64"),
    "with a gap": (pa.array([1, None]), [1.0, np.nan], "float64"),
    "long ones with a gap": (pa.array([2**60 + 1, None]), [2**60 + 1, pd.NA], "Int64"),
    "beyond i64": (pa.array([2**63 + 1], pa.uint64()), [2**63 + 1], "uint64"),
    "half floats": (pa.array([np.float16(1.5), None], pa.float16()), [1.5, np.nan], "float64"),
    "decimals": (pa.array([D("1.50"), None]), [1.5, np.nan], "float64"),
    "long decimals": (pa.array([D(10**30 + 1)]), [str(10**30 + 1)], "str"),
    "durations": (pa.array([dt.timedelta(minutes=1), None]), [60.0, np.nan], "float64"),
    "times": (pa.array([dt.time(13, 45)]), ["13:45:00"], "str"),
    "dates": (pa.array([dt.date(2020, 1, 2), None]), [pd.Timestamp("2020-01-02"), pd.NaT], "datetime64[ns]"),
    "far dates": (pa.array([dt.date(9999, 12, 31)]), [pd.Timestamp("9999-12-31")], "datetime64[us]"),
    "zones": (
        pa.array([dt.datetime(2020, 1, 2, 12)], pa.timestamp("s", "Asia/Tokyo")),
        [pd.Timestamp("2020-01-02 12:00")],
        "datetime64[ns]",
    ),
    "truth values": (pa.array([True, False]), [True, False], "bool"),
    "texts": (pa.array(["p", None]), ["p", np.nan], "str"),
}


@pytest.mark.parametrize("case", PANDAS)
def test_flat_columns_have_plain_pandas_types(case):
    column, values, kind = PANDAS[case]
    pd.testing.assert_series_equal(series(column), pd.Series(values, dtype=kind, name="a"))


def test_lists_are_vectors_and_sets():
    found = series(pa.array([[1, 2], None]))
    assert found[0].dtype == np.float32 and found[0].tolist() == [1, 2] and found[1] is None
    assert series(pa.array([["p", "q"], None])).tolist() == [("p", "q"), None]


def test_lists_of_different_lengths_are_text_with_a_note():
    frame, notes = arrow_frame(pa.table({"a": pa.array([[1, 2], [3]])}))
    assert frame["a"].tolist() == ["[1.0, 2.0]", "[3.0]"]
    assert notes == ("The lists in 'a' differ in length, so they are read as text and not as vectors.",)
