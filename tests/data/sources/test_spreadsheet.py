"""Sheets of workbooks: the table on them, its types, and what is told about the rest."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.source import Edits
from demix_jax.data.sources.spreadsheet import SpreadsheetSource


def book(path: Path, **sheets: list[list]) -> Path:
    made = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


def columns(source: SpreadsheetSource) -> dict[str, list]:
    return {name: values for batch in source.batches(1000) for name, values in batch.to_pydict().items()}


def test_cells_keep_their_types(tmp_path):
    day, moment = dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 13, 45)
    rows = [
        ["whole", "part", "day", "when", "time", "ok", "name", "mixed", "bad"],
        [1, 1.5, day, moment, dt.time(13, 45), True, "x", 36, 1],
        [2, 2, day, day, dt.time(1), False, "007", "36+", "#DIV/0!"],
        [None, None, None, None, None, None, None, day, 3],
    ]
    source = SpreadsheetSource(book(tmp_path / "in.xlsx", data=rows))
    midnight = dt.datetime(2020, 1, 2)
    assert columns(source) == {
        "whole": [1, 2, None],
        "part": [1.5, 2.0, None],
        "day": [midnight, midnight, None],
        "when": [moment, midnight, None],
        "time": [dt.time(13, 45), dt.time(1), None],
        "ok": [True, False, None],
        "name": ["x", "007", None],
        "mixed": ["36", "36+", "2020-01-02"],
        "bad": [1, None, 3],
    }
    assert source.notes == () and source.estimated_cells() == 27


def test_what_surrounds_the_table_is_left_out(tmp_path):
    rows = [
        ["Quarterly report", None, None, None],
        [],
        [None, "region", "sales", "costs"],
        [None, "north", 10, 1],
        [],
        [None, "region", "sales", "costs"],
        [None, "south", 20, 2],
        [None, "Total", 30, 3],
        [None, "Source: our books, without tax"],
    ]
    source = SpreadsheetSource(book(tmp_path / "in.xlsx", data=rows))
    assert columns(source) == {"region": ["north", "south"], "sales": [10, 20], "costs": [1, 2]}
    assert source.notes == (
        "1 row above the header on the sheet is left out.",
        "2 rows below the table on the sheet are left out.",
    )


def test_sheets_without_header_or_with_an_index(tmp_path):
    source = SpreadsheetSource(book(tmp_path / "a.xlsx", data=[[1, 2.5], [3, 4]]))
    assert source.names == ("column_1", "column_2") and "has no header" in source.notes[0]
    pd.DataFrame({2019: [1, 2], "b": ["x", "y"]}).to_excel(tmp_path / "b.xlsx")
    assert columns(SpreadsheetSource(tmp_path / "b.xlsx")) == {"column_1": [0, 1], "2019": [1, 2], "b": ["x", "y"]}


def test_the_sheet_is_chosen(tmp_path):
    path = book(tmp_path / "in.xlsx", empty=[], first=[["a"], [1]], Second=[["b"], [2]])
    source = SpreadsheetSource(path)
    assert source.names == ("a",)
    assert source.notes == ("The sheet 'first' was read; others are 'Second'. Choose one with sheet.",)
    for sheet in ("Second", "second", 3, "3"):
        chosen = SpreadsheetSource(path, sheet=sheet)
        assert chosen.names == ("b",) and chosen.notes == ()
    for sheet in ("third", 0, 4):
        with pytest.raises(InputError, match=f"no sheet {sheet!r}; its sheets are 'empty', 'first', 'Second'"):
            SpreadsheetSource(path, sheet=sheet)


def test_open_document_sheets(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "d": pd.to_datetime(["2020-01-02", "2021-03-04"])})
    frame.to_excel(tmp_path / "in.ods", index=False)
    found = columns(SpreadsheetSource(tmp_path / "in.ods"))
    assert found == {"a": [1, 2], "b": ["x", "y"], "d": [dt.datetime(2020, 1, 2), dt.datetime(2021, 3, 4)]}


BAD = {
    "empty": ([], "only empty sheets"),
    "header only": ([["a", "b"]], "has a header but no rows"),
    "no name": ([["a", None, "c"], [1, 2, 3]], "cells in column 2 of the table but no name above them in row 1"),
    "one name twice": ([["a", "a"], [1, 2]], "more than one column named 'a'"),
}


@pytest.mark.parametrize("case", BAD)
def test_sheets_without_a_table_are_told(tmp_path, case):
    rows, words = BAD[case]
    with pytest.raises(InputError, match=words):
        SpreadsheetSource(book(tmp_path / "in.xlsx", data=rows))


def test_damaged_workbooks_are_told(tmp_path):
    whole = book(tmp_path / "in.xlsx", data=[["a"], [1]]).read_bytes()
    for content in (b"PK\x03\x04" + bytes(50), whole[:200], b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)):
        (tmp_path / "in.xlsx").write_bytes(content)
        with pytest.raises(InputError, match="is a damaged workbook"):
            SpreadsheetSource(tmp_path / "in.xlsx")
    with pytest.raises(InputError, match="does not exist"):
        SpreadsheetSource(tmp_path / "none.xlsx")


def test_a_workbook_is_not_edited(tmp_path):
    source = SpreadsheetSource(book(tmp_path / "in.xlsx", data=[["a"], [1]]))
    with pytest.raises(InputError, match=r"end the name of the output in .csv or .parquet, not .xlsx"):
        source.write_edited(tmp_path / "out.xlsx", Edits(added={"p": np.zeros(1)}))
