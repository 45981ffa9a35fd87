"""Measures of a candidate item against the past: event counts and times, and similarity to the clicked items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import chex
import numpy as np
import pandas as pd

from demix_jax.data.inspect_column import inspect_column
from demix_jax.data.kinds import as_numbers, column_of, levels

_DAY = 86_400.0
_LONGEST = 3_650.0  # days; also stands for "never"


class EventTimes:
    """Times of the events of each key; counts the events before a moment and finds the last of them."""

    def __init__(self, keys: np.ndarray, seconds: np.ndarray, num_keys: int) -> None:
        self.num_keys = num_keys
        self._moments, ranks = np.unique(seconds, return_inverse=True)
        self._span = len(self._moments) + 1
        self._sorted = np.sort(keys.astype(np.int64) * self._span + ranks)
        self._start = np.searchsorted(self._sorted, np.arange(num_keys, dtype=np.int64) * self._span)

    def before(self, keys: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """i64[n]: number of events of each key strictly before the given time."""
        return self._places(keys, seconds) - self._start[keys]

    def days_since_last(self, keys: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """f64[n]: days since the key's last event strictly before the given time; ten years if there is none."""
        place = self._places(keys, seconds)
        found = place > self._start[keys]
        last = self._moments[self._sorted[np.maximum(place - 1, 0)] % self._span]
        return np.where(found, days_between(last, seconds), _LONGEST)

    def _places(self, keys: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        rank = np.searchsorted(self._moments, seconds)
        return np.searchsorted(self._sorted, keys.astype(np.int64) * self._span + rank)


def days_between(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """f64[n]: days between two times in seconds, ten years at most."""
    return np.minimum((later - earlier) / _DAY, _LONGEST)


@dataclass(frozen=True)
class ItemFeatures:
    """Item table as arrays, to compare candidates with histories; row 0 stands for "no item".

    Attributes:
      columns: names of the item's side features.
      number_names: names of the A numeric columns. numbers: f64[I + 1, A], their values.
      texts: values of each categorical column. one_hot: f32[I + 1, B], one column per value.
      category: i32[I + 1], category number of each item, 0 if unknown.
      category_column: name of the category column, or None.
    """

    columns: tuple[str, ...]
    number_names: tuple[str, ...]
    numbers: np.ndarray
    texts: Mapping[str, tuple[str, ...]]
    one_hot: np.ndarray
    category: np.ndarray
    category_column: str | None

    @classmethod
    def of(cls, items: pd.DataFrame, category_column: str | None) -> ItemFeatures:
        """Convert the items' side features, a table in the order of item numbers."""
        kinds = {name: inspect_column(name, column_of(items, name)).column.kind for name in items.columns}
        number_names = tuple(name for name, kind in kinds.items() if kind == "number")
        numbers = np.full((len(items) + 1, len(number_names)), np.nan)
        for a, name in enumerate(number_names):
            numbers[1:, a] = as_numbers(column_of(items, name))
        texts = {name: tuple(levels(column_of(items, name))[1]) for name, kind in kinds.items() if kind == "category"}
        blocks = [_one_hot(column_of(items, name), values) for name, values in texts.items()]
        one_hot = np.concatenate([np.zeros((len(items), 0), np.float32), *blocks], axis=1)
        category = np.zeros(len(items) + 1, np.int32)
        if category_column in texts:
            category[1:] = _numbered(column_of(items, category_column), texts[category_column])
        padded = np.concatenate([np.zeros((1, one_hot.shape[1]), np.float32), one_hot])
        return cls(
            columns=tuple(items.columns),
            number_names=number_names,
            numbers=numbers,
            texts=texts,
            one_hot=padded,
            category=category,
            category_column=category_column if category_column in texts else None,
        )

    @property
    def num_categories(self) -> int:
        """Number of categories; 0 without a category column."""
        return len(self.texts[self.category_column]) if self.category_column is not None else 0

    def categories_of(self, candidates: pd.DataFrame) -> np.ndarray:
        """i32[N]: category number of each candidate as given in its sample, which may be wrong; 0 if unknown."""
        if self.category_column is None:
            return np.zeros(len(candidates), np.int32)
        return _numbered(column_of(candidates, self.category_column), self.texts[self.category_column])

    def against_history(self, candidates: pd.DataFrame, history: np.ndarray) -> dict[str, np.ndarray]:
        """Columns f64[N] that compare candidates with their histories.

        Args:
          candidates: N rows of item features, as given in the samples.
          history: i32[N, T], item numbers; 0 for none.
        """
        chex.assert_shape(history, (len(candidates), None))
        present = history > 0
        length = np.maximum(present.sum(axis=1), 1)
        columns = {}
        if self.category_column is not None:
            own = self.categories_of(candidates)
            same = (self.category[history] == own[:, None]) & present & (own > 0)[:, None]
            columns[f"history_share_of_{self.category_column}"] = same.sum(axis=1) / length
        if self.one_hot.shape[1]:
            blocks = [_one_hot(column_of(candidates, name), values) for name, values in self.texts.items()]
            own = np.concatenate(blocks, axis=1)
            mean = self._mean_one_hot(history)
            lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(mean, axis=1)
            columns["history_similarity"] = (own * mean).sum(axis=1) / np.maximum(lengths, 1e-9)
        for a, name in enumerate(self.number_names):
            values = np.where(present, self.numbers[history, a], np.nan)
            known = np.isfinite(values).sum(axis=1)
            mean = np.where(known > 0, np.nansum(values, axis=1) / np.maximum(known, 1), np.nan)
            columns[f"above_history_{name}"] = as_numbers(column_of(candidates, name)) - mean
        return columns

    def _mean_one_hot(self, history: np.ndarray) -> np.ndarray:
        """f32[N, B]: mean one-hot vector of the items in each history, without item 0."""
        total = np.zeros((len(history), self.one_hot.shape[1]), np.float32)
        for items in history.T:
            total += self.one_hot[items]
        return total / np.maximum((history > 0).sum(axis=1), 1)[:, None]


def _numbered(column: pd.Series, values: tuple[str, ...]) -> np.ndarray:
    """i32[N]: position of each value in `values`, counted from 1; 0 if it is not among them."""
    place = {value: number for number, value in enumerate(values, start=1)}
    codes, texts = levels(column)
    return np.array([*(place.get(text, 0) for text in texts), 0], np.int32)[codes]


def _one_hot(column: pd.Series, values: tuple[str, ...]) -> np.ndarray:
    """f32[N, len(values)]: one-hot vectors; zeros for other values."""
    return np.eye(len(values) + 1, dtype=np.float32)[_numbered(column, values)][:, 1:]
