"""Known mistakes made on purpose, in rows that seem right, to see what they look like in a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.evidence.mistake_scores import FACTORS, SCORED, WAYS
from demix_jax.evidence.usual import Commonest
from demix_jax.evidence.values import Numbers, Texts

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_FILLED_SHARES = (0.25, 0.55)  # of their columns
_ATTEMPTS = 8  # to find two values that differ, of columns that do


class Made(NamedTuple):
    """rows: i[k], numbers of the rows that a mistake changed. dataset: these rows with it."""

    rows: np.ndarray
    dataset: Dataset


def each_made(
    dataset: Dataset,
    numbers: Numbers,
    texts: Texts,
    commonest: Commonest,
    often: list[tuple[int, int]],
    rng: np.random.Generator,
) -> list[Made]:
    """Each of SCORED made in every row that it changes, then each of `often`, made in one way; see `Scores.ways`."""
    return [
        _filled(dataset, commonest, rng),
        _with_numbers(dataset, numbers, _exchanged(dataset.numbers, numbers, rng)),
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


def _exchanged(values: np.ndarray, numbers: Numbers, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers, two of each row exchanged, of which one is in a column of many values."""
    values, left = values.copy(), np.arange(len(values) if numbers.many.any() else 0)
    for _ in range(_ATTEMPTS):
        places = np.flatnonzero(numbers.many), np.arange(len(numbers.columns))
        drawn = [rng.choice(of_numbers, len(left)) for of_numbers in places]
        first, second = (numbers.columns[place] for place in drawn)
        one, other = values[left, first], values[left, second]
        differ = np.isfinite(one) & np.isfinite(other) & (one != other) & numbers.apart[drawn[0], drawn[1]]
        values[left[differ], first[differ]], values[left[differ], second[differ]] = other[differ], one[differ]
        left = left[~differ]
    return values


def _exchanged_texts(values: np.ndarray, texts: Texts, rng: np.random.Generator) -> np.ndarray:
    """i32[n, Q]: texts, two of each row exchanged."""
    values, left = values.copy(), np.arange(len(values) if texts.apart.any() else 0)
    for _ in range(_ATTEMPTS):
        places = rng.integers(0, max(1, len(texts.columns)), (2, len(left)))
        first, second = texts.columns[places] if len(left) else places
        one, other = values[left, first], values[left, second]
        differ = (one != 0) & (other != 0) & (one != other)
        differ[differ] = texts.apart[places[0, differ], places[1, differ]]
        values[left[differ], first[differ]], values[left[differ], second[differ]] = other[differ], one[differ]
        left = left[~differ]
    return values


def _rescaled(values: np.ndarray, numbers: Numbers, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers, one of each row multiplied by a factor."""
    values, columns = values.copy(), numbers.columns[numbers.many]
    possible = np.isfinite(values[:, columns]) & (values[:, columns] != 0)
    rows = np.flatnonzero(possible.any(axis=1))
    if len(rows):
        drawn = np.where(possible[rows], rng.random((len(rows), len(columns))), 2.0).argmin(axis=1)
        with np.errstate(over="ignore"):
            values[rows, columns[drawn]] *= rng.choice(FACTORS, len(rows))
    return values


def _in_one_way(dataset: Dataset, numbers: Numbers, m: int, way: int) -> Made:
    """Rows in which scored mistake number m is made in one way."""
    first, second = divmod(way, WAYS)
    if m == SCORED.index("texts exchanged"):
        texts = dataset.texts.copy()
        both = (texts[:, [first]] != 0) & (texts[:, [second]] != 0)
        texts[:, [first, second]] = np.where(both, texts[:, [second, first]], texts[:, [first, second]])
        return _with_texts(dataset, texts)
    values = dataset.numbers.copy()
    if m == SCORED.index("exchanged"):
        both = np.isfinite(values[:, [first]]) & np.isfinite(values[:, [second]])
        values[:, [first, second]] = np.where(both, values[:, [second, first]], values[:, [first, second]])
    else:
        with np.errstate(over="ignore"):
            values[:, first] *= FACTORS[second]
    return _with_numbers(dataset, numbers, values)


def _with_numbers(dataset: Dataset, numbers: Numbers, values: np.ndarray) -> Made:
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
