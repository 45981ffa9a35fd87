"""Copies of rows are told from rows that are equal by chance; notes count them as a plain loop does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from demix_jax.data import inspect_table
from demix_jax.data.folds.equal_rows import equal_rows, unusual_rows


def records(num_rows=400, seed=0):
    """Rows as people have them: a few categories, whole numbers, and two amounts."""
    rng = np.random.default_rng(seed)
    amount = np.exp(rng.normal(7, 0.7, num_rows)).round(2)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, num_rows),
            "region": rng.choice(["north", "south", "east"], num_rows),
            "amount": amount,
            "balance": (amount * rng.normal(1.2, 0.15, num_rows)).round(2),
            "label": rng.choice(["no", "yes"], num_rows),
        }
    )


def find(frame, label="label"):
    return equal_rows(inspect_table(frame, label))


def test_rows_three_times_over_are_copies():
    frame = pd.concat([records()] * 3).sample(frac=1, random_state=0).reset_index(drop=True)
    found = find(frame)
    want = frame.groupby(list(frame.columns)).ngroup().to_numpy()
    assert len(np.unique(found.groups)) == 400
    assert len(np.unique(np.stack([want, found.groups]), axis=1).T) == 400, "the same groups"
    assert found.notes() == (
        "1,200 rows are equal to another row in every column that is used (400 different rows); copies are kept in "
        "one fold.",
    )


def test_rows_equal_but_for_their_label_are_counted():
    frame = records()
    again = frame.iloc[:40].copy()
    again.loc[again.index[:6], "label"] = np.where(again["label"].iloc[:6] == "yes", "no", "yes")
    found = find(pd.concat([frame, again], ignore_index=True))
    assert found.copied.sum() == 2 * 34 and found.relabelled.sum() == 2 * 6
    assert "12 rows are equal to another row except for their label." in found.notes()
    assert (found.groups[:40] == found.groups[400:]).all(), "a wrong label does not take a copy out of its fold"


def test_missing_cells_are_equal_and_the_order_of_rows_and_columns_plays_no_part():
    frame = pd.concat([records().assign(age=lambda f: f["age"].where(f["age"] > 30))] * 2, ignore_index=True)
    order = np.random.default_rng(0).permutation(len(frame))
    found, shuffled = find(frame), find(frame.iloc[order, ::-1].reset_index(drop=True))
    assert found.copied.all()
    np.testing.assert_array_equal(found.copied[order], shuffled.copied)
    assert found.notes() == shuffled.notes()


def test_a_table_without_equal_rows_has_no_copies():
    found = find(records())
    assert not found.any and found.notes() == () and len(np.unique(found.groups)) == 400


def titanic():
    """The passengers of the Titanic by class, sex, age and survival, as counted by the British Board of Trade."""
    dead = {"1mc": 0, "1ma": 118, "1fc": 0, "1fa": 4, "2mc": 0, "2ma": 154, "2fc": 0, "2fa": 13, "3mc": 35, "3ma": 387}
    dead |= {"3fc": 17, "3fa": 89, "cma": 670, "cfa": 3}
    alive = {"1mc": 5, "1ma": 57, "1fc": 1, "1fa": 140, "2mc": 11, "2ma": 14, "2fc": 13, "2fa": 80, "3mc": 13}
    alive |= {"3ma": 75, "3fc": 14, "3fa": 76, "cma": 192, "cfa": 20}
    rows = [(*key, label) for label, of in (("no", dead), ("yes", alive)) for key, n in of.items() for _ in range(n)]
    return pd.DataFrame(rows, columns=["class", "sex", "age", "label"])


def products(seed=0):
    """Orders of products, whose name, group and price follow from their number."""
    rng = np.random.default_rng(seed)
    number = rng.integers(0, 100, 1_000)
    return pd.DataFrame(
        {
            "product": number,
            "name": [f"n{p}" for p in number],
            "group": number % 10,
            "price": (number * 7.13).round(2),
            "quantity": rng.integers(1, 6, 1_000),
            "channel": rng.choice(["shop", "web", "mail"], 1_000),
            "label": rng.integers(0, 2, 1_000),
        }
    )


def indicators(seed=0):
    """Ten columns that are functions of one code."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 10, 1_000)
    table = pd.DataFrame((code[:, None] == np.arange(10)).astype(int), columns=[f"is_{i}" for i in range(10)])
    return table.assign(label=rng.integers(0, 2, 1_000))


def cities(seed=0):
    """Three columns that follow from each other, and a label that does not."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, 100, 1_000)
    return pd.DataFrame(
        {
            "zip": 10_000 + 31 * city,
            "mayor": [f"m{c}" for c in city],
            "area": city * 0.7,
            "label": rng.integers(0, 2, 1_000),
        }
    )


@pytest.mark.parametrize("make", [titanic, products, indicators, cities])
def test_rows_equal_by_nature_are_no_copies(make):
    frame = make()
    features = frame.drop(columns="label")
    assert features.duplicated(keep=False).mean() > 0.4, "too plain a case"
    assert not find(frame).any


def test_a_few_copies_among_rows_equal_by_nature_are_found_where_a_value_is_rare():
    frame = titanic().sample(600, random_state=0).reset_index(drop=True)
    frame["fare"] = np.random.default_rng(0).normal(30, 9, 600).round(3)
    frame["tax"] = np.random.default_rng(1).normal(3, 0.9, 600).round(3)
    found = find(pd.concat([frame, frame.iloc[:25]], ignore_index=True))
    np.testing.assert_array_equal(np.flatnonzero(found.copied), [*range(25), *range(600, 625)])


def test_equal_long_texts_and_vectors_are_copies():
    rng = np.random.default_rng(0)
    words = np.array(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"])
    texts = [" ".join(rng.choice(words, 20)) for _ in range(200)]
    frame = pd.DataFrame({"text": texts, "label": rng.choice(["a", "b"], 200)})
    assert find(pd.concat([frame, frame.iloc[:30]], ignore_index=True)).copied.sum() == 60


def test_unusual_rows_are_those_whose_equals_are_copies():
    assert unusual_rows(inspect_table(records(), "label")).all()
    assert not unusual_rows(inspect_table(titanic(), "label")).any()
