"""Rows of a table found again in its diagnosis, however either was sorted or filtered since."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.common.row_names import fingerprint_texts
from demix_jax.data.fingerprint import fingerprint, row_fingerprints
from demix_jax.repairs.match_rows import match_rows


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.integers(0, 9, 40), "b": rng.normal(size=40), "y": rng.choice(["no", "yes"], 40)})


def lines_of(table: pd.DataFrame) -> pd.DataFrame:
    fingerprints = fingerprint_texts(row_fingerprints(table))
    return pd.DataFrame({"row": range(len(table)), "mark": table["b"], "row_fingerprint": fingerprints})


SUMMARY = {"label": "y", "columns": {"a": "number", "b": "number"}}


def matched(table, lines, summary=SUMMARY):
    return match_rows(table, lines, summary, "diagnosis.csv")


@pytest.mark.parametrize(
    "change",
    [
        lambda t, d: (t, d),
        lambda t, d: (t, d.sort_values("mark")),
        lambda t, d: (t.sort_values("b"), d),
        lambda t, d: (t.sample(frac=1, random_state=1), d.sample(frac=1, random_state=2)),
        lambda t, d: (t.assign(more="x"), d.assign(verdict="")),
        lambda t, d: (t[["y", "b", "a"]], d.sort_values("mark")),
    ],
)
def test_sorted_tables_and_added_columns_match(table, change):
    table, lines = change(table, lines_of(table))
    found = matched(table, lines)
    np.testing.assert_array_equal(lines["mark"].to_numpy()[found.line], table["b"])
    assert found.sentences == []


def test_filtered_diagnosis_leaves_other_rows(table):
    lines = lines_of(table).iloc[[30, 4, 11]]
    found = matched(table, lines)
    assert np.flatnonzero(found.line >= 0).tolist() == [4, 11, 30]
    assert found.line[[30, 4, 11]].tolist() == [0, 1, 2]
    assert found.sentences == ["37 rows of the table have no line in the diagnosis and were left as they are."]


def test_filtered_table_ignores_other_lines(table):
    found = matched(table.iloc[10:20], lines_of(table))
    assert found.line.tolist() == list(range(10, 20))
    assert found.sentences == ["30 lines of the diagnosis are about rows that the table no longer has."]


def test_equal_rows_take_their_lines_in_order():
    table = pd.DataFrame({"a": [5, 5, 5], "b": [1.0, 1.0, 2.0], "y": ["no"] * 3})
    assert matched(table, lines_of(table)).line.tolist() == [0, 1, 2]
    assert matched(table.iloc[[2, 0, 1]], lines_of(table)).line.tolist() in ([2, 0, 1], [2, 1, 0])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(b=t["b"] + 1),
        lambda t: t.assign(b=t["b"].where(t.index != 3, 0.5)),
        lambda t: pd.concat([t.iloc[5:], t.iloc[:2].assign(b=9.0)]),
    ],
)
def test_another_table_is_refused(table, change):
    with pytest.raises(InputError, match="belongs to another table"):
        matched(change(table), lines_of(table))


def test_lost_columns_are_named(table):
    with pytest.raises(InputError, match="lacks the columns 'b'"):
        matched(table.drop(columns="b"), lines_of(table))


def test_without_summary_fingerprints_still_count(table):
    lines = lines_of(table).sort_values("mark")
    found = matched(table.assign(sample_weight=1.0), lines, {})
    np.testing.assert_array_equal(lines["mark"].to_numpy()[found.line], table["b"])
    with pytest.raises(InputError, match="another table"):
        matched(table.assign(b=0.0), lines, {})


def test_row_numbers_alone_need_the_table_fingerprint(table):
    lines = lines_of(table).drop(columns="row_fingerprint").sort_values("mark")
    with pytest.raises(InputError, match="neither a column row_fingerprint nor a summary"):
        matched(table, lines, {})
    known = {"fingerprint": fingerprint(table)}
    np.testing.assert_array_equal(lines["mark"].to_numpy()[matched(table, lines, known).line], table["b"])
    with pytest.raises(InputError, match="fingerprints differ"):
        matched(table.assign(b=0.0), lines, known)


def test_damaged_fingerprints_are_refused(table):
    lines = lines_of(table)
    lines["row_fingerprint"] = "1.2E+15"
    with pytest.raises(InputError, match="damaged column row_fingerprint"):
        matched(table, lines)
