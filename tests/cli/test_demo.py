"""The demo's measurements against hand-made answers, and the whole of it with a diagnosis of known quality."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import demix_jax.cli.demo as demo
from demix_jax.common.error_types import ERROR_TYPES


class KnownDiagnosis:
    """Flags that miss a third of the truth, in place of what the classifier finds."""

    def __init__(self, truth: pd.DataFrame):
        miss = np.random.default_rng(0).random((len(truth), 3)) < 1 / 3
        self.table = truth[list(ERROR_TYPES)].where(~miss, 0)
        for name in ERROR_TYPES:
            self.table[f"band_{name}"] = np.where(self.table[name] == 1, "likely", "")
        self.summary = SimpleNamespace(as_dict=dict)  # nothing is known of it

    def save(self, directory) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.table.to_csv(Path(directory) / "diagnosis.csv", index=False)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    corruption = importlib.import_module("demix_jax.corruption")
    diagnosis = importlib.import_module("demix_jax.domains.tables.domain")
    truths = []
    inject = corruption.inject_errors

    def remember(*args, **kwargs):
        made = inject(*args, **kwargs)
        truths.append(made.truth)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corruption, "inject_errors", remember)
        patch.setattr(diagnosis, "diagnose", lambda *_, **__: KnownDiagnosis(truths[-1]))
        return demo.run(seed=0, out=tmp_path_factory.mktemp("demo"))


def test_repair_pays_and_truth_pays_more(result):
    auc = result.retrained["AUC"]
    assert list(auc.index) == list(demo.VERSIONS)
    assert auc["corrupted"] < auc["repaired by diagnosis"] <= auc["never corrupted"]
    assert auc["corrupted"] + 0.3 * (auc["never corrupted"] - auc["corrupted"]) < auc["repaired by truth"]
    assert result.retrained["rows"].nunique() == 1


def test_detection_is_that_of_the_known_diagnosis(result):
    np.testing.assert_allclose(result.detection["recall"], 2 / 3, atol=0.05)
    assert (result.detection["precision"] == 1).all()


def test_detection_scores_by_hand():
    truth = pd.DataFrame({name: [1, 1, 0, 0] for name in ERROR_TYPES})
    found = pd.DataFrame(
        {
            "band_label_error": ["likely", "look", "likely", "look"],
            "band_feature_error": "",
            "band_spurious_correlation": ["likely", "likely", "", ""],
        }
    )
    scores = demo.detection_scores(truth, found)
    assert scores.loc["label_error"].tolist() == [2, 2, 0.5, 0.5, 0.5, 2, 0.5]
    assert scores.loc["feature_error"].tolist() == [2, 0, 0, 0, 0, 0, 0]
    assert scores.loc["spurious_correlation"].tolist() == [2, 2, 1, 1, 1, 0, 0]


def test_result_is_printed_and_written(result):
    text = io.StringIO()
    demo.print_result(result, Console(file=text, width=120))
    for words in ("Spurious correlation", "Repaired by diagnosis", "Never corrupted", "They are right, and valuable"):
        assert words in text.getvalue()
    out = result.out
    saved = json.loads((out / "demo.json").read_text())
    assert saved["retrained"]["corrupted"]["AUC"] == pytest.approx(result.retrained.loc["corrupted", "AUC"])
    repaired = pd.read_csv(out / "repaired-by-diagnosis.csv")
    assert len(repaired) == len(pd.read_csv(out / "corrupted.csv")) == len(pd.read_csv(out / "truth.csv"))
    assert repaired["sample_weight"].to_numpy().mean() == pytest.approx(1)
    assert {path.name for path in out.glob("*.csv")} >= {"diagnosis.csv", "clean-test.csv", "never-corrupted.csv"}


def test_uniform_weights_leave_the_metrics_as_they_are():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    table = pd.DataFrame({"x": x, "y": np.where(x + 0.5 * rng.normal(size=400) > 0, "b", "a")})
    train, test = table.iloc[:300], table.iloc[300:]
    plain = demo.retrained_metrics(train, test, "y", seed=0)
    weighted = demo.retrained_metrics(train.assign(sample_weight=2.0), test, "y", seed=0)
    assert plain == pytest.approx(weighted, abs=1e-6)
    assert plain["AUC"] > 0.9
