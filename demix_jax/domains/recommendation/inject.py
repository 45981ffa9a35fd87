"""Error injection for click samples: flipped clicks, side features wrong by user, item or sample, and shortcuts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError, lies_in
from demix_jax.corruption.feature_kinds import DEFAULT_FEATURE_KINDS, FEATURE_KINDS
from demix_jax.corruption.features import corrupt_features, usable_columns
from demix_jax.corruption.groups import OF_ONE_COLUMN, series_of
from demix_jax.corruption.inject import check_choice, check_rates, generator, given_rule, truth_table
from demix_jax.corruption.shortcuts import ConstructedShortcut, ShortcutRule, construct_shortcut, find_shortcut

if TYPE_CHECKING:
    import jax
    import pandas as pd

    from demix_jax.domains.recommendation import InteractionSamples

_ROLES = ("user", "item")


class InjectedInteractions(NamedTuple):
    """Corrupted samples and what was done to them.

    samples: n ≤ N of the samples, their comparisons with the history done anew. truth: as `Injected.truth`, one row
    per sample; corrupted_columns names side features only. shortcut: the ConstructedShortcut; None if spurious = 0.
    """

    samples: InteractionSamples
    truth: pd.DataFrame
    shortcut: ConstructedShortcut | None


def inject_interaction_errors(
    samples: InteractionSamples,
    *,
    label_errors: float = 0.15,
    feature_errors: float = 0.15,
    spurious: float = 0.15,
    shortcut: ShortcutRule | str | None = None,
    entity_share: float = 0.5,
    feature_kinds: tuple[str, ...] = DEFAULT_FEATURE_KINDS,
    cell_share: float | tuple[float, float] = 0.4,
    seed: int | jax.Array,
) -> InjectedInteractions:
    """Corrupts clean click samples in known ways.

    First the shortcut, by leaving samples out as `inject_errors` does. Then side features: `entity_share` of the errors
    fall on users and items whose features are wrong in the same way in all their samples; the others on single samples.
    Then labels are flipped both ways, in samples without a wrong feature. Logs and histories stay clean.

    Args:
      samples: N samples; not modified.
      label_errors, feature_errors: shares of the samples that stay, together at most 1.
      spurious: share of the samples that break the shortcut; 0: none.
      shortcut: the rule, as text such as "item_price<=10 -> 1" or "user_gender=F & item_Romance=1 -> 1"; None finds
        one among the side features.
      entity_share: in [0, 1].
      feature_kinds, cell_share, seed: as in `inject_errors`.
    Raises:
      InputError: a rate, kind or rule that cannot be used.
    """
    check_rates(label_errors, feature_errors, spurious, cell_share)
    check_choice("feature_kinds", feature_kinds, FEATURE_KINDS)
    if not lies_in(entity_share, 0.0, 1.0):
        raise InputError(f"entity_share must lie in [0, 1], got {entity_share}.")
    label = samples.table.columns[-1]
    rng_rule, rng_rows, rng_entity, rng_feature, rng_label = generator(seed).spawn(5)
    names = [name for role in _ROLES for name in samples.features_of(role)]
    if not names:  # nothing is known of users and items: what is known of the samples takes its place
        names = list(samples.table.columns[3:-1])
    names = usable_columns(samples.table.filter([*names, label]), label)

    stay, broken, made = np.arange(len(samples)), np.zeros(len(samples), bool), None
    if spurious > 0:
        if shortcut is None:
            rule = find_shortcut(
                samples.table,
                label,
                spurious,
                rng_rule,
                columns=names,
                classes=True,
                kind="two-sided",
                group_kinds=OF_ONE_COLUMN,
            )
        else:
            rule = given_rule(shortcut, samples.table, label)
        stay, broken, made = construct_shortcut(samples.table, rule, spurious, rng_rows)
    kept = samples.take(stay)
    clean, count = kept.table, round(feature_errors * len(stay))
    chosen = _drawn_entities(kept, names, round(entity_share * count), rng_entity)
    by_entity = np.zeros(len(clean), bool)
    for role, entities in chosen.items():
        by_entity |= np.isin(_numbers(kept, role), entities)
    table, cells = clean.copy(), np.zeros((len(clean), len(names)), bool)
    corrupt = functools.partial(
        corrupt_features, rng=rng_feature, kinds=tuple(feature_kinds), cell_share=cell_share, one_kind_per_row=False
    )
    if (single := count - int(by_entity.sum())) > 0:
        order = rng_feature.permutation(np.flatnonzero(~by_entity))
        table, cells = corrupt(table, order, single, names=names)
    for role, entities in chosen.items():
        if len(entities):
            of_role = _of(role, names)
            table, wrong = _with_wrong_entities(
                table, clean, _numbers(kept, role), entities, names=of_role, corrupt=corrupt
            )
            cells[:, [names.index(name) for name in of_role]] |= wrong
    flipped = np.zeros(len(clean), bool)
    right = np.flatnonzero(~cells.any(axis=1))
    flipped[rng_label.permutation(right)[: round(label_errors * len(clean))]] = True
    table[label] = np.where(flipped, 1 - clean[label], clean[label])
    truth = truth_table(
        series_of(clean, label), label_error=flipped, cells=cells, names=names, broken=broken, source_row=stay
    )
    return InjectedInteractions(kept.with_table(table), truth, made)


def _of(role: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{role}_")]


def _numbers(samples: InteractionSamples, role: str) -> np.ndarray:
    return samples.user if role == "user" else samples.item


def _drawn_entities(samples, names: list[str], count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Users and items at random who together have no more than `count` samples, by role."""
    known = set(samples.features_of("user")) | set(samples.features_of("item"))
    rows = {
        (role, entity): places
        for role in _ROLES
        if known & set(_of(role, names))
        for entity, places in _places(_numbers(samples, role)).items()
    }
    pairs, hit = list(rows), np.zeros(len(samples), bool)
    drawn: dict[str, list[int]] = {role: [] for role, _ in pairs}
    for number in rng.permutation(len(pairs)):
        places = rows[pairs[number]]
        if hit.sum() + np.count_nonzero(~hit[places]) <= count:
            drawn[pairs[number][0]].append(pairs[number][1])
            hit[places] = True
    return {role: np.array(sorted(entities), dtype=np.int64) for role, entities in drawn.items()}


def _places(numbers: np.ndarray) -> dict[int, np.ndarray]:
    """Row numbers of each entity."""
    order = np.argsort(numbers, kind="stable")
    known, first = np.unique(numbers[order], return_index=True)
    return dict(zip(known.tolist(), np.split(order, first[1:]), strict=True))


def _with_wrong_entities(
    table: pd.DataFrame,
    clean: pd.DataFrame,
    numbers: np.ndarray,
    entities: np.ndarray,
    *,
    names: list[str],
    corrupt: Callable[..., tuple[pd.DataFrame, np.ndarray]],
) -> tuple[pd.DataFrame, np.ndarray]:
    """`table` with wrong features of `entities` in all their samples, and the cells of `names` changed, bool[N, Q]."""
    known, first, which = np.unique(numbers, return_index=True, return_inverse=True)
    side = clean.iloc[first][names].reset_index(drop=True)
    places = np.flatnonzero(np.isin(known, entities))
    spoilt, wrong = corrupt(side, places, len(places), names=names)
    cells = wrong[which]
    for q, name in enumerate(names):
        if cells[:, q].any():
            values = spoilt[name].iloc[which].set_axis(table.index)
            table[name] = table[name].where(~cells[:, q], values)
    return table, cells
