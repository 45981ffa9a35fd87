"""Errors of one type, or of three, put into a clean table; shares no code with `demix_jax.corruption`.

label_noise.py has the wrong classes, number_noise.py the wrong targets, feature_noise.py the wrong cells, and
shortcut_noise.py makes a shortcut by leaving rows out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.natural.feature_noise import FEATURE_KINDS, spoil_rows
from benchmarks.natural.label_noise import CLASS_KINDS, wrong_classes
from benchmarks.natural.number_noise import NUMBER_KINDS, wrong_numbers
from benchmarks.natural.shortcut_noise import SHORTCUT_KINDS, make_shortcut
from demix_jax import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data.kinds import column_of

_LABEL, _FEATURE, _SHORTCUT = range(len(ERROR_TYPES))


class Noisy(NamedTuple):
    """A table with errors.

    table: n ≤ N rows. truth: bool[n, 3], in the order of ERROR_TYPES. source: i64[n], row of the clean table.
    """

    table: pd.DataFrame
    truth: np.ndarray
    source: np.ndarray


def add_label_noise(clean: pd.DataFrame, label: str, kind: str, rate: float, rng: np.random.Generator) -> Noisy:
    """Wrong labels of one kind.

    Args:
      clean: N rows. label: its label column; a target without `CLASS_KINDS` noise is a number.
      kind: of CLASS_KINDS or NUMBER_KINDS. rate: wanted share of wrong rows; the truth tells the one that was reached.
    Raises:
      InputError: no such kind, or a rate outside [0, 1].
    """
    _check(kind, (*CLASS_KINDS, *NUMBER_KINDS), rate)
    if kind in NUMBER_KINDS:
        target = wrong_numbers(column_of(clean, label), kind, rate, rng)
        source = np.arange(len(clean))
    else:
        target, source = wrong_classes(clean.drop(columns=label), column_of(clean, label), kind, rate, rng)
    kept = clean.take(source).reset_index(drop=True)
    before = column_of(kept, label).to_numpy()
    return Noisy(kept.assign(**{label: target}), _truth(_LABEL, np.asarray(target != before, bool)), source)


def add_feature_noise(clean: pd.DataFrame, label: str, kind: str, rate: float, rng: np.random.Generator) -> Noisy:
    """Wrong cells of one of FEATURE_KINDS in a share of the rows, or in as many as can have them.

    Raises:
      InputError: no such kind, or a rate outside [0, 1].
    """
    _check(kind, FEATURE_KINDS, rate)
    features, wrong = spoil_rows(
        clean.drop(columns=label), kind, rng.permutation(len(clean)), round(rate * len(clean)), rng
    )
    table = features.assign(**{label: column_of(clean, label)}).reindex(columns=list(clean.columns))
    return Noisy(table, _truth(_FEATURE, wrong), np.arange(len(clean)))


def add_shortcut(clean: pd.DataFrame, label: str, kind: str, rate: float, rng: np.random.Generator) -> Noisy:
    """A shortcut of one of SHORTCUT_KINDS that a share of the rows breaks; made by leaving rows out.

    Raises:
      InputError: no such kind, or a rate outside [0, 1].
    """
    _check(kind, SHORTCUT_KINDS, rate)
    source, broken = make_shortcut(clean.drop(columns=label), column_of(clean, label), kind, rate, rng)
    return Noisy(clean.take(source).reset_index(drop=True), _truth(_SHORTCUT, broken), source)


def add_mixture(clean: pd.DataFrame, label: str, rates: Sequence[float], kinds: Sequence[str], *, seed: int) -> Noisy:
    """Errors of all three types: first the shortcut, then wrong labels, then wrong cells of other rows.

    Args:
      rates, kinds: in the order of ERROR_TYPES. seed: of everything.
    """
    rng = np.random.default_rng([seed, 53])
    first = add_shortcut(clean, label, kinds[_SHORTCUT], rates[_SHORTCUT], rng)
    second = add_label_noise(first.table, label, kinds[_LABEL], rates[_LABEL], rng)
    truth = first.truth[second.source] | second.truth
    free = rng.permutation(np.flatnonzero(~truth[:, _LABEL]))
    wanted = round(rates[_FEATURE] * len(truth))
    features, wrong = spoil_rows(second.table.drop(columns=label), kinds[_FEATURE], free, wanted, rng)
    table = features.assign(**{label: column_of(second.table, label)}).reindex(columns=list(clean.columns))
    return Noisy(table, truth | _truth(_FEATURE, wrong), first.source[second.source])


def _truth(position: int, wrong: np.ndarray) -> np.ndarray:
    truth = np.zeros((len(wrong), len(ERROR_TYPES)), bool)
    truth[:, position] = wrong
    return truth


def _check(kind: str, kinds: tuple[str, ...], rate: float) -> None:
    if kind not in kinds:
        raise InputError(f"There is no noise '{kind}'; choose one of {', '.join(kinds)}.")
    if not 0 <= rate <= 1:
        raise InputError(f"rate must lie in [0, 1], got {rate}.")
