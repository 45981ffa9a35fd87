"""Training a classifier from tables: which worlds are planned, kept and used; and once for real."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from fabricated_worlds import TINY, fabricated_world

from demix_jax.classifier import Interventions, TrainingOptions, load_classifier
from demix_jax.cli.training import train_classifier as command
from demix_jax.common.checks import InputError
from demix_jax.meta_training import LABEL, VARIETIES, synthetic_table
from demix_jax.meta_training import train as module
from demix_jax.meta_training.train import train_classifier

OPTIONS = TrainingOptions(num_members=2, num_steps=3)


class Display:
    """Records what a progress display is told."""

    def __init__(self):
        self.stages, self.counts = [], []

    def stage(self, name, total):
        self.stages.append((name, total))
        self.counts.append(0)

    def advance(self, amount=1):
        self.counts[-1] += amount


@pytest.fixture
def made(monkeypatch):
    """Replaces the making of worlds, which takes seconds each, and records what was asked for."""
    asked = []

    def fake_world(table, label, *, name, seed, variety, num_rows):
        asked.append((name, label, seed, len(table), num_rows, variety))
        return fabricated_world(seed % 1_000, table=name, num_rows=60)

    monkeypatch.setattr(module, "make_world", fake_world)
    return asked


@pytest.fixture
def untrained(monkeypatch):
    """Leaves out the training, and records how it was to be done."""
    settings = []
    monkeypatch.setattr(module, "fit_classifier", lambda worlds, **options: settings.append(options))
    return settings


TABLES = {"b": (synthetic_table(0, 80), LABEL), "a": (synthetic_table(1, 90), LABEL)}


def train(tables=TABLES, **options):
    defaults = {
        "worlds_per_table": 2,
        "num_synthetic": 2,
        "num_rows": 70,
        "seed": 1,
        "options": OPTIONS,
        "config": TINY,
    }
    return train_classifier(tables, **(defaults | options))


def test_worlds_of_every_table_and_of_synthetic_ones(made):
    display = Display()
    classifier = train(progress=display)
    names = [name for name, *_ in made]
    assert {name: names.count(name) for name in names} == {"a": 2, "b": 2, "synthetic 1-0": 2, "synthetic 1-1": 2}
    assert len({seed for _, _, seed, *_ in made}) == 8, "each world has errors of its own"
    assert {rows for name, _, _, rows, *_ in made if name == "a"} == {90}
    assert {limit for *_, limit, _ in made} == {70}
    of_tables = [[variety for name, *_, variety in made if name == table] for table in ("a", "b", "synthetic 1-1")]
    assert of_tables == [list(VARIETIES[:2]), list(VARIETIES[1:3]), list(VARIETIES[2:4])]
    assert classifier.card["tables"] == sorted(set(names)) and classifier.card["num_worlds"] == 8
    assert display.stages == [("make worlds", 8), ("train classifier", 6)] and display.counts == [8, 6]


def test_equal_seeds_give_equal_classifiers_whatever_the_order_of_tables(made):
    first = train()
    again = train(dict(reversed(TABLES.items())))
    assert first.fingerprint == again.fingerprint
    assert train(seed=2).fingerprint != first.fingerprint


def test_worlds_of_a_table_do_not_depend_on_how_many_others_there_are(made, untrained):
    train(num_synthetic=1)
    first = [entry for entry in made if entry[0] == "a"]
    made.clear()
    train(num_synthetic=2)
    assert [entry for entry in made if entry[0] == "a"] == first


def test_an_interrupted_call_goes_on_where_it_stopped(made, tmp_path):
    folder = tmp_path / "new" / "worlds"
    first = train(worlds_dir=folder)
    assert len(made) == len(list(folder.glob("*.npz"))) == 8
    next(folder.glob("b-*.npz")).unlink()
    next(folder.glob("network-*-1.safetensors")).unlink()
    made.clear()
    again = train(worlds_dir=folder)
    assert [name for name, *_ in made] == ["b"]
    assert again.fingerprint == first.fingerprint


def test_fewer_than_two_tables_are_refused_before_any_work(made):
    with pytest.raises(InputError, match=r"1 table\(s\) and 0 synthetic ones were given; give at least 2"):
        train({"a": TABLES["a"]}, num_synthetic=0)
    assert not made


def test_tables_that_cannot_be_used_are_refused_before_any_work(made):
    frame, label = TABLES["a"]
    with pytest.raises(InputError, match="no column 'absent'"):
        train({"a": (frame, label), "b": (frame, "absent")})
    with pytest.raises(InputError, match="tables is a list; give a mapping"):
        train([frame, frame])
    assert not made


def test_settings_reach_the_training(made, untrained):
    interventions = Interventions(swap_models=False)
    train(interventions=interventions, seed=7)
    (settings,) = untrained
    assert settings["interventions"] is interventions and settings["options"] is OPTIONS
    assert settings["config"] is TINY and settings["seed"] == 7


@pytest.mark.slow
def test_from_tables_to_a_file_that_predicts(tmp_path):
    tables = {f"t{seed}": (synthetic_table(seed, 120), LABEL) for seed in (0, 1)}
    classifier = train(tables, worlds_per_table=1, num_synthetic=0, num_rows=100, worlds_dir=tmp_path)
    classifier.save(tmp_path / "c.safetensors")
    loaded = load_classifier(tmp_path / "c.safetensors")
    assert loaded.card["tables"] == ["t0", "t1"]
    world = fabricated_world(0)
    probability = loaded.predict(*world.views[0][:2], world.facts)
    assert probability.shape == (200, 3) and np.isfinite(probability).all()


def test_the_command_has_the_defaults_of_the_options():
    defaults = {name: given.default for name, given in inspect.signature(command).parameters.items()}
    options, of_function = TrainingOptions(), inspect.signature(train_classifier).parameters
    assert (defaults["steps"], defaults["members"]) == (options.num_steps, options.num_members)
    for name, of_command in (("worlds_per_table",) * 2, ("num_synthetic", "synthetic"), ("num_rows", "rows")):
        assert of_function[name].default == defaults[of_command]
