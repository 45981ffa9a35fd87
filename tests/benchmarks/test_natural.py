"""The benchmark of real errors: sets as described, scores and checks worked out by hand, plans, and the write-up."""

import json

import numpy as np
import pandas as pd
import pytest
from stand_ins import stand_in

from benchmarks.natural import natural_trials, one_type, run, sets
from benchmarks.natural.checks import check_all, compare, rate_within
from benchmarks.natural.judging import peer_scores, type_scores
from benchmarks.natural.one_type import RATES, Trial, make_noisy
from benchmarks.natural.peers import Encoded, Peer, encode_table, fenced, neighbour_peer, out_of_fold
from benchmarks.natural.repairing import accuracy_on
from benchmarks.natural.tables import SYNTHETIC, draw_rows, has_classes, load_table
from benchmarks.natural.write_up import markdown
from demix_jax import ErrorClassifier, InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data.kinds import column_of

SCORES = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "flagged": 0.1, "true": 0.1, "likely_f1": 0.4, "likely": 0.005,
          "auroc": 0.8, "average_precision": 0.6, "ece": 0.02, "estimated": 0.12}  # fmt: skip


def line(suite, table="adult", *, ours=None, peers=None, **more):
    """A finished trial; `ours` changes the scores of the first type, `peers` maps names to F1."""
    types = {name: dict(SCORES) for name in (ERROR_TYPES if suite != "natural" else ERROR_TYPES[:1])}
    types["label_error"] |= ours or {}
    judged = {name: {**SCORES, "f1": f1, "average_precision": f1} for name, f1 in (peers or {}).items()}
    known = {"kind": "uniform", "rate": 0.1, "rows": 300, "label_doubt": False, "seconds": {"diagnose": 9.0}}
    return {"suite": suite, "table": table, "types": types, "peers": {"label_error": judged}} | known | more


def test_scores_of_a_type_by_hand():
    found = pd.DataFrame({"label_error": [1, 1, 0, 0], "p_label_error": [0.9, 0.4, 0.2, 0.1]})
    scores = type_scores(found, np.array([True, False, True, False]), "label_error")
    assert (scores["f1"], scores["precision"], scores["recall"]) == (0.5, 0.5, 0.5)
    assert scores["likely_f1"] == pytest.approx(2 / 3) and scores["likely"] == 0.25
    assert scores["average_precision"] == pytest.approx((1 + 2 / 3) / 2) and scores["auroc"] == 0.75
    assert scores["estimated"] == pytest.approx(0.4)
    assert scores["ece"] == pytest.approx((0.1 + 0.4 + 0.8 + 0.1) / 4)  # each row has a bin of its own


def test_the_best_peer_is_that_of_the_highest_mean():
    trials = [line("labels", peers={"a": 0.9, "b": 0.4}), line("labels", peers={"a": 0.1, "b": 0.8})]
    c = compare(trials, "label_error", "f1")
    assert c is not None and (c.ours, c.best, c.peer, c.trials) == (0.5, pytest.approx(0.6), "b", 2)
    assert compare([line("clean")], "label_error", "f1") is None


@pytest.mark.parametrize(("estimated", "true", "right"), [(0.14, 0.1, True), (0.16, 0.1, False), (0.01, 0.04, None)])
def test_a_rate_is_right_within_a_factor(estimated, true, right):
    assert rate_within(line("labels", ours={"estimated": estimated, "true": true})) == right


def held(trials):
    return {check["text"]: check["held"] for check in check_all(trials)}


def test_checks_of_real_errors():
    better = [line("natural", name, peers={"cleanlab": 0.3}) for name in ("Hausa", "SMS")]
    assert list(held(better).values()) == [True, True, True, True]
    behind = [*better, line("natural", "CIFAR-10", ours={"average_precision": 0.1}, peers={"cleanlab": 0.6})]
    assert list(held(behind).values()) == [False, True, False, True]  # mean 0.5 against 0.4
    may_lose = [*better, line("natural", "TREC", peers={"cleanlab": 0.5}), line("natural", "MNIST", peers={"c": 0.9})]
    assert next(iter(held(may_lose).values()))


def test_checks_of_clean_tables_and_calibration():
    many = line("clean", "bank", ours={"likely": 0.05})
    assert [check["held"] for check in check_all([many])] == [False, False]
    excused = [check["held"] for check in check_all([many | {"label_doubt": True}, *[line("clean")] * 9])]
    assert excused == [True, True]


