"""Rows that belong together in a diagnosis: no model judges what it has seen, and copies cost no quality."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from demix_jax.common.progress import StepTimer
from demix_jax.common.read_options import ReadOptions
from demix_jax.data.folds.plan import make_folds, strata_of
from demix_jax.diagnosis import pipeline
from demix_jax.diagnosis.pipeline import diagnose_samples
from demix_jax.domains.tables.domain import TableDomain
from demix_jax.evidence.gather import plan_folds


def people(num_rows=400, seed=1, flip=0.15):
    """An honest table whose label can be learnt, and which of its labels were exchanged."""
    rng = np.random.default_rng(seed)
    age, hours = rng.integers(18, 80, num_rows), np.clip(rng.normal(40, 9, num_rows).round(), 5, 90)
    amount = np.exp(rng.normal(7, 0.7, num_rows)).round(2)
    region = rng.choice(["north", "south", "east"], num_rows, p=[0.5, 0.3, 0.2])
    job = rng.choice(["clerk", "nurse", "driver", "teacher"], num_rows)
    score = (
        0.06 * (age - 45) + 0.09 * (hours - 40) + 1.6 * (np.log(amount) - 7) + np.where(region == "north", 0.9, -0.9)
    )
    right = score + np.where(np.isin(job, ["nurse", "teacher"]), 0.8, -0.8) + rng.logistic(0, 0.3, num_rows) > 0
    wrong = np.zeros(num_rows, bool)
    wrong[rng.choice(num_rows, round(flip * num_rows), replace=False)] = True
    columns = {"age": age, "hours": hours, "amount": amount, "region": region, "job": job}
    return pd.DataFrame(columns | {"label": np.where(right ^ wrong, "yes", "no")}), wrong


def visits(num_persons=250, each=4, seed=0, flip=0.12):
    """Visits of persons: label and traits are the person's, with a little noise; and which labels are wrong."""
    rng = np.random.default_rng(seed)
    age, mass = rng.integers(20, 80, num_persons), rng.normal(27, 4, num_persons)
    smoker = rng.choice(["yes", "no"], num_persons, p=[0.3, 0.7])
    pressure = 120 + 0.4 * (age - 50) + rng.normal(0, 8, num_persons)
    score = 0.07 * (age - 50) + 0.2 * (mass - 27) + np.where(smoker == "yes", 1.5, -0.6) + 0.05 * (pressure - 120)
    wrong = np.zeros(num_persons, bool)
    wrong[rng.choice(num_persons, round(flip * num_persons), replace=False)] = True
    label = np.where((score + rng.logistic(0, 0.3, num_persons) > 0) ^ wrong, "ill", "well")
    person = rng.permutation(np.repeat(np.arange(num_persons), each))
    frame = pd.DataFrame(
        {
            "person": [f"P{1000 + i}" for i in person],
            "age": age[person],
            "mass": (mass[person] + rng.normal(0, 0.2, len(person))).round(1),
            "smoker": smoker[person],
            "pressure": (pressure[person] + rng.normal(0, 3, len(person))).round(),
            "label": label[person],
        }
    )
    return frame, wrong[person]


def assert_unseen(folds, groups):
    """No model is trained on, or stopped by, a row of a group that it judges."""
    for f in range(len(folds.train)):
        seen = groups[np.union1d(folds.train[f], folds.valid[f])]
        assert not np.isin(groups[: len(folds.fold)][folds.fold == f], seen).any()


class Stop(Exception):
    """Stops a diagnosis before any model is trained."""


@pytest.fixture
def planned(monkeypatch):
    """The folds and notes of a diagnosis of a domain, as `gather_evidence` is asked for them."""

    def plan(domain):
        asked = {}

        def note_and_stop(dataset, **options):
            asked.update(options, dataset=dataset)
            raise Stop

        monkeypatch.setattr(pipeline, "gather_evidence", note_and_stop)
        rows = domain.rows(StepTimer())
        with pytest.raises(Stop):
            pipeline.gather(domain, rows, seed=0, steps=StepTimer())
        labels = strata_of(asked["dataset"].y, asked["dataset"].target)
        known = {name: asked[name] for name in ("groups", "times")}
        return plan_folds(np.random.default_rng(0), labels, asked["num_train"], **known), rows.notes

    return plan


def test_no_model_sees_a_copy_of_a_row_that_it_judges(planned):
    frame = pd.concat([people(100)[0]] * 3).sample(frac=1, random_state=0).reset_index(drop=True)
    folds, notes = planned(TableDomain.of(frame, "label"))
    assert any(note.startswith("300 rows are equal to another row") for note in notes)
    assert_unseen(folds, frame.groupby(list(frame.columns)).ngroup().to_numpy())
    assert set(np.bincount(folds.fold)) == {60}


def test_a_validation_table_leaves_the_groups_apart(planned):
    frame = pd.concat([people(100)[0]] * 3, ignore_index=True)
    folds, _ = planned(TableDomain.of(frame, "label", valid=people(40, seed=9)[0]))
    assert folds.fold.shape == (340,) and (folds.valid >= 300).all() and (folds.train < 300).all()
    assert_unseen(folds._replace(fold=folds.fold[:300]), np.append(np.tile(np.arange(100), 3), np.arange(100, 140)))


def test_without_copies_the_folds_are_those_of_the_labels_alone(planned):
    frame, _ = people(200)
    folds, _ = planned(TableDomain.of(frame, "label"))
    want = make_folds(np.random.default_rng(0), (frame["label"] == "yes").to_numpy().astype(int), num_folds=5)
    for a, b in zip(folds, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_persons_are_kept_together_and_proposed(planned):
    frame, _ = visits(60)
    assert any("give --groups 'person'" in note for note in planned(TableDomain.of(frame, "label"))[1])
    folds, notes = planned(TableDomain.of(frame, "label", options=ReadOptions(groups="person")))
    assert_unseen(folds, pd.factorize(frame["person"])[0])
    assert not any("--groups" in note for note in notes)


def test_rows_are_judged_by_models_of_earlier_rows(planned):
    frame, _ = people(200)
    frame["day"] = np.random.default_rng(0).permutation(200) // 2
    folds, notes = planned(TableDomain.of(frame, "label", options=ReadOptions(time="day")))
    day = frame["day"].to_numpy()
    for b in range(1, 5):
        seen = np.union1d(folds.train[b], folds.valid[b])
        assert day[seen].max() < day[folds.fold == b].min()
    assert any("in 5 blocks of time" in note for note in notes)


def precision(domain, wrong, seed=0):
    return average_precision_score(wrong, diagnose_samples(domain, seed=seed).table["p_label_error"])


@pytest.mark.slow
def test_rows_three_times_over_are_judged_as_well_as_once():
    frame, wrong = people()
    once = precision(TableDomain.of(frame, "label"), wrong)
    order = np.random.default_rng(0).permutation(3 * len(frame))
    three = precision(
        TableDomain.of(pd.concat([frame] * 3, ignore_index=True).iloc[order], "label"), np.tile(wrong, 3)[order]
    )
    assert once > 0.5, "too hard a case"
    assert three > once - 0.05


@pytest.mark.slow
def test_four_visits_a_person_are_judged_nearly_as_well_as_one():
    frame, wrong = visits()
    first = ~frame["person"].duplicated().to_numpy()
    once = precision(TableDomain.of(frame[first].drop(columns="person"), "label"), wrong[first])
    four = precision(TableDomain.of(frame, "label", options=ReadOptions(groups="person")), wrong)
    assert once > 0.5, "too hard a case"
    assert four >= 0.8 * once
