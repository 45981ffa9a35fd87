"""Known mistakes made on purpose, in rows that seem right, to see what they look like in a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies, TextFrequencies
from demix_jax.evidence.mistakes.scores import FACTORS, SCORED, WAYS, KnownColumns

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_FILLED_SHARES = (0.25, 0.55)  # of their columns
_ATTEMPTS = 8  # to find two values that differ, of columns that do


class Made(NamedTuple):
    """rows: i[k], numbers of the rows that a mistake changed. dataset: these rows with it."""

    rows: np.ndarray
    dataset: Dataset


def each_made(
    dataset: Dataset, columns: KnownColumns, often: list[tuple[int, int]], rng: np.random.Generator
) -> list[Made]:
    """Each of SCORED made in every row that it changes, then each of `often`, made in one way; see `Scores.ways`."""
    numbers, texts = columns.numbers, columns.texts
    return [
        _filled(dataset, columns.commonest, rng),
        _with_numbers(dataset, numbers, _exchanged_numbers(dataset.numbers, numbers, rng)),
        _with_numbers(dataset, numbers, _rescaled(dataset.numbers, numbers, rng)),
        _with_texts(dataset, _exchanged_texts(dataset.texts, texts, rng)),
        *(_in_one_way(dataset, numbers, m, way) for m, way in often),
    ]


def _filled(dataset: Dataset, commonest: Commonest, rng: np.random.Generator) -> Made:
    """Rows in which a part of the cells holds what is commonest."""
    can = commonest.share > 0
    count = np.maximum(1, np.round(rng.uniform(*_FILLED_SHARES, len(dataset)) * can.sum()))
    order = np.where(can, rng.random(dataset.codes.shape), 2.0).argsort(axis=1).argsort(axis=1)
    hit = (order < count[:, None]) & can & ~commonest.held(dataset.codes, dataset.robust_z)
    codes = np.where(hit, commonest.codes, dataset.codes)
    robust_z = np.where(hit & ~np.isnan(commonest.values), commonest.values, dataset.robust_z).astype(np.float32)
    changed = np.flatnonzero(hit.any(axis=1))
    return Made(changed, dataclasses.replace(dataset, codes=codes, robust_z=robust_z).take(changed))


def _exchanged_numbers(values: np.ndarray, numbers: NumberFrequencies, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers, two of each row exchanged, of which one is in a column of many values."""
    some = {"first": np.flatnonzero(numbers.many), "apart": numbers.apart}
    return _exchanged(rng, values, np.isfinite(values), columns=numbers.columns, **some)


def _exchanged_texts(values: np.ndarray, texts: TextFrequencies, rng: np.random.Generator) -> np.ndarray:
    """i32[n, Q]: texts, two of each row exchanged."""
    first = np.arange(len(texts.columns) if texts.apart.any() else 0)
    return _exchanged(rng, values, values != 0, columns=texts.columns, first=first, apart=texts.apart)


def _exchanged(
    rng: np.random.Generator,
    values: np.ndarray,
    there: np.ndarray,
    *,
    columns: np.ndarray,
    first: np.ndarray,
    apart: np.ndarray,
) -> np.ndarray:
    """[n, Q]: `values`, two different ones of each row exchanged where such a pair is found.

    Args:
      there: bool[n, Q], which are values. columns: i32[C], those that take part. apart: bool[C, C], pairs that may.
      first: i[K], places among the columns, of which one of the two is.
    """
    values, left, every = values.copy(), np.arange(len(values) if len(first) else 0), np.arange(len(columns))
    for _ in range(_ATTEMPTS):
        places = rng.choice(first, len(left)), rng.choice(every, len(left))
        one, other = ((left, columns[place]) for place in places)
        differ = there[one] & there[other] & (values[one] != values[other]) & apart[places]
        rows, pair = left[differ], (one[1][differ], other[1][differ])
        values[rows, pair[0]], values[rows, pair[1]] = values[rows, pair[1]], values[rows, pair[0]]
        left = left[~differ]
    return values


def _rescaled(values: np.ndarray, numbers: NumberFrequencies, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers, one of each row multiplied by a factor."""
    values, columns = values.copy(), numbers.columns[numbers.many]
    possible = np.isfinite(values[:, columns]) & (values[:, columns] != 0)
    rows = np.flatnonzero(possible.any(axis=1))
    if len(rows):
        drawn = np.where(possible[rows], rng.random((len(rows), len(columns))), 2.0).argmin(axis=1)
        with np.errstate(over="ignore"):
            values[rows, columns[drawn]] *= rng.choice(FACTORS, len(rows))
    return values


def _in_one_way(dataset: Dataset, numbers: NumberFrequencies, m: int, way: int) -> Made:
    """Rows in which scored mistake number m is made in one way."""
    first, second = divmod(way, WAYS)
    if m == SCORED.index("texts exchanged"):
        return _with_texts(dataset, _with_pair_exchanged(dataset.texts, dataset.texts != 0, [first, second]))
    if m == SCORED.index("exchanged"):
        there = np.isfinite(dataset.numbers)
        return _with_numbers(dataset, numbers, _with_pair_exchanged(dataset.numbers, there, [first, second]))
    values = dataset.numbers.copy()
    with np.errstate(over="ignore"):
        values[:, first] *= FACTORS[second]
    return _with_numbers(dataset, numbers, values)


def _with_pair_exchanged(values: np.ndarray, there: np.ndarray, pair: list[int]) -> np.ndarray:
    """[n, Q]: `values`, those of two columns exchanged in every row that has both, by `there` bool[n, Q]."""
    values = values.copy()
    both = there[:, pair].all(axis=1, keepdims=True)
    values[:, pair] = np.where(both, values[:, pair[::-1]], values[:, pair])
    return values


def _with_numbers(dataset: Dataset, numbers: NumberFrequencies, values: np.ndarray) -> Made:
    """Rows whose numbers are to be f64[n, Q]."""
    codes = dataset.codes.copy()
    for q, codes_of in zip(numbers.columns, numbers.coders, strict=True):
        codes[:, q] = codes_of(values[:, q])
    changed = np.flatnonzero(((values != dataset.numbers) & np.isfinite(values)).any(axis=1))
    return Made(changed, dataclasses.replace(dataset, codes=codes, numbers=values).take(changed))


def _with_texts(dataset: Dataset, texts: np.ndarray) -> Made:
    """Rows whose texts are to be i32[n, Q]."""
    changed = np.flatnonzero((texts != dataset.texts).any(axis=1))
    return Made(changed, dataclasses.replace(dataset, texts=texts).take(changed))
