"""Injects known mistakes into rows that seem right, to see what they look like in a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies, TextFrequencies
from demix_jax.evidence.mistakes.scores import FACTORS, VARIANT_BASE, KnownColumns, ScoredMistake

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_FILLED_SHARES = (0.25, 0.55)  # of a row's columns
_NUM_ATTEMPTS = 8  # to draw two different values that may be exchanged


class SimulatedMistake(NamedTuple):
    """rows: i[k], numbers of the rows that the mistake changed. dataset: these rows with the mistake."""

    rows: np.ndarray
    dataset: Dataset


def simulate_mistakes(
    dataset: Dataset, columns: KnownColumns, variants: list[tuple[ScoredMistake, int]], rng: np.random.Generator
) -> list[SimulatedMistake]:
    """Makes each `ScoredMistake` in all rows, in their order, then each of `variants`; see `Scores.variants`."""
    numbers, texts = columns.numbers, columns.texts
    return [
        _filled(dataset, columns.commonest, rng),
        _with_numbers(dataset, numbers, _exchanged_numbers(dataset.numbers, numbers, rng)),
        _with_numbers(dataset, numbers, _rescaled(dataset.numbers, numbers, rng)),
        _with_texts(dataset, _exchanged_texts(dataset.texts, texts, rng)),
        *(_of_variant(dataset, numbers, mistake, variant) for mistake, variant in variants),
    ]


def _filled(dataset: Dataset, commonest: Commonest, rng: np.random.Generator) -> SimulatedMistake:
    """Rows in which some cells hold the commonest value of their column."""
    fillable = commonest.share > 0
    count = np.maximum(1, np.round(rng.uniform(*_FILLED_SHARES, len(dataset)) * fillable.sum()))
    order = np.where(fillable, rng.random(dataset.codes.shape), 2.0).argsort(axis=1).argsort(axis=1)
    hit = (order < count[:, None]) & fillable & ~commonest.held(dataset.codes, dataset.robust_z)
    codes = np.where(hit, commonest.codes, dataset.codes)
    robust_z = np.where(hit & ~np.isnan(commonest.values), commonest.values, dataset.robust_z).astype(np.float32)
    changed = np.flatnonzero(hit.any(axis=1))
    return SimulatedMistake(changed, dataclasses.replace(dataset, codes=codes, robust_z=robust_z).take(changed))


def _exchanged_numbers(values: np.ndarray, numbers: NumberFrequencies, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers with two of each row exchanged, at least one of them from a column of many values."""
    pairs = {"columns": numbers.columns, "first": np.flatnonzero(numbers.many), "apart": numbers.apart}
    return _exchanged(rng, values, np.isfinite(values), **pairs)


def _exchanged_texts(values: np.ndarray, texts: TextFrequencies, rng: np.random.Generator) -> np.ndarray:
    """i32[n, Q]: texts with two of each row exchanged."""
    first = np.arange(len(texts.columns) if texts.apart.any() else 0)
    return _exchanged(rng, values, values != 0, columns=texts.columns, first=first, apart=texts.apart)


def _exchanged(
    rng: np.random.Generator,
    values: np.ndarray,
    present: np.ndarray,
    *,
    columns: np.ndarray,
    first: np.ndarray,
    apart: np.ndarray,
) -> np.ndarray:
    """[n, Q]: `values` with two different ones of each row exchanged, where such a pair is drawn.

    Args:
      present: bool[n, Q], cells with a value. columns: i32[C], columns that take part.
      first: i[K], positions in `columns`; one column of each pair is among them.
      apart: bool[C, C], pairs that may be exchanged.
    """
    values, left, every = values.copy(), np.arange(len(values) if len(first) else 0), np.arange(len(columns))
    for _ in range(_NUM_ATTEMPTS):
        places = rng.choice(first, len(left)), rng.choice(every, len(left))
        one, other = ((left, columns[place]) for place in places)
        differ = present[one] & present[other] & (values[one] != values[other]) & apart[places]
        rows, pair = left[differ], (one[1][differ], other[1][differ])
        values[rows, pair[0]], values[rows, pair[1]] = values[rows, pair[1]], values[rows, pair[0]]
        left = left[~differ]
    return values


def _rescaled(values: np.ndarray, numbers: NumberFrequencies, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers with one of each row multiplied by one of FACTORS."""
    values, columns = values.copy(), numbers.columns[numbers.many]
    possible = np.isfinite(values[:, columns]) & (values[:, columns] != 0)
    rows = np.flatnonzero(possible.any(axis=1))
    if len(rows):
        drawn = np.where(possible[rows], rng.random((len(rows), len(columns))), 2.0).argmin(axis=1)
        with np.errstate(over="ignore"):
            values[rows, columns[drawn]] *= rng.choice(FACTORS, len(rows))
    return values


def _of_variant(dataset: Dataset, numbers: NumberFrequencies, mistake: ScoredMistake, variant: int) -> SimulatedMistake:
    """Rows with one variant of a mistake."""
    first, second = divmod(variant, VARIANT_BASE)
    if mistake == ScoredMistake.TEXTS_EXCHANGED:
        return _with_texts(dataset, _with_pair_exchanged(dataset.texts, dataset.texts != 0, [first, second]))
    if mistake == ScoredMistake.EXCHANGED:
        present = np.isfinite(dataset.numbers)
        return _with_numbers(dataset, numbers, _with_pair_exchanged(dataset.numbers, present, [first, second]))
    values = dataset.numbers.copy()
    with np.errstate(over="ignore"):
        values[:, first] *= FACTORS[second]
    return _with_numbers(dataset, numbers, values)


def _with_pair_exchanged(values: np.ndarray, present: np.ndarray, pair: list[int]) -> np.ndarray:
    """[n, Q]: `values` with two columns exchanged in every row that has both."""
    values = values.copy()
    both = present[:, pair].all(axis=1, keepdims=True)
    values[:, pair] = np.where(both, values[:, pair[::-1]], values[:, pair])
    return values


def _with_numbers(dataset: Dataset, numbers: NumberFrequencies, values: np.ndarray) -> SimulatedMistake:
    """The rows that change if the numbers of the dataset become f64[n, Q]."""
    codes = dataset.codes.copy()
    for q, codes_of in zip(numbers.columns, numbers.coders, strict=True):
        codes[:, q] = codes_of(values[:, q])
    changed = np.flatnonzero(((values != dataset.numbers) & np.isfinite(values)).any(axis=1))
    return SimulatedMistake(changed, dataclasses.replace(dataset, codes=codes, numbers=values).take(changed))


def _with_texts(dataset: Dataset, texts: np.ndarray) -> SimulatedMistake:
    """The rows that change if the texts of the dataset become i32[n, Q]."""
    changed = np.flatnonzero((texts != dataset.texts).any(axis=1))
    return SimulatedMistake(changed, dataclasses.replace(dataset, texts=texts).take(changed))
