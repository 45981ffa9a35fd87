"""A diagnosis from end to end on small tables, with a classifier of random weights: all around it is tested."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from fabricated_worlds import untrained_classifier
from sklearn.metrics import roc_auc_score

from demix_jax.classifier.decision import thresholds
from demix_jax.classifier.schema import SIGNALS
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data.fingerprint import fingerprint
from demix_jax.diagnosis import pipeline
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.domains.tables.domain import diagnose

COLUMNS = [*(f"{part}{name}" for part in ("", "p_", "band_") for name in ERROR_TYPES), "suggested_label"]
COLUMNS += ["suspect_columns", "mistake", "row_fingerprint"]
ROWS = 160  # all tables have as many rows, so that compiled code is reused


@pytest.fixture(scope="module")
def classifier():
    return untrained_classifier()


def table(num_rows=ROWS, seed=0):
    """The label follows size; age follows height; awkward names, a constant column and missing cells."""
    rng = np.random.default_rng(seed)
    size, height = rng.normal(size=(2, num_rows))
    frame = pd.DataFrame(
        {
            "größe": size,
            "高さ": np.where(rng.random(num_rows) < 0.05, np.nan, height),
            "age": np.round(40 + 10 * height + 0.5 * rng.normal(size=num_rows)),
            "kind": rng.choice(np.array(["a", "ß", None], dtype=object), num_rows, p=[0.5, 0.4, 0.1]),
            "same": "x",
            "étiquette": np.where(size > 0, "oui", "non"),
        },
        index=[f"row {i}" for i in range(num_rows)],
    )
    return frame


@pytest.fixture(scope="module")
def spoiled():
    """16 wrong labels and 16 impossible ages in the table above; returns it with the row numbers of both."""
    frame = table()
    rows = np.random.default_rng(3).permutation(ROWS)
    labels, ages = rows[:16], rows[16:32]
    column = frame.columns.get_loc("étiquette")
    frame.iloc[labels, column] = np.where(frame.iloc[labels, column] == "oui", "non", "oui")
    frame.iloc[ages, frame.columns.get_loc("age")] = 400.0
    return frame, labels, ages


class Display:
    """Records what a progress display is told."""

    def __init__(self):
        self.stages, self.finished = {}, 0

    def stage(self, name, total):
        self.stages[name] = [total, 0]
        self.current = name

    def advance(self, amount=1):
        self.stages[self.current][1] += amount

    def done(self):
        self.finished += 1


@pytest.fixture(scope="module")
def display():
    return Display()


@pytest.fixture(scope="module")
def diagnosis(spoiled, classifier, display) -> Diagnosis:
    return run(spoiled[0], classifier, progress=display)


def run(frame, classifier, **options):
    options = {"label": "étiquette", "model": "mlp-small", "classifier": classifier} | options
    return diagnose(frame, **options)


def test_the_table_of_a_diagnosis(diagnosis, spoiled):
    frame, _, _ = spoiled
    got = diagnosis.table
    assert list(got.columns) == COLUMNS and got.index.equals(frame.index)
    p = got[[f"p_{name}" for name in ERROR_TYPES]].to_numpy()
    assert (p >= 0).all() and (p <= 1).all()
    flags = got[list(ERROR_TYPES)].to_numpy()
    assert flags.dtype.kind == "i" and set(np.unique(flags)) <= {0, 1}
    limits = [diagnosis.summary.thresholds[name] for name in ERROR_TYPES]
    np.testing.assert_array_equal(flags, (p >= limits).astype(int))
    assert (flags[:, :2].any(axis=0) & ~flags[:, :2].all(axis=0)).all(), "too plain a case"


def test_thresholds_are_the_best_for_f1(diagnosis):
    p = diagnosis.table[[f"p_{name}" for name in ERROR_TYPES]].to_numpy()
    told = [diagnosis.summary.thresholds[name] for name in ERROR_TYPES]
    np.testing.assert_allclose(told, thresholds(p), rtol=1e-6)


def test_suggestions_and_suspects_only_where_flagged(diagnosis):
    got = diagnosis.table
    wrong = got["label_error"] == 1
    assert set(got.loc[wrong, "suggested_label"]) <= {"oui", "non"}
    assert got.loc[~wrong, "suggested_label"].isna().all()
    assert (got.loc[got["feature_error"] == 0, "suspect_columns"] == "[]").all()
    named = [name for names in got.loc[got["feature_error"] == 1, "suspect_columns"] for name in json.loads(names)]
    assert set(named) <= {"größe", "高さ", "age", "kind", ""}


def test_evidence_finds_what_was_spoiled(diagnosis, spoiled):
    frame, labels, ages = spoiled
    told = diagnosis.evidence
    is_wrong = np.isin(np.arange(ROWS), labels)
    assert roc_auc_score(is_wrong, -told.p_given_label) > 0.9
    given = frame["étiquette"].to_numpy(dtype=object)
    assert np.mean(told.expected_label[labels] != given[labels]) > 0.8
    age = [column.name for column in told.columns].index("age")
    is_impossible = np.isin(np.arange(ROWS), ages)
    assert roc_auc_score(is_impossible, told.cell_surprise[:, age]) > 0.8
    assert [column.name for column in told.columns] == ["größe", "高さ", "age", "kind"], "same is constant"


def test_shortcuts_are_told_in_words(diagnosis):
    told = diagnosis.evidence
    first = told.shortcuts[0]
    assert first.column == "größe" and 0 < first.strength <= 1
    assert all(value.startswith("größe") for value in first.values) and len(set(first.values)) == 2
    assert set(first.expected) == {"oui", "non"}
    assert (first.p_expected > 0.5).all() and (first.p_expected <= 1).all()
    assert told.shortcut_broken.min() >= -1 and told.shortcut_broken.max() < len(told.shortcuts)


def test_influence_is_of_validation_samples_in_other_folds_and_has_its_sign(diagnosis, spoiled):
    frame, labels, ages = spoiled
    assert diagnosis.influence.shape == (ROWS, diagnosis.validation_rows.shape[1])
    assert np.abs(diagnosis.influence).max() <= 1 + 1e-4
    assert diagnosis.signals.shape == (ROWS, len(SIGNALS)) and np.isfinite(diagnosis.signals).all()
    assert diagnosis.fold.shape == (ROWS,) and diagnosis.fold.max() + 1 == len(diagnosis.validation_rows)
    for f, rows in enumerate(diagnosis.validation_rows):
        assert (diagnosis.fold[rows] != f).all(), "no row is set against itself or its own fold"
    y = (frame["étiquette"] == "oui").to_numpy()
    same = y[diagnosis.validation_rows[diagnosis.fold]] == y[:, None]
    clean = np.setdiff1d(np.arange(ROWS), np.concatenate([labels, ages]))
    assert diagnosis.influence[clean][same[clean]].mean() < 0 < diagnosis.influence[clean][~same[clean]].mean()


def test_the_summary_can_be_read_and_is_right(diagnosis, spoiled, classifier):
    frame, _, _ = spoiled
    summary = json.loads(json.dumps(diagnosis.summary.as_dict()))
    assert summary["rows"] == ROWS and summary["valid_rows"] == 0 and summary["label"] == "étiquette"
    assert summary["task"] == "classification" and summary["model"] == "mlp-small" and summary["seed"] == 0
    assert summary["classifier"] == {
        "name": "default",
        "sha256": classifier.fingerprint,
        "trained_on": classifier.card["tables"],
    }
    assert summary["fingerprint"] == fingerprint(frame)
    for name in ERROR_TYPES:
        bands, p = diagnosis.table[f"band_{name}"], diagnosis.table[f"p_{name}"]
        assert summary["likely"][name] == ((diagnosis.table[name] == 1) & (p >= 0.5)).sum() == (bands == "likely").sum()
        assert summary["look"][name] == ((diagnosis.table[name] == 1) & (p < 0.5)).sum() == (bands == "look").sum()
        assert summary["rates"][name] == pytest.approx((bands == "likely").mean())
        assert (diagnosis.table[name] == 1).equals(bands != "") and ((p >= 0.5) <= (diagnosis.table[name] == 1)).all()
    assert summary["columns"]["same"] == "constant" and set(summary["columns"]) == set(frame.columns) - {"étiquette"}
    assert {"accuracy", "balanced_accuracy", "auc"} == set(summary["validation"])
    assert all(0.5 < value <= 1 for value in summary["validation"].values())
    assert {"encode the table", "train task models", "compute influence"} <= set(summary["seconds"])
    assert any("same" in note for note in summary["notes"])


def test_the_display_is_told_of_every_stage(diagnosis, display):
    assert diagnosis is not None and display.finished == 1
    assert set(display.stages) == set(diagnosis.summary.seconds)
    for name, (total, done) in display.stages.items():
        assert done == total, name


def test_the_same_seed_gives_the_same_diagnosis_and_a_trusted_table_is_left_alone(diagnosis, spoiled, classifier):
    frame, _, _ = spoiled
    before = frame.copy(deep=True)
    again = run(frame, classifier)
    pd.testing.assert_frame_equal(again.table, diagnosis.table)
    np.testing.assert_array_equal(again.influence, diagnosis.influence)
    pd.testing.assert_frame_equal(frame, before)
    assert again.train is frame and again.valid is frame


def test_the_order_of_the_rows_plays_no_part(spoiled, classifier):
    frame, _, _ = spoiled
    order = np.random.default_rng(4).permutation(len(frame))
    straight, shuffled = (run(one, classifier) for one in (frame, frame.iloc[order]))
    pd.testing.assert_frame_equal(shuffled.table, straight.table.iloc[order])
    np.testing.assert_array_equal(shuffled.influence, straight.influence[order])
    assert shuffled.train.index.equals(frame.index[order]) and shuffled.summary.notes == straight.summary.notes
    own, other = straight.validation_rows[straight.fold[order]], shuffled.validation_rows[shuffled.fold]
    np.testing.assert_array_equal(order[other], own)
    assert {order[row]: names for row, names in shuffled.evidence.suspects.items()} == straight.evidence.suspects


def test_a_validation_table(spoiled, classifier):
    frame, labels, _ = spoiled
    valid = table(60, seed=9).drop(columns="same").assign(same="x")  # in another order
    got = run(frame, classifier, valid=valid)
    assert list(got.table.columns) == COLUMNS and got.table.index.equals(frame.index)
    assert got.validation_rows.min() >= 0 and got.validation_rows.max() < len(valid)
    assert got.influence.shape == (ROWS, got.validation_rows.shape[1]) and got.valid.equals(valid[list(frame.columns)])
    assert got.summary.valid_rows == 60 and len(got.evidence.p_given_label) == ROWS
    y, y_valid = (f["étiquette"].to_numpy() for f in (frame, valid))
    same = y_valid[got.validation_rows[got.fold]] == y[:, None]
    assert got.influence[same].mean() < 0 < got.influence[~same].mean()
    assert roc_auc_score(np.isin(np.arange(ROWS), labels), -got.evidence.p_given_label) > 0.9


def test_regression(classifier):
    frame = table()
    frame["étiquette"] = np.round(100 + 20 * frame["größe"] + np.random.default_rng(0).normal(size=ROWS), 1)
    frame.iloc[:8, frame.columns.get_loc("étiquette")] += 80
    got = run(frame, classifier)
    assert list(got.table.columns) == COLUMNS and got.summary.task == "regression"
    assert set(got.summary.validation) == {"r2", "rmse"} and got.summary.validation["rmse"] > 1
    assert roc_auc_score(np.arange(ROWS) < 8, -got.evidence.p_given_label) > 0.9
    expected = got.evidence.expected_label.astype(float)
    assert np.corrcoef(expected[8:], frame["étiquette"].to_numpy()[8:])[0, 1] > 0.9, "in the label's own unit"
    first = got.evidence.shortcuts[0]
    assert first.column == "größe" and {value[0] for value in first.expected} == {">", "≤"}
    suggested = got.table.loc[got.table["label_error"] == 1, "suggested_label"]
    assert np.isfinite(suggested.astype(float)).all()


def test_the_smallest_and_most_awkward_table(classifier):
    """30 rows, a class of one row, equal index values, a name that is no string, a single usable column."""
    frame = table(30)
    frame.iloc[7, frame.columns.get_loc("étiquette")] = "une fois"
    frame.index = [0] * 30
    frame = frame[["größe", "étiquette"]].set_axis([5, "étiquette"], axis=1)
    got = run(frame, classifier)
    assert got.table.index.tolist() == [0] * 30 and np.isfinite(got.table.filter(like="p_").to_numpy()).all()
    assert np.isfinite(got.influence).all()
    assert got.evidence.p_given_label[7] < 0.01
    assert [column.name for column in got.evidence.columns] == ["5"]
    assert any("une fois" in note for note in got.summary.notes)


def test_files(diagnosis, tmp_path):
    diagnosis.save(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "diagnosis.csv",
        "report.html",
        "summary.json",
    ]
    saved = pd.read_csv(tmp_path / "out" / "diagnosis.csv")
    assert saved["label_error"].tolist() == diagnosis.table["label_error"].tolist()
    diagnosis.to_html(tmp_path / "one.html")
    assert "größe" in (tmp_path / "one.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"model": "resnet"}, "'resnet' is not known"),
        ({"label": "etiquette"}, "no column 'etiquette'; did you mean 'étiquette'"),
        ({"task": "ranking"}, "task must be auto, classification or regression"),
        ({"task": "regression"}, "not a number in every row"),
        ({"classifier": "absent.safetensors"}, "There is no classifier file"),
        ({"valid": table(20).drop(columns=["age", "kind"])}, r"lacks the column\(s\) age, kind"),
        ({"valid": table(5)}, "validation table has 5 rows; give at least 10"),
        ({"valid": table(20).assign(étiquette="peut-être")}, "values that the training table lacks: 'peut-être'"),
        ({"valid": table(20).assign(age=np.inf)}, "validation table has infinite values in age"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 1.5}, "seed must be a whole number from 0 to 4294967295, got 1.5"),
        ({"valid": 3}, "The validation table is a int; give a path, a pandas"),
        ({"valid": "absent.csv"}, "absent.csv does not exist"),
    ],
)
def test_bad_input_is_refused_before_any_work(classifier, monkeypatch, options, match):
    def too_late(*args, **kwargs):
        raise AssertionError("work was begun")

    monkeypatch.setattr(pipeline, "gather_evidence", too_late)
    with pytest.raises(InputError, match=match):
        run(table(40), **{"classifier": classifier} | options)


def test_a_table_of_twelve_rows_is_refused(classifier):
    with pytest.raises(InputError, match="12 rows; at least 30"):
        run(table(12), classifier)


def test_tables_from_files(classifier, monkeypatch, tmp_path):
    table(40).to_csv(tmp_path / "t.csv", index=False)
    seen = {}

    def stop(dataset, **options):
        seen.update(rows=len(dataset.y), num_train=options["num_train"])
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "gather_evidence", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "t.csv", classifier, valid=str(tmp_path / "t.csv"))
    assert seen == {"rows": 80, "num_train": 40}