def test_checks_of_one_type_and_of_mixtures():
    texts = held([line("labels", peers={"cleanlab": 0.45}), line("labels", ours={"f1": 0.2}, peers={"cleanlab": 0.35})])
    assert [value for text, value in texts.items() if text.startswith("One type alone, labels")] == [False]
    assert not next(value for text, value in texts.items() if "nowhere" in text)  # 0.35 against 0.40
    assert list(held([line("mixed", ours={"f1": 0.95})]).values()) == [True]  # (0.95 + 0.5 + 0.5) / 3
    assert list(held([line("mixed", ours={"f1": 0.94})]).values()) == [False]


def test_checks_of_repair():
    test = {"noisy": 0.6, "ours": 0.7, "dropped by cleanlab": 0.7, "relabelled by cleanlab": 0.65, "true labels": 0.8}
    trial = {"suite": "repair", "table": "Hausa", "test": test, "seconds": {}}
    assert list(held([trial]).values()) == [True, True]
    assert list(held([trial | {"test": test | {"ours": 0.59}}]).values()) == [False, False]


def test_a_write_up_has_every_part(tmp_path):
    test = {"noisy": 0.6, "ours": 0.7, "dropped by cleanlab": 0.7, "relabelled by cleanlab": 0.65, "true labels": 0.8}
    trials = [
        line("natural", "SMS", peers={"cleanlab": 0.3}, flagged={}),
        {"suite": "repair", "table": "SMS", "test": test, "seconds": {"repair": 1.0}},
        line("labels", peers={"cleanlab": 0.3}),
        line("mixed", "ISLR Auto", peers={"cleanlab": 0.3}),
        line("clean"),
    ]
    record = {"date": "d", "commit": "c", "machine": "m", "versions": {}, "command": "x"}
    text = markdown(trials, check_all(trials), record)
    assert [part.split("\n")[0] for part in text.split("\n## ")[1:]] == [
        "What must hold", "Real errors, known truth", "Repair of real errors: test accuracy",
        "Errors of one type alone", "Three types together", "Clean tables: share of the rows likely wrong",
    ]  # fmt: skip
    assert "| SMS | 10.0% | 12.0% | 0.5% | 0.500 | 0.400 | 0.300 (cleanlab) |" in text


def small_set(monkeypatch, tmp_path):
    rows = [["train", "a b", 0, 0], ["train", "b c", 1, 0], ["train", "c d", None, 1], ["test", "a b", None, 0],
            ["test", "x y", None, 1]]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["split", "text", "label_noisy", "label_true"])
    (tmp_path / "natural").mkdir()
    frame.astype({"label_noisy": "Int64"}).to_parquet(tmp_path / "natural" / "sms_weak_labels.parquet")
    monkeypatch.setenv("DEMIX_DATA_DIR", str(tmp_path))
    return sets.load_set("SMS")


def test_a_set_has_the_covered_training_rows_and_unseen_test_texts(monkeypatch, tmp_path):
    found = small_set(monkeypatch, tmp_path)
    assert found.table.to_dict("list") == {"text": ["a b", "b c"], "label": ["0", "1"]}
    assert found.wrong.tolist() == [False, True] and found.is_text
    assert found.test is not None and found.test.to_dict("list") == {"text": ["x y"], "label": ["1"]}
    assert list(sets.missing_sets(["SMS", "Hausa"])) == ["Hausa"]
    with pytest.raises(InputError, match="set DEMIX_DATA_DIR"):
        sets.load_set("Hausa")


def test_images_are_wrong_by_either_criterion(monkeypatch, tmp_path):
    votes = np.zeros((3, 10), int)
    votes[[0, 1, 2], [0, 5, 2]] = 50
    columns = {f"human{k}": votes[:, k] for k in range(10)} | {f"p{k}": 0.1 for k in range(10)}
    frame = pd.DataFrame(columns).assign(given_label=[0, 1, 2], mturk_given=pd.array([None, 3, 2], "Int8"))
    (tmp_path / "natural").mkdir()
    frame.to_parquet(tmp_path / "natural" / "cifar10_test_human.parquet")
    monkeypatch.setenv("DEMIX_DATA_DIR", str(tmp_path))
    found = sets.load_set("CIFAR-10")
    assert found.wrong.tolist() == [False, True, True]  # people see another class; not confirmed
    assert list(found.table.columns) == [*(f"p{k}" for k in range(10)), "label"]


