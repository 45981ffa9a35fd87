"""Columns that are proposed as groups: keys of persons and the like, under any name; and none of the ordinary ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from demix_jax.data import inspect_table
from demix_jax.data.folds.propose_groups import proposal_note, propose_groups

DATA = os.environ.get("DEMIX_DATA_DIR", "")
NAMED = {"adult": "income", "bank": "y", "bike_sharing": "cnt", "covertype": "Cover_Type", "credit": "default"}


def visits(num_persons=250, each=4, seed=0):
    """Four visits a person: traits are the person's, with a little noise where they are measured."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(num_persons), each)
    age, mass = rng.integers(20, 80, num_persons), rng.normal(27, 4, num_persons)
    frame = pd.DataFrame(
        {
            "person": [f"P{1000 + 7 * i}" for i in person],
            "age": age[person],
            "mass": (mass[person] + rng.normal(0, 0.2, len(person))).round(1),
            "smoker": rng.choice(["yes", "no"], num_persons)[person],
            "pressure": rng.normal(120, 12, len(person)).round(),
            "label": (age + mass > 70)[person].astype(int),
        }
    )
    return frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)


def ordinary(num_rows, seed=0):
    """Columns that repeat, and are related, but are no keys."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, num_rows)
    return pd.DataFrame(
        {
            "age": age,
            "customer_age": rng.integers(18, 80, num_rows),
            "hours": np.clip(rng.normal(40, 9, num_rows).round(), 5, 90).astype(int),
            "price": rng.integers(100, 500, num_rows),
            "tenure": ((age - 18) * 0.5).round(),
            "region": rng.choice([f"region {i}" for i in range(30)], num_rows),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 200, num_rows), unit="D"),
            "label": rng.integers(0, 2, num_rows),
        }
    )


@pytest.mark.parametrize("as_number", [False, True])
@pytest.mark.parametrize("name", ["person", "patientId", "CASE_NO", "xyz"])
def test_a_key_of_persons_is_proposed_under_any_name(name, as_number):
    frame = visits()
    if as_number:
        frame["person"] = frame["person"].str[1:].astype(int)
    table = inspect_table(frame.rename(columns={"person": name}), "label")
    assert propose_groups(table) == [name]
    assert f"the 250 values of {name!r}, about 4 rows each" in proposal_note(table, name)


def test_a_name_alone_is_not_enough():
    frame = ordinary(1_000).assign(patient=np.random.default_rng(1).integers(0, 250, 1_000))
    assert propose_groups(inspect_table(frame, "label")) == []


@pytest.mark.parametrize("num_rows", [200, 1_000, 6_000])
def test_ordinary_columns_are_not_proposed(num_rows):
    assert propose_groups(inspect_table(ordinary(num_rows), "label")) == []


def test_the_order_of_rows_plays_no_part():
    frame = visits(6_000)
    first, second = (inspect_table(f, "label") for f in (frame, frame.iloc[::-1].reset_index(drop=True)))
    assert propose_groups(first) == propose_groups(second) == ["person"]


@pytest.mark.skipif(not DATA, reason="needs the folder DEMIX_DATA_DIR")
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("num_rows", [1_500, 10**9])
def test_nothing_is_proposed_in_well_known_tables(name, num_rows):
    frame = pd.read_parquet(Path(DATA) / f"{name}.parquet")
    frame = frame.sample(min(num_rows, len(frame)), random_state=0)
    label = NAMED[name] if NAMED[name] in frame else frame.columns[-1]
    assert propose_groups(inspect_table(frame, label)) == []
