"""Worlds: tables with injected errors of random rates and kinds, and the descriptions of their rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.classifier.examples import View, World
from demix_jax.classifier.inputs import Probes, table_facts
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.progress import StepTimer
from demix_jax.corruption.groups import series_of
from demix_jax.diagnosis.pipeline import describe_by_task_models, gather
from demix_jax.domains.tables.domain import TableDomain
from demix_jax.meta_training.random_errors import inject_at_random

if TYPE_CHECKING:
    import pandas as pd

SIZES = (128, 256, 512, 1_024, 2_048, 4_096)  # rows that are diagnosed; a smaller table is diagnosed whole
ROWS_KEPT = 1_024  # maximum number of rows of a world for training the classifier


class Variety(NamedTuple):
    """What a world shows of a table.

    every_probe: probes have feature errors of all FEATURE_KINDS, as in a diagnosis. Otherwise they have only
      SOME_KINDS, so that networks learn not to take every row unlike the probes for a correct one.
    chance_labels: hardly anything predicts the labels, because most were permuted beforehand; this makes none wrong.
    """

    every_probe: bool = True
    chance_labels: bool = False


USUAL = Variety()


def make_world(
    table: pd.DataFrame, label: str, *, name: str, seed: int, variety: Variety = USUAL, num_rows: int = 4_000
) -> World:
    """Inject random errors into a random part of a table and describe the rows by two task models.

    Args:
      table: clean rows. label: name of the label column. name: name of the table.
      seed: determines the drawn rows, the errors and the task models.
      variety: kinds of probes, and whether labels are permuted beforehand.
      num_rows: largest number of rows of the world; their number is drawn, see SIZES.
    Returns:
      World with two views and at most ROWS_KEPT rows.
    """
    from demix_jax.data import inspect_table
    from demix_jax.data.table_checks import settle_task

    rng = np.random.default_rng([seed, 2])
    size = _draw_size(rng, num_rows)
    part = table.iloc[_rows_to_corrupt(rng, series_of(table, label), size)].reset_index(drop=True)
    if variety.chance_labels:
        part = _with_chance_labels(np.random.default_rng([seed, 3]), part, label)
    injected = inject_at_random(part, label, seed=seed)
    chosen = _round_number_of_rows(rng, series_of(injected.table, label), size)
    corrupted, truth = injected.table.iloc[chosen].reset_index(drop=True), injected.truth.iloc[chosen]
    inspected = inspect_table(corrupted, label)
    domain = TableDomain(
        table=inspected,
        task=settle_task(inspected.target, "auto"),
        known_mistakes=False,
        every_kind=variety.every_probe,
        share_programs=True,
    )
    steps = StepTimer()
    rows = domain.rows(steps)
    gathered = gather(domain, rows, seed=seed, steps=steps)
    kept = np.sort(rng.permutation(len(corrupted))[:ROWS_KEPT])
    views = []
    for model, max_epochs in _two_models(rng):
        by_model = dataclasses.replace(domain, model=model, max_epochs=max_epochs)
        model_seed = int(rng.integers(2**31))
        fitted = describe_by_task_models(by_model, rows, gathered, seed=model_seed, steps=steps)
        views.append(View(fitted.description.vectors[kept], fitted.description.signals[kept], fitted.probes))
    dataset = gathered.dataset
    facts = table_facts(len(dataset.y), len(dataset.columns), dataset.target)
    return World(tuple(views), truth[list(ERROR_TYPES)].to_numpy(bool)[kept], facts, name)


def _with_chance_labels(rng: np.random.Generator, table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Permute the labels of at least four fifths of the rows among these rows."""
    hit = np.flatnonzero(rng.random(len(table)) < rng.uniform(0.8, 1.0))
    order = np.arange(len(table))
    order[hit] = rng.permutation(hit)
    return table.assign(**{label: table[label].take(order).to_numpy()})


def _draw_size(rng: np.random.Generator, num_rows: int) -> int:
    """One of SIZES: the nearest to a number drawn log-uniformly between 100 and `num_rows`."""
    sizes = np.array([size for size in SIZES if size <= max(num_rows, SIZES[0])])
    drawn = np.log(100) + rng.random() * np.log(max(num_rows, 101) / 100)
    return int(sizes[np.abs(np.log(sizes) - drawn).argmin()])


def _rows_to_corrupt(rng: np.random.Generator, labels: pd.Series, size: int) -> np.ndarray:
    """Random rows: twice as many as a world shall have, as a shortcut leaves rows out; all if one label is drawn."""
    order = rng.permutation(len(labels))
    return order[: 2 * size] if labels.iloc[order[: 2 * size]].nunique() > 1 else order


def _round_number_of_rows(rng: np.random.Generator, labels: pd.Series, size: int) -> np.ndarray:
    """Rows to keep: `size` or a smaller one of SIZES, so that worlds share compiled programs; all if fewer."""
    rounded = max((s for s in SIZES if s <= min(size, len(labels))), default=len(labels))
    kept = np.sort(rng.permutation(len(labels))[:rounded])
    return kept if labels.iloc[kept].nunique() > 1 else np.arange(len(labels))


def _two_models(rng: np.random.Generator) -> list[tuple[str, int]]:
    """Draw two task models of different architecture or training length, as (name, max_epochs)."""
    second = "ft-transformer" if rng.random() < 0.08 else "mlp-small"
    pair = [("mlp", 40), (second, int(rng.integers(4, 30)))]
    return pair if rng.random() < 0.5 else pair[::-1]


def world_seeds(entropy: list[int], count: int) -> list[int]:
    """Seeds of a table's worlds; a larger `count` keeps the first seeds."""
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(entropy).spawn(count)]


def save_world(world: World, path: str | Path) -> None:
    """Write a world to one .npz file, atomically."""
    from demix_jax.common.files import atomic_paths

    arrays: dict[str, Any] = {"truth": world.truth, "facts": world.facts, "table": np.array(world.table)}
    for v, view in enumerate(world.views):
        arrays |= {f"vectors{v}": view.vectors, f"signals{v}": view.signals}
        if view.probes is not None:
            of_probes = {"vectors": view.probes.vectors, "signals": view.probes.signals}
            arrays |= {f"probe_{name}{v}": part for name, part in of_probes.items()}
            arrays["probe_truth"] = view.probes.truth
    with atomic_paths(path) as (temporary,), temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_world(path: str | Path) -> World:
    """Read a world that `save_world` wrote."""
    with np.load(path) as arrays:
        num_views = sum(name.startswith("vectors") for name in arrays)
        views = []
        for v in range(num_views):
            probes = None
            if "probe_truth" in arrays:
                probes = Probes(arrays[f"probe_vectors{v}"], arrays[f"probe_signals{v}"], arrays["probe_truth"])
            views.append(View(arrays[f"vectors{v}"], arrays[f"signals{v}"], probes))
        return World(tuple(views), arrays["truth"], arrays["facts"], str(arrays["table"]))
