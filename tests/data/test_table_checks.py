"""Refusing bad tables, and telling tasks apart."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.table_checks import check_table, infer_task


def rows(n=40, **columns):
    rng = np.random.default_rng(0)
    base = {"age": rng.integers(17, 90, n), "job": rng.choice(["a", "b", "c"], n), "y": np.arange(n) % 2}
    return pd.DataFrame({**base, **columns})


class TestChecks:
    def test_a_good_table_passes_untouched(self):
        frame = rows()
        before = frame.copy(deep=True)
        check_table(frame, "y")
        pd.testing.assert_frame_equal(frame, before)

    @pytest.mark.parametrize(
        ("frame", "label", "message"),
        [
            (rows(), "Y ", "did you mean 'y'"),
            (rows(), "zzz", "the columns are 'age', 'job', 'y'"),
            (rows(12), "y", "12 rows; at least 30"),
            (rows(y=1), "y", "constant"),
            (rows(y=[None, *([0, 1] * 19), None]), "y", "missing in 2 of 40 rows (first: 1, 40)"),
            (rows(y=["", *(["a", "b"] * 19), " "]), "y", "missing in 2 of 40 rows"),
            (rows(y=[f"name {i}" for i in range(40)]), "y", "most occur once"),
            (rows(400, y=[f"c{i % 150}" for i in range(400)]), "y", "150 distinct values"),
            (rows(y=pd.date_range("2020", periods=40)), "y", "holds dates"),
            (rows(y=[np.inf, *np.arange(39.0)]), "y", "infinite"),
            (rows(y=np.arange(40) * 1e300), "y", "varies too much"),
            (rows(y=np.arange(40) * 1e-300), "y", "varies too little"),
            (rows(y=[[1], [2]] * 20), "y", "holds lists"),
            (rows(empty=np.nan), "y", "Every value is missing in the column 'empty'"),
            (rows(empty=None, blank=" "), "y", "the columns 'empty', 'blank'"),
            (rows(income=[np.inf, -np.inf, *np.arange(38.0)]), "y", "'income' (2)"),
            (rows()[["y"]], "y", "no column besides the label"),
            (rows()[["y"]].assign(id=range(40), c=1), "y", "No feature column is usable"),
            (rows()[["age", "age", "y"]], "y", "more than one column named 'age'"),
            (rows().rename(columns={"age": 1, "job": "1"}), "y", "more than one column named '1'"),
        ],
    )
    def test_bad_tables(self, frame, label, message):
        with pytest.raises(InputError) as caught:
            check_table(frame, label)
        assert message in str(caught.value)

    def test_the_task_can_be_given(self):
        texts = rows(400, y=[f"{i}.5" for i in range(400)])
        with pytest.raises(InputError, match="400 distinct values"):
            check_table(texts, "y", task="classification")
        check_table(texts, "y")
        check_table(texts, "y", task="regression")
        with pytest.raises(InputError, match="not a number in every row"):
            check_table(rows(y=["a", "b"] * 20), "y", task="regression")
        with pytest.raises(InputError, match="auto, classification or regression"):
            check_table(rows(), "y", task="ranking")

    def test_column_names_need_not_be_strings(self):
        frame = rows().set_axis([0, 1, 2], axis=1)
        check_table(frame, 2)
        check_table(frame, "2")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 50, "classification"),
        ([True, False] * 50, "classification"),
        (["x", "y"] * 50, "classification"),
        ([0.0, 0.5, 1.0, 0.5] * 25, "classification"),
        ([1.0, 2.0, 3.0, 4.0] * 25, "classification"),
        (list(range(20)) * 5, "classification"),
        (list(range(50)) * 40, "classification"),
        (list(range(17, 90)) * 40, "regression"),
        (list(range(200)) * 40, "regression"),
        (list(range(100)), "regression"),
        (np.linspace(0, 1, 100), "regression"),
        (pd.array([1, 2] * 50, dtype="Int64"), "classification"),
        (pd.Categorical(["x", "y"] * 50), "classification"),
        ([decimal.Decimal(i) / 7 for i in range(100)], "regression"),
    ],
)
def test_task(values, task):
    assert infer_task(pd.Series(values, name="y")) == task
