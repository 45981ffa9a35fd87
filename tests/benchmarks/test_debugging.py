"""The debugging benchmark's scores, peers and injections, each against something independent, on tiny tables."""

import argparse
import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recommendation_logs import make_log
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.metrics import f1_score, precision_recall_fscore_support
from stand_ins import stand_in

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.common.records import append_line, read_lines
from benchmarks.debugging import cheap_trees, make_worlds, paper_recipe, trials
from benchmarks.debugging import run as debugging
from benchmarks.debugging.bound import bound_flags
from benchmarks.debugging.cheap_signals import neighbour_disagreement, outlier_scores
from benchmarks.debugging.cheap_trees import CheapTrees, Task
from benchmarks.debugging.paper_recipe import load_params, paper_channels, save_params, train_paper_recipe
from benchmarks.debugging.peers import BEST_PER_TYPE, confident_learning, mixture_outliers, peer_flags, top
from benchmarks.debugging.retraining import STATES, metrics_of
from benchmarks.debugging.scores import diagnosis_scores, expected_calibration_error, flag_scores, reliability
from benchmarks.debugging.summary import retraining_scores
from benchmarks.debugging.trials import Trial, plan
from benchmarks.debugging.unseen_kinds import inject_unseen_kinds
from demix_jax import Diagnosis, InputError
from demix_jax.classifier import ErrorClassifier, table_facts
from demix_jax.classifier.examples import View, World
from demix_jax.classifier.schema import SIGNALS
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.target import ClassTarget
from demix_jax.data import Dataset, TableEncoder
from demix_jax.domains.recommendation import read_recommendation_data
from demix_jax.evidence.out_of_fold import OutOfFold
from demix_jax.meta_training import VARIETIES


def small_table(num_rows=300, *, regression=False):
    rng = np.random.default_rng(0)
    number, other = rng.normal(50, 10, num_rows), rng.integers(1, 90, num_rows)
    score = number + 8 * rng.normal(size=num_rows)
    frame = pd.DataFrame(
        {
            "number": number.round(2),
            "count": other,
            "word": rng.choice(["alpha", "beta", "gamma"], num_rows),
            "small": rng.integers(0, 3, num_rows).astype("int16"),
        }
    )
    return frame.assign(label=score.round(1) if regression else np.where(score > 50, "yes", "no"))


def random_flags(seed, num_rows=400):
    return np.random.default_rng(seed).random((num_rows, 3)) < [0.2, 0.3, 0.1]


class TestScores:
    def test_flag_scores_match_sklearn(self):
        truth, flags = random_flags(0), random_flags(1) | random_flags(0) & random_flags(2)
        scores = flag_scores(truth, flags)
        precision, recall, f1, _ = map(np.asarray, precision_recall_fscore_support(truth, flags, average=None))
        for t, name in enumerate(ERROR_TYPES):
            got = scores["types"][name]
            want = (precision[t], recall[t], f1[t])
            np.testing.assert_allclose([got["precision"], got["recall"], got["f1"]], want)
        assert scores["macro_f1"] == pytest.approx(f1.mean())
        any_f1 = precision_recall_fscore_support(truth.any(1), flags.any(1), average="binary")[2]
        assert scores["any"]["f1"] == pytest.approx(any_f1)

    def test_calibration_error_by_hand(self):
        # two rows in bin 0 (mean p 0.05, none true) and two in the last (mean p 0.95, one true)
        bins = reliability(np.array([False, False, True, False]), np.array([0.04, 0.06, 0.94, 0.96]))
        assert sum(bins["rows"]) == 4
        assert expected_calibration_error(bins) == pytest.approx(0.5 * 0.05 + 0.5 * 0.45)

    def test_probability_one_lies_in_the_last_bin(self):
        assert reliability(np.array([True]), np.array([1.0]))["rows"][-1] == 1

    def test_clean_table_has_no_ranking_scores(self):
        truth = np.zeros((5, 3), bool)
        scores = diagnosis_scores(truth, truth, np.full((5, 3), 0.1))
        assert scores["macro_f1"] == 1.0
        assert scores["types"]["label_error"]["auroc"] is None


