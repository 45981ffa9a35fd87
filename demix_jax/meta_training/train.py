"""Trains an error classifier on tables: injects errors, describes the rows, and learns to classify them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix_jax.classifier import ErrorClassifier, Interventions, NetworkConfig, TrainingOptions, World, fit_classifier
from demix_jax.common.checks import InputError, check_seed
from demix_jax.common.compiled_programs import make_room
from demix_jax.meta_training import (
    VARIETIES,
    PlannedWorld,
    Variety,
    load_synthetic,
    load_world,
    make_world,
    save_world,
    synthetic_panel,
    synthetic_plain,
    synthetic_probabilities,
    synthetic_table,
    synthetic_texts,
    world_seeds,
)

if TYPE_CHECKING:
    import pandas as pd

_WORLDS_PER_SYNTHETIC_TABLE = 2
# Used in rotation.
_SYNTHETIC = (synthetic_table, synthetic_plain, synthetic_texts, synthetic_panel, synthetic_probabilities)


def train_classifier(
    tables: Mapping[str, tuple[pd.DataFrame, str]],
    *,
    worlds_per_table: int = 20,
    num_synthetic: int = 100,
    num_rows: int = 4_000,
    seed: int,
    interventions: Interventions | None = None,
    options: TrainingOptions | None = None,
    config: NetworkConfig | None = None,
    worlds_dir: str | Path | None = None,
    progress: Any = None,
) -> ErrorClassifier:
    """Train an error classifier on tables that are assumed to be clean, and on synthetic tables.

    Args:
      tables: name -> (frame, label column).
      worlds_per_table: number of corrupted versions of each table, each with its own size, and types, rates and kinds
        of errors, see `random_injection`. In one of twelve, hardly anything predicts the labels.
      num_synthetic: number of additional random tables, in rotation from causal models, of nearly independent columns,
        of texts, of repeated measurements and of class probabilities.
      num_rows: largest number of rows of a world.
      seed: seed of all randomness.
      interventions, options, config: settings of the training; None for the defaults.
      worlds_dir: folder for worlds and trained networks, from which an interrupted call resumes; None keeps them in
        memory.
      progress: None, or a display with stage(name, total) and advance(n).
    Raises:
      InputError: fewer than two tables, real and synthetic together, or an unusable table.
    """
    from demix_jax.data import check_table

    check_seed(seed)
    if not isinstance(tables, Mapping):
        raise InputError(f"tables is a {type(tables).__name__}; give a mapping from names to (frame, label column).")
    if len(tables) + num_synthetic < 2:
        raise InputError(
            f"{len(tables)} table(s) and {num_synthetic} synthetic ones were given; give at least 2 in all, since one "
            "is held out to calibrate on."
        )
    for frame, label in tables.values():
        check_table(frame, label)
    options = options or TrainingOptions()
    plans = list(_plans(tables, worlds_per_table, num_synthetic, num_rows, seed))
    if progress is not None:
        progress.stage("make worlds", len(plans))
    worlds = []
    for plan in plans:
        make_room()
        worlds.append(_world(plan, num_rows, None if worlds_dir is None else Path(worlds_dir)))
        if progress is not None:
            progress.advance()
    if progress is not None:
        progress.stage("train classifier", options.num_steps * options.num_members)
    return fit_classifier(
        worlds,
        seed=seed,
        interventions=interventions,
        options=options,
        config=config,
        networks_dir=worlds_dir,
        on_step=(lambda steps: None) if progress is None else progress.advance,
    )


def _plans(
    tables: Mapping[str, tuple[pd.DataFrame, str]], worlds_per_table: int, num_synthetic: int, num_rows: int, seed: int
) -> Iterator[PlannedWorld]:
    for t, name in enumerate(sorted(tables)):
        for world_seed, variety in _worlds_of_table([seed, 0, t], worlds_per_table, t):
            yield PlannedWorld(name, partial(tables.__getitem__, name), world_seed, variety)
    for s in range(num_synthetic):
        number = seed * 1_000_000 + s
        load = partial(load_synthetic, _SYNTHETIC[number % len(_SYNTHETIC)], number, num_rows)
        for world_seed, variety in _worlds_of_table([seed, 1, s], _WORLDS_PER_SYNTHETIC_TABLE, 2 * s):
            yield PlannedWorld(f"synthetic {seed}-{s}", load, world_seed, variety)


def _worlds_of_table(entropy: list[int], count: int, first: int) -> Iterator[tuple[int, Variety]]:
    """Seed and variety of each world; the rotation of varieties begins at number `first`."""
    return ((seed, VARIETIES[(first + k) % len(VARIETIES)]) for k, seed in enumerate(world_seeds(entropy, count)))


def _world(plan: PlannedWorld, num_rows: int, folder: Path | None) -> World:
    path = None if folder is None else folder / plan.file_name
    if path is not None and path.is_file():
        return load_world(path)
    world = make_world(*plan.load(), name=plan.table, seed=plan.seed, variety=plan.variety, num_rows=num_rows)
    if path is not None:
        save_world(world, path)
    return world
