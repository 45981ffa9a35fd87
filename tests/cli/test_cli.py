"""The commands on tables, and the program as a whole: calls of the library, files, and one sentence for bad input.

Where a test is about the command and not about the diagnosis, the library's call is replaced by a recording one.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from synthetic_diagnosis import make_diagnosis, make_table

from demix_jax.cli import demo, main
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import write_table
from demix_jax.diagnosis.result import Diagnosis

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table(tmp_path, rng):
    frame = make_table(rng, 300)
    frame.to_csv(tmp_path / "train.csv", index=False)
    return frame


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def replace(monkeypatch, name: str, **functions) -> None:
    """Put a module of the given functions in the place of `demix_jax.name`."""
    module = ModuleType(f"demix_jax.{name}")
    module.__dict__.update(functions)
    monkeypatch.setitem(sys.modules, f"demix_jax.{name}", module)


def diagnosis_of(train: Path) -> Diagnosis:
    """The made-up diagnosis, as one of this file."""
    made = make_diagnosis()
    return dataclasses.replace(made, summary=dataclasses.replace(made.summary, train=str(train)))


@pytest.fixture
def calls(monkeypatch):
    """The library's long calls, recorded: diagnose gives the made-up diagnosis, load_classifier nothing."""
    recorded: dict[str, dict] = {}

    def diagnose(train, *, progress, **options):
        recorded["diagnose"] = {"train": train, **options}
        progress.stage("influence", 10)
        progress.advance(10)
        return diagnosis_of(train)

    def repair(train, diagnosis, **options):
        recorded["repair"] = {"train": train, "diagnosis": diagnosis, **options}
        changes = SimpleNamespace(sentences=["Relabelled 3 rows."])
        table = pd.read_csv(train).assign(sample_weight=1.0)
        return SimpleNamespace(changes=changes, save=lambda path: write_table(path, table))

    def load_classifier(path):
        if path != "default":
            raise InputError(f"There is no classifier file {path}; give another.")

    replace(monkeypatch, "domains.tables.domain", diagnose=diagnose)
    replace(monkeypatch, "repairs", repair=repair)
    replace(monkeypatch, "classifier", load_classifier=load_classifier)
    return recorded


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_diagnose_hands_over_its_options_and_says_what_was_found(tmp_path, capsys, calls, table):
    train, out = tmp_path / "train.csv", tmp_path / "out"
    code = main(
        ["diagnose", str(train), "--label", "income", "--out", str(out), "--model", "ft-transformer", "--seed", "7"]
    )
    assert code == 0
    assert calls["diagnose"] == {
        "train": train,
        "label": "income",
        "valid": None,
        "task": "auto",
        "model": "ft-transformer",
        "classifier": "default",
        "seed": 7,
        "kinds": {},
        "ignore": None,
        "id": None,
        "groups": None,
        "time": None,
        "missing": None,
        "encoding": None,
        "sheet": None,
    }
    said = capsys.readouterr()
    assert "60 of 600 rows (10.0 %) are likely wrong, and 20 others are worth a look." in said.out
    assert "valuable, not wrong" in said.out
    row = next(line for line in lines(said.out) if line.startswith("Spurious correlation"))
    assert row.split()[2:5] == ["22", "3.7", "%"]
    assert str(out / "report.html") in said.out
    assert f"demix-jax repair {train} --label income --diagnosis {out / 'diagnosis.csv'}" in said.out
    assert "\x1b" not in said.out and "influence: 10" in said.err  # plain text when it is no terminal
    assert sorted(os.listdir(out)) == ["diagnosis.csv", "report.html", "summary.json"]


