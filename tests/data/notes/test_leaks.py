"""Columns that give the label away are named, others are not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from data.notes.honest_tables import HONEST, customers, flowers, rentals

from demix_jax.data.inspected_table import inspect_table
from demix_jax.data.notes import Leaks, find_leaks, repeated_columns


def leaks(frame: Any, label: str, task: str = "classification") -> Leaks:
    table = inspect_table(frame, label)
    return find_leaks(table, repeated_columns(table), task=task)


def with_code(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(status_code=np.where(frame.churn == "yes", 7, 3))


def with_text(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    left = rng.choice(["moved away", "too dear", "unhappy"], len(frame))
    return frame.assign(reason=pd.Series(left).where(frame.churn == "yes"))


def with_date(frame: pd.DataFrame) -> pd.DataFrame:
    days = np.random.default_rng(0).integers(1, 300, len(frame)) + np.where(frame.churn == "yes", 400, 0)
    return frame.assign(closed=pd.Timestamp("2019-01-01") + pd.to_timedelta(days, unit="D"))


def with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    inside = np.random.default_rng(0).uniform(0.4, 0.6, len(frame))
    outside = inside + np.random.default_rng(1).choice([-0.3, 0.3], len(frame))
    return frame.assign(points=np.where(frame.churn == "yes", inside, outside))


MOST = "Most of what the columns tell about the label is told by"


class TestOneColumn:
    @pytest.mark.parametrize(
        ("change", "name"),
        [(with_code, "status_code"), (with_text, "reason"), (with_date, "closed"), (with_intervals, "points")],
    )
    def test_codes_texts_dates_and_intervals(self, change, name):
        found = leaks(change(customers()), "churn")
        assert len(found.certain) == 1 and found.possible == ()
        assert f"'{name}' alone predicts the label in every row" in found.certain[0]
        assert f"--ignore {name}" in found.certain[0]

    @pytest.mark.parametrize("num_rows", [60, 200, 1000, 7000])
    @pytest.mark.parametrize("scale", [1.0, 1e307])
    def test_thresholds_in_tables_of_any_size(self, num_rows, scale):
        frame = customers(num_rows)
        made = np.random.default_rng(0).uniform(0.5, 1.0, num_rows) * np.where(frame.churn == "yes", 1, -1)
        assert leaks(frame.assign(made=made * scale), "churn").certain[0].startswith("'made' alone predicts")

    def test_grades_made_from_points(self):
        frame = flowers()
        points = np.random.default_rng(5).uniform(0, 100, len(frame)).round(1)
        frame = frame.assign(**{"exam points": points}, kind=np.digitize(points, [20, 40, 60, 80]))
        (sentence,) = leaks(frame, "kind").certain
        assert "'exam points' alone predicts" in sentence and "--ignore 'exam points'" in sentence

    def test_a_few_exceptions_are_counted(self):
        frame = with_code(customers(2000))
        frame.loc[[7, 600], "status_code"] = 5
        (sentence,) = leaks(frame, "churn").certain
        assert "in 99.9 % of the rows" in sentence or "in every row" in sentence

    def test_several_columns_are_one_sentence(self):
        frame = with_text(with_code(customers()))
        (sentence,) = leaks(frame, "churn").certain
        assert "'reason' and 'status_code' alone predict" in sentence
        assert "--ignore reason --ignore status_code" in sentence

    def test_spellings_of_the_label_do_not_hide_it(self):
        frame = with_code(customers())
        frame.loc[::13, "churn"] = frame.churn[::13].str.upper()
        assert "'status_code' alone" in leaks(frame, "churn").certain[0]

    def test_rows_of_one_person_are_proposed_as_groups(self):
        people = customers(40, flip=0).assign(person=[f"P-{i}" for i in range(40)])
        visits = pd.concat([people] * 15, ignore_index=True)
        visits["hours"] = np.random.default_rng(0).normal(40, 9, len(visits))
        sentences = leaks(visits.drop(columns=["age", "amount"]), "churn").certain
        assert len(sentences) == 1 and "--groups person" in sentences[0]

    @pytest.mark.parametrize("make_amount", [lambda y: 1.19 * y, lambda y: np.log(y + 1), lambda y: -(y**2)])
    def test_amounts_made_from_one_column(self, make_amount):
        frame = rentals()
        (sentence,) = leaks(frame.assign(made=make_amount(frame["count"])), "count", "regression").certain
        assert "made" in sentence

    @pytest.mark.parametrize(("make", "label", "task"), HONEST.values(), ids=HONEST)
    def test_honest_tables_have_none(self, make, label, task):
        assert leaks(make(), label, task) == Leaks()

    def test_a_column_that_agrees_with_nine_in_ten_labels_is_not_certain(self):
        frame = customers()
        wrong = np.random.default_rng(0).random(len(frame)) < 0.1
        found = leaks(frame.assign(guess=np.where((frame.churn == "yes") ^ wrong, "a", "b")), "churn")
        assert found.certain == ()

    def test_few_rows_of_a_class_prove_nothing(self):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame({f"c{i}": rng.normal(size=100) for i in range(50)})
        assert leaks(frame.assign(y=["rare"] * 3 + ["usual"] * 97), "y") == Leaks()

    def test_a_slow_series_is_no_function_of_time(self):
        seconds = np.sort(np.random.default_rng(0).uniform(0, 1e6, 800))
        warmth = (15 + 8 * np.sin(seconds / 5e4)).round(1)
        frame = rentals(800).assign(seconds=seconds, warmth=warmth)
        assert leaks(frame, "warmth", "regression").certain == ()


class TestFormulas:
    @pytest.mark.parametrize(
        ("make", "text"),
        [
            (lambda a, b, c: a + b, "y = a + b in every row"),
            (lambda a, b, c: 0.5 * a - 2 * b + c + 30, "y = 0.5 × a − 2 × b + c + 30 in every row"),
            (lambda a, b, c: (a + b + c) / 3, "y = 0.3333 × a + 0.3333 × b + 0.3333 × c in every row"),
            (lambda a, b, c: a * b, "y = a × b in every row"),
            (lambda a, b, c: 1.19 * a * b / c, "y = 1.19 × a × b / c in every row"),
        ],
    )
    def test_sums_and_products(self, make, text):
        rng = np.random.default_rng(3)
        a, b, c = rng.gamma(3, 20, 500).round(1) + 1, rng.integers(1, 90, 500), rng.uniform(2, 50, 500).round(2)
        frame = pd.DataFrame({"a": a, "b": b, "c": c, "d": a + rng.normal(0, 5, 500), "y": make(a, b, c)})
        (sentence,) = leaks(frame, "y", "regression").certain
        assert sentence.startswith(text) and "--ignore a --ignore b" in sentence

    def test_rounded_totals_and_a_column_that_resembles_the_label(self):
        rng = np.random.default_rng(4)
        casual, registered = rng.gamma(1, 40, 500).round(), rng.gamma(2, 60, 500).round()
        frame = rentals(500).assign(casual=casual, registered=registered, cnt=casual + registered)
        frame["forecast"] = frame.cnt + rng.normal(0, 20, 500).round()
        (sentence,) = leaks(frame.drop(columns="count"), "cnt", "regression").certain
        assert sentence.startswith("cnt = casual + registered in every row")

    def test_a_few_wrong_totals(self):
        rng = np.random.default_rng(4)
        casual, registered = rng.gamma(1, 40, 500).round(), rng.gamma(2, 60, 500).round()
        total = casual + registered
        total[::50] *= 3
        frame = pd.DataFrame({"casual": casual, "registered": registered, "wind": rng.normal(size=500), "cnt": total})
        (sentence,) = leaks(frame, "cnt", "regression").certain
        assert sentence.startswith("cnt = casual + registered in 98.0 % of the rows")

    @pytest.mark.parametrize("noise", [0.2, 1.0, 3.0])
    def test_a_regression_with_noise_is_no_formula(self, noise):
        rng = np.random.default_rng(5)
        x = rng.normal(size=(400, 5))
        frame = pd.DataFrame(x, columns=[*"abcde"]).assign(y=x.sum(axis=1) + rng.normal(0, noise, 400))
        assert leaks(frame, "y", "regression").certain == ()


class TestKnownOnlyLater:
    def calls(self, seed: int) -> pd.DataFrame:
        """Calls whose success shows in their duration, and hardly in anything known before."""
        frame = customers(1500, seed=seed, flip=0.25)
        shape = np.where(frame.churn == "yes", 4.0, 1.2)
        return frame.assign(duration=np.random.default_rng(seed).gamma(shape, 120).round())

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_a_column_far_better_than_all_others(self, seed):
        found = leaks(self.calls(seed), "churn")
        assert found.certain == () and len(found.possible) == 1
        assert found.possible[0].startswith(f"{MOST} 'duration' alone") and "--ignore duration" in found.possible[0]

    def test_its_copy_does_not_hide_it(self):
        frame = self.calls(1)
        frame["seconds"] = frame.duration
        assert "'duration' alone" in leaks(frame, "churn").possible[0]

    def test_presence_of_a_value(self):
        frame = customers(flip=0.25)
        boats = np.random.default_rng(0).choice([*"ABCDEF"], len(frame))
        kept = (frame.churn == "yes") ^ (np.random.default_rng(1).random(len(frame)) < 0.02)
        assert (
            leaks(frame.assign(boat=pd.Series(boats).where(kept)), "churn")
            .possible[0]
            .startswith(f"{MOST} 'boat' alone")
        )

    @pytest.mark.parametrize("flip", [0.0, 0.2, 0.4])
    def test_tables_without(self, flip):
        assert leaks(customers(1500, flip=flip), "churn").possible == ()


@pytest.mark.parametrize("make", [with_code, with_text, with_date, lambda frame: TestKnownOnlyLater().calls(1)])
def test_order_of_rows_and_columns_does_not_matter(make):
    frame = make(customers(1500))
    shuffled = frame.sample(frac=1, random_state=4).loc[:, sorted(frame.columns, key=lambda name: name[::-1])]
    assert leaks(shuffled, "churn") == leaks(frame, "churn") != Leaks()


def test_order_does_not_matter_where_only_some_rows_are_looked_at():
    frame = TestKnownOnlyLater().calls(1)
    frame = pd.concat([frame, customers(5000, seed=9).assign(duration=100.0)])
    found = leaks(frame, "churn")
    for state in (1, 2):
        assert leaks(frame.sample(frac=1, random_state=state), "churn") == found


def test_tables_with_vectors_are_looked_at_column_by_column():
    frame = with_code(customers(100))
    frame["vector"] = [np.arange(3, dtype=np.float32) + i for i in range(100)]
    table = inspect_table(frame, "churn")
    assert "status_code" in find_leaks(table, task="classification").certain[0]
