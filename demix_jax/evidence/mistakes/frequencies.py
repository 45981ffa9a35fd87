"""How common values are in each column, whichever column they stand in: numbers, and texts that repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.data.decimals import stray_decimals, usual_decimals

if TYPE_CHECKING:
    from demix_jax.data import Dataset
    from demix_jax.data.encoders.encoded import CodesOfNumbers

_MAX_COLUMNS = 48  # of numbers, and of texts
_RESOLUTION = 0.05  # of a number's logarithm; closer numbers count as one
_NO_NUMBER = np.iinfo(np.int64).min  # on that scale
_MIN_LOG_RATIO = -8.0  # of a code's probability to its share; column models are not accurate below
_MIN_DIVERGENCE = 1.5  # nats (Jeffreys) between two columns; with less, other oddities look like exchanged values


class NumberFrequencies(NamedTuple):
    """Distribution of the numbers in each of C numeric columns, with B codes each, in whatever unit.

    columns: i32[C], positions of the columns in the table.
    many: bool[C], columns with many distinct values; the others are categories.
    coders: per column, what maps its numbers to codes. share: per column f64[B], log share of each code.
    known: i64[V], ascending, numbers that occur in any column, on a coarse logarithmic scale.
    common: f64[C, V + 1], log share of each in the column; the last entry stands for all other numbers.
    apart: bool[C, C], pairs of columns with such different numbers that exchanged values would show.
    decimals: usual number of decimals per column, see `usual_decimals`.
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
        """Counts the numbers of a table; of many numeric columns, those with the most distinct values."""
        distinct = np.array([len(np.unique(x[np.isfinite(x)])) for x in dataset.numbers.T])
        chosen = np.sort(np.argsort(-distinct, kind="stable")[:_MAX_COLUMNS])
        columns = chosen[distinct[chosen] > 1].astype(np.int32)
        places = [_coarse(dataset.numbers[:, q]) for q in columns]
        known = np.unique(np.concatenate([np.zeros(0, np.int64), *(p[p != _NO_NUMBER] for p in places)]))
        common = []
        for place in places:
            present = np.searchsorted(known, place[place != _NO_NUMBER])
            common.append(np.log(np.bincount(present, minlength=len(known) + 1) + 0.5) - np.log(len(present) + 1))
        share = []
        for q in columns:
            counts = np.bincount(dataset.codes[:, q], minlength=dataset.num_codes[q]) + 0.5
            share.append(np.log(counts) - np.log(counts.sum()))
        common = np.array(common).reshape(len(columns), len(known) + 1)
        return cls(
            columns=columns,
            many=np.array([dataset.columns[q].kind == "number" for q in columns], bool),
            coders=tuple(dataset.codes_of_numbers[q] for q in columns),
            share=tuple(share),
            known=known,
            common=common,
            apart=_apart(common),
            decimals=tuple(usual_decimals(dataset.numbers[:, q]) for q in columns),
        )

    def stray(self, numbers: np.ndarray) -> np.ndarray:
        """bool[n, Q]: numbers f64[n, Q] with more decimals than is usual in their column."""
        result = np.zeros(numbers.shape, bool)
        for q, usual in zip(self.columns, self.decimals, strict=True):
            result[:, q] = stray_decimals(numbers[:, q], usual)
        return result

    def log_density(self, log_p: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Log density of values in each column, up to a constant that all columns share.

        It combines what the row's other cells say of the value's code with how common the number itself is in the
        column.

        Args:
          log_p: f32[n, C, B], log probability of each code of each column.
          values: f64[n, C, J], J candidates per cell.
        Returns:
          f32[n, C, J]; −∞ for a missing value.
        """
        result = np.empty(values.shape, np.float32)
        at = _positions(self.known, _coarse(values))
        rows = np.arange(len(values))[:, None]
        for c, (codes_of, share, common) in enumerate(zip(self.coders, self.share, self.common, strict=True)):
            code = codes_of(values[:, c].ravel()).reshape(rows.shape[0], -1)
            log_ratio = log_p[rows, c, code] - share[code]
            result[:, c] = np.maximum(log_ratio, _MIN_LOG_RATIO) + common[at[:, c]]
        return np.where(np.isfinite(values), result, -np.inf)


class TextFrequencies(NamedTuple):
    """Distribution of the texts in each of C columns of texts that repeat.

    columns: i32[C], positions of the columns in the table.
    known: i32[V], ascending, hashes of the texts that occur in any column.
    common: f64[C, V + 1], log share of each in the column; the last entry stands for all other texts.
    apart: bool[C, C], as in `NumberFrequencies`.
    """

    columns: np.ndarray
    known: np.ndarray
    common: np.ndarray
    apart: np.ndarray

    @classmethod
    def fit(cls, dataset: Dataset) -> TextFrequencies:
        """Counts the texts of a table."""
        columns = np.flatnonzero((dataset.texts != 0).any(axis=0)).astype(np.int32)[:_MAX_COLUMNS]
        known = np.unique(dataset.texts[:, columns])
        known = known[known != 0]
        counts = np.full((len(columns), len(known) + 1), 0.5)
        for of_column, texts in zip(counts, dataset.texts[:, columns].T, strict=True):
            of_column[:-1] += np.bincount(np.searchsorted(known, texts[texts != 0]), minlength=len(known))
        common = np.log(counts / counts.sum(axis=1, keepdims=True))
        return cls(columns, known, common, _apart(common))

    def log_density(self, texts: np.ndarray) -> np.ndarray:
        """f64[n, C, C]: log share of each text of i32[n, C] in each column: [row, column, text]."""
        return self.common[:, _positions(self.known, texts)].swapaxes(0, 1)


def _positions(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """i64 like `values`: position of each in the ascending `known` [V], V ≥ 1; V for any other value."""
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[at] == values, at, len(known))


def _apart(common: np.ndarray) -> np.ndarray:
    """bool[C, C]: pairs of columns that differ enough, from their log shares f64[C, V + 1]."""
    expected = np.exp(common) @ common.T  # mean log share in one column of the values of another
    own = np.diagonal(expected)
    return own[:, None] + own - expected - expected.T >= _MIN_DIVERGENCE


def _coarse(values: np.ndarray) -> np.ndarray:
    """i64 like `values` f64: sign and rounded logarithm in one number; `_NO_NUMBER` for values that are not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.clip(np.round(np.log(np.abs(values)) / _RESOLUTION), -20_000, 20_000) + 30_000
        place = np.where(values == 0, 0.0, np.sign(values) * size)
    return np.where(np.isfinite(values), np.nan_to_num(place), _NO_NUMBER).astype(np.int64)
