"""Columns are inspected once, at the door, and everything after reads what was found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.common.read_options import ReadOptions
from demix_jax.data import TableEncoder, as_inspected, check_table, inspect_table, table_notes
from demix_jax.data.inspect_column import inspect_column
from demix_jax.repairs.trees import tree_table


def some_table(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "town": rng.choice(["Köln", "Bonn", "Ulm"], n),
            "when": pd.date_range("2020", periods=n, freq="h").strftime("%d/%m/%Y %H:%M"),
            7: rng.integers(0, 100, n),
            "same": "x",
            "id": np.arange(n),
            "y": np.arange(n) % 2,
        }
    )


@pytest.fixture
def inspected(monkeypatch) -> list[object]:
    """The names of the columns that are inspected while a test runs, in order."""
    names = []

    def counted(name, column, **options):
        names.append(name)
        return inspect_column(name, column, **options)

    monkeypatch.setattr("demix_jax.data.inspected_table.inspect_column", counted)
    return names


def test_each_column_is_inspected_once(inspected):
    frame = some_table()
    table = inspect_table(frame, "y")
    check_table(table)
    encoder = TableEncoder.fit(table)
    encoder.transform(frame)
    table_notes(table, task="classification")
    tree_table(table)
    assert inspected == ["size", "town", "when", 7, "same", "id", "y"]
    assert len(table.columns) == len(inspected) - 1 and len(table) == 120


def test_a_frame_gives_what_its_table_gives():
    frame = some_table()
    table = inspect_table(frame, "y")
    by_frame, by_table = TableEncoder.fit(frame, "y").transform(frame), TableEncoder.fit(table).transform(frame)
    np.testing.assert_array_equal(by_frame.x, by_table.x)
    assert by_frame.columns == by_table.columns


def test_findings_stand_in_table_order_without_the_label():
    table = inspect_table(some_table(), "y")
    assert table.keys == ("size", "town", "when", 7, "same", "id")
    assert [column.name for column in table.columns] == [str(key) for key in table.keys]
    kinds = [column.kind for column in table.columns]
    assert kinds == ["number", "category", "date", "number", "constant", "identifier"]
    assert table.target.name == "y" and inspect_table(some_table(), "7").label == 7
    assert [column.form is not None for column in table.columns] == [False, False, True, False, False, False]
    for key, column, values in table.features():
        assert values.name == key and column.name == str(key)
    assert table.frame["when"].dtype.kind == "M" and isinstance(table.written["when"].iloc[0], str)


def test_other_values_keep_the_findings():
    table = inspect_table(some_table(), "y")
    edited = table.with_frame(table.frame.assign(town="Köln"))
    assert edited.columns == table.columns
    assert bool(edited.frame["town"].nunique() == 1) and bool(table.frame["town"].nunique() == 3)


def test_what_the_user_says_of_columns_counts():
    options = ReadOptions.of(kinds={"7": "category"}, ignore=["size"], id="id", groups="town")
    table = inspect_table(some_table(), "y", options)
    kinds = {column.name: column.kind for column in table.columns}
    assert kinds == {
        "size": "ignored",
        "town": "identifier",
        "when": "date",
        "7": "category",
        "same": "constant",
        "id": "identifier",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kinds": {"size": "numeric"}}, "must be one of number, category, text, date, identifier, vector"),
        ({"kinds": {"size": "number"}, "ignore": "size"}, "is given a kind and ignored"),
        ({"ignore": ["sise"]}, "did you mean 'size'"),
        ({"id": "y"}, "is the label"),
        ({"groups": "nobody"}, "no column for groups"),
    ],
)
def test_options_that_cannot_be_met_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        inspect_table(some_table(), "y", ReadOptions.of(**given))


def test_spellings_of_the_label_are_united_and_told():
    frame = some_table().assign(y=["yes", "no"] * 60)
    frame.loc[[3, 8, 40], "y"] = ["NO", "Yes", "yes."]
    table = inspect_table(frame, "y")
    assert table.target.unique().tolist() == ["yes", "no"] and np.flatnonzero(table.respelt()).tolist() == [3, 8, 40]
    assert table.spellings == {"NO": "no", "Yes": "yes", "yes.": "yes"}
    assert table.parser(frame.iloc[[3]])["y"].tolist() == ["no"] and table.respelt(frame.iloc[[3, 4]]).tolist() == [
        True,
        False,
    ]


def test_taken_rows_keep_the_findings():
    table = inspect_table(some_table(), "y")
    taken = table.take(np.array([5, 3]))
    assert taken.columns == table.columns and taken.frame["id"].tolist() == [5, 3] and len(taken) == 2


def test_bad_tables_are_refused_at_the_door():
    frame = some_table()
    with pytest.raises(InputError, match="no column 'Town'; did you mean 'town'"):
        inspect_table(frame, "Town")
    with pytest.raises(InputError, match="more than one column named 'size'"):
        inspect_table(frame.loc[:, ["size", "size", "y"]], "y")
    table = inspect_table(frame, "y")
    assert as_inspected(table) is table and as_inspected(table, "y") is table
    with pytest.raises(ValueError, match="inspected for the label 'y', got 'town'"):
        as_inspected(table, "town")


def test_features_are_padded_to_a_power_of_two():
    frame = some_table()
    plain = TableEncoder.fit(frame, "y").transform(frame)
    padded = TableEncoder.fit(frame, "y", shared_width=True).transform(frame)
    width = plain.x.shape[1]
    assert width < 32, "the table must be narrow"
    np.testing.assert_array_equal(padded.x, np.pad(plain.x, ((0, 0), (0, 32 - width))))
    assert padded.groups == plain.groups and padded.x.dtype == np.float32
