"""The front: which source a path gives, folders and patterns as one table, and what is told of other paths."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.arrow_file import ArrowFileSource
from demix_jax.data.sources.delimited.source import DelimitedSource
from demix_jax.data.sources.json_document import JsonSource
from demix_jax.data.sources.json_lines import JsonLinesSource
from demix_jax.data.sources.open import open_source, read_source
from demix_jax.data.sources.parquet import ParquetSource
from demix_jax.data.sources.source import Edits, NewCells
from demix_jax.data.sources.spreadsheet import SpreadsheetSource

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
CSV = FRAME.to_csv(index=False).encode()


def stream(path: Path) -> None:
    with pa.ipc.new_stream(path, pa.schema({"a": pa.int64(), "b": pa.string()})) as writer:
        writer.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}))


WRITERS = {
    "t.csv": (lambda path: path.write_bytes(CSV), DelimitedSource),
    "t.csv.gz": (lambda path: path.write_bytes(gzip.compress(CSV)), DelimitedSource),
    "t.tsv": (lambda path: FRAME.to_csv(path, index=False, sep="\t"), DelimitedSource),
    "t.parquet": (FRAME.to_parquet, ParquetSource),
    "t.feather": (FRAME.to_feather, ArrowFileSource),
    "t.arrow": (stream, ArrowFileSource),
    "t.json": (lambda path: FRAME.to_json(path, orient="records"), JsonSource),
    "t.jsonl": (lambda path: FRAME.to_json(path, orient="records", lines=True), JsonLinesSource),
    "t.xlsx": (lambda path: FRAME.to_excel(path, index=False), SpreadsheetSource),
    "t.ods": (lambda path: FRAME.to_excel(path, index=False), SpreadsheetSource),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_opened_by_its_name(tmp_path, name):
    write, kind = WRITERS[name]
    write(tmp_path / name)
    source = open_source(tmp_path / name)
    assert isinstance(source, kind) and source.notes == ()
    table = read_source(source)
    assert [str(value) for value in table["a"].to_pylist()] == ["1", "2"] and table["b"].to_pylist() == ["x", "y"]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_opened_under_a_wrong_name(tmp_path, name):
    write, kind = WRITERS[name]
    write(tmp_path / name)
    wrong = tmp_path / ("t.parquet" if kind is DelimitedSource and not name.endswith("gz") else "wrong.csv")
    (tmp_path / name).rename(wrong)
    source = open_source(wrong)
    assert read_source(source).num_rows == 2 and source.names == ("a", "b")
    if name != "t.csv.gz":
        assert f"{wrong} holds" in source.notes[0]


def test_other_content_is_refused_with_its_name(tmp_path):
    for name, content, words in (
        ("a.csv", b"<!DOCTYPE html>\n<html></html>\n", "HTML"),
        ("a.xls", b"<html><table></table></html>\n", "HTML"),
        ("a.csv", b"%PDF-1.7\n%\n", "PDF"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"a,b\n", "has a header but no rows"),
        ("a.parquet", b"PAR1" + bytes(40), "damaged Parquet file"),
        ("a.parquet.gz", gzip.compress(b"PAR1" + bytes(40)), "compressed Parquet file; unpack it"),
        ("a.docx", b"text\n", "has the suffix .docx; expected a table as"),
        ("a", b"text\n", r"has the suffix \(none\)"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_source(open_source(tmp_path / name))


def test_missing_files_are_told_with_similar_names(tmp_path):
    (tmp_path / "train.csv").write_bytes(CSV)
    with pytest.raises(InputError, match=r"trian.csv does not exist; did you mean train.csv\?"):
        open_source(tmp_path / "trian.csv")
    with pytest.raises(InputError, match="nor does the folder"):
        open_source(tmp_path / "no" / "train.csv")
    with pytest.raises(InputError, match=r"part-\*.csv does not exist"):
        open_source(tmp_path / "part-*.csv")


def test_options_that_do_not_fit_are_told(tmp_path):
    FRAME.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="has no encoding to choose"):
        open_source(tmp_path / "t.parquet", encoding="utf-8")
    with pytest.raises(InputError, match="has no sheets"):
        open_source(tmp_path / "t.parquet", sheet=1)


def test_names_that_are_not_utf8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xff.xlsx"))
    FRAME.to_excel(tmp_path / "t.xlsx", index=False)
    (tmp_path / "t.xlsx").rename(path)
    assert open_source(path).names == ("a", "b")
    with pytest.raises(InputError, match=r"t\\xff.xlsx has no sheet"):
        open_source(path, sheet="none")


def parts(folder: Path) -> Path:
    folder.mkdir()
    (folder / "part-0.csv").write_text("a,b\n1,x\n2,y\n")
    (folder / "part-1.csv").write_text("b;a\nz;3\n")
    for name in (".hidden.csv", "_SUCCESS", "_old.csv", "readme.md"):
        (folder / name).write_text("no table")
    return folder


def test_a_folder_and_a_pattern_are_one_table(tmp_path):
    folder = parts(tmp_path / "data")
    for path in (folder, folder / "part-*.csv"):
        source = open_source(path)
        assert read_source(source).to_pydict() == {"a": ["1", "2", "3"], "b": ["x", "y", "z"]}
        assert source.notes == ("2 files were read as one table, in this order: part-0.csv, part-1.csv.",)
        assert source.is_text and source.path == path


def test_a_folder_is_edited_file_by_file(tmp_path):
    source = open_source(parts(tmp_path / "data"))
    edits = Edits(
        cells={"a": NewCells(np.array([1, 2]), ["8", "9"])},
        dropped=np.array([True, False, False]),
        added={"p": ["q", "r", "s"]},
    )
    source.write_edited(tmp_path / "out", edits)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["part-0.csv", "part-1.csv"]
    assert (tmp_path / "out" / "part-0.csv").read_text() == "a,b,p\n8,y,r\n"
    assert (tmp_path / "out" / "part-1.csv").read_text() == "b;a;p\nz;9;s\n"
    with pytest.raises(InputError, match="exists already"):
        source.write_edited(tmp_path / "out", edits)


def test_folders_give_columns(tmp_path):
    for year in (2020, 2021):
        folder = tmp_path / "data" / f"year={year}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"a": pa.array([year - 2019.5 if year > 2020 else 1])}), folder / "p.parquet")
    source = open_source(tmp_path / "data")
    assert read_source(source).to_pydict() == {"a": [1.0, 1.5], "year": ["2020", "2021"]}
    source.write_edited(tmp_path / "out", Edits(added={"p": [1, 2]}))
    assert pq.ParquetFile(tmp_path / "out/year=2021/p.parquet").read().to_pydict() == {"a": [1.5], "p": [2]}
    with pytest.raises(InputError, match="'year' comes from the names of folders"):
        source.write_edited(tmp_path / "out2", Edits(cells={"year": NewCells(np.array([0]), ["x"])}))


def test_folders_that_are_no_table_are_told(tmp_path):
    folder = parts(tmp_path / "data")
    (folder / "part-2.csv").write_text("a,c\n1,x\n")
    with pytest.raises(InputError, match=r"part-2.csv lacks 'b', unlike"):
        open_source(folder)
    (folder / "part-2.csv").unlink()
    FRAME.to_parquet(folder / "t.parquet")
    with pytest.raises(InputError, match="several formats"):
        open_source(folder)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="folder without tables"):
        open_source(tmp_path / "none")


def test_numbers_in_one_file_and_texts_in_another(tmp_path):
    (tmp_path / "d").mkdir()
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "d" / "1.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "d" / "2.parquet")
    assert read_source(open_source(tmp_path / "d")).to_pydict() == {"a": ["1", "2", "x"]}
