"""Surveys a table that is larger than memory: checks all of it and samples rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.data.fingerprint import text_columns
from demix_jax.data.inspected_table import resolve_label
from demix_jax.data.kinds import column_of, nature
from demix_jax.data.table import (
    MAX_CLASSES,
    check_label,
    count_infinite,
    is_empty,
    is_parquet,
    refuse_empty,
    refuse_infinite,
    refuse_nested,
    table_chunks,
)

_ROWS_PER_CLASS = 20  # the sample has at least this many rows of each class, if the table has


class Survey(NamedTuple):
    """What was found in a table of N rows.

    num_rows: N. task: "classification" or "regression".
    sample: rows drawn at random, at most the requested number, and a few more of rare classes. They are in the order of
      the file; the index holds their row numbers, counted from 0.
    as_text: columns that are strings in some part of a CSV file and must be read as strings everywhere.
    text: positions of the columns that hold text, for `TableFingerprint`.
    """

    num_rows: int
    task: str
    sample: pd.DataFrame
    as_text: frozenset[str]
    text: frozenset[int]


def survey_table(
    path: Path,
    label: object,
    *,
    task: str,
    sample_rows: int,
    chunk_rows: int,
    seed: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Survey:
    """Read a whole table, `chunk_rows` rows at a time, and check it as `check_table` does.

    A CSV file is read twice if one of its columns is numbers in one part and text in another.

    Args:
      path: of the table. label: name of the label column. task: as for `check_table`.
      sample_rows: number of rows to draw. seed: of the draw.
      on_rows: called after each chunk with its number of rows.
    Raises:
      InputError: the file cannot be read, or the table cannot be diagnosed.
    """

    def read(as_text: frozenset[str], on_rows: Callable[[int], None]) -> _Reading:
        reading = _Reading(label, sample_rows, seed)
        for chunk in table_chunks(path, chunk_rows, as_text=as_text):
            reading.take(chunk)
            on_rows(len(chunk))
        return reading

    reading = read(frozenset(), on_rows)
    as_text = frozenset() if is_parquet(path) else reading.mixed()
    if as_text:
        reading = read(as_text, lambda rows: None)
    return reading.survey(task, as_text)


class _Reading:
    """What is kept of the chunks read so far."""

    def __init__(self, label: object, sample_rows: int, seed: int):
        self._label, self._sample_rows, self._rng = label, sample_rows, np.random.default_rng([seed, 3])
        self._natures: dict[str, set[str]] = {}
        self._infinite: Counter[str] = Counter()
        self._filled: set[str] = set()
        self._text: frozenset[int] = frozenset()
        self._targets: list[pd.Series] = []
        self._seen: Counter[object] = Counter()
        self._drawn: list[pd.DataFrame] = []
        self._keys = np.empty(0)
        self._rare: list[pd.DataFrame] = []

    def take(self, chunk: pd.DataFrame) -> None:
        """Add the next rows."""
        key = resolve_label(chunk, self._label)
        refuse_nested(column_of(chunk, key))
        for name in chunk.columns:
            column = column_of(chunk, name)
            if not is_empty(column):
                self._filled.add(str(name))
                stored = "bool" if pd.api.types.is_bool_dtype(column.dtype) else nature(column)
                self._natures.setdefault(str(name), set()).add(stored)
                self._infinite[str(name)] += count_infinite(column)
        self._text |= text_columns(chunk)
        self._targets.append(column_of(chunk, key))
        self._draw(chunk)
        self._keep_rare(chunk, key)

    def _draw(self, chunk: pd.DataFrame) -> None:
        """Give every row a random number; the rows with the smallest numbers are the sample."""
        keys = np.concatenate([self._keys, self._rng.random(len(chunk))])
        if len(keys) > self._sample_rows:
            limit = np.partition(keys, self._sample_rows - 1)[self._sample_rows - 1]
            kept = keys <= limit
        else:
            kept = np.ones(len(keys), bool)
        stays, comes = kept[: len(self._keys)], kept[len(self._keys) :]
        self._drawn = [*_subsets(self._drawn, stays), chunk.iloc[np.flatnonzero(comes)]]
        self._keys = keys[kept]

    def _keep_rare(self, chunk: pd.DataFrame, key: object) -> None:
        """Keep the first rows of each class."""
        if len(self._seen) > MAX_CLASSES:  # amounts, or no label at all
            return
        place = chunk.groupby(key, sort=False, observed=True).cumcount()
        before = column_of(chunk, key).map(self._seen).astype(float).fillna(0.0)
        self._rare.append(chunk.iloc[np.flatnonzero(place + before < _ROWS_PER_CLASS)])
        self._seen.update(column_of(chunk, key).value_counts().to_dict())

    def mixed(self) -> frozenset[str]:
        """Columns that are text in some chunks and numbers or bools in others."""
        return frozenset(name for name, found in self._natures.items() if len(found) > 1)

    def survey(self, task: str, as_text: frozenset[str]) -> Survey:
        """The survey of all chunks; makes the complaints of `check_table`."""
        target = pd.concat(self._targets, ignore_index=True)
        task = check_label(target, task)
        names = [str(name) for name in self._drawn[0].columns]
        refuse_empty([name for name in names if name not in self._filled])
        refuse_infinite({name: self._infinite[name] for name in names})
        parts = [*self._drawn, *(self._rare if task == "classification" else [])]
        sample = pd.concat([part for part in parts if len(part)])
        sample = sample.iloc[np.unique(sample.index, return_index=True)[1]]
        return Survey(num_rows=len(target), task=task, sample=sample, as_text=as_text, text=self._text)


def _subsets(parts: list[pd.DataFrame], kept: np.ndarray) -> list[pd.DataFrame]:
    """The kept rows of each part; `kept` is a bool mask over the rows of all parts in turn."""
    stops = np.cumsum([len(part) for part in parts])
    spans = zip(parts, stops, strict=True)
    return [part.iloc[np.flatnonzero(kept[stop - len(part) : stop])] for part, stop in spans if len(part)]
