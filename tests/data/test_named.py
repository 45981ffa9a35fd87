"""Public tables by name: where they are looked for, how they are cleaned, and the sample that ships."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data import named
from demix_jax.data.named import NAMES, adult_sample, load_named
from demix_jax.data.table_checks import check_table, infer_task

DATA = os.environ.get("DEMIX_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="DEMIX_DATA_DIR names no folder with the public tables")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without tables and without a network."""
    monkeypatch.delenv("DEMIX_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "ucimlrepo", None)

    def refuse(**_):
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", refuse)
    return tmp_path / "cache" / "demix_jax"


def pretend_uci(monkeypatch, frame):
    """A ucimlrepo that gives `frame`, and the numbers it was asked for."""
    asked = []
    module = ModuleType("ucimlrepo")

    def fetch(id):
        asked.append(id)
        return SimpleNamespace(data=SimpleNamespace(original=frame))

    vars(module)["fetch_ucirepo"] = fetch
    monkeypatch.setitem(sys.modules, "ucimlrepo", module)
    return asked


def bike_table(rows=17_379):
    rng = np.random.default_rng(0)
    names = ["instant", "dteday", *named._SOURCES["bike_sharing"].columns[:-1], "casual", "registered", "cnt"]
    return pd.DataFrame({name: rng.integers(0, 50, rows) for name in names})


def test_sample_ships_with_its_attribution():
    frame, label = adult_sample()
    check_table(frame, label)
    assert frame.shape == (10_000, 15) and label == "income"
    assert frame[label].value_counts().to_dict() == {"<=50K": 7607, ">50K": 2393}
    folder = Path(named.__file__).parent
    assert (folder / "adult_sample.parquet").stat().st_size < 200_000
    text = (folder / "ADULT.md").read_text(encoding="utf-8")
    assert "10.24432/C5XW20" in text and "CC BY 4.0" in text


@needs_data
def test_sample_is_drawn_as_written():
    frame, label = load_named("adult")
    drawn = pd.DataFrame(frame.groupby(label).sample(frac=10_000 / len(frame), random_state=0))
    pd.testing.assert_frame_equal(drawn.sort_index().reset_index(drop=True), adult_sample()[0])


@needs_data
@pytest.mark.parametrize(
    ("name", "shape", "task"),
    [
        ("adult", (48_842, 15), "classification"),
        ("bank", (45_211, 17), "classification"),
        ("credit", (30_000, 24), "classification"),
        ("covertype", (40_000, 55), "classification"),
        ("bike_sharing", (17_379, 13), "regression"),
        ("air_quality", (9_357 - 366, 15), "regression"),
    ],
)
def test_public_tables(name, shape, task):
    frame, label = load_named(name)
    check_table(frame, label)
    assert frame.shape == shape and infer_task(frame.loc[:, label]) == task
    if name == "air_quality":
        assert not (frame.select_dtypes("number") == -200).any(axis=None)
    assert not {"casual", "registered", "instant", "dteday", "ID"} & set(frame.columns)


def test_unknown_name():
    with pytest.raises(InputError) as caught:
        load_named("iris")
    assert all(name in str(caught.value) for name in NAMES)


def test_offline_says_which_file_to_put_where(nowhere):
    with pytest.raises(InputError) as caught:
        load_named("bank")
    message = str(caught.value)
    assert str(nowhere / "bank.parquet") in message and "ucimlrepo is not installed" in message
    assert "no network" in message and not nowhere.exists()


def test_data_dir_then_cache_then_download(nowhere, tmp_path, monkeypatch):
    asked = pretend_uci(monkeypatch, bike_table())
    downloaded, label = load_named("bike_sharing")
    assert asked == [275] and label == "cnt"
    assert tuple(downloaded.columns) == named._SOURCES["bike_sharing"].columns
    assert [p.name for p in nowhere.iterdir()] == ["bike_sharing.parquet"]

    pd.testing.assert_frame_equal(load_named("bike_sharing")[0], downloaded)
    assert asked == [275]

    monkeypatch.setenv("DEMIX_DATA_DIR", str(tmp_path))
    load_named("bike_sharing")  # the folder lacks the file, so the cache serves
    bike_table(50).to_parquet(tmp_path / "bike_sharing.parquet")
    assert len(load_named("bike_sharing")[0]) == 50 and asked == [275]


def test_a_download_must_be_whole_and_of_the_right_table(nowhere, monkeypatch):
    pretend_uci(monkeypatch, bike_table(100))
    with pytest.raises(InputError, match="100 rows instead of 17379"):
        load_named("bike_sharing")
    pretend_uci(monkeypatch, bike_table().drop(columns="temp"))
    with pytest.raises(InputError, match="lacks the columns temp"):
        load_named("bike_sharing")
    assert not nowhere.exists()


def test_uci_spellings_are_brought_to_the_common_ones(nowhere, monkeypatch):
    rng = np.random.default_rng(0)
    source = named._SOURCES["credit"]
    credit = pd.DataFrame(rng.integers(0, 9, (30_000, 25)), columns=["ID", *(f"X{i}" for i in range(1, 24)), "Y"])
    pretend_uci(monkeypatch, credit)
    frame, label = load_named("credit")
    assert tuple(frame.columns) == source.columns and label == "default_payment_next_month"
    np.testing.assert_array_equal(frame["AGE"], credit["X5"])
    np.testing.assert_array_equal(frame[label], credit["Y"])

    adult = pd.DataFrame(rng.integers(0, 9, (48_842, 15)), columns=list(named._SOURCES["adult"].columns))
    pretend_uci(monkeypatch, adult.assign(income=["<=50K", "<=50K.", ">50K", " >50K."] * 12_210 + ["<=50K", ">50K."]))
    assert sorted(load_named("adult")[0]["income"].unique()) == ["<=50K", ">50K"]


def test_openml_serves_where_uci_does_not(nowhere, monkeypatch):
    """OpenML's bank table has columns V1 … V16 and Class, categories throughout, and 1 and 2 for no and yes."""
    rng = np.random.default_rng(0)
    rows = 45_211
    columns: dict[str, Any] = {f"V{i}": rng.integers(18, 90, rows) for i in range(1, 17)}
    columns["V2"] = pd.Categorical(rng.choice(["admin", "student"], rows))
    columns["V10"] = pd.Categorical(rng.choice(["3", "12"], rows))
    columns["Class"] = pd.Categorical(rng.choice(["1", "2"], rows))
    monkeypatch.setattr(
        "sklearn.datasets.fetch_openml", lambda data_id, **_: SimpleNamespace(frame=pd.DataFrame(columns))
    )
    frame, label = load_named("bank")
    assert tuple(frame.columns) == named._SOURCES["bank"].columns and set(frame[label]) == {"no", "yes"}
    assert set(frame["job"]) == {"admin", "student"} and frame["day"].dtype == np.int64
    np.testing.assert_array_equal(frame[label] == "yes", columns["Class"] == "2")
