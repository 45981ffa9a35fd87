"""Groups of rows: their numbers, their union by a plain search, hashes, and the fold of rows that come later."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.common.checks import InputError
from demix_jax.common.read_options import ReadOptions
from demix_jax.data import inspect_table
from demix_jax.data.folds.belonging_rows import belonging_rows
from demix_jax.data.folds.finder import FoldFinder
from demix_jax.data.folds.plan import make_folds
from demix_jax.data.folds.row_groups import group_numbers, joined_groups, large_group_note, row_times
from demix_jax.data.kinds import column_of
from demix_jax.data.row_hashes import cell_hashes, row_hashes


def test_equal_values_are_a_group_and_missing_ones_are_none():
    got = group_numbers(pd.Series(["a", "b", None, "a", None], name="person"))
    assert got[0] == got[3] and len(set(got)) == 4


@pytest.mark.parametrize(
    ("values", "said"), [(["x"] * 5, "'person', has one value in every row"), (list("abcde"), "another value in every")]
)
def test_columns_that_tell_no_groups_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        group_numbers(pd.Series(values, name="person"))


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 12), st.integers(20, 32), st.integers(-5, 5)), min_size=1, max_size=25))
def test_joined_groups_are_what_a_plain_search_finds(rows):
    columns = np.array(rows).T
    want = list(range(len(rows)))
    for _ in rows:
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                if any(x == y for x, y in zip(a, b, strict=True)):
                    want[i] = want[j] = min(want[i], want[j])
    got = joined_groups(*columns)
    np.testing.assert_array_equal(got[:, None] == got, np.array(want)[:, None] == want)


def test_a_note_tells_of_a_group_with_most_rows():
    note = large_group_note(np.array([0] * 6 + [1] * 4))
    assert note is not None and "60.0 % of the rows" in note
    assert large_group_note(np.array([0] * 5 + [1] * 5)) is None


def test_times_are_dates_or_numbers():
    np.testing.assert_array_equal(row_times(pd.Series([3, 1])), [3, 1])
    dates = row_times(pd.to_datetime(pd.Series(["2024-01-02", None, "2023-05-01"])))
    assert np.isnan(dates[1]) and dates[0] > dates[2]
    with pytest.raises(InputError, match="'when', holds neither dates nor numbers"):
        row_times(pd.Series(["early", "late"], name="when"))


def test_hashes_do_not_depend_on_how_a_value_is_stored():
    whole, fraction = pd.Series([1, 0, 3]), pd.Series([1.0, -0.0, 3.0], dtype="float32")
    np.testing.assert_array_equal(cell_hashes(whole), cell_hashes(fraction))
    plain, stored = pd.Series(["a", None, "b"], dtype=object), pd.Series(["a", None, "b"], dtype="category")
    np.testing.assert_array_equal(cell_hashes(plain), cell_hashes(stored))
    vectors = pd.Series([np.arange(3, dtype=np.float32), np.arange(3, dtype=np.float32), None, np.ones(3)])
    hashes = cell_hashes(vectors)
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3


def test_rows_have_equal_hashes_only_if_all_cells_are_equal():
    frame = pd.DataFrame({"a": [1, 2, 1, 1], "b": [2, 1, 2, 1]})
    hashes = row_hashes(column_of(frame, name) for name in frame)
    assert hashes[0] == hashes[2] and len(set(hashes)) == 3


def table(num_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    person = rng.integers(0, 80, num_rows)
    return pd.DataFrame(
        {
            "person": [f"p{i}" for i in person],
            "height": rng.normal(size=num_rows).round(4),
            "weight": rng.normal(size=num_rows).round(4),
            "day": np.arange(num_rows) * 1.5,
            "label": rng.choice(["a", "b"], num_rows),
        }
    )


def keyed(frame, **options):
    """The inspected table, whose persons are groups."""
    return inspect_table(frame, "label", ReadOptions(groups="person", **options))


def test_groups_and_copies_are_put_together():
    frame = pd.concat([table(), table().iloc[:20].assign(person="p0")], ignore_index=True)
    together = belonging_rows(keyed(frame), num_folds=5).groups
    assert together is not None
    persons = set(frame["person"].iloc[:20]) | {"p0"}
    np.testing.assert_array_equal(together == together[-1], frame["person"].isin(list(persons)))


def test_a_column_of_groups_is_no_feature():
    table_of = {column.name: column for column in keyed(table()).columns}
    assert not table_of["person"].used and table_of["height"].used


def test_later_rows_land_in_the_fold_of_their_group_or_copies():
    frame = table()
    fold = make_folds(
        np.random.default_rng(0), np.zeros(300, int), num_folds=3, groups=pd.factorize(frame["person"])[0]
    ).fold
    later = table(60, seed=5)
    later.iloc[:10] = frame.iloc[100:110]
    by_group = FoldFinder.of(keyed(frame), fold).find(later)
    for person, got in zip(later["person"], by_group, strict=True):
        known = fold[(frame["person"] == person).to_numpy()]
        assert not len(known) or got == known[0]
    by_values = FoldFinder.of(inspect_table(frame, "label"), fold)
    np.testing.assert_array_equal(by_values.find(later)[:10], fold[100:110])
    doubled = by_values.find(pd.concat([later, later]))
    np.testing.assert_array_equal(doubled[:60], doubled[60:])
    assert np.bincount(doubled, minlength=3).min() > 10, "rows without copies are spread over the folds"


def test_later_rows_are_judged_in_their_block_of_time_or_before_it():
    frame = table()
    fold = (np.arange(300) // 100).astype(np.int32)
    later = table(5, seed=9).assign(day=[0.1, 149.9, 150.0, 1e6, np.nan])
    finder = FoldFinder.of(inspect_table(frame, "label", ReadOptions(time="day")), fold)
    np.testing.assert_array_equal(finder.find(later), [0, 0, 1, 2, 2])
    person = frame["person"].iloc[120]
    earliest = fold[(frame["person"] == person).to_numpy()].min()
    finder = FoldFinder.of(keyed(frame, time="day"), fold)
    assert (finder.find(later.assign(person=person)) <= earliest).all()
