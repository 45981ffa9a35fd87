"""Worlds: tables with injected errors of random rates and kinds, and the descriptions of their rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.classifier.examples import View, World
from demix_jax.classifier.inputs import Probes, table_facts
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.progress import StepTimer
from demix_jax.corruption import (
    FEATURE_KINDS,
    LABEL_KINDS,
    ErrorOptions,
    FeatureErrors,
    Injected,
    LabelErrors,
    SpuriousCorrelation,
    inject_errors,
)
from demix_jax.corruption.feature_kinds import DEFAULT_FEATURE_KINDS
from demix_jax.corruption.features import usable_columns
from demix_jax.corruption.groups import OF_ONE_COLUMN, OF_TWO_COLUMNS
from demix_jax.diagnosis.pipeline import describe_by_task_models, gather
from demix_jax.diagnosis.probes import SOME_KINDS
from demix_jax.domains.tables.domain import TableDomain

if TYPE_CHECKING:
    import pandas as pd

ROWS_KEPT = 1_024  # maximum number of rows of a world for training the classifier
_WIDTH = 16  # encoded features are padded to a multiple of this, so that worlds share compiled programs


class Variety(NamedTuple):
    """Kinds of errors in a world and in its probes.

    every_kind: draw feature errors from all FEATURE_KINDS, mostly a single kind, as if one thing went wrong. Otherwise
      half of the worlds have the kinds of the DeMix paper, and the others some of SOME_KINDS.
    two_columns: two columns together define the shortcut's group; else one does.
    every_probe: probes have feature errors of all FEATURE_KINDS, as in a diagnosis. Otherwise they have only
      SOME_KINDS, so that networks learn not to take every row unlike the probes for a correct one.
    often_clean: three worlds in five have no errors; else one in five.
    chance_labels: hardly anything predicts the labels, because most were permuted beforehand; this makes none wrong.
    """

    every_kind: bool = False
    two_columns: bool = False
    every_probe: bool = False
    often_clean: bool = False
    chance_labels: bool = False


USUAL = Variety()


def random_injection(rng: np.random.Generator, variety: Variety = USUAL) -> ErrorOptions:
    """Draw options of `inject_errors` from the range of errors that the classifier should know.

    Some worlds are clean, see `Variety`; others lack an error type; the rest vary in rates, kinds and shortcuts.
    """
    label_errors = rng.uniform(0.02, 0.35) if rng.random() < 0.85 else 0.0
    feature_errors = rng.uniform(0.02, 0.35) if rng.random() < 0.85 else 0.0
    spurious = rng.uniform(0.05, 0.3) if rng.random() < 0.8 else 0.0
    if rng.random() < (0.6 if variety.often_clean else 0.2):
        label_errors = feature_errors = spurious = 0.0
    if variety.every_kind:
        kinds = [str(kind) for kind in rng.permutation(FEATURE_KINDS)[: int(rng.choice((1, 1, 1, 2, 5)))]]
    else:
        kinds = [str(kind) for kind in rng.permutation(SOME_KINDS)[: int(rng.integers(1, 5))]]
    # the order of the draws determines the world of a seed
    label_kind = str(rng.choice(LABEL_KINDS if rng.random() < 0.4 else ("uniform", "near")))
    feature_kinds = tuple(kinds if variety.every_kind or rng.random() >= 0.5 else DEFAULT_FEATURE_KINDS)
    shortcut_kind = "one-sided" if rng.random() < 0.2 else "two-sided"
    cell_share, one_kind_per_row = rng.uniform(0.05, 0.7), bool(rng.random() < 0.5)
    return ErrorOptions(
        LabelErrors(label_errors, label_kind),
        FeatureErrors(feature_errors, feature_kinds, cell_share=cell_share, one_kind_per_row=one_kind_per_row),
        SpuriousCorrelation(
            spurious, kind=shortcut_kind, group_kinds=OF_TWO_COLUMNS if variety.two_columns else OF_ONE_COLUMN
        ),
    )


def inject_at_random(
    table: pd.DataFrame, label: str, *, seed: int, variety: Variety = USUAL, num_tries: int = 4
) -> Injected:
    """Inject random errors, without a shortcut if the table allows none of the drawn share."""
    rng = np.random.default_rng(seed)
    labels, features, spurious = random_injection(rng, variety)
    for attempt in range(num_tries + 1):
        try:
            if attempt == num_tries:
                spurious = dataclasses.replace(spurious, minority_share=0.0)
            features = dataclasses.replace(features, columns=_random_columns(rng, table, label))
            options = ErrorOptions(labels, features, spurious)
            return inject_errors(table, label=label, seed=int(rng.integers(2**31)), **options._asdict())
        except InputError:
            drawn = random_injection(rng, variety)
            if attempt % 2:
                labels, features, spurious = drawn
            else:
                labels = dataclasses.replace(labels, kind="uniform")
                spurious = dataclasses.replace(spurious, kind="two-sided")
    raise InputError("No errors can be injected into this table; give one with more rows or columns.")


def _random_columns(rng: np.random.Generator, table: pd.DataFrame, label: str) -> tuple[str, ...] | None:
    """Columns with feature errors: one to three in three of ten worlds, like a broken sensor; else None for all."""
    if rng.random() >= 0.3:
        return None
    names = usable_columns(table, label)
    return tuple(names[i] for i in rng.permutation(len(names))[: int(rng.integers(1, 4))])


def make_world(
    table: pd.DataFrame, label: str, *, name: str, seed: int, variety: Variety = USUAL, num_rows: int = 4_000
) -> World:
    """Inject random errors into a random part of a table and describe the rows by two task models.

    Args:
      table: clean rows. label: name of the label column. name: name of the table.
      seed: determines the drawn rows, the errors and the task models.
      variety: kinds of errors.
      num_rows: maximum number of rows drawn before injection.
    Returns:
      World with two views and at most ROWS_KEPT rows.
    """
    from demix_jax.data import inspect_table
    from demix_jax.data.table_checks import settle_task

    rng = np.random.default_rng([seed, 2])
    part = table.iloc[rng.permutation(len(table))[:num_rows]].reset_index(drop=True)
    if variety.chance_labels:
        part = _with_chance_labels(np.random.default_rng([seed, 3]), part, label)
    injected = inject_at_random(part, label, seed=seed, variety=variety)
    chosen = _round_number_of_rows(rng, len(injected.table))
    corrupted, truth = injected.table.iloc[chosen].reset_index(drop=True), injected.truth.iloc[chosen]
    inspected = inspect_table(corrupted, label)
    domain = TableDomain(
        table=inspected,
        task=settle_task(inspected.target, "auto"),
        known_mistakes=False,
        every_kind=variety.every_probe,
        width_multiple=_WIDTH,
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


def _round_number_of_rows(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    """Rows to keep, if possible a multiple of 1024 of them, so that worlds share compiled programs."""
    rounded = max(size for size in (1, 256, 512, *range(1_024, num_rows + 1, 1_024)) if size <= num_rows)
    return np.sort(rng.permutation(num_rows)[: rounded if rounded > 1 else num_rows])


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