@pytest.mark.parametrize(
    ("options", "cells", "large"),
    [
        ([], 1_000, False),
        ([], 10_000_000, True),
        (["--out-of-core"], 1_000, True),
        (["--in-memory"], 10_000_000, False),
    ],
)
def test_large_tables_are_read_in_parts(tmp_path, monkeypatch, calls, table, options, cells, large):
    def diagnose_out_of_core(train, *, progress, **given):
        calls["large"] = given
        return SimpleNamespace(sample=diagnosis_of(train))

    replace(monkeypatch, "domains.tables.out_of_core", diagnose_out_of_core=diagnose_out_of_core)
    source = SimpleNamespace(estimated_cells=lambda: cells)
    monkeypatch.setattr("demix_jax.data.sources.open.open_source", lambda path, **_: source)
    out = tmp_path / "out"
    train = str(tmp_path / "train.csv")
    assert main(["diagnose", train, "--label", "income", "--out", str(out), "--fit-rows", "70", *options]) == 0
    assert ("large" in calls, "diagnose" in calls) == (large, not large)
    if large:
        assert calls["large"]["fit_rows"] == 70 and calls["large"]["out"] == out


@pytest.mark.parametrize(
    ("name", "written"), [("a.tsv", "repaired.tsv"), ("a.csv.gz", "repaired.csv.gz"), ("a.parquet", "repaired.parquet")]
)
def test_the_file_that_repair_is_told_to_write_can_be_written(tmp_path, capsys, calls, table, name, written):
    table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_csv(tmp_path / name, index=False)
    assert main(["diagnose", str(tmp_path / name), "--label", "income", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"--out {written}")


def test_repair_writes_what_the_library_gives_and_says_what_changed(tmp_path, capsys, calls, table):
    (tmp_path / "diagnosis.csv").write_text("x")
    before = (tmp_path / "train.csv").read_bytes()
    for name, also in (("fixed.csv", []), ("fixed.parquet", ["--also", "look"])):
        arguments = [str(tmp_path / "train.csv"), "--label", "income", "--diagnosis", str(tmp_path / "diagnosis.csv")]
        assert main(["repair", *arguments, "--out", str(tmp_path / name), "--label-errors", "drop", *also]) == 0
        assert calls["repair"]["also"] == ("look" if also else None)
        read = pd.read_csv if name.endswith("csv") else pd.read_parquet
        assert list(read(tmp_path / name).columns) == [*table.columns, "sample_weight"]
    assert calls["repair"]["label_errors"] == "drop" and calls["repair"]["feature_errors"] == "impute"
    assert "Relabelled 3 rows." in capsys.readouterr().out
    assert (tmp_path / "train.csv").read_bytes() == before


@pytest.mark.parametrize("how", ["same", "relative", "soft link", "hard link"])
def test_repair_never_touches_train(tmp_path, capsys, calls, table, monkeypatch, how):
    train = tmp_path / "train.csv"
    (tmp_path / "diagnosis.csv").write_text("x")
    (tmp_path / "soft.csv").symlink_to(train)
    os.link(train, tmp_path / "hard.csv")
    monkeypatch.chdir(tmp_path)
    out = {"same": str(train), "relative": "./train.csv", "soft link": "soft.csv", "hard link": "hard.csv"}[how]
    before = train.read_bytes()
    assert main(["repair", str(train), "--label", "income", "--diagnosis", "diagnosis.csv", "--out", out]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert train.read_bytes() == before and "repair" not in calls


def test_inject_writes_both_files_for_real(tmp_path, capsys, table):
    out = tmp_path / "out"
    rule = "sex=Male -> >50K"
    arguments = [str(tmp_path / "train.csv"), "--label", "income", "--out", str(out), "--shortcut", rule, "--seed", "3"]
    assert main(["inject", *arguments, "--label-errors", "0.1"]) == 0
    corrupted, truth = pd.read_csv(out / "corrupted.csv"), pd.read_csv(out / "truth.csv")
    assert list(corrupted.columns) == list(table.columns) and len(corrupted) == len(truth)
    assert (truth["label_error"] == 1).to_numpy().sum() == round(0.1 * len(truth))
    before = table["income"].iloc[truth["source_row"]].reset_index(drop=True)
    np.testing.assert_array_equal(corrupted["income"] != before, truth["label_error"] == 1)
    broken = (table["sex"] == "Male") != (table["income"] == ">50K")
    assert (broken.iloc[truth["source_row"]].to_numpy() == (truth["spurious_correlation"] == 1)).all()
    assert f"spurious_correlation: {truth['spurious_correlation'].sum()} rows" in capsys.readouterr().out


def test_inject_keeps_parquet(tmp_path, table):
    table.to_parquet(tmp_path / "t.parquet")
    assert main(["inject", str(tmp_path / "t.parquet"), "--label", "income", "--out", str(tmp_path / "out")]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["corrupted.parquet", "truth.csv"]
    assert dict(pd.read_parquet(tmp_path / "out" / "corrupted.parquet").dtypes) == dict(table.dtypes)


BAD = {
    "no such option": (["diagnose", "train.csv", "--label", "income", "--out", "o", "--fast"], "--fast"),
    "no such command": (["diagnoze"], "diagnoze"),
    "no such command of a group": (["pairs", "repaer"], "did you mean 'repair'?"),
    "no value": (["diagnose", "train.csv", "--label"], "see `demix-jax diagnose --help`"),
    "too many files": (["diagnose", "train.csv", "empty.csv", "--label", "income", "--out", "o"], "(empty.csv)"),
    "unknown choice": (["diagnose", "train.csv", "--label", "income", "--out", "o", "--task", "x"], "'--task'"),
    "seed": (["inject", "train.csv", "--label", "income", "--out", "o", "--seed", "-1"], "'--seed'"),
    "out is a file": (["diagnose", "train.csv", "--label", "income", "--out", "train.csv"], "is a file"),
    "out lies in a file": (["diagnose", "train.csv", "--label", "income", "--out", "train.csv/o"], "not a folder"),
    "no classifier": (["diagnose", "train.csv", "--label", "income", "--out", "o", "--classifier", "c"], "file c;"),
    "no train": (["inject", "trian.csv", "--label", "income", "--out", "o"], "did you mean train.csv"),
    "a file in a folder": (["inject", ".", "--label", "income", "--out", "o"], "empty.csv is empty"),
    "no such column": (["inject", "train.csv", "--label", "incom", "--out", "o"], "incom"),
    "empty table": (["inject", "empty.csv", "--label", "income", "--out", "o"], "empty"),
    "label kind": (["inject", "train.csv", "--label", "income", "--out", "o", "--label-kind", "odd"], "uniform, near"),
    "rate": (["inject", "train.csv", "--label", "income", "--out", "o", "--label-errors", "1.5"], "[0, 1]"),
    "not a number": (["inject", "train.csv", "--label", "income", "--out", "o", "--spurious", "x"], "'--spurious'"),
    "shortcut": (["inject", "train.csv", "--label", "income", "--out", "o", "--shortcut", "sex"], "->"),
    "suffix": (["repair", "train.csv", "--label", "income", "--diagnosis", "empty.csv", "--out", "o.xlsx"], ".parquet"),
    "never drop": (
        ["repair", "train.csv", "--label", "income", "--diagnosis", "d.csv", "--out", "o.csv", "--spurious", "drop"],
        "'--spurious'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gives_one_sentence_and_nothing_else(tmp_path, capsys, calls, table, monkeypatch, case):
    arguments, words = BAD[case]
    (tmp_path / "empty.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert said.err.startswith("demix-jax: ") and words in said.err
    assert "diagnose" not in calls and sorted(os.listdir(tmp_path)) == ["empty.csv", "train.csv"]


def test_outputs_may_not_be_inputs(tmp_path, capsys, calls, table):
    (tmp_path / "out").mkdir()
    table.to_csv(tmp_path / "out" / "diagnosis.csv")
    (tmp_path / "out" / "corrupted.csv").symlink_to(tmp_path / "train.csv")
    inside = [str(tmp_path / "out" / "diagnosis.csv"), "--label", "income", "--out", str(tmp_path / "out")]
    assert main(["diagnose", *inside]) == 2
    linked = [str(tmp_path / "train.csv"), "--label", "income", "--out", str(tmp_path / "out")]
    assert main(["inject", *linked]) == 2
    assert all("overwritten" in line for line in lines(capsys.readouterr().err)) and "diagnose" not in calls


def test_full_disk_is_said_in_a_sentence(tmp_path, capsys, calls, table, monkeypatch):
    def no_space(*_, **__):
        raise OSError(28, "No space left on device", "/full/x.csv")

    monkeypatch.setattr("demix_jax.cli.injecting.write_table", no_space)
    assert main(["inject", str(tmp_path / "train.csv"), "--label", "income", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == "demix-jax: /full/x.csv: No space left on device\n"
    assert os.listdir(tmp_path) == ["train.csv"]


@pytest.mark.parametrize(("sent", "code", "words"), [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 143, "")])
def test_interrupt_while_writing_leaves_no_file(tmp_path, table, sent, code, words):
    """A second process is stopped for real in the middle of the second of two files."""
    script = textwrap.dedent("""
        import signal, sys, time
        import demix_jax.cli.injecting as injecting
        from demix_jax.cli import main
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
        real = injecting.write_table
        def slow(path, frame):
            real(path, frame)
            if "truth" in path.name:
                print("writing", flush=True)
                time.sleep(30)
        injecting.write_table = slow
        sys.exit(main(sys.argv[1:]))
    """)
    arguments = ["inject", str(tmp_path / "train.csv"), "--label", "income", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(sent)
        assert process.wait(timeout=60) == code
        said = lines(process.stderr.read())
    assert words in "".join(said) and len(said) <= 1
    assert os.listdir(tmp_path) == ["train.csv"]


def test_demo_keeps_its_files_only_where_told(capsys, monkeypatch):
    asked = {}

    def run(*, seed, out=None, progress=None):
        asked.update(seed=seed, out=out)
        return {"f1": 0.5}

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "print_result", lambda result, console: console.print(json.dumps(result)))
    assert main(["demo", "--seed", "2"]) == 0
    assert asked == {"seed": 2, "out": None} and json.loads(capsys.readouterr().out) == {"f1": 0.5}


def test_output_of_any_encoding():
    command = [sys.executable, "-c", "from demix_jax.cli import main; main(['diagnose', 'größe – 1.csv'])"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.stderr.startswith(b"demix-jax: ") and b"Traceback" not in done.stderr


def test_a_device_that_is_not_there_is_named():
    command = [sys.executable, "-m", "demix_jax", "diagnose", "x.csv", "--label", "y", "--out", "out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "tpu"})
    assert done.returncode == 2
    assert done.stderr.startswith("demix-jax: JAX_PLATFORMS is tpu, which JAX cannot use here")


@pytest.mark.parametrize(
    "arguments", [["diagnose", "--help"], ["inject", "train.csv", "--label", "income", "--out", "o"]]
)
def test_what_computes_nothing_needs_no_device(tmp_path, table, arguments):
    command = [sys.executable, "-m", "demix_jax", *arguments]
    env = os.environ | {"JAX_PLATFORMS": "tpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr


def test_module_runs_and_starts_without_heavy_imports():
    command = [sys.executable, "-m", "demix_jax", "--help"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.startswith(b"Usage: demix-jax")
    loaded = "import sys, demix_jax.cli; print([m for m in ('pandas', 'sklearn', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True).stdout == b"[]\n"


def test_error_types_are_named_in_the_report():
    from demix_jax.report.row_words import MEANING, NAMES

    assert set(ERROR_TYPES) == set(MEANING) and set(ERROR_TYPES) < set(NAMES)
