"""Notes on columns, classes, repeated columns and diagnosed tables."""

import numpy as np
import pandas as pd
import pytest
from data.notes.honest_tables import HONEST, customers, rentals

from demix_jax.data.inspected_table import inspect_table
from demix_jax.data.notes import (
    class_size_note,
    column_notes,
    flag_share_note,
    repeat_notes,
    repeated_columns,
    table_notes,
)


@pytest.mark.parametrize(("make", "label", "task"), HONEST.values(), ids=HONEST)
def test_honest_tables_have_no_notes(make, label, task):
    assert table_notes(inspect_table(make(), label), task=task) == ((), None)


def test_notes_do_not_depend_on_order():
    frame = customers().assign(
        region2=lambda t: t.region.str.upper(), same="x", code=lambda t: t.churn.map({"yes": 7, "no": 3})
    )
    frame.loc[[3, 50, 70], "churn"] = ["Yes", "rare", "NO"]
    found = table_notes(inspect_table(frame, "churn"), task="classification")
    assert found.label_doubt == found.sentences[0] and "'code' alone" in found.sentences[0]
    assert len(found.sentences) == 5
    for state in range(3):
        shuffled = frame.sample(frac=1, random_state=state)
        shuffled = shuffled.loc[:, np.random.default_rng(state).permutation(frame.columns)]
        assert table_notes(inspect_table(shuffled, "churn"), task="classification") == found


class TestColumns:
    @pytest.mark.parametrize(
        "values",
        [["x"] * 599 + ["y"], [0.0] * 597 + [1.5, 2.5, 3.5], [None] * 596 + [*"abcd"]],
        ids=["text", "number", "gaps"],
    )
    def test_nearly_one_value(self, values):
        (note,) = column_notes(inspect_table(customers().assign(idle=values), "churn"))
        assert note.startswith("One value in 99 % of the rows or more: 'idle'") and "--ignore" in note

    @pytest.mark.parametrize("values", [["x"] * 590 + ["y"] * 10, [0, 1] * 300, [None, "a", "b"] * 200])
    def test_other_columns(self, values):
        assert column_notes(inspect_table(customers().assign(busy=values), "churn")) == []

    def test_constants_and_identifiers(self):
        table = inspect_table(customers().assign(b=1, a="x", number=range(600)), "churn")
        assert column_notes(table) == [
            "Not used, because of the same value in every row: 'a', 'b'.",
            "Not used, because of a different value in every row: 'number'.",
        ]


class TestClassSizes:
    @pytest.mark.parametrize(
        ("rare", "want"),
        [
            (["c"] * 3, "Class 'c' has 3 rows: too few to judge"),
            (["c"], "Class 'c' has 1 row: too few to judge"),
            (["c"] * 9 + ["d"], "Classes 'c' (9 rows) and 'd' (1 row) have too few rows to judge"),
        ],
    )
    def test_few(self, rare, want):
        note = class_size_note(pd.Series(["a"] * 50 + ["b"] * 50 + rare), {})
        assert note is not None and note.startswith(want)

    @pytest.mark.parametrize("rare", [[], ["c"] * 10, ["A"] * 3])
    def test_enough(self, rare):
        assert class_size_note(pd.Series(["a"] * 50 + ["b"] * 50 + rare), {"A": "a"}) is None


class TestRepeats:
    @pytest.mark.parametrize(
        ("copy", "renamed"),
        [
            (lambda t: t.assign(z=t.amount), False),
            (lambda t: t.assign(z=t.region.map({"north": 1, "south": 2, "east": 3, "west": 4})), True),
            (lambda t: t.assign(z=t.job.where(t.job != "clerk"), job=t.job.where(t.job != "clerk")), False),
        ],
    )
    def test_repeated(self, copy, renamed):
        (group,) = repeated_columns(inspect_table(copy(customers()), "churn"))
        assert "z" in group.names and len(group.names) == 2 and group.renamed == renamed
        (note,) = repeat_notes([group])
        assert "'z'" in note and "--ignore" in note

    @pytest.mark.parametrize(
        "other",
        [
            lambda t: t.assign(z=t.amount + np.r_[0.01, np.zeros(599)]),
            lambda t: t.assign(z=2 * t.amount),  # amounts may go together without being one
            lambda t: t.assign(z=t.region.where(t.index > 5, "east")),
        ],
    )
    def test_not_repeated(self, other):
        assert repeated_columns(inspect_table(other(customers()), "churn")) == []


class TestFlagShare:
    def pixels(self) -> pd.DataFrame:
        values = np.random.default_rng(0).integers(0, 256, (300, 64))
        return pd.DataFrame(values, columns=[f"p{i}" for i in range(64)]).assign(y=[0, 1] * 150)

    def test_pixels(self):
        note = flag_share_note(0.56, inspect_table(self.pixels(), "y"))
        assert note is not None and note.startswith("56 % of the rows called likely wrong") and "pixels" in note

    def test_other_reasons(self):
        table = inspect_table(customers(), "churn")
        assert "hardly be judged" in str(flag_share_note(0.5, table, "the label …"))
        assert "few to learn from" in str(flag_share_note(0.5, table.take(np.arange(60))))
        assert "the right column" in str(flag_share_note(0.5, table))

    @pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
    def test_plausible_shares(self, share):
        assert flag_share_note(share, inspect_table(rentals(), "count")) is None
