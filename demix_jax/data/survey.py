"""Surveys a table that is larger than memory: checks all of it and samples rows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.read_options import ReadOptions
from demix_jax.data.inspected_table import Table, inspect_table, refuse_duplicate_names, resolve_label
from demix_jax.data.kinds import MISSING_TEXT, column_of, levels, nature
from demix_jax.data.sources.arrow_frame import arrow_frame
from demix_jax.data.sources.source import Source
from demix_jax.data.table_checks import (
    MAX_CLASSES,
    check_label,
    count_infinite,
    refuse_empty,
    refuse_infinite,
    refuse_nested,
)

_ROWS_PER_CLASS = 20  # the sample has at least this many rows of each class, if the table has


class Survey(NamedTuple):
    """What was found in a table of N rows.

    num_rows: N. task: "classification" or "regression".
    sample: inspected rows drawn at random, at most the requested number, and a few more of rare classes. They are in
      the order of the file; the index of its frames holds their row numbers, counted from 0.
    """

    num_rows: int
    task: str
    sample: Table


def written_chunks(source: Source, num_rows: int) -> Iterator[pd.DataFrame]:
    """The rows of a source as written, about `num_rows` at a time; row numbers continue from chunk to chunk.

    Raises:
      InputError: the source cannot be read, has two columns of one name, or no row.
    """
    start = 0
    for batch in source.batches(num_rows):
        chunk, _ = arrow_frame(batch)
        if start == 0:
            refuse_duplicate_names(chunk, str(source.path))
        chunk.index = pd.RangeIndex(start, start + len(chunk))
        start += len(chunk)
        if len(chunk):
            yield chunk
    if start == 0:
        raise InputError(f"{source.path} has a header but no rows; expected at least one row of data.")


def survey_table(
    source: Source,
    label: object,
    options: ReadOptions,
    *,
    task: str,
    sample_rows: int,
    chunk_rows: int,
    seed: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Survey:
    """Read a whole table, `chunk_rows` rows at a time, and check it as `check_table` does.

    Kinds are decided by the sample; only the label is inspected in every row.

    Args:
      source: the table. label: name of the label column. options: what the user says of the table.
      task: as for `check_table`. sample_rows: number of rows to draw. seed: of the draw.
      on_rows: called after each chunk with its number of rows.
    Raises:
      InputError: the file cannot be read, or the table cannot be diagnosed.
    """
    reading = _Reading(label, sample_rows, seed)
    for chunk in written_chunks(source, chunk_rows):
        reading.take(chunk)
        on_rows(len(chunk))
    return reading.survey(options, task, source)


class _Reading:
    """What is kept of the chunks read so far."""

    def __init__(self, label: object, sample_rows: int, seed: int):
        self._label, self._sample_rows, self._rng = label, sample_rows, np.random.default_rng([seed, 3])
        self._infinite: Counter[str] = Counter()
        self._filled: set[str] = set()
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
            if str(name) not in self._filled and _has_value(column):
                self._filled.add(str(name))
            self._infinite[str(name)] += count_infinite(column)
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

    def survey(self, options: ReadOptions, task: str, source: Source) -> Survey:
        """The survey of all chunks; makes the complaints of `check_table`."""
        target = pd.concat(self._targets, ignore_index=True)
        names = [str(name) for name in self._drawn[0].columns]
        whole = inspect_table(target.to_frame(), self._label, ReadOptions(missing=options.missing))
        task = check_label(whole.target, task)
        refuse_empty([name for name in names if name not in self._filled])
        refuse_infinite({name: self._infinite[name] for name in names})
        parts = [*self._drawn, *(self._rare if task == "classification" else [])]
        sample = pd.concat([part for part in parts if len(part)])
        sample = sample.iloc[np.unique(sample.index, return_index=True)[1]]
        sample = sample.loc[:, [_has_value(column_of(sample, name)) for name in sample.columns]]
        return Survey(num_rows=len(target), task=task, sample=self._inspected(sample, whole, options, source))

    def _inspected(self, sample: pd.DataFrame, whole: Table, options: ReadOptions, source: Source) -> Table:
        """The inspected sample, with the findings of the whole label column."""
        table = inspect_table(sample, self._label, options, source=source, notes=source.notes)
        table = dataclasses.replace(table, target_column=whole.target_column, spellings=whole.spellings)
        frame = table.frame.copy(deep=False)
        frame[table.label] = column_of(table.parser.of({table.label})(sample), table.label)
        return table.with_frame(frame)


def _has_value(column: pd.Series) -> bool:
    """Whether any row has a value; texts that always mean missing are none."""
    if column.isna().all():
        return False
    return nature(column) != "level" or bool(levels(column, MISSING_TEXT)[1])


def _subsets(parts: list[pd.DataFrame], kept: np.ndarray) -> list[pd.DataFrame]:
    """The kept rows of each part; `kept` is a bool mask over the rows of all parts in turn."""
    stops = np.cumsum([len(part) for part in parts])
    spans = zip(parts, stops, strict=True)
    return [part.iloc[np.flatnonzero(kept[stop - len(part) : stop])] for part, stop in spans if len(part)]
