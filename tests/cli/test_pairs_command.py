"""`demix-jax pairs`: what is handed to the library, what is written, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from tiny_decoder import made_pairs

from demix_jax.cli import main
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data.fingerprint import row_fingerprints
from demix_jax.diagnosis.table import with_fingerprints
from demix_jax.domains import preference
from demix_jax.domains.preference.pairs import as_lines, text_table
from demix_jax.report import terminal

NUM, EMPTY = 44, 3  # pairs, and the one of them that no error can be put into


@pytest.fixture(scope="module")
def pairs():
    made = list(made_pairs(NUM).pairs)
    made[EMPTY] = made[EMPTY]._replace(rejected=" ")
    return preference.make_pairs(made)


@pytest.fixture
def written(tmp_path, pairs, monkeypatch):
    """The current folder: pairs as a file, and a diagnosis that calls the first one swapped and the second damaged."""
    (tmp_path / "pairs.jsonl").write_text(as_lines(pairs.records))
    table = pd.DataFrame(0, index=range(NUM), columns=list(ERROR_TYPES))
    table.loc[0, "label_error"] = table.loc[1, "feature_error"] = 1
    (tmp_path / "found").mkdir()
    table = with_fingerprints(table, row_fingerprints(text_table(pairs)))
    table.to_csv(tmp_path / "found" / "diagnosis.csv", index_label="row")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_diagnose_hands_over_its_options_and_saves(written, monkeypatch):
    asked, saved, printed = {}, [], []
    result = SimpleNamespace(save=lambda out: saved.append(out))

    def diagnose(path, *, progress, **options):
        progress.stage("read", 1)
        asked.update(path=path, **options)
        return result

    monkeypatch.setattr(preference, "diagnose", diagnose)
    monkeypatch.setattr(terminal, "print_diagnosis", lambda *given: printed.append(given))
    arguments = ["pairs.jsonl", "--model", "somewhere", "--valid", "trusted.jsonl", "--out", "out", "--seed", "4"]
    assert main(["pairs", "diagnose", *arguments]) == 0
    assert {name: value if name == "seed" else str(value) for name, value in asked.items()} == {
        "path": "pairs.jsonl",
        "model": "somewhere",
        "valid": "trusted.jsonl",
        "classifier": "default",
        "seed": 4,
    }
    assert list(map(str, saved)) == ["out"] and printed == [(result, saved[0])]


def test_repair_undoes_what_the_diagnosis_says(written, pairs, capsys):
    before = (written / "pairs.jsonl").read_bytes()
    arguments = ["pairs", "repair", "pairs.jsonl", "--diagnosis", "found"]
    assert main([*arguments, "--out", "repaired.jsonl"]) == 0
    repaired = preference.read_pairs("repaired.jsonl")
    assert repaired.pairs[0] == pairs.pairs[0].swapped() and repaired.pairs[1] == pairs.pairs[2]
    said = capsys.readouterr().out
    assert "Swapped 1 pairs back." in said and "Written: repaired.jsonl" in said
    assert (written / "pairs.jsonl").read_bytes() == before
    assert main([*arguments, "--out", "kept.jsonl", "--label-errors", "keep"]) == 0
    assert preference.read_pairs("kept.jsonl").pairs[0] == pairs.pairs[0]
    pd.read_csv("found/diagnosis.csv").assign(p_label_error=0.4).to_csv("found/diagnosis.csv", index=False)
    for also, wanted in (([], pairs.pairs[0]), (["--also", "look"], pairs.pairs[0].swapped())):
        assert main([*arguments, "--out", "again.jsonl", *also]) == 0
        assert preference.read_pairs("again.jsonl").pairs[0] == wanted


def test_inject_writes_what_the_library_gives(written, pairs, capsys):
    before = (written / "pairs.jsonl").read_bytes()
    arguments = ["pairs", "inject", "pairs.jsonl", "--out", "wrong", "--label-errors", "0.25", "--seed", "3"]
    assert main(arguments) == 0
    truth = pd.read_csv(written / "wrong" / "truth.csv")
    made = preference.read_pairs(written / "wrong" / "corrupted.jsonl")
    given = preference.inject_errors(pairs, label_errors=0.25, seed=3)
    assert made.pairs == given.pairs.pairs and list(truth["source_row"]) == list(given.truth["source_row"])
    said = capsys.readouterr().out
    assert f"label_error: {truth['label_error'].sum()} pairs" in said and "Shortcut: longer" in said
    assert (written / "pairs.jsonl").read_bytes() == before
    assert EMPTY not in set(truth["source_row"])


REFUSED = {
    "no model": (["diagnose", "pairs.jsonl", "--out", "o"], "--model (decoder"),
    "no pairs": (["repair", "--diagnosis", "found", "--out", "o.jsonl"], "PAIRS (preference pairs"),
    "no diagnosis": (["repair", "pairs.jsonl", "--out", "o.jsonl"], "--diagnosis (diagnosis.csv"),
    "nothing to write": (["inject", "pairs.jsonl"], "--out (folder for corrupted.jsonl"),
    "a label to diagnose": (
        ["diagnose", "pairs.jsonl", "--model", "m", "--out", "o", "--label", "x"],
        "No such option: --label",
    ),
    "a label to repair": (
        ["repair", "pairs.jsonl", "--diagnosis", "found", "--out", "o.jsonl", "--label", "x"],
        "No such option: --label",
    ),
    "a label to inject": (["inject", "pairs.jsonl", "--out", "o", "--label", "x"], "No such option: --label"),
    "another suffix": (
        ["repair", "pairs.jsonl", "--diagnosis", "found", "--out", "o.csv"],
        "end its name in .jsonl",
    ),
    "the input": (
        ["repair", "pairs.jsonl", "--diagnosis", "found", "--out", "pairs.jsonl"],
        "is PAIRS, which is never overwritten",
    ),
    "a table's repair": (
        ["repair", "pairs.jsonl", "--diagnosis", "found", "--out", "o.jsonl", "--label-errors", "relabel"],
        "'relabel' is not one of 'swap', 'drop', 'keep'",
    ),
    "no such shortcut": (
        ["inject", "pairs.jsonl", "--out", "o", "--shortcut", "shorter"],
        "'shorter' is not one of 'longer'",
    ),
    "no such model": (["diagnose", "pairs.jsonl", "--model", "absent", "--out", "o"], "There is no model at absent"),
    "diagnosed into the input": (["diagnose", "data", "--model", "m", "--out", "data/o"], "would lie in PAIRS"),
    "repaired into the input": (
        ["repair", "data", "--diagnosis", "found", "--out", "data/o.jsonl"],
        "would lie in PAIRS",
    ),
    "injected into the input": (["inject", "data", "--out", "data/o"], "would lie in PAIRS"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_everything_as_it_was(written, case, capsys):
    arguments, words = REFUSED[case]
    before = contents(written)
    assert main(["pairs", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and words in said.err
    assert contents(written) == before
