"""A group of rows whose labels are often wrong: found where it is, and not where a column changes what others mean."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from demix_jax.data import TableEncoder
from demix_jax.data.folds.plan import make_folds, strata_of
from demix_jax.diagnosis.explanation import noisy_group, noisy_group_note
from demix_jax.evidence.gather import gather_evidence, more_evidence
from demix_jax.evidence.noisy_group import find_noisy_group
from demix_jax.evidence.out_of_fold import OutOfFold, fit_trees

NUM_ROWS = 2_000


def clinics(*, rate=0.0, turned=False, num_classes=2):
    """Patients of four clinics, and whether the label of each is wrong: so often in the clinics "c" and "d".

    turned: what `dose` means for the label is the reverse there.
    """
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "dose": rng.normal(size=NUM_ROWS),
            "age": rng.normal(size=NUM_ROWS),
            "clinic": rng.choice(list("abcd"), NUM_ROWS),
        }
    )
    inside = frame["clinic"].isin(["c", "d"]).to_numpy()
    sign = np.where(turned & inside, -1, 1)
    score = 2 * sign * frame["dose"] + frame["age"] + 0.5 * rng.normal(size=NUM_ROWS)
    edges = np.quantile(score, np.linspace(0, 1, num_classes + 1)[1:-1])
    label = np.searchsorted(edges, score)
    wrong = inside & (rng.random(NUM_ROWS) < rate)
    label = np.where(wrong, (label + rng.integers(1, num_classes, NUM_ROWS)) % num_classes, label)
    return frame.assign(label=[f"class {k}" for k in label]), wrong


def searched(frame, *, num_train=None):
    encoder = TableEncoder.fit(frame, "label")
    dataset = encoder.transform(frame)
    folds = make_folds(np.random.default_rng(0), strata_of(dataset.y, dataset.target), num_folds=3)
    _, trees = fit_trees(dataset, folds, seed=0)
    found = find_noisy_group(dataset, folds, trees, num_train=num_train or len(frame), seed=0)
    return encoder, dataset, folds, trees, found


@pytest.mark.parametrize(("rate", "num_classes"), [(0.3, 2), (0.45, 2), (0.4, 4)])
def test_a_group_with_wrong_labels_is_found_with_its_rate(rate, num_classes):
    frame, wrong = clinics(rate=rate, num_classes=num_classes)
    _, dataset, folds, trees, found = searched(frame)
    assert found is not None
    inside = found.rows(dataset.codes)
    assert set(frame["clinic"][inside]) == {"c", "d"}
    assert found.rate == pytest.approx(rate, abs=0.06)
    judged = found.judged_from_outside(trees, dataset, folds.fold)
    assert roc_auc_score(wrong[inside], -judged.p_given[inside]) > 0.93
    assert roc_auc_score(wrong[inside], -judged.p_given[inside]) > roc_auc_score(wrong[inside], -trees.p_given[inside])
    np.testing.assert_array_equal(judged.prediction[~inside], trees.prediction[~inside])
    np.testing.assert_allclose(judged.prediction.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"turned": True}], ids=["clean", "interaction"])
def test_a_clean_table_has_none(options):
    assert searched(clinics(**options)[0])[-1] is None


def test_labels_wrong_everywhere_are_not_a_group():
    frame, _ = clinics()
    rng = np.random.default_rng(1)
    flipped = np.where(frame["label"] == "class 0", "class 1", "class 0")
    assert searched(frame.assign(label=np.where(rng.random(NUM_ROWS) < 0.25, flipped, frame["label"])))[-1] is None


def test_a_validation_table_does_not_count():
    clean, spoiled = clinics()[0], clinics(rate=0.4)[0]
    assert searched(pd.concat([clean, spoiled], ignore_index=True), num_train=NUM_ROWS)[-1] is None


@pytest.mark.parametrize(
    "label",
    [np.linspace(0, 1, NUM_ROWS) ** 2, [f"c{i % 40}" for i in range(NUM_ROWS)], ["a"] * (NUM_ROWS - 2) + ["b"] * 2],
    ids=["a number", "40 classes", "two rows of a class"],
)
def test_other_labels_have_none(label):
    assert searched(clinics()[0].assign(label=label))[-1] is None


def test_further_rows_of_the_group_are_judged_from_outside_too():
    frame, _ = clinics(rate=0.4)
    encoder = TableEncoder.fit(frame, "label")
    dataset = encoder.transform(frame)
    evidence = gather_evidence(dataset, known_mistakes=False)
    again = more_evidence(evidence, dataset, evidence.folds.fold)
    assert isinstance(again.trees, OutOfFold)
    np.testing.assert_allclose(again.trees.prediction, evidence.trees.prediction, rtol=1e-5)
    assert evidence.models.noisy is not None
    told = noisy_group(encoder, dataset, evidence)
    assert told is not None
    assert told.group in ("clinic = c or d", "clinic = d or c")
    assert told.share == pytest.approx(0.5, abs=0.05)
    assert re.match(r"About (39|4\d) % of the labels seem wrong where clinic = ", noisy_group_note(told))


def test_copies_do_not_make_a_chance_group_look_certain():
    frame, rng = clinics()[0], np.random.default_rng(0)
    part = frame.iloc[rng.permutation(NUM_ROWS)[:150]]
    flipped = np.where(part["label"] == "class 0", "class 1", "class 0")
    part = part.assign(label=np.where(rng.random(150) < 0.2, flipped, part["label"]))
    many, groups = pd.concat([part] * 6, ignore_index=True), np.tile(np.arange(150), 6)
    dataset = TableEncoder.fit(many, "label").transform(many)
    folds = make_folds(np.random.default_rng(0), dataset.y, num_folds=3, groups=groups)
    _, trees = fit_trees(dataset, folds, seed=0)
    alone, together = (
        find_noisy_group(dataset, folds, trees, num_train=900, groups=known, seed=0) for known in (None, groups)
    )
    assert alone is not None, "too plain a case"
    assert together is None
