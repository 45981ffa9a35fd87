"""Fingerprints of rows: equal for what says the same, different for anything else."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.row_names import fingerprint_texts, read_fingerprints
from demix_jax.data.fingerprint import TableFingerprint, fingerprint, row_fingerprints


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "part": [0.1, np.nan, 3.0],
            "town": ["Ulm", "NA", " Hof"],
            "day": pd.to_datetime(["2020-01-01", "2020-01-02 10:30", None], format="ISO8601"),
            "sure": [True, False, True],
        }
    )


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype=str, keep_default_na=False)


def test_storage_does_not_count(table):
    expected = row_fingerprints(table)
    assert len(set(expected.tolist())) == 3
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    single = table.astype({"part": "float32", "whole": "int8"})
    for other in (read, as_text(table), single, table.convert_dtypes(), table.astype({"town": "category"})):
        np.testing.assert_array_equal(row_fingerprints(other), expected)


def test_order_of_columns_index_and_other_rows_do_not_count(table):
    expected = row_fingerprints(table)
    np.testing.assert_array_equal(row_fingerprints(table[table.columns[::-1]]), expected)
    np.testing.assert_array_equal(row_fingerprints(table.set_axis([7, 7, 9])), expected)
    np.testing.assert_array_equal(row_fingerprints(table.iloc[[2, 0]]), expected[[2, 0]])


@pytest.mark.parametrize(
    ("name", "value"),
    [("whole", 4), ("part", 0.1000001), ("part", np.nan), ("town", "ulm"), ("town", ""), ("sure", False),
     ("day", pd.Timestamp("2020-01-01 00:00:01"))],
)  # fmt: skip
def test_any_other_value_counts(table, name, value):
    changed = table.copy()
    changed.loc[0, name] = value
    differs = row_fingerprints(changed) != row_fingerprints(table)
    np.testing.assert_array_equal(differs, [True, False, False])


def test_exchanged_values_and_names_count(table):
    table = pd.DataFrame({"a": [1, 2], "b": [2, 1]})
    assert len(set(row_fingerprints(table).tolist())) == 2
    assert (row_fingerprints(table) != row_fingerprints(table.rename(columns={"a": "c"}))).all()


def test_long_numbers_keep_their_digits_apart():
    texts = pd.DataFrame({"order": ["1571511327552814361", "1571511327552999361"]})
    assert len(set(row_fingerprints(texts).tolist())) == 2


def test_lists_have_fingerprints():
    vectors = pd.DataFrame({"v": [np.array([1.0, 2.0]), np.array([1.0, 3.0]), None]})
    assert len(set(row_fingerprints(vectors).tolist())) == 3


def test_table_fingerprint_depends_on_order_and_can_be_read_in_parts(table):
    assert fingerprint(table) != fingerprint(table.iloc[::-1])
    digest = TableFingerprint(list(table.columns))
    for part in (table.iloc[:1], table.iloc[1:]):
        digest.update(row_fingerprints(part))
    assert digest.hexdigest() == fingerprint(table) == fingerprint(as_text(table))


def test_written_fingerprints_are_read_back():
    given = np.array([0, 1, 2**64 - 1, 0x0123456789ABCDEF], np.uint64)
    texts = fingerprint_texts(given)
    assert texts[3] == "r0123456789abcdef"
    np.testing.assert_array_equal(read_fingerprints(texts.tolist()), given)
    assert read_fingerprints(["r0123", "17"]) is None