class TestPeers:
    def test_confident_learning_by_hand(self):
        # thresholds: class 0 (0.9 + 0.8 + 0.1) / 3 = 0.6, class 1 (0.7 + 0.9) / 2 = 0.8
        p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9]], np.float32)
        y = np.array([0, 0, 0, 1, 1])
        dataset = stand_in(Dataset, task="classification", y=y)
        issues = confident_learning(dataset, OutOfFold(p, p[np.arange(5), y]))
        np.testing.assert_array_equal(issues, [False, False, True, False, False])

    def test_a_class_that_nobody_is_labelled_with_raises_no_issue(self):
        p = np.array([[0.1, 0.2, 0.7], [0.6, 0.1, 0.3], [0.1, 0.6, 0.3]], np.float32)
        y = np.array([0, 0, 1])
        dataset = stand_in(Dataset, task="classification", y=y)
        assert not confident_learning(dataset, OutOfFold(p, p[np.arange(3), y])).any()

    def test_neighbours_are_those_of_a_plain_loop(self):
        frame = small_table(60)
        dataset = TableEncoder.fit(frame, "label").transform(frame)
        got = neighbour_disagreement(dataset, num_neighbours=5)
        for i in range(60):
            distance = np.linalg.norm(dataset.x - dataset.x[i], axis=1)
            distance[i] = np.inf
            nearest = np.argsort(distance)[:5]
            assert got[i] == pytest.approx(np.mean(dataset.y[nearest] != dataset.y[i]), abs=1e-6)

    def test_outlier_scores_are_positive_where_the_forest_would_flag(self):
        frame = small_table(200)
        frame.loc[7, ["number", "count"]] = [5_000.0, 9_000]
        dataset = TableEncoder.fit(frame, "label").transform(frame)
        scores = outlier_scores(dataset, seed=3)
        x = np.where([c.kind == "number" for c in dataset.columns], dataset.robust_z, dataset.codes)
        forest = IsolationForest(n_estimators=200, random_state=3).fit(x.astype(np.float32))
        np.testing.assert_array_equal(scores > 0, forest.predict(x.astype(np.float32)) == -1)
        assert scores.argmax() == 7

    def test_top_takes_exactly_as_many_as_asked_even_in_ties(self):
        assert top(np.array([1.0, 1.0, 1.0, 0.0]), 2).sum() == 2

    @pytest.mark.parametrize("regression", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_every_peer_flags_at_the_rate_that_it_was_told(self, regression):
        frame = small_table(120, regression=regression)
        dataset = TableEncoder.fit(frame, "label").transform(frame)
        truth = random_flags(4, 120)
        influence = np.random.default_rng(0).normal(size=(120, 6))
        flags = peer_flags(dataset, truth, influence, seed=0)
        for name in ("loss", "gradient norm (self-influence)", "TracIn", "scalar influence", "neighbours' labels"):
            np.testing.assert_array_equal(flags[name].sum(axis=0), truth.sum(axis=0))
        assert flags["all rows"].all() and flags[BEST_PER_TYPE][:, 2].all()
        harmful = influence.sum(axis=1)
        assert harmful[flags["scalar influence"][:, 0]].min() >= harmful[~flags["scalar influence"][:, 0]].max()


class TestUnseenKinds:
    @pytest.mark.parametrize("regression", [False, True])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_truth_is_what_differs(self, seed, regression):
        clean = small_table(600, regression=regression)
        rates = {"label_errors": 0.2, "feature_errors": 0.2, "spurious": 0.15}
        made = inject_unseen_kinds(clean, "label", **rates, seed=seed)
        source = clean.iloc[made.truth["source_row"]].reset_index(drop=True)
        features = [name for name in clean.columns if name != "label"]
        differs = (made.table[features] != source[features]).any(axis=1)
        np.testing.assert_array_equal(differs, made.truth["feature_error"] == 1)
        np.testing.assert_array_equal(made.table["label"] != source["label"], made.truth["label_error"] == 1)
        shares = made.truth[list(ERROR_TYPES)].mean()
        np.testing.assert_allclose(shares, [0.2, 0.2, 0.15], atol=0.003)
        assert not bool((made.truth["label_error"] & made.truth["feature_error"]).any())
        pd.testing.assert_frame_equal(made.table, inject_unseen_kinds(clean, "label", **rates, seed=seed).table)

    def test_values_go_missing_where_they_are_high_and_stale_rows_are_nearly_those_of_others(self):
        clean = small_table(600)
        made = inject_unseen_kinds(clean, "label", label_errors=0.0, feature_errors=0.5, spurious=0.0, seed=0)
        before = clean["number"][made.table["number"].isna() & clean["number"].notna()]
        assert len(before) > 10
        assert np.mean(before > clean["number"].median()) > 0.65
        pairs = set(clean[["number", "count"]].itertuples(index=False, name=None))
        moved = (made.table["number"] != clean["number"]) & (made.table["count"] != clean["count"])
        assert any(
            pair in pairs for pair in made.table.loc[moved, ["number", "count"]].itertuples(index=False, name=None)
        )

    def test_targets_move_by_a_quarter_of_their_range(self):
        clean = small_table(600, regression=True)
        made = inject_unseen_kinds(clean, "label", label_errors=0.3, feature_errors=0.0, spurious=0.0, seed=0)
        moved = np.abs(made.table["label"] - clean["label"])[made.truth["label_error"] == 1]
        assert moved.min() >= 0.25 * (clean["label"].quantile(0.99) - clean["label"].quantile(0.01)) - 1e-9

    @pytest.mark.parametrize("seed", [0, 1])
    def test_wrong_labels_stay_the_exception_everywhere(self, seed):
        clean = small_table(2_000)
        made = inject_unseen_kinds(clean, "label", label_errors=0.25, feature_errors=0.0, spurious=0.0, seed=seed)
        x = pd.get_dummies(clean.drop(columns="label")).to_numpy(float)
        wrong = (made.truth["label_error"] == 1).to_numpy()
        trees = RandomForestClassifier(100, min_samples_leaf=10, oob_score=True, random_state=0)
        predicted = trees.fit(x, made.table["label"]).oob_decision_function_.argmax(axis=1)
        agrees = trees.classes_[predicted] == clean["label"]
        assert agrees[wrong].mean() > 0.6

    def test_subgroup_noise_stays_in_few_values_of_some_column(self):
        clean = small_table(600)
        made = inject_unseen_kinds(clean, "label", label_errors=0.1, feature_errors=0.0, spurious=0.0, seed=1)
        wrong = (made.truth["label_error"] == 1).to_numpy()
        spreads = [np.ptp(clean[name].rank(pct=True).to_numpy()[wrong]) for name in ("number", "count")]
        words, small = (len(np.unique(clean[name].to_numpy()[wrong])) for name in ("word", "small"))
        assert min(spreads) < 0.3 or words < 3 or small < 3


class TestRecords:
    def test_a_torn_line_is_skipped_and_the_next_one_kept(self, tmp_path):
        path = tmp_path / "deep" / "trials.jsonl"
        append_line(path, {"a": 1})
        with path.open("a") as file:
            file.write('{"a": 2')
        append_line(path, {"a": 3})
        assert read_lines(path) == [{"a": 1}, {"a": 3}]

    def test_no_file_has_no_lines(self, tmp_path):
        assert read_lines(tmp_path / "none.jsonl") == []


def test_plan_has_one_clean_trial_per_table_and_seed():
    planned = plan(["adult", "bank"], ["paper", "clean"], [0.5, 0.8], 2, 100)
    assert len(planned) == len(set(planned)) == 2 * 2 * 3
    assert sum(trial.suite == "clean" for trial in planned) == 4
    assert {trial.seed for trial in planned[:6]} == {0}


def test_worlds_have_files_of_their_own_and_go_round_the_varieties():
    worlds = make_worlds.plan(3)
    num_listed = len((Path(make_worlds.__file__).parent / "real_tables.csv").read_text().splitlines()) - 1
    assert len(worlds) == len({world.file_name for world in worlds}) == 6 * 24 + 3 * 4 + 2 * num_listed + 6 * 3
    assert 1_000 < len(make_worlds.plan(90)) < 1_200
    count = Counter(world.table for world in worlds)
    assert count["adult"] == 24 and count["wine"] == 4 and {count[f"{name} 0-2"] for name in make_worlds.RANDOM} == {1}
    of_adult = [world.variety for world in worlds if world.table == "adult"]
    assert of_adult == 2 * list(VARIETIES)
    assert [variety.every_probe for variety in of_adult].count(False) == 6
    assert [variety.chance_labels for variety in of_adult].count(True) == 2


@pytest.mark.parametrize(("regime", "tables"), [("unseen", ["adult", "bank"]), ("known", ["bank"])])
def test_a_classifier_of_the_other_regime_is_refused(tmp_path, monkeypatch, regime, tables):
    for name in ("without-adult", "with-all-tables"):
        (tmp_path / f"{name}.safetensors").touch()
    monkeypatch.setattr(debugging, "load_classifier", lambda path: stand_in(ErrorClassifier, card={"tables": tables}))
    options = argparse.Namespace(regime=regime, classifiers=tmp_path)
    with pytest.raises(InputError, match="another regime"):
        debugging._classifier("adult", options, None)


def test_a_log_has_a_task_model_of_its_own():
    options = argparse.Namespace(regime="unseen", model="ft-transformer")
    with pytest.raises(InputError, match="click model"):
        debugging._classifier("amazon", options, None)


def test_lines_of_another_classifier_do_not_count(tmp_path):
    trial = Trial("paper", "adult", 0.5, 0, 100)
    options = argparse.Namespace(regime="unseen", repair_at=None)
    old, new = ({"adult": stand_in(ErrorClassifier, fingerprint=name)} for name in ("old", "new"))
    append_line(tmp_path / "t.jsonl", debugging._identity(trial, old, options) | {"x": 1})
    assert debugging._finished([trial], new, tmp_path / "t.jsonl", options) == {}
    assert debugging._finished([trial], old, tmp_path / "t.jsonl", options)[trial]["x"] == 1
    by_another_model = dataclasses.replace(trial, model="mlp-small")
    assert debugging._finished([by_another_model], old, tmp_path / "t.jsonl", options) == {}


def test_the_bound_is_what_signals_tell():
    rng = np.random.default_rng(0)
    truth = np.stack([rng.random(600) < 0.2, rng.random(600) < 0.2, np.arange(600) < 3], axis=1)
    signals = np.stack([truth[:, 0] + rng.normal(0, 0.1, 600), rng.normal(size=600)], axis=1).astype(np.float32)
    flags = bound_flags(signals, truth, seed=0)
    np.testing.assert_array_equal(flags, bound_flags(signals, truth, seed=0))
    assert f1_score(truth[:, 0], flags[:, 0]) > 0.98
    assert f1_score(truth[:, 1], flags[:, 1]) < 0.4, "nothing tells of it, and the row's own truth is not shown"
    assert not flags[:, 2].any(), "too few to learn from"


def made_up_diagnosis(train, **options):
    flags = random_flags(options["seed"], len(train))
    table = {name: flags[:, t].astype(int) for t, name in enumerate(ERROR_TYPES)}
    table |= {f"p_{name}": np.where(flags[:, t], 0.8, 0.1) for t, name in enumerate(ERROR_TYPES)}
    nothing = np.zeros((len(train), 2), np.float32)
    return stand_in(Diagnosis, table=pd.DataFrame(table), influence=nothing, signals=nothing)


def test_a_second_run_of_the_command_has_nothing_left_to_do(tmp_path, monkeypatch):
    classifier = stand_in(ErrorClassifier, fingerprint="f", card={"tables": ["bank"]})
    (tmp_path / "without-adult.safetensors").touch()
    monkeypatch.setattr(debugging, "load_classifier", lambda path: classifier)
    monkeypatch.setattr(trials, "load_named", lambda name: (small_table(400), "label"))
    monkeypatch.setattr(trials, "diagnose", made_up_diagnosis)
    every = np.ones((400, 3), bool)
    monkeypatch.setattr(trials, "peer_flags", lambda dataset, *a, **k: {BEST_PER_TYPE: every[: len(dataset.y)]})
    monkeypatch.setattr(debugging, "make_tasks", lambda *a, **k: [cheap_task(0)])
    monkeypatch.setitem(trials.RULES, "adult", "word=alpha -> yes")
    ran = []
    monkeypatch.setattr(debugging, "append_line", lambda path, line: (ran.append(line), append_line(path, line)))
    command = ["--tables", "adult", "--seeds", "2", "--rows", "300", "--repair-at", "0", "--classifiers", tmp_path]
    command += ["--trials", tmp_path / "trials.jsonl", "--results", tmp_path]
    assert debugging.main(list(map(str, command))) == 0
    assert len(ran) == 2 * (3 * 2 + 1)
    first = json.loads((tmp_path / "debugging.json").read_text())
    assert debugging.main(list(map(str, command))) == 0
    assert len(ran) == 2 * (3 * 2 + 1)
    assert json.loads((tmp_path / "debugging.json").read_text())["summary"] == first["summary"]
    assert len(first["trials"]) == len(ran)


def cheap_task(seed):
    """Wrong labels where the given label is improbable, wrong features where the anomaly score is high."""
    rng = np.random.default_rng(seed)
    signals = rng.uniform(size=(400, 10)).astype(np.float32)
    truth = np.stack([signals[:, 0] < 0.2, signals[:, 6] > 0.9, rng.random(400) < 0.1], axis=1)
    return Task(signals, truth, "bank")


def test_trees_on_cheap_signals_learn_from_other_tables(monkeypatch):
    trees, (signals, truth, _) = CheapTrees([cheap_task(0), cheap_task(1)], seed=0), cheap_task(2)
    monkeypatch.setattr(cheap_trees, "cheap_signals", lambda *a: signals)
    nothing = np.empty(0)
    flags = trees.flags(None, None, nothing, nothing)
    assert f1_score(truth[:, 0], flags[:, 0]) > 0.95 and f1_score(truth[:, 1], flags[:, 1]) > 0.9


def test_the_mixture_flags_the_upper_mode():
    norms = np.exp(np.concatenate([np.random.default_rng(0).normal(-2, 0.3, 300), np.full(40, 3.0)]))
    np.testing.assert_array_equal(mixture_outliers(norms), np.arange(340) >= 300)


def test_the_papers_recipe_learns_what_one_channel_says_and_is_kept(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.random((256, 3)) < 0.3
    vectors = rng.normal(0, 0.3, (256, 16, 7)).astype(np.float16)
    vectors[..., 0] += 2 * truth[:, :1]
    signals = np.zeros((len(truth), len(SIGNALS)), np.float32)
    facts = table_facts(len(truth), 5, ClassTarget((0, 1)))
    world = World((View(vectors, signals), View(vectors[:, ::-1], signals)), truth, facts, "adult")
    path = tmp_path / "recipe.safetensors"
    save_params(train_paper_recipe([world], steps=30, seed=0), path)
    found = np.asarray(paper_recipe._logits(load_params(path), paper_channels(vectors)))[:, 0] > 0
    assert f1_score(truth[:, 0], found) > 0.9


def made_up_trial(suite, table, share, *, auc=(0.7, 0.75, 0.8, 0.9)):
    truth, flags = random_flags(0), random_flags(1)
    probability = np.where(flags, 0.8, 0.1)
    test = {state: {name: {"auc": a} for name in ("trees", "mlp")} for state, a in zip(STATES, auc, strict=True)}
    return {
        "suite": suite,
        "table": table,
        "clean_share": share,
        "seed": 0,
        "diagnosis": diagnosis_scores(truth, flags, probability),
        "peers": {} if suite == "clean" else {BEST_PER_TYPE: flag_scores(truth, flags)},
        "bound": None if suite == "clean" else flag_scores(truth, truth),
        "test": test if share == 0.5 else {},
        "seconds": {"diagnose": 1.0},
    }


def test_half_of_the_gap_recovered():
    scores = retraining_scores([made_up_trial("paper", "adult", 0.5)])
    assert scores["mlp"]["recovered"] == pytest.approx(0.5)
    nothing_to_gain = retraining_scores([made_up_trial("paper", "adult", 0.5, auc=(0.8, 0.7, 0.8, 0.9))])
    assert nothing_to_gain["trees"]["recovered"] is None


def test_results_say_which_regime(tmp_path):
    finished = [made_up_trial("paper", table, share) for table in ("adult", "bank") for share in (0.5, 0.8)]
    finished.append(made_up_trial("clean", "adult", 1.0))
    record = {
        "regime": "unseen",
        "date": "2026-01-01",
        "commit": "abc",
        "machine": "m",
        "versions": {"jax": "1"},
        "command": "c",
        "settings": {"rows": 100, "seeds": 1, "model": "mlp-small"},
    }
    debugging.write_results(finished, record, tmp_path / "debugging")
    text = (tmp_path / "debugging.md").read_text()
    assert "Regime: unseen table" in text and "task model mlp-small" in text and "| adult |" in text and "50%" in text
    assert json.loads((tmp_path / "debugging.json").read_text())["summary"]["suites"]["paper"]["tables"].keys() == {
        "adult",
        "bank",
    }
    assert (tmp_path / "debugging.png").stat().st_size > 10_000


@pytest.mark.parametrize("regression", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_metrics_after_training_tell_signal_from_noise(regression):
    frame, name = small_table(400, regression=regression), "r2" if regression else "auc"
    train, test = frame.iloc[:300], frame.iloc[300:]
    shuffled = train.assign(label=np.random.default_rng(0).permutation(train["label"]))
    good, bad = (metrics_of(table.assign(sample_weight=1.0), test, "label", seed=0) for table in (train, shuffled))
    for learner in ("trees", "mlp"):
        assert good[learner][name] > bad[learner][name] + 0.1


def test_a_log_becomes_a_case_without_ids(monkeypatch):
    log, users, items = make_log(num_users=120)
    data = read_recommendation_data(log, users=users, items=items)
    monkeypatch.setattr(trials, "load_recommendation", lambda name: data)
    case = trials._log_case(Trial("paper", "movielens", 0.5, 0, 2_000))
    assert case.label == "clicked" and len(case.corrupted) == len(case.truth) < len(case.clean)
    assert list(case.corrupted.columns) == list(case.clean.columns) == list(case.test.columns)
    assert not {"user", "item", "timestamp"} & set(case.corrupted.columns)
    assert abs(case.truth["label_error"].to_numpy().mean() - 0.25) < 0.02 and len(case.test) > 100
    planned = plan(["movielens"], trials.SUITES, [0.5], 1, 2_000)
    assert "unseen kinds" not in {trial.suite for trial in planned}
