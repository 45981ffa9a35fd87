"""How the commands are to be used: their help, and one sentence where arguments are missing or of another command."""

from __future__ import annotations

import re

import pytest

from demix_jax.cli import main

COPY = "--out (file to write: with the suffix of TRAIN, .csv or .parquet)"
TABLE, FOLDER = (
    "TRAIN (table: a file such as .csv, .parquet or .xlsx, or a folder or quoted pattern of files)",
    "--out (folder for diagnosis.csv, summary.json and report.html)",
)
COLUMN, FOUND = (
    "--label (name of the column to predict)",
    "--diagnosis (diagnosis.csv that `diagnose` wrote, or its folder)",
)
PAIRS = "PAIRS (preference pairs: a .jsonl, .json or .parquet file, or the folder of a dataset)"
DECODER = "--model (decoder of the Llama architecture: a folder, or a .gguf file)"
LOG = "LOG (interaction log with user, item and timestamp, as .csv or .parquet)"
MISSING = {
    "diagnose": f"{TABLE}, {COLUMN} and {FOLDER} are missing",
    "diagnose t.csv": f"{COLUMN} and {FOLDER} are missing",
    "diagnose t.csv --label y": f"{FOLDER} is missing",
    "diagnose --out o --seed 1 --label y": f"{TABLE} is missing",
    "repair": f"{TABLE}, {COLUMN}, {FOUND} and {COPY} are missing",
    "repair t.csv --out o.csv --label y": f"{FOUND} is missing",
    "inject": f"{TABLE}, {COLUMN} and --out (folder for the corrupted table and truth.csv) are missing",
    "train-classifier": "--out (weights file to write, .safetensors) is missing",
    "plan": "--train-samples (number of training samples, N) and --valid-samples (number of validation samples, M) are "
    "missing",
    "pairs diagnose": f"{PAIRS}, {DECODER} and {FOLDER} are missing",
    "pairs diagnose p.jsonl --out o": f"{DECODER} is missing",
    "pairs repair": f"{PAIRS}, {FOUND} and --out (file to write, .jsonl) are missing",
    "pairs inject": f"{PAIRS} and --out (folder for corrupted.jsonl and truth.csv) are missing",
    "logs diagnose": f"{LOG} and {FOLDER} are missing",
    "logs diagnose --users u.csv --out o": f"{LOG} is missing",
}


@pytest.mark.parametrize("typed", MISSING)
def test_everything_missing_is_named_and_explained(capsys, typed):
    command = typed.split(" -")[0].replace(" t.csv", "").replace(" p.jsonl", "")
    assert main(typed.split()) == 2
    assert capsys.readouterr() == ("", f"demix-jax: {MISSING[typed]}; see `demix-jax {command} --help`.\n")


OLD_FORM = {
    "diagnose p.jsonl --task preference --model m --out o": "Invalid value for '--task': 'preference' is not one of",
    "diagnose --task recommendation --interactions l.csv --out o": "No such option: --interactions",
    "repair p.jsonl --task preference --diagnosis d --out o.jsonl": "No such option: --task",
    "inject p.jsonl --task preference --out o": "No such option: --task",
}


@pytest.mark.parametrize("typed", OLD_FORM)
def test_tables_have_no_options_of_other_data(capsys, typed):
    assert main(typed.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"demix-jax: {OLD_FORM[typed]}") and len(said.splitlines()) == 1
    assert said.endswith(f"see `demix-jax {typed.split()[0]} --help`.\n")


def test_help_and_version(capsys):
    assert main([]) == 0
    alone = capsys.readouterr().out
    assert main(["--help"]) == 0 and capsys.readouterr().out == alone
    commands = ("diagnose", "repair", "inject", "demo", "train-classifier", "plan", "pairs", "logs", "--version")
    assert all(f"\n  {command} " in alone for command in commands)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("demix-jax ")


@pytest.mark.parametrize(("group", "commands"), [("pairs", ["diagnose", "repair", "inject"]), ("logs", ["diagnose"])])
def test_a_group_alone_prints_its_help(capsys, group, commands):
    assert main([group]) == 0
    alone = capsys.readouterr()
    assert main([group, "--help"]) == 0 and capsys.readouterr() == alone
    listed = alone.out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in listed] == commands and alone.err == ""


FOREIGN = {  # words of other kinds of data, which a command's help has no use for
    "diagnose": ("pair", "interaction", "decoder", "click", "swap", "--users", "--random-ties", "din"),
    "repair": ("pair", "interaction", "swap", "trim", ".jsonl", "--task"),
    "inject": ("pair", "interaction", "longer", ".jsonl", "--task"),
    "pairs diagnose": ("table", "TRAIN", "--label ", "--task", "interaction", "mlp", "row", "--fit-rows"),
    "pairs repair": ("table", "TRAIN", "--label ", "--task", "relabel", "impute", "row"),
    "pairs inject": ("table", "TRAIN", "--label ", "--task", "sex=Male", "row"),
    "logs diagnose": ("pair", "TRAIN", "--label ", "--task", "--valid", "mlp", "decoder", "--fit-rows"),
}


@pytest.mark.parametrize("command", FOREIGN)
@pytest.mark.parametrize("columns", [80, 120])
def test_help_speaks_of_one_kind_of_data_and_fits_the_terminal(capsys, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command.split(), "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: demix-jax {command} [OPTIONS]")
    assert [word for word in FOREIGN[command] if re.search(rf"(?<!\w){re.escape(word)}", said)] == []
    assert max(map(len, said.splitlines())) <= columns


def test_choices_are_those_of_the_library(capsys):
    from demix_jax.domains.preference.inject import SHORTCUTS
    from demix_jax.domains.recommendation.networks import CLICK_MODELS
    from demix_jax.models import MODELS

    known = {"diagnose": ("--model", MODELS), "logs diagnose": ("--model", CLICK_MODELS)}
    for command, (option, choices) in (known | {"pairs inject": ("--shortcut", SHORTCUTS)}).items():
        assert main([*command.split(), "--help"]) == 0
        assert f"{option} <{'|'.join(choices)}>" in capsys.readouterr().out
