"""Random errors of a world: which types, kinds and rates, and their injection."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption import (
    ErrorOptions,
    FeatureErrors,
    Injected,
    LabelErrors,
    SpuriousCorrelation,
    inject_errors,
    suitable_label_kinds,
)
from demix_jax.corruption.columns import usable_columns
from demix_jax.corruption.feature_kinds import DEFAULT_FEATURE_KINDS
from demix_jax.corruption.features import suitable_feature_kinds
from demix_jax.corruption.groups import OF_ONE_COLUMN, OF_TWO_COLUMNS, candidate_groups
from demix_jax.corruption.inject import holds_classes

if TYPE_CHECKING:
    import pandas as pd

_LABEL_RATES, _FEATURE_RATES, _MINORITY_SHARES = (0.005, 0.6), (0.005, 0.5), (0.02, 0.4)
_CLEAN, _ONE_TYPE, _TWO_TYPES = 1 / 6, 1 / 3, 1 / 6  # shares of the worlds; all three types are in the others
_MOST_WRONG = 0.9  # of the rows, in labels and features together
_GROUP_SHARES = (0.15, 0.85)


class Possible(NamedTuple):
    """Errors that a table allows.

    label_kinds: those of LABEL_KINDS that suit the labels. columns: that feature errors fall on; None for all.
    feature_kinds: those of FEATURE_KINDS that suit one of these columns. shortcuts: whether a column makes groups.
    """

    label_kinds: tuple[str, ...]
    feature_kinds: tuple[str, ...]
    shortcuts: bool = True
    columns: tuple[str, ...] | None = None


def possible_errors(table: pd.DataFrame, label: str, rng: np.random.Generator) -> Possible:
    """What can be injected into a table; three in ten times, feature errors fall on one to three columns only.

    Raises:
      InputError: the labels cannot be corrupted.
    """
    names = usable_columns(table, label)
    columns = None
    if rng.random() < 0.3:  # like a broken sensor
        columns = tuple(names[i] for i in rng.permutation(len(names))[: int(rng.integers(1, 4))])
    kinds = suitable_feature_kinds(table, list(columns or names))
    if not kinds:
        columns, kinds = None, suitable_feature_kinds(table, names)
    groups = candidate_groups(table, names, OF_ONE_COLUMN, _GROUP_SHARES, rng)
    label_kinds = suitable_label_kinds(classes=holds_classes(table, label))
    return Possible(label_kinds, kinds, bool(groups), columns)


def random_injection(rng: np.random.Generator, possible: Possible) -> ErrorOptions:
    """Draw options of `inject_errors` from the range of errors that the classifier should know.

    A sixth of the worlds is clean, a third has errors of one type, a sixth of two types and a third of three. Rates are
    drawn log-uniformly: 0.5 to 60 % wrong labels, 0.5 to 50 % wrong features, 2 to 40 % that break a shortcut.
    """
    labels, features, spurious = _types(rng, possible)
    label_rate, feature_rate, share = (_log_uniform(rng, r) for r in (_LABEL_RATES, _FEATURE_RATES, _MINORITY_SHARES))
    label_rate = labels * label_rate
    return ErrorOptions(
        LabelErrors(label_rate, _label_kinds(rng, possible.label_kinds)),
        FeatureErrors(
            features * min(feature_rate, _MOST_WRONG - label_rate),
            kinds=_feature_kinds(rng, possible.feature_kinds),
            columns=possible.columns,
            cell_share=rng.uniform(0.05, 0.7),
            one_kind_per_row=bool(rng.random() < 0.5),
        ),
        SpuriousCorrelation(
            spurious * share,
            kind="one-sided" if rng.random() < 0.2 else "two-sided",
            group_kinds=OF_TWO_COLUMNS if rng.random() < 0.25 else OF_ONE_COLUMN,
        ),
    )


def _types(rng: np.random.Generator, possible: Possible) -> np.ndarray:
    """bool[3]: whether there are label errors, feature errors and a shortcut, as far as they are possible."""
    count = int(rng.choice(4, p=(_CLEAN, _ONE_TYPE, _TWO_TYPES, 1 - _CLEAN - _ONE_TYPE - _TWO_TYPES)))
    can = np.flatnonzero([True, bool(possible.feature_kinds), possible.shortcuts])
    has = np.zeros(3, dtype=bool)
    has[rng.permutation(can)[:count]] = True
    return has


def _label_kinds(rng: np.random.Generator, suitable: tuple[str, ...]) -> tuple[str, ...]:
    """One of the kinds, or in one world of five two of them."""
    count = 2 if rng.random() < 0.2 else 1
    return tuple(str(kind) for kind in rng.permutation(suitable)[:count])


def _feature_kinds(rng: np.random.Generator, suitable: tuple[str, ...]) -> tuple[str, ...]:
    """Mostly one of the kinds, as if one thing went wrong; else several, or in one world of five those of the paper."""
    of_paper = tuple(kind for kind in DEFAULT_FEATURE_KINDS if kind in suitable)
    if of_paper and rng.random() < 0.2:
        return of_paper
    count = int(rng.choice((1, 1, 1, 2, 5)))
    return tuple(str(kind) for kind in rng.permutation(suitable)[:count]) or DEFAULT_FEATURE_KINDS


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def inject_at_random(table: pd.DataFrame, label: str, *, seed: int, num_tries: int = 4) -> Injected:
    """Inject random errors, without a shortcut if the table allows none of the drawn share.

    Raises:
      InputError: the table allows no errors at all.
    """
    rng = np.random.default_rng(seed)
    labels, features, spurious = random_injection(rng, possible_errors(table, label, rng))
    for attempt in range(num_tries + 1):
        if attempt == num_tries:
            spurious = dataclasses.replace(spurious, minority_share=0.0)
        try:
            options = ErrorOptions(labels, features, spurious)
            return inject_errors(table, label=label, seed=int(rng.integers(2**31)), **options._asdict())
        except InputError:  # a shortcut of this share, or a group of rows, that the table does not have
            labels = dataclasses.replace(labels, kind="uniform") if attempt else labels
            spurious = dataclasses.replace(spurious, kind="two-sided", group_kinds=OF_ONE_COLUMN)
    raise InputError("No errors can be injected into this table; give one with more rows or columns.")
