"""`demix-jax logs`: what is handed to the library, what is written, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os

import pandas as pd
import pytest
from recommendation_logs import make_log
from synthetic_diagnosis import make_diagnosis

from demix_jax.cli import main
from demix_jax.domains import recommendation
from demix_jax.domains.recommendation import domain

LOG, USERS, ITEMS = make_log(num_users=90, num_items=55, per_user=12)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The current folder, with a log and its side tables."""
    for name, table in (("log", LOG), ("users", USERS), ("items", ITEMS)):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_diagnose_hands_over_its_options_and_writes_the_samples(files, monkeypatch, capsys):
    asked = {}

    def diagnose(samples, *, progress, **options):
        progress.stage("encode", 1)
        asked.update(samples=samples, **options)
        made = make_diagnosis()
        return dataclasses.replace(made, summary=dataclasses.replace(made.summary, train=options["source"]))

    monkeypatch.setattr(domain, "diagnose_interactions", diagnose)
    side_tables = ["--users", "users.csv", "--items", "items.csv"]
    more = ["--min-rating", "3", "--random-ties", "--model", "dien", "--seed", "4"]
    assert main(["logs", "diagnose", "log.csv", "--out", "out", *side_tables, *more]) == 0
    samples, written = asked.pop("samples"), os.path.join("out", "samples.csv")
    assert asked == {"model": "dien", "classifier": "default", "seed": 4, "source": written}
    data = recommendation.read_recommendation_data("log.csv", users="users.csv", items="items.csv", min_rating=3)
    expected = recommendation.make_samples(data, random_ties=True, seed=4).part("train")
    pd.testing.assert_frame_equal(samples.table, expected.table)
    expected.table.to_csv("expected.csv", index=False)
    assert (files / written).read_bytes() == (files / "expected.csv").read_bytes()
    assert f"demix-jax repair {written} --label" in capsys.readouterr().out


@pytest.mark.slow
def test_from_log_to_repaired_samples(files, capsys):
    side_tables = ["--users", "users.csv", "--items", "items.csv"]
    assert main(["logs", "diagnose", "log.csv", *side_tables, "--random-ties", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "demix-jax repair out/samples.csv --label clicked" in said and "name the user" in said
    assert json.loads((files / "out" / "summary.json").read_text())["train"] == "out/samples.csv"
    arguments = ["out/samples.csv", "--label", "clicked", "--diagnosis", "out", "--out", "repaired.csv"]
    assert main(["repair", *arguments]) == 0
    repaired = pd.read_csv("repaired.csv")
    assert list(repaired.columns[:3]) == list(recommendation.IDENTIFIERS) and "sample_weight" in repaired


REFUSED = {
    "nothing": ([], "LOG (interaction log with user, item and timestamp, as .csv or .parquet) is missing"),
    "no such file": (["lgo.csv"], "did you mean log.csv"),
    "too short a log": (["short.csv"], "at least 30 are needed"),
    "an input": (["log.csv", "--users", "o/samples.csv"], "is --users, which is never overwritten"),
    "a label": (["log.csv", "--label", "clicked"], "No such option: --label"),
    "validation samples": (["log.csv", "--valid", "log.csv"], "No such option: --valid"),
    "a table's model": (["log.csv", "--model", "mlp"], "'mlp' is not one of 'din', 'dien'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_everything_as_it_was(case, files, capsys):
    arguments, words = REFUSED[case]
    LOG.head(5).to_csv("short.csv", index=False)
    (files / "o").mkdir()
    (files / "o" / "samples.csv").write_text("user_id\n1\n")
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*")}
    assert main(["logs", "diagnose", *arguments, "--out", "o"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and words in said.err
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*")} == before
