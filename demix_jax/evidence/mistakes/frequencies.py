"""How common values are in columns, whichever column they stand in: of numbers and of texts that repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.data.decimals import stray_decimals, usual_decimals

if TYPE_CHECKING:
    from demix_jax.data import Dataset
    from demix_jax.data.columns import CodesOfNumbers

_MOST_COLUMNS = 48  # of either kind that are looked at
_RESOLUTION = 0.05  # of a number's logarithm: numbers closer together count as one
_NOWHERE = np.iinfo(np.int64).min  # on that scale
_LEAST_LOG_RATIO = -8.0  # of a code's probability to its share; models are not to be trusted with less
_APART = 1.5  # nats, the divergence of what two columns hold (Jeffreys); less, and other oddities look like exchanges


class NumberFrequencies(NamedTuple):
    """How common numbers are in each of C columns of numbers, whatever their unit.

    columns: i32[C], their places among the table's. many: bool[C], which hold many values; others are categories.
    coders: what gives their numbers codes. share: for each column f64[B], log share of each code.
    known: i64[V], ascending, the numbers that any column has, on a coarse logarithmic scale. common: f64[C, V + 1], log
    share of each in the column; the last for any other number. apart: bool[C, C], columns whose numbers differ so much
    that an exchange would show. decimals: how many decimals a column's numbers have, see `usual_decimals`.
    """

    columns: np.ndarray
    many: np.ndarray
    coders: tuple[CodesOfNumbers, ...]
    share: tuple[np.ndarray, ...]
    known: np.ndarray
    common: np.ndarray
    apart: np.ndarray
    decimals: tuple[int | None, ...]

    @classmethod
    def fit(cls, dataset: Dataset) -> NumberFrequencies:
        """Of a table's columns of numbers: those with most values, if they are many."""
        distinct = np.array([len(np.unique(x[np.isfinite(x)])) for x in dataset.numbers.T])
        chosen = np.sort(np.argsort(-distinct, kind="stable")[:_MOST_COLUMNS])
        columns = chosen[distinct[chosen] > 1].astype(np.int32)
        places = [_coarse(dataset.numbers[:, q]) for q in columns]
        known = np.unique(np.concatenate([np.zeros(0, np.int64), *(p[p != _NOWHERE] for p in places)]))
        common = []
        for place in places:
            present = np.searchsorted(known, place[place != _NOWHERE])
            common.append(np.log(np.bincount(present, minlength=len(known) + 1) + 0.5) - np.log(len(present) + 1))
        share = []
        for q in columns:
            counts = np.bincount(dataset.codes[:, q], minlength=dataset.num_codes[q]) + 0.5
            share.append(np.log(counts) - np.log(counts.sum()))
        coders = tuple(dataset.codes_of_numbers[q] for q in columns)
        many = np.array([dataset.columns[q].kind == "number" for q in columns], bool)
        decimals = tuple(usual_decimals(dataset.numbers[:, q]) for q in columns)
        common = np.array(common).reshape(len(columns), len(known) + 1)
        return cls(
            columns=columns,
            many=many,
            coders=coders,
            share=tuple(share),
            known=known,
            common=common,
            apart=_apart(common),
            decimals=decimals,
        )

    def stray(self, numbers: np.ndarray) -> np.ndarray:
        """bool[n, Q]: which of numbers f64[n, Q] have more decimals than their column has."""
        result = np.zeros(numbers.shape, bool)
        for q, usual in zip(self.columns, self.decimals, strict=True):
            result[:, q] = stray_decimals(numbers[:, q], usual)
        return result

    def log_density(self, log_p: np.ndarray, values: np.ndarray) -> np.ndarray:
        """f32[n, C, J]: log density in each column of values f64[n, C, J], up to what all columns share.

        What other cells say of a value's code, and how common the number itself is in the column. −∞ where there is no
        value.

        Args:
          log_p: f32[n, C, B], of each code of each column.
        """
        result = np.empty(values.shape, np.float32)
        at = _places(self.known, _coarse(values))
        rows = np.arange(len(values))[:, None]
        for c, (codes_of, share, common) in enumerate(zip(self.coders, self.share, self.common, strict=True)):
            code = codes_of(values[:, c].ravel()).reshape(rows.shape[0], -1)
            told = log_p[rows, c, code] - share[code]
            result[:, c] = np.maximum(told, _LEAST_LOG_RATIO) + common[at[:, c]]
        return np.where(np.isfinite(values), result, -np.inf)


class TextFrequencies(NamedTuple):
    """How common each text is in each of C columns of texts.

    columns: i32[C], their places among the table's. known: i32[V], ascending, hashes of the texts that any of them has.
    common: f64[C, V + 1], log share of each in the column; the last for any other. apart: bool[C, C], as in
      `NumberFrequencies`.
    """

    columns: np.ndarray
    known: np.ndarray
    common: np.ndarray
    apart: np.ndarray

    @classmethod
    def fit(cls, dataset: Dataset) -> TextFrequencies:
        """Of a table's columns of texts that repeat."""
        columns = np.flatnonzero((dataset.texts != 0).any(axis=0)).astype(np.int32)[:_MOST_COLUMNS]
        known = np.unique(dataset.texts[:, columns])
        known = known[known != 0]
        counts = np.full((len(columns), len(known) + 1), 0.5)
        for of_column, texts in zip(counts, dataset.texts[:, columns].T, strict=True):
            of_column[:-1] += np.bincount(np.searchsorted(known, texts[texts != 0]), minlength=len(known))
        common = np.log(counts / counts.sum(axis=1, keepdims=True))
        return cls(columns, known, common, _apart(common))

    def log_density(self, texts: np.ndarray) -> np.ndarray:
        """f64[n, C, C]: log share in each column of each of the texts i32[n, C] of a row."""
        return self.common[:, _places(self.known, texts)].swapaxes(0, 1)


def _places(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """i64 like `values`: place of each in `known` [V], ascending, V ≥ 1; V for any other."""
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[at] == values, at, len(known))


def _apart(common: np.ndarray) -> np.ndarray:
    """bool[C, C]: which columns differ enough, by log shares f64[C, V + 1] of what each holds."""
    expected = np.exp(common) @ common.T  # of a column's log shares by what another holds
    own = np.diagonal(expected)
    return own[:, None] + own - expected - expected.T >= _APART


def _coarse(values: np.ndarray) -> np.ndarray:
    """i64, like values f64: their sign and rounded logarithm; `_NOWHERE` where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.clip(np.round(np.log(np.abs(values)) / _RESOLUTION), -20_000, 20_000) + 30_000
        place = np.where(values == 0, 0.0, np.sign(values) * size)
    return np.where(np.isfinite(values), np.nan_to_num(place), _NOWHERE).astype(np.int64)
