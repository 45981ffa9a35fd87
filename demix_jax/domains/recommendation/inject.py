"""Inject errors with known truth into click samples: flipped clicks, wrong side features, shortcuts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.corruption.columns import usable_columns
from demix_jax.corruption.features import corrupt_features
from demix_jax.corruption.groups import series_of
from demix_jax.corruption.inject import generator, truth_table
from demix_jax.corruption.options import (
    FeatureErrors,
    LabelErrors,
    SpuriousCorrelation,
    check_rate,
    check_some,
    checked_options,
)
from demix_jax.corruption.shortcuts import ConstructedShortcut, choose_rule, construct_shortcut

if TYPE_CHECKING:
    import jax
    import pandas as pd

    from demix_jax.domains.recommendation.samples import InteractionSamples

_ROLES = ("user", "item")


class InjectedInteractions(NamedTuple):
    """Corrupted samples and their known errors.

    Attributes:
      samples: n ≤ N of the samples; features that compare an item with the history are recomputed.
      truth: as in `Injected`, with one row per sample; corrupted_columns names side features only.
      shortcut: the injected shortcut, or None.
    """

    samples: InteractionSamples
    truth: pd.DataFrame
    shortcut: ConstructedShortcut | None


def inject_interaction_errors(
    samples: InteractionSamples,
    *,
    label_errors: float = 0.15,
    feature_errors: float | FeatureErrors = 0.15,
    spurious: float | SpuriousCorrelation = 0.15,
    entity_share: float = 0.5,
    seed: int | jax.Array,
) -> InjectedInteractions:
    """Inject errors of the three types into clean click samples.

    First, samples are left out to make the shortcut, as in `demix_jax.inject_errors`. Then side features are corrupted.
    Some of these errors affect whole users and items, which are wrong in the same way in all their samples; the others
    affect single samples. Last, labels of samples without feature errors are flipped. Histories stay clean.

    Args:
      samples: N samples; not modified.
      label_errors: share of the remaining samples whose label is flipped, in [0, 1].
      feature_errors: share of the remaining samples with wrong side features, in [0, 1]; or `FeatureErrors`. The rates
        of label errors and feature errors add up to at most 1.
      spurious: share of the remaining samples that break the shortcut, in [0, 0.5]; or `SpuriousCorrelation` with a
        rule such as "item_price<=10 -> 1" or "user_gender=F & item_Romance=1 -> 1". 0: no shortcut is made.
      entity_share: share of the feature errors that affects whole users and items, in [0, 1].
      seed: whole number from 0, or a JAX key; the same seed gives the same result.
    Returns:
      InjectedInteractions.
    Raises:
      InputError: a rate, kind, rule or column cannot be used.
    """
    options = checked_options(LabelErrors(label_errors), feature_errors, spurious)
    check_rate("entity_share", entity_share)
    label = samples.table.columns[-1]
    rng_rule, rng_rows, rng_entity, rng_feature, rng_label = generator(seed).spawn(5)
    side_features = [name for role in _ROLES for name in samples.features_of(role)]
    if not side_features:  # without side features, corrupt the other features of the samples
        side_features = list(samples.table.columns[3:-1])
    names = usable_columns(samples.table.filter([*side_features, label]), label)

    rows, broken, shortcut = np.arange(len(samples)), np.zeros(len(samples), bool), None
    if share := options.spurious.minority_share:
        rule = choose_rule(samples.table, label, options.spurious, rng_rule, columns=names, classes=True)
        rows, broken, shortcut = construct_shortcut(samples.table, rule, share, rng_rows)
    if options.feature_errors.columns is not None:
        check_some("FeatureErrors.columns", options.feature_errors.columns, side_features)
        names = list(options.feature_errors.columns)

    kept = samples.take(rows)
    clean, count = kept.table, round(options.feature_errors.rate * len(rows))
    chosen = _draw_entities(kept, names, round(entity_share * count), rng_entity)
    of_chosen = np.zeros(len(clean), bool)
    for role, entities in chosen.items():
        of_chosen |= np.isin(_entities(kept, role), entities)
    corrupt = functools.partial(corrupt_features, rng=rng_feature, errors=options.feature_errors)
    table, cells = clean.copy(), np.zeros((len(clean), len(names)), bool)
    if (num_single := count - int(of_chosen.sum())) > 0:
        order = rng_feature.permutation(np.flatnonzero(~of_chosen))
        table, cells = corrupt(table, order, num_single, names=names)
    for role, entities in chosen.items():
        if len(entities):
            of_role = _features_of(role, names)
            table, wrong = _with_wrong_entities(
                table, clean, _entities(kept, role), entities, names=of_role, corrupt=corrupt
            )
            cells[:, [names.index(name) for name in of_role]] |= wrong

    flipped = np.zeros(len(clean), bool)
    correct = np.flatnonzero(~cells.any(axis=1))
    flipped[rng_label.permutation(correct)[: round(label_errors * len(clean))]] = True
    table[label] = np.where(flipped, 1 - clean[label], clean[label])
    truth = truth_table(
        series_of(clean, label), mislabelled=flipped, cells=cells, names=names, broken=broken, source_row=rows
    )
    return InjectedInteractions(kept.with_table(table), truth, shortcut)


def _features_of(role: str, names: list[str]) -> list[str]:
    """The side features of a role, "user" or "item", among `names`."""
    return [name for name in names if name.startswith(f"{role}_")]


def _entities(samples: InteractionSamples, role: str) -> np.ndarray:
    """i32[N]: the user or item of each sample."""
    return samples.user if role == "user" else samples.item


def _draw_entities(
    samples: InteractionSamples, names: list[str], count: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw users and items that have at most `count` samples in all; i64[E] per role."""
    side_features = set(samples.features_of("user")) | set(samples.features_of("item"))
    rows = {
        (role, entity): rows_of_entity
        for role in _ROLES
        if side_features & set(_features_of(role, names))
        for entity, rows_of_entity in _rows_by_entity(_entities(samples, role)).items()
    }
    candidates, covered = list(rows), np.zeros(len(samples), bool)
    drawn: dict[str, list[int]] = {role: [] for role, _ in candidates}
    for number in rng.permutation(len(candidates)):
        role, entity = candidates[number]
        added = rows[role, entity]
        if covered.sum() + np.count_nonzero(~covered[added]) <= count:
            drawn[role].append(entity)
            covered[added] = True
    return {role: np.array(sorted(entities), dtype=np.int64) for role, entities in drawn.items()}


