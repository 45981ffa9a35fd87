"""The ablation: what is left out is left out everywhere, runs go on, differences are those of the same worlds."""

import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from fabricated_worlds import TINY, fabricated_world, untrained_classifier

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.debugging import ablation
from benchmarks.debugging.ablation import EVERYTHING, VARIANTS, summary
from demix_jax import InputError
from demix_jax.classifier import fit_classifier
from demix_jax.classifier.schema import SIGNALS, VECTOR_SIGNALS
from demix_jax.classifier.train import held_out_tables
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.meta_training import save_world


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Worlds of four tables; networks are tiny."""
    for seed, table in enumerate(["a", "a", "b", "c", "d"]):
        save_world(fabricated_world(seed, table=table, num_rows=80), tmp_path / "worlds" / f"{seed}.npz")
    monkeypatch.setattr(ablation, "fit_classifier", functools.partial(fit_classifier, config=TINY))
    return tmp_path


def run(folder, *names, **more):
    options = {"worlds": folder / "worlds", "trials": folder / "out" / "done.jsonl", "results": folder / "results"}
    options |= {"steps": 2, "networks": 2} | more
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    return ablation.main([*arguments, "--variants", *names])


def test_it_trains_judges_and_writes_and_does_nothing_twice(folder, monkeypatch):
    names = (EVERYTHING, "without influence vectors", "without probes")
    assert run(folder, *names) == 0
    written = json.loads((folder / "results" / "ablation.json").read_text())
    assert [one["variant"] for one in written["results"]] == list(names)
    assert (written["num_worlds"], written["num_tables"]) == (5, 4)
    assert written["results"][0]["gain"] == 0
    text = (folder / "results" / "ablation.md").read_text()
    assert all(name in text for name in names)
    monkeypatch.setattr(ablation, "fit_classifier", None)
    assert run(folder, *names) == 0
    assert json.loads((folder / "results" / "ablation.json").read_text())["results"] == written["results"]


def test_a_world_is_judged_by_the_network_that_has_not_seen_its_table(folder, monkeypatch):
    judged = []

    def scores(network, world):
        judged.append((network.num_networks, float(np.sum(network.params["params"]["logits"]["bias"])), world.table))
        return world_scores(network, world)

    world_scores = ablation.world_scores
    fitted = []

    def fit(*worlds, **options):
        fitted.append(fit_classifier(*worlds, config=TINY, **options))
        return fitted[-1]

    monkeypatch.setattr(ablation, "world_scores", scores)
    monkeypatch.setattr(ablation, "fit_classifier", fit)
    run(folder, EVERYTHING)
    assert [table for _, _, table in judged] == ["a", "a", "b", "c", "d"]
    unseen = {table: alone for alone, tables in held_out_tables(fitted[0]) for table in tables}
    assert set(unseen) == set("abcd")
    for num_networks, bias, table in judged:
        assert num_networks == 1
        assert bias == float(np.sum(unseen[table].params["params"]["logits"]["bias"]))


@pytest.mark.parametrize(
    ("name", "vectors_left", "signals_left"),
    [("without influence vectors", False, ~np.isin(SIGNALS, VECTOR_SIGNALS)),
     ("influence vectors alone", True, np.isin(SIGNALS, VECTOR_SIGNALS))],
)  # fmt: skip
def test_what_is_left_out_is_left_out_of_rows_and_probes(name, vectors_left, signals_left):
    world = fabricated_world(0)
    changed = VARIANTS[name].change(world)
    for before, after in zip(world.views, changed.views, strict=True):
        assert before.probes is not None and after.probes is not None
        for had, has in ((before, after), (before.probes, after.probes)):
            assert has.vectors.shape == had.vectors.shape
            np.testing.assert_array_equal(has.vectors, had.vectors if vectors_left else 0 * had.vectors)
            np.testing.assert_array_equal(has.signals, np.where(signals_left, had.signals, 0))


def test_every_intervention_is_left_out_once_and_all_together():
    used = [[*vars(variant.interventions).values()] for variant in VARIANTS.values()]
    assert sorted(used.count([i != k for i in range(3)]) for k in range(3)) == [1, 1, 1]
    assert used.count([False] * 3) == 1


def test_a_difference_is_the_mean_over_worlds_of_what_a_world_loses():
    def scores(*values):
        return [
            {"average_precision": dict.fromkeys(ERROR_TYPES, value), "auroc": dict.fromkeys(ERROR_TYPES),
             "other_model": 0.0, "other_samples": 0.0} for value in values
        ]  # fmt: skip

    clean = scores(None)
    done = {EVERYTHING: scores(0.5, 0.7, 0.9) + clean, "less": scores(0.4, 0.5, 0.9) + clean}
    result = summary("less", done)
    losses = np.array([-0.1, -0.2, 0.0])
    assert result["gain"] == pytest.approx(losses.mean())
    assert result["standard_error"] == pytest.approx(losses.std(ddof=1) / np.sqrt(3))
    assert result["mean"] == pytest.approx(np.mean([0.4, 0.5, 0.9]))
    assert result["auroc"] == dict.fromkeys(ERROR_TYPES)


def test_a_world_without_errors_has_no_ranking():
    world = fabricated_world(0, num_rows=60)
    world = world._replace(truth=np.zeros_like(world.truth))
    scores = ablation.world_scores(untrained_classifier(), world)
    assert scores["auroc"] == scores["average_precision"] == dict.fromkeys(ERROR_TYPES)
    assert 0 < scores["other_model"] < 1 and 0 < scores["other_samples"] < 1


@pytest.mark.parametrize(
    ("given", "message"),
    [({"networks": 5}, "fewer than 5 tables"), ({"networks": 1}, "at least 2")],
)
def test_what_cannot_be_split_is_refused(folder, given, message):
    with pytest.raises(InputError, match=message):
        run(folder, EVERYTHING, **given)


def test_the_whole_is_needed_to_compare_with(tmp_path):
    with pytest.raises(InputError, match="everything"):
        run(tmp_path, "without probes")
