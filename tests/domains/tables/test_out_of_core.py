"""Tables that are never whole in memory: read in parts, surveyed, and diagnosed like tables that are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fabricated_worlds import untrained_classifier

import demix_jax.domains.tables.out_of_core as module
from demix_jax.cli import main
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.read_options import ReadOptions
from demix_jax.data import inspect_table, read_table
from demix_jax.data.fingerprint import fingerprint
from demix_jax.data.sources.open import open_source
from demix_jax.data.survey import survey_table, written_chunks
from demix_jax.domains.tables.domain import diagnose
from demix_jax.domains.tables.out_of_core import diagnose_out_of_core

ROWS = 1_600


def table(num_rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    size, height = rng.normal(size=(2, num_rows))
    return pd.DataFrame(
        {
            "größe": size.round(4),
            "age": np.where(rng.random(num_rows) < 0.05, np.nan, np.round(40 + 10 * height)),
            "kind": rng.choice(["a", "ß", "c"], num_rows, p=[0.5, 0.4, 0.1]),
            "code": np.where(np.arange(num_rows) < 1_200, "17", rng.choice(["x7", "17", "1.0"], num_rows)),
            "same": "x",
            "label": np.where(size + 0.3 * rng.normal(size=num_rows) > 0, "oui", "non"),
        }
    )


def write(frame, path):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def survey(path, **options):
    options = {"label": "label", "task": "auto", "sample_rows": 300, "chunk_rows": 128, "seed": 0} | options
    return survey_table(open_source(path), options.pop("label"), ReadOptions(), **options)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_chunks_put_together_are_the_table(tmp_path, name):
    path = write(table(500), tmp_path / name)
    chunks = list(written_chunks(open_source(path), 128))
    assert [len(chunk) for chunk in chunks] == [128, 128, 128, 116]
    assert np.concatenate([chunk.index for chunk in chunks]).tolist() == list(range(500))
    whole = inspect_table(pd.concat(chunks, ignore_index=True), "label").frame
    pd.testing.assert_frame_equal(whole, read_table(path), check_dtype=False)


def test_cells_are_counted_before_a_table_is_read(tmp_path):
    frame = pd.concat([table(5_000)] * 4, ignore_index=True)
    for name in ("t.parquet", "t.csv", "t.csv.gz"):
        cells = open_source(write(frame, tmp_path / name)).estimated_cells()
        assert cells == pytest.approx(frame.size, rel=0.0 if name == "t.parquet" else 0.05)


def test_a_sample_is_drawn_evenly_and_keeps_rare_classes(tmp_path):
    frame = table()
    frame.loc[[700, 1_500], "label"] = "jamais"
    path = write(frame, tmp_path / "t.csv")
    found = survey(path)
    numbers = found.sample.frame.index.to_numpy()
    assert found.num_rows == ROWS and found.task == "classification"
    assert (np.diff(numbers) > 0).all() and 300 <= len(numbers) <= 300 + 3 * 20
    assert {700, 1_500} <= set(numbers)
    assert abs(numbers.mean() - ROWS / 2) < 0.1 * ROWS
    assert found.sample.target.tolist() == frame["label"].iloc[numbers].tolist()
    assert survey(path, seed=1).sample.frame.index.tolist() != numbers.tolist()
    assert survey(path, chunk_rows=1_000).sample.frame.index.tolist() == numbers.tolist(), (
        "the draw is that of the rows"
    )


def test_a_column_that_is_text_anywhere_is_text_everywhere(tmp_path):
    found = survey(write(table(), tmp_path / "t.csv"))
    assert {column.name: column.kind for column in found.sample.columns}["code"] == "category"
    assert set(found.sample.frame["code"]) <= {"17", "x7", "1.0"}


def test_rarer_spellings_of_the_label_are_found_in_all_rows(tmp_path):
    frame = table()
    frame.loc[[3, 1_100], "label"] = "OUI"
    found = survey(write(frame, tmp_path / "t.csv"))
    assert found.sample.spellings == {"OUI": "oui"} and set(found.sample.target) == {"oui", "non"}


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda frame: frame.assign(label=frame["label"].where(frame.index != 900)), "missing in 1 of 1600 rows.*901"),
        (lambda frame: frame.assign(kind=np.nan), "Every value is missing in the column 'kind'"),
        (lambda frame: frame.assign(label="oui"), "constant"),
        (lambda frame: frame.assign(label=[f"v{i}" for i in range(ROWS)]), "1600 distinct values"),
        (lambda frame: frame.rename(columns={"label": "étiquette"}), "no column 'label'"),
        (lambda frame: frame.iloc[:0], "has a header but no rows"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_before_any_work(tmp_path, spoil, said):
    path = write(spoil(table()), tmp_path / "t.csv")
    with pytest.raises(InputError, match=said):
        diagnose_out_of_core(path, label="label", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_options_are_checked(tmp_path):
    path = write(table(), tmp_path / "t.csv")
    with pytest.raises(InputError, match="fit_rows is 10"):
        diagnose_out_of_core(path, label="label", out=tmp_path / "out", fit_rows=10)
    with pytest.raises(InputError, match="model 'cnn' is not known"):
        diagnose_out_of_core(path, label="label", out=tmp_path / "out", model="cnn")
    with pytest.raises(InputError, match="does not exist"):
        diagnose_out_of_core(tmp_path / "no.csv", label="label", out=tmp_path / "out")


@pytest.fixture(scope="module")
def classifier():
    return untrained_classifier()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, classifier):
    """The table diagnosed in memory, and out of core by all of its rows and by 1,000 of them, in parts of two sizes."""
    folder = tmp_path_factory.mktemp("runs")
    path = write(table(), folder / "t.csv")
    options = {"label": "label", "model": "mlp-small", "classifier": classifier}
    found: dict[str, Any] = {"memory": diagnose(path, **options)}
    for name, fit_rows, chunk_rows in (("all", 50_000, 800), ("some", 1_000, 800), ("some again", 1_000, 533)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_CHUNK_ROWS", chunk_rows)
            found[name] = diagnose_out_of_core(path, out=folder / name, fit_rows=fit_rows, **options)
    return path, found


def probabilities(table):
    return table[[f"p_{name}" for name in ERROR_TYPES]].to_numpy(float)


def assert_alike(first, second):
    """Equal but for rounding, which depends on the processor: vectors are kept in f16."""
    difference = np.abs(first - second)
    assert difference.mean() < 1e-3 and difference.max() < 0.05


def test_out_of_core_by_all_rows_is_as_in_memory(runs):
    _, found = runs
    want, got = found["memory"].table, pd.read_csv(found["all"].path)
    assert list(got.columns) == ["row", *want.columns] and got["row"].tolist() == list(range(ROWS))
    assert got["row_fingerprint"].tolist() == want["row_fingerprint"].tolist()
    assert_alike(probabilities(got), probabilities(want))
    for name in ERROR_TYPES:
        assert (got[name] != want[name]).mean() < 0.01, "only rows at the threshold may differ"
    same = (got["label_error"] == want["label_error"]).to_numpy()
    assert (
        got["suggested_label"].fillna("").to_numpy()[same].tolist()
        == want["suggested_label"].fillna("").to_numpy()[same].tolist()
    )
    assert found["all"].sample.summary.fingerprint == found["memory"].summary.fingerprint


def test_a_row_is_judged_alike_however_many_are_read_at_once(runs):
    _, found = runs
    assert_alike(*(probabilities(pd.read_csv(found[name].path)) for name in ("some", "some again")))


def test_rows_out_of_the_sample_are_judged_like_those_in_it(runs):
    _, found = runs
    got, sample = probabilities(pd.read_csv(found["some"].path)), found["some"].sample
    assert_alike(got[sample.table.index], probabilities(sample.table))
    others = np.setdiff1d(np.arange(ROWS), sample.table.index)
    assert 500 < len(others) < 600
    assert np.abs(got[others].mean(axis=0) - got[sample.table.index].mean(axis=0)).max() < 0.05


def test_the_summary_is_of_the_whole_table(runs):
    path, found = runs
    got = pd.read_csv(found["some"].path)
    summary = json.loads((found["some"].path.parent / "summary.json").read_text())
    assert summary["rows"] == len(got) == ROWS and 1_000 <= summary["fitted_rows"] <= 1_040
    for band in ("likely", "look"):
        assert summary[band] == {name: int(np.sum(got[f"band_{name}"] == band)) for name in ERROR_TYPES}
    of_wrong = got[["band_label_error", "band_feature_error"]].to_numpy(dtype=object)
    likely, look = (np.any(of_wrong == band, axis=1) for band in ("likely", "look"))
    assert summary["wrong_rows"] == likely.sum() and summary["look_rows"] == (look & ~likely).sum()
    assert summary["fingerprint"] == fingerprint(pd.read_csv(path))
    page = (found["some"].path.parent / "report.html").read_text()
    assert "1,600 rows" in page and "drawn at random" in page


def test_an_interrupted_diagnosis_leaves_what_was_there(tmp_path, classifier, monkeypatch):
    path = write(table(), tmp_path / "t.csv")
    out = tmp_path / "out"
    out.mkdir()
    (out / "diagnosis.csv").write_text("before")

    class Stopping:
        def stage(self, name, total):
            self.name = name

        def advance(self, n=1):
            if self.name == "judge all rows":
                raise KeyboardInterrupt

        def done(self): ...

    monkeypatch.setattr(module, "_CHUNK_ROWS", 800)
    with pytest.raises(KeyboardInterrupt):
        diagnose_out_of_core(
            path, label="label", out=out, model="mlp-small", classifier=classifier, fit_rows=1_000, progress=Stopping()
        )
    assert [p.name for p in out.iterdir()] == ["diagnosis.csv"] and (out / "diagnosis.csv").read_text() == "before"


def test_command(tmp_path, capsys, classifier):
    path = write(table(), tmp_path / "t.csv")
    classifier.save(tmp_path / "c.safetensors")
    arguments = ["diagnose", str(path), "--label", "label", "--out", str(tmp_path / "out"), "--out-of-core"]
    more = ["--fit-rows", "1000", "--model", "mlp-small", "--classifier", str(tmp_path / "c.safetensors")]
    assert main([*arguments, *more]) == 0
    said = capsys.readouterr().out
    assert "of 1,600 rows" in said and "diagnosis.csv has all 1,600." in said
    assert main([*arguments, "--fit-rows", "5"]) == 2
    assert "fit_rows is 5" in capsys.readouterr().err
