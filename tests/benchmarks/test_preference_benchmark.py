"""The benchmark of preference data on a tiny decoder and made-up pairs: it runs, and its parts do what they say."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tiny_decoder import CONFIG, made_pairs, tiny_decoder

from benchmarks.preference import run as benchmark
from benchmarks.preference.run import STATES, load_clean, markdown, run_trial
from demix_jax.domains.preference import BradleyTerry
from demix_jax.domains.preference.decoder.tokens import encode_pairs

TRIAL = {"data": "ultrafeedback", "seed": 0, "pairs": 90, "shortcut": "longer", "model": "tiny"}
TRIAL |= {"max_prompt": 40, "max_answer": 60, "test_pairs": 20}


@pytest.fixture
def data(tmp_path, monkeypatch):
    records = [dict(record) for record in made_pairs(130).records]
    for row, record in enumerate(records):
        record |= {"score_chosen": 8.0, "score_rejected": 8.0 if row % 10 == 0 else 5.0}
    pd.DataFrame(records).to_parquet(tmp_path / "preference_ultrafeedback.parquet")
    monkeypatch.setenv("DEMIX_DATA_DIR", str(tmp_path))


def test_undecided_pairs_are_left_out_and_test_pairs_are_others(data):
    clean, test = load_clean("ultrafeedback", 90, 20, seed=0)
    assert len(clean) == 90 and len(test) == 20
    assert all(record["score_rejected"] < 8 for record in (*clean.records, *test.records))
    again, _ = load_clean("ultrafeedback", 90, 20, seed=0)
    other, _ = load_clean("ultrafeedback", 90, 20, seed=1)
    assert again.pairs == clean.pairs != other.pairs


@pytest.mark.slow
def test_a_trial_runs_and_is_written_up(data, tmp_path):
    result = run_trial(tiny_decoder(), TRIAL, readings=tmp_path / "readings")
    json.dumps(result, allow_nan=False)
    assert set(result["test"]) == set(STATES) and "DataInf" in result["peers"]
    assert result["peers"]["all pairs"]["types"]["label_error"]["recall"] == 1
    for name, scores in result["peers"].items():
        for kind in scores["types"].values():  # peers are told how many there are
            assert name == "all pairs" or np.isclose(kind["flagged"], kind["true"])
    page = markdown([TRIAL | result], {"command": "c", "date": "d", "commit": "e", "machine": "m"})
    for row in ("| **diagnosis** |", "| repaired by truth |", "| the best of the peers for each type |"):
        assert row in page


def test_what_was_read_is_kept(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(benchmark, "read_answers", lambda *given: calls.append(given) or "read")
    decoder, network = tiny_decoder(), benchmark.PreferenceModel(CONFIG, BradleyTerry())
    encoded = encode_pairs(decoder.tokens, made_pairs(3), max_prompt=8, max_answer=8)
    for pairs, read in ((encoded, 1), (encoded, 1), (encoded[:2], 2)):
        assert benchmark._read(decoder, network, pairs, tmp_path)[0] == "read" and len(calls) == read
    assert benchmark._read(decoder, network, encoded, None)[1] >= 0 and len(calls) == 3


def test_datainf_by_hand(monkeypatch):
    """The published sum, written out pair by pair over two matrices."""
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(5, 3)), rng.normal(size=(5, 2, 2))]
    monkeypatch.setattr(benchmark, "train_adapters", lambda *_, **__: ({"a": 0, "b": 0}, 0.0))
    monkeypatch.setattr(benchmark, "gradients_of", lambda *_: gradients)
    got = benchmark.datainf(None, None, {"y": np.zeros(5)}, seed=0)  # pyright: ignore[reportArgumentType]
    want = np.zeros(5)
    for leaf in (gradient.reshape(5, -1) for gradient in gradients):
        damping = 0.1 * np.mean(np.square(leaf))
        for k in range(5):
            v = np.mean(np.delete(leaf, k, axis=0), axis=0)
            solved = np.mean([v - (g @ v) / (damping + g @ g) * g for g in leaf], axis=0) / damping
            want[k] -= solved @ leaf[k]
    np.testing.assert_allclose(got, want, rtol=1e-8)