def _rows_by_entity(entity_of_row: np.ndarray) -> dict[int, np.ndarray]:
    """Row numbers of each entity."""
    order = np.argsort(entity_of_row, kind="stable")
    known, first = np.unique(entity_of_row[order], return_index=True)
    return dict(zip(known.tolist(), np.split(order, first[1:]), strict=True))


def _with_wrong_entities(
    table: pd.DataFrame,
    clean: pd.DataFrame,
    entity_of_row: np.ndarray,
    entities: np.ndarray,
    *,
    names: list[str],
    corrupt: Callable[..., tuple[pd.DataFrame, np.ndarray]],
) -> tuple[pd.DataFrame, np.ndarray]:
    """Corrupt the features `names` of `entities`, in the same way in all rows of an entity.

    Args:
      table: N rows to corrupt; modified. clean: the same rows without any error.
      entity_of_row: i32[N].
      entities: i64[E], the entities to corrupt.
      names: Q side features.
      corrupt: `corrupt_features` with all arguments but table, candidates, count and names.
    Returns:
      `table` and bool[N, Q], the changed cells.
    """
    known, first, which = np.unique(entity_of_row, return_index=True, return_inverse=True)
    side = clean.iloc[first][names].reset_index(drop=True)
    candidates = np.flatnonzero(np.isin(known, entities))
    wrong, changed = corrupt(side, candidates, len(candidates), names=names)
    cells = changed[which]
    for q, name in enumerate(names):
        if cells[:, q].any():
            values = wrong[name].iloc[which].set_axis(table.index)
            table[name] = table[name].where(~cells[:, q], values)
    return table, cells
