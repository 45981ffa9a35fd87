"""Parquet and Arrow files: read as stored, and written with the same schema and metadata."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.arrow_file import ArrowFileSource
from demix_jax.data.sources.parquet import ParquetSource
from demix_jax.data.sources.source import Edits, NewCells


def at(row: int, value) -> NewCells:
    return NewCells(np.array([row]), [value])


TYPED = {  # a column of three cells, and a new value for the second one as repair gives it -> as it is stored
    "int8": (pa.array([1, 2, None], pa.int8()), 7.0, 7),
    "uint64": (pa.array([2**63 + 1, 2, None], pa.uint64()), 7, 7),
    "float16": (pa.array([np.float16(1), np.float16(2), None], pa.float16()), 1.5, 1.5),
    "float": (pa.array([1.5, 2, None], pa.float32()), 0.25, 0.25),
    "decimal": (pa.array([decimal.Decimal("1.50"), None, None]), 2.344, decimal.Decimal("2.34")),
    "date": (pa.array([dt.date(2020, 1, 1), None, None]), pd.Timestamp("2021-02-03"), dt.date(2021, 2, 3)),
    "instant": (
        pa.array([dt.datetime(2020, 1, 1), None, None], pa.timestamp("ms")),
        pd.Timestamp("2021-02-03 04:05"),
        dt.datetime(2021, 2, 3, 4, 5),
    ),
    "zone": (
        pa.array([dt.datetime(2020, 1, 1), None, None], pa.timestamp("us", "UTC")),
        pd.Timestamp("2021-02-03 04:05"),
        dt.datetime(2021, 2, 3, 4, 5, tzinfo=dt.UTC),
    ),
    "time": (pa.array([dt.time(1), None, None]), "13:45:00", dt.time(13, 45)),
    "duration": (pa.array([dt.timedelta(1), None, None]), 90.0, dt.timedelta(seconds=90)),
    "truth": (pa.array([True, False, None]), "true", True),
    "text": (pa.array(["p", "q", None]), "neu", "neu"),
    "category": (pa.array(["p", "q", None], pa.dictionary(pa.int8(), pa.string())), "neu", "neu"),
    "numbers": (pa.array([[1, 2], [3, 4], None]), np.array([5, 6]), [5, 6]),
    "map": (pa.array([[("k", 1)], None, None], pa.map_(pa.string(), pa.int8())), '{"l": 2}', [("l", 2)]),
    "gone": (pa.array([1, 2, 3]), np.nan, None),
}


def typed_table() -> pa.Table:
    fields = [pa.field(name, column.type, metadata={"unit": name}) for name, (column, _, _) in TYPED.items()]
    columns = [column for column, _, _ in TYPED.values()]
    sure = pa.field("sure", pa.int64(), nullable=False)
    return pa.table([*columns, pa.array([1, 2, 3])], schema=pa.schema([*fields, sure], metadata={"made": "by hand"}))


def write_parquet(path: Path, table: pa.Table) -> ParquetSource:
    codecs: Any = {"text": "ZSTD", "int8": "NONE"}
    pq.write_table(table, path, row_group_size=2, compression=codecs)
    return ParquetSource(path)


def write_file(path: Path, table: pa.Table) -> ArrowFileSource:
    feather.write_feather(table, str(path), compression="zstd")
    return ArrowFileSource(path)


def write_stream(path: Path, table: pa.Table) -> ArrowFileSource:
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    return ArrowFileSource(path)


WRITERS = (write_parquet, write_file, write_stream)


def content(source: ParquetSource | ArrowFileSource) -> pa.Table:
    """The table in a file, by Arrow alone."""
    path = source.path
    if isinstance(source, ParquetSource):
        return pq.read_table(path)
    if path.read_bytes()[:6] == b"ARROW1":
        return pa.ipc.open_file(path).read_all()
    return pa.ipc.open_stream(path).read_all()


@pytest.mark.parametrize("write", WRITERS)
def test_only_edited_cells_differ(tmp_path, write):
    source = write(tmp_path / "in", typed_table())
    before = content(source)
    edits = Edits(
        cells={name: at(1, value) for name, (_, value, _) in TYPED.items()},
        dropped=np.array([False, False, True]),
        added={"p": np.array([0.5, 0.25, 0.125]), "kind": ["ok", "bad", "ok"]},
    )
    source.write_edited(tmp_path / "out", edits)
    after = content(type(source)(tmp_path / "out"))
    kept = after.drop_columns(["p", "kind"])
    assert after.column_names == [*before.column_names, "p", "kind"]
    assert kept.schema.equals(before.schema, check_metadata=True)
    assert kept.to_pylist()[0] == before.to_pylist()[0] and after["p"].to_pylist() == [0.5, 0.25]
    assert kept.to_pylist()[1] == {name: stored for name, (_, _, stored) in TYPED.items()} | {"sure": 2}


@pytest.mark.parametrize("write", WRITERS)
def test_a_table_without_edits_stays_equal(tmp_path, write):
    source = write(tmp_path / "in", typed_table())
    source.write_edited(tmp_path / "out", Edits())
    after = content(type(source)(tmp_path / "out"))
    assert after.equals(content(source), check_metadata=True)


def test_codecs_and_row_groups_are_kept(tmp_path):
    source = write_parquet(tmp_path / "in", typed_table())
    source.write_edited(tmp_path / "out", Edits(added={"p": [1, 2, 3]}))
    before, after = pq.read_metadata(tmp_path / "in"), pq.read_metadata(tmp_path / "out")
    assert [after.row_group(g).num_rows for g in range(after.num_row_groups)] == [2, 1]
    for place in range(before.num_columns):
        assert before.row_group(0).column(place).compression == after.row_group(0).column(place).compression


def test_pandas_metadata_and_index_are_kept(tmp_path):
    frame = pd.DataFrame({"a": pd.Categorical(["p", "q"]), "b": [1.5, None]}, index=pd.Index([10, 20], name="key"))
    frame.to_parquet(tmp_path / "in")
    ParquetSource(tmp_path / "in").write_edited(tmp_path / "out", Edits(cells={"b": at(1, 2.5)}, added={"p": [0, 1]}))
    expected = frame.assign(b=[1.5, 2.5], p=[0, 1])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), expected)


@pytest.mark.parametrize("write", WRITERS)
def test_fields_of_structs_are_edited(tmp_path, write):
    table = pa.table({"s": pa.array([{"x": 1, "y": {"z": "q"}}, None, {"x": 3, "y": None}]), "n": [1, 2, 3]})
    source = write(tmp_path / "in", table)
    assert source.names == ("s.x", "s.y.z", "n")
    source.write_edited(tmp_path / "out", Edits(cells={"s.y.z": at(1, "new"), "s.x": at(2, 9)}))
    after = content(type(source)(tmp_path / "out"))
    assert after["s"].to_pylist() == [{"x": 1, "y": {"z": "q"}}, {"x": None, "y": {"z": "new"}}, {"x": 9, "y": None}]


@pytest.mark.parametrize("write", WRITERS)
def test_batches_have_the_rows_in_order(tmp_path, write):
    table = pa.table({"a": range(7), "s": [{"x": i} for i in range(7)]})
    parts = list(write(tmp_path / "in", table).batches(2))
    whole = pa.concat_tables(parts)
    assert whole.to_pydict() == {"a": list(range(7)), "s.x": list(range(7))}
    assert max(map(len, parts)) <= 2


def test_new_values_that_do_not_fit_are_told(tmp_path):
    source = write_parquet(tmp_path / "in", typed_table())
    for name, value in {"int8": 1000, "truth": "maybe", "date": "never"}.items():
        with pytest.raises(InputError, match=f"The column '{name}' has the type .* new value such as"):
            source.write_edited(tmp_path / "out", Edits(cells={name: at(1, value)}))
    with pytest.raises(InputError, match="has a column 'text' already"):
        source.write_edited(tmp_path / "out", Edits(added={"text": [1, 2, 3]}))
    with pytest.raises(InputError, match="is the file that is read"):
        source.write_edited(tmp_path / "in", Edits())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in"]


def test_texts_that_are_not_utf8_are_told(tmp_path):
    offsets = pa.py_buffer(np.array([0, 1, 2], np.int32))
    bad = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff"))
    for write in WRITERS:
        source = write(tmp_path / write.__name__, pa.table({"name": bad}))
        with pytest.raises(InputError, match=r"column 'name' that are not UTF-8 text \(first: row 1\)"):
            list(source.batches(10))


def test_odd_tables(tmp_path):
    empty = write_parquet(tmp_path / "empty", pa.table({"a": pa.array([], pa.int8())}))
    assert sum(len(batch) for batch in empty.batches(10)) == 0
    empty.write_edited(tmp_path / "out", Edits(added={"p": np.zeros(0)}))
    assert pq.read_table(tmp_path / "out").column_names == ["a", "p"]
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InputError, match="more than one column named 'a'"):
        write_parquet(tmp_path / "twice", twice)
    wide = write_parquet(tmp_path / "wide", pa.table({f"c{i}": [1.0, 2.0] for i in range(2000)}))
    assert len(wide.names) == 2000 and wide.estimated_cells() == 4000
    old = tmp_path / "old"
    old.write_bytes(b"FEA1" + bytes(20))
    with pytest.raises(InputError, match="Feather file of version 1"):
        ArrowFileSource(old)


def test_files_of_polars_keep_their_schema(tmp_path):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {"a": ["x", "y"], "c": pl.Series(["p", "q"], dtype=pl.Categorical), "l": [["z"], []], "s": [{"k": "v"}] * 2}
    )
    frame.write_ipc(tmp_path / "in")
    edits = Edits(cells={"a": at(0, "new"), "c": at(0, "r"), "s.k": at(0, "w")}, dropped=np.array([False, True]))
    ArrowFileSource(tmp_path / "in").write_edited(tmp_path / "out", edits)
    assert pl.read_ipc(tmp_path / "out").rows() == [("new", "r", ["z"], {"k": "w"})]
    assert pa.ipc.open_file(tmp_path / "out").schema.equals(pa.ipc.open_file(tmp_path / "in").schema)


@pytest.mark.parametrize("write", WRITERS)
def test_names_that_are_not_utf8(tmp_path, write):
    opened = type(write(tmp_path / "in", pa.table({"a": [1, 2]})))
    path, out = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/in\xff", b"/out\xff"))
    (tmp_path / "in").rename(path)
    opened(path).write_edited(out, Edits(added={"p": [1, 2]}))
    assert opened(out).names == ("a", "p") and list(opened(out).batches(5))


@pytest.mark.parametrize("write", WRITERS)
def test_damaged_files_are_told(tmp_path, write):
    path = tmp_path / "in"
    write(path, pa.table({"a": range(100), "s": [f"text {i % 9}" for i in range(100)]}))
    whole, draw = path.read_bytes(), random.Random(1)
    told = 0
    for trial in range(60):
        damaged = bytearray(whole)
        if trial % 2:
            del damaged[draw.randrange(len(whole)) :]
        else:
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            source = ParquetSource(path) if write is write_parquet else ArrowFileSource(path)
            list(source.batches(1000))
        except InputError as error:
            assert str(path) in str(error)
            told += 1
    assert told >= 20