def test_peers_by_hand():
    assert fenced(np.array([1.0, 2, 3, 4, 50])).flags.tolist() == [False] * 4 + [True]
    x = np.array([[0.0], [0.1], [0.2], [9.0], [9.1], [9.2]])
    near = neighbour_peer(Encoded(np.repeat(x, 10, axis=0), np.repeat([0, 0, 1, 1, 1, 1], 10), np.array("ab"), []))
    assert near.flags[20:30].all() and not near.flags[30:].any()
    scores = peer_scores({"one": Peer(np.array([True, False]), np.array([2.0, 1.0]))}, np.array([True, False]))
    assert scores["one"]["f1"] == scores["one"]["auroc"] == scores["one"]["average_precision"] == 1.0


def test_a_peer_sees_codes_of_categories_and_every_row_out_of_fold():
    frame, label = draw_rows("categories only", 200, seed=0)
    data = encode_table(frame.drop(columns=label), column_of(frame, label))
    assert data.categories == list(range(8)) and data.classes is not None and data.classes.tolist() == ["no", "yes"]
    p = out_of_fold(data, texts=False)
    assert p.shape == (200, 2) and np.allclose(p.sum(axis=1), 1)


def test_weights_of_a_repaired_table_count():
    train = pd.DataFrame({"text": ["good film", "bad film"] * 5, "label": ["+", "-"] * 5})
    wrong = pd.DataFrame({"text": ["good film", "bad film"] * 9, "label": ["-", "+"] * 9})
    both = pd.concat([train.assign(sample_weight=1.0), wrong.assign(sample_weight=0.0)], ignore_index=True)
    assert accuracy_on(both, train) == 1.0 and accuracy_on(both.drop(columns="sample_weight"), train) == 0.0


@pytest.mark.parametrize("name", SYNTHETIC)
def test_drawn_tables(name):
    frame, label = load_table(name)
    assert len(frame) == 3_000 and frame.notna().all().all()
    assert has_classes(column_of(frame, label)) == (name not in ("Friedman's function", "linear target"))


def test_trials_of_a_thinned_table_have_no_more_rows_than_asked_for():
    noisy, _ = make_noisy(Trial("shortcuts", "value", "categories only", 0.1, 500, 0))
    assert len(noisy.table) == len(noisy.truth) <= 500 and 0 < noisy.truth[:, 2].mean() < 0.2


def test_plans(monkeypatch, tmp_path):
    monkeypatch.setattr(one_type, "is_class_table", lambda name: name in ("adult", "bank"))
    small_set(monkeypatch, tmp_path)
    trials = run.plan(run.PARTS, quick=False)
    assert len(trials) == len(set(trials))
    alone = [trial for trial in trials if trial.suite in one_type.TYPE_OF and isinstance(trial, Trial)]
    assert 150 <= len(alone) <= 200
    for suite in one_type.TYPE_OF:
        assert {trial.rate for trial in alone if trial.suite == suite} >= set(RATES)
    assert {trial.rows for trial in alone} == {100, 300, 1_000, 3_000, 20_000}
    assert [trial.table for trial in trials if trial.suite == "natural"] == ["SMS"], "other files are not there"
    assert sum(trial.suite == "clean" for trial in trials) == 32
    quick = run.plan(run.PARTS, quick=True)
    assert sorted(trial.suite for trial in quick) == sorted([*natural_trials.SUITES, *one_type.SUITES])


def test_a_run_goes_on_where_it_was_interrupted(monkeypatch, tmp_path):
    calls = []

    def judged(trial, classifier):
        calls.append(trial)
        return {name: line(trial.suite)[name] for name in ("types", "peers", "label_doubt", "seconds")}

    monkeypatch.setattr(one_type, "run_trial", judged)
    monkeypatch.setattr(run, "_check_peers", lambda: None)
    monkeypatch.setattr(run, "load_classifier", lambda path: stand_in(ErrorClassifier, fingerprint="f"))
    monkeypatch.setattr(one_type, "is_class_table", lambda name: name in ("adult", "bank"))
    command = ["--only", "clean", "--trials", str(tmp_path / "t.jsonl"), "--results", str(tmp_path)]
    assert run.main(command) == 0 and len(calls) == 32
    assert run.main([*command, "--shards", "2"]) == 0 and len(calls) == 32
    assert len(json.loads((tmp_path / "natural.json").read_text())["trials"]) == 32
    assert (tmp_path / "natural.md").read_text().count("**missed**") == 0
