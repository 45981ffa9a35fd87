"""Encodes tables as arrays, training and validation rows alike.

`TableEncoder` is fitted once on a table; `transform` then turns any table with these columns into a `Dataset`.
Nothing is random: equal tables give equal arrays.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack

from demix_jax.common.checks import InputError
from demix_jax.common.shared_sizes import power_of_two
from demix_jax.common.sparse import Sparse, stacked
from demix_jax.common.target import ClassTarget, RegressionTarget, Target
from demix_jax.data.encoders.columns import FittedEncoder
from demix_jax.data.encoders.encoded import CodesOfNumbers, ColumnCodes, Encoded
from demix_jax.data.inspected_table import RowParser, Table, as_inspected, refuse_duplicate_names, resolve_label
from demix_jax.data.kinds import Column, as_numbers, column_of
from demix_jax.data.table_checks import refuse_missing_label, settle_task, target_moments

_LEAST_SHARED = 32  # features of a table that is padded to share compiled programs


@dataclass(frozen=True)
class Dataset:
    """A table as arrays: N rows, D encoded features, Q encoded columns, K classes.

    Every used column is encoded as one column, a vector, set or free text as several, its parts.

    Attributes:
      x: f32[N, D], features of task models. Numbers are mapped by rank to a normal scale within ±3, categories are
        one-hot, dates become trend and cycles, texts become latent features and measures of how they
        are written, vectors become their numbers or directions, and sets one feature per element. Some columns add an
        indicator of missing values.
      y: i32[N] class index, or f32[N] target with mean 0 and standard deviation 1 over the fitted table.
      groups: for each encoded column its [start, stop) in x; later features are padding, see `TableEncoder.fit`.
      codes: i32[N, Q], each column as a discrete code; `TableEncoder.code_name` describes one in words.
      num_codes: number of codes of each column, at most 32.
      robust_z: f32[N, Q], for numbers, dates, vectors and measures of texts (value − median) / (IQR / 1.349), or by
        the standard deviation where the IQR is 0. It is unbounded but finite; 0 where missing and in other columns.
      misspelt: f32[N, Q], 0 for texts that are probably spelt right. Otherwise the log ratio, in nats, of the count of
        the right spelling to the text's own count, see `Spelling`.
      numbers: f64[N, Q], values of columns that are stored as numbers; NaN where missing and in other columns.
      texts: i32[N, Q], a hash of each text, the same in all columns. It is 0 where missing, in columns without texts
        and in columns whose texts hardly repeat.
      terms: sparse f32[N, V], TF-IDF of the words and character n-grams of all text columns; V = 0 without any.
      term_columns: i32[V], the encoded column that each term belongs to.
      codes_of_numbers: for each column the function from numbers to codes; None in other columns.
      columns: the used column behind each encoded one; the parts of a vector, set or free text share theirs.
      target: what the label is.
    """

    x: np.ndarray
    y: np.ndarray
    groups: tuple[tuple[int, int], ...]
    codes: np.ndarray
    num_codes: tuple[int, ...]
    robust_z: np.ndarray
    misspelt: np.ndarray
    numbers: np.ndarray
    texts: np.ndarray
    terms: Sparse
    term_columns: np.ndarray
    codes_of_numbers: tuple[CodesOfNumbers | None, ...]
    columns: tuple[Column, ...]
    target: Target

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self.target.task

    @property
    def num_classes(self) -> int:
        """K, or 1 for regression."""
        return self.target.num_outputs

    def __len__(self) -> int:
        return len(self.y)

    @property
    def first_parts(self) -> np.ndarray:
        """i[C]: the first encoded column of each of the C used columns."""
        names = [column.name for column in self.columns]
        return np.flatnonzero([q == 0 or name != names[q - 1] for q, name in enumerate(names)])

    def take(self, rows: np.ndarray | slice) -> Dataset:
        """The Dataset of these rows, given as indices, a bool mask or a slice."""
        return self._map(lambda of_rows: of_rows[rows])

    def joined(self, other: Dataset) -> Dataset:
        """These rows, followed by those of another table that the same encoder encoded."""
        return self._map(stacked, other)

    def _map(self, function: Callable[..., Any], *others: Dataset) -> Dataset:
        """Apply `function` to each array with one entry per row, of this Dataset and of the others."""
        datasets = (self, *others)
        per_row = ("x", "y", "codes", "robust_z", "misspelt", "numbers", "texts", "terms")
        return replace(self, **{name: function(*(getattr(one, name) for one in datasets)) for name in per_row})


class _UsedColumn(NamedTuple):
    """A used column of the table and how it is encoded.

    key: its name in the frame, which need not be a string. name: in words. encoder: fitted on it.
    kept: for each of the encoder's columns that varies, by its number, which of the features vary.
    """

    key: Hashable
    name: str
    encoder: FittedEncoder
    kept: dict[int, np.ndarray]

    @classmethod
    def fit(cls, key: Hashable, column: Column, values: pd.Series) -> _UsedColumn:
        encoder, kept = FittedEncoder.fit(column, values), {}
        for number, encoded in enumerate(encoder.encode(values)):
            varies = encoded.x.min(axis=0, initial=np.inf) < encoded.x.max(axis=0, initial=-np.inf)
            if varies.any():
                kept[number] = varies
        return cls(key, column.name, encoder, kept)

    @property
    def parts(self) -> list[tuple[ColumnCodes, str]]:
        """For each encoded column what its codes mean, and what it is called."""
        return [(self.encoder.columns[number], self.encoder.names[number]) for number in self.kept]

    def encode(self, column: pd.Series) -> list[Encoded]:
        """The encoded columns of N rows, with the features that vary."""
        parts = self.encoder.encode(column)
        return [parts[number]._replace(x=parts[number].x[:, varies]) for number, varies in self.kept.items()]


@dataclass(frozen=True)
class TableEncoder:
    """How each column of a table is encoded; made by `TableEncoder.fit`.

    Attributes:
      columns: all columns but the label, in table order, used or not.
      used: the used column behind each of the Q encoded columns, see `Dataset`.
      label: name of the label column.
      target: as in `Dataset`.
      shared_width: whether features are padded, see `fit`.
    """

    columns: tuple[Column, ...]
    used: tuple[Column, ...]
    label: str
    target: Target
    shared_width: bool
    _parser: RowParser
    _sources: tuple[_UsedColumn, ...]

    @classmethod
    def fit(
        cls, table: Table | pd.DataFrame, label: object = None, *, task: str = "auto", shared_width: bool = False
    ) -> TableEncoder:
        """Learn the encoding of a table.

        Args:
          table: what `inspect_table` found, or a DataFrame, which is inspected first.
          label: name of the label column; may be left out for a Table, which knows its label.
          task: "classification", "regression" or "auto".
          shared_width: pad features with zeros to a power of two from 32 on, so that tables of similar width share
            compiled programs.
        Raises:
          InputError: no column `label`, a label that does not suit the task, or no usable feature column. Call
            `check_table` first for the full list of complaints.
        """
        table = as_inspected(table, label)
        target = _fit_target(table.target, task)
        columns, used, sources = [], [], []
        for key, column, values in table.features():
            if column.used:
                source = _UsedColumn.fit(key, column, values)
                if not source.kept:
                    column = replace(column, kind="constant")
                else:
                    used += [column] * len(source.kept)
                    sources.append(source)
            columns.append(column)
        if not used:
            raise InputError("No feature column is usable: each is constant or an identifier. Add informative columns.")
        return cls(
            columns=tuple(columns),
            used=tuple(used),
            label=str(table.label),
            target=target,
            shared_width=shared_width,
            _parser=table.parser.of({*(source.key for source in sources), table.label}),
            _sources=tuple(sources),
        )

    def transform(self, frame: pd.DataFrame) -> Dataset:
        """Encode rows, parsed or as given; columns that the encoder does not use may be absent.

        Raises:
          InputError: a used column or the label column is absent, a label is missing, or a class does not occur in the
            fitted table.
        """
        refuse_duplicate_names(frame, "The table")
        frame = self._parser(frame)
        y = self._encode_target(column_of(frame, resolve_label(frame, self.label)))
        absent = [source.name for source in self._sources if source.key not in frame.columns]
        if absent:
            names = ", ".join(repr(n) for n in absent[:8])
            raise InputError(f"The table lacks {names}, which the training table has; give both the same columns.")
        widths = [int(varies.sum()) for source in self._sources for varies in source.kept.values()]
        starts = np.concatenate([[0], np.cumsum(widths)]).tolist()
        padding = max(_LEAST_SHARED, power_of_two(starts[-1])) - starts[-1] if self.shared_width else 0
        x = np.empty((len(frame), starts[-1] + padding), np.float32)
        x[:, starts[-1] :] = 0.0
        codes = np.empty((len(frame), len(self.used)), np.int32)
        robust_z, misspelt = np.empty((2, len(frame), len(self.used)), np.float32)
        numbers = np.empty((len(frame), len(self.used)))
        texts = np.empty((len(frame), len(self.used)), np.int32)
        terms: list[Sparse] = [csr_matrix((len(frame), 0), dtype=np.float32)]
        term_columns = [np.zeros(0, np.int32)]
        parts = (part for source in self._sources for part in source.encode(column_of(frame, source.key)))
        for q, encoded in enumerate(parts):
            x[:, starts[q] : starts[q + 1]] = encoded.x
            codes[:, q] = encoded.codes
            robust_z[:, q] = encoded.robust_z
            misspelt[:, q] = encoded.misspelt
            numbers[:, q] = encoded.numbers
            texts[:, q] = encoded.texts
            if encoded.terms is not None:
                terms.append(encoded.terms)
                term_columns.append(np.full(encoded.terms.shape[1], q, np.int32))
        return Dataset(
            x=x,
            y=y,
            groups=tuple(pairwise(starts)),
            codes=codes,
            num_codes=tuple(of_part.num_codes for of_part, _ in self._parts),
            robust_z=robust_z,
            misspelt=misspelt,
            numbers=numbers,
            texts=texts,
            terms=hstack(terms, format="csr", dtype=np.float32),
            term_columns=np.concatenate(term_columns),
            codes_of_numbers=tuple(of_part.of_numbers for of_part, _ in self._parts),
            columns=self.used,
            target=self.target,
        )

    @functools.cached_property
    def _parts(self) -> tuple[tuple[ColumnCodes, str], ...]:
        """For each encoded column what its codes mean, and what it is called."""
        return tuple(part for source in self._sources for part in source.parts)

    def code_name(self, q: int, code: int) -> str:
        """Code `code` of encoded column `q` in words: "age ≤ 28", "sex = Male", "age missing"."""
        return self._parts[q][0].code_name(self.used[q].name, int(code))

    def group_name(self, q: int, group: np.ndarray, counts: np.ndarray) -> str:
        """A set of codes of encoded column `q` in words, beginning with the column: "age ≤ 28", "job = clerk or cook".

        Args:
          group: bool[A], codes in the set. counts: int[A], number of rows with each code.
        """
        name = self._parts[q][1]
        codes = np.flatnonzero(group & (counts > 0))
        if len(codes) == 1:
            return self.code_name(q, codes[0])
        if self.used[q].ordered:
            return self._range_name(q, codes, np.flatnonzero(counts[: len(group) - 3] > 0))
        codes = codes[np.argsort(-counts[codes], kind="stable")]
        values = [self.code_name(q, code).removeprefix(f"{name} = ").removeprefix(f"{name} ") for code in codes]
        if len(values) > 4:
            values = [*values[:3], f"{len(values) - 3} other values"]
        return f"{name} = {', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else f"{name}: none"

    def _range_name(self, q: int, codes: np.ndarray, ranges: np.ndarray) -> str:
        """`group_name` of an ordered column; `ranges` are its codes except those for extreme and missing values."""
        name = self._parts[q][1]
        upper = [re.split(r" ≤ | = |> ", self.code_name(q, code))[-1] for code in ranges]
        inside = np.isin(ranges, codes).astype(int)
        starts = np.flatnonzero(np.diff(inside, prepend=0) == 1)
        stops = np.flatnonzero(np.diff(inside, append=0) == -1)
        runs = []
        for first, last in zip(starts, stops, strict=True):
            if first == 0:
                runs.append(f"≤ {upper[last]}")
            elif last == len(ranges) - 1:
                runs.append(f"> {upper[first - 1]}")
            else:
                runs.append(f"> {upper[first - 1]} to {upper[last]}")
        if not 0 < len(runs) <= 3:
            return f"{name} in {inside.sum()} of {len(inside)} ranges"
        return f"{name} {', '.join(runs[:-1])} or {runs[-1]}" if len(runs) > 1 else f"{name} {runs[0]}"

    def _encode_target(self, target: pd.Series) -> np.ndarray:
        """`Dataset.y` of a label column."""
        refuse_missing_label(target)
        if isinstance(self.target, RegressionTarget):
            values = as_numbers(target)
            if np.isnan(values).any():
                raise InputError(
                    f"The label {self.label!r} holds values that are not numbers; expected a number in each row."
                )
            return ((values - self.target.mean) / self.target.scale).astype(np.float32)
        codes, values = pd.factorize(target)
        assert isinstance(self.target, ClassTarget)
        place = {value: i for i, value in enumerate(self.target.classes)}
        unseen = [v for v in values if v not in place]
        if unseen:
            names = ", ".join(repr(v) for v in unseen[:8])
            raise InputError(
                f"The label {self.label!r} has values that the training table lacks: {names}; "
                "drop these rows or add such rows to the training table."
            )
        return np.array([place[v] for v in values], dtype=np.int32)[codes]


def _fit_target(target: pd.Series, task: str) -> Target:
    refuse_missing_label(target)
    if settle_task(target, task) == "classification":
        return ClassTarget(_sorted_values(target))
    mean, scale = target_moments(target)
    return RegressionTarget(mean=mean, scale=scale, whole=pd.api.types.is_integer_dtype(target.dtype))


def _sorted_values(target: pd.Series) -> tuple:
    """The distinct labels in ascending order."""
    values = target.unique().tolist()
    try:
        return tuple(sorted(values))
    except TypeError:  # numbers and strings together
        return tuple(sorted(values, key=lambda v: (type(v).__name__, str(v))))
