"""Finds rows that are copies of each other, and tells them from rows that are equal by chance.

Rows are compared in all used columns, without identifiers and the label. In a table of a few categories many rows are
equal without being copies, and must not be kept together: whole combinations of values would be hidden from the models
that judge them. So a set of equal rows counts as copies only where equality by chance is unlikely:

* It has at most a twentieth of the rows (or five rows).
* The number of rows that are expected to have its values is below 0.05. This is the number of rows with its value in
  the most varied column, times the share of its value in each further column. Columns may depend on each other: the
  share is the largest of the overall one and those among different rows with the same value in one of the columns
  before it. The set itself does not count for these, since copies make every column seem to follow from any other.
  The 12 most varied columns decide; further ones would only make the expected number smaller.
* Instead of the expected number, one long text or vector is enough that no different row has.
* Labels are alike: where most of the rows in such sets have another label than some row of their set, the sets are
  units that were observed repeatedly (again except for those with a long text or vector).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.wording import count
from demix_jax.data.inspected_table import Table
from demix_jax.data.row_hashes import cell_hashes, row_hashes

_EXPECTED = 0.05  # rows; sets of equal rows of which fewer are expected are copies
_MAX_SHARE, _MIN_LARGEST = 0.05, 5  # a set of more than this share of the rows, and more rows, is no set of copies
_NUM_COLUMNS = 12
_LONG_TEXT, _LONG_VECTOR = 40, 8  # characters, numbers; two such cells are not equal by chance
_MOST = 0.5


class EqualRows(NamedTuple):
    """Copies among N rows.

    groups: i64[N]; rows have the same number if they are copies of each other.
    copied: bool[N], rows with a copy that has the same label. relabelled: bool[N], with a copy that has another label.
    """

    groups: np.ndarray
    copied: np.ndarray
    relabelled: np.ndarray

    @property
    def any(self) -> bool:
        """Whether there are copies."""
        return bool(self.copied.any() or self.relabelled.any())

    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about copies; none if there are none."""
        notes = []
        if self.copied.any():
            different = count(len(np.unique(self.groups[self.copied])), "different row")
            notes.append(
                f"{count(int(self.copied.sum()), 'row')} are equal to another row in every column that is used "
                f"({different}); copies are kept in one fold."
            )
        if self.relabelled.any():
            notes.append(f"{count(int(self.relabelled.sum()), 'row')} are equal to another row except for their label.")
        return tuple(notes)


def compared_columns(table: Table) -> dict[Hashable, pd.Series]:
    """The columns by which rows are compared, by key: all features that are used."""
    return {key: values for key, column, values in table.features() if column.used}


def equal_rows(table: Table) -> EqualRows:
    """Find the copies among the N rows of a table; see the module for what counts as a copy."""
    columns = list(compared_columns(table).values())
    num_rows = len(table)
    if not columns:
        return EqualRows(np.arange(num_rows), np.zeros(num_rows, bool), np.zeros(num_rows, bool))
    which, first, sizes = _numbered(row_hashes(columns))
    alike_label, _, alike = _numbered(row_hashes([pd.Series(which), table.target]))
    same, other = alike[alike_label] > 1, alike[alike_label] < sizes[which]
    sets = np.flatnonzero((sizes > 1) & (sizes <= max(_MAX_SHARE * num_rows, _MIN_LARGEST)))
    if len(sets):
        unmistakable = _unmistakable(columns, first, sets)
        unlikely = sets[~unmistakable & _unlikely(columns, first, sets)]
        in_unlikely = np.isin(which, unlikely)
        if in_unlikely.any() and other[in_unlikely].mean() > _MOST:
            unlikely = unlikely[:0]
        sets = np.concatenate([sets[unmistakable], unlikely])
    is_copy = np.isin(which, sets)
    groups = np.where(is_copy, which, len(sizes) + np.arange(num_rows))
    return EqualRows(groups, is_copy & same, is_copy & other)


def unusual_rows(table: Table) -> np.ndarray:
    """bool[N]: rows so unusual that a further row equal to one of them would be a copy, not a chance."""
    columns = list(compared_columns(table).values())
    if not columns:
        return np.zeros(len(table), bool)
    which, first, _ = _numbered(row_hashes(columns))
    each = np.arange(len(first))
    return (_unmistakable(columns, first, each) | _unlikely(columns, first, each))[which]


def _unlikely(columns: list[pd.Series], first: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """bool[S]: sets of equal rows that are not expected by chance; arguments as `_expected_rows`."""
    return _expected_rows(_varied(columns), first, sets) < _EXPECTED


def _numbered(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number i64[N] of each distinct hash, in order of appearance, its first row, and how many rows have it."""
    numbers, distinct = pd.factorize(hashes)
    first = np.full(len(distinct), len(hashes))
    np.minimum.at(first, numbers, np.arange(len(hashes)))
    return numbers.astype(np.int64), first, np.bincount(numbers)


def _unmistakable(columns: list[pd.Series], first: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """bool[S]: sets of rows with a long text or vector that no different row has; arguments as `_expected_rows`."""
    found = np.zeros(len(sets), bool)
    for column in columns:
        if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
            long = np.array([_is_long(value) for value in column.iloc[first[sets]]])
            if long.any():
                numbers, _, counts = _numbered(cell_hashes(column.iloc[first]))
                found |= long & (counts[numbers[sets]] == 1)
    return found


def _is_long(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.size >= _LONG_VECTOR
    return isinstance(value, str) and len(value) >= _LONG_TEXT


def _varied(columns: list[pd.Series]) -> np.ndarray:
    """i64[N, K]: numbers of the values in the columns of highest entropy, in this order."""
    entropies, codes = [], []
    for column in columns:
        numbers, distinct = pd.factorize(cell_hashes(column))
        share = np.bincount(numbers, minlength=len(distinct)) / len(column)
        entropies.append(-np.sum(share * np.log(share)))
        codes.append(numbers.astype(np.int32))
    order = np.argsort(-np.array(entropies), kind="stable")[:_NUM_COLUMNS]
    return np.stack([codes[q] for q in order], axis=1).astype(np.int64)


def _expected_rows(codes: np.ndarray, first: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """f64[S]: how many rows are expected to have the values of each set.

    Args:
      codes: i64[N, K], see `_varied`. first: i64[U], one of each of the different rows.
      sets: i64[S], positions in `first`.
    """
    num_rows, num_columns = codes.shape
    different = codes[first]
    others = [np.bincount(different[:, p])[different[sets, p]] - 1 for p in range(num_columns)]
    expected = np.bincount(codes[:, 0])[different[sets, 0]].astype(float)
    for q in range(1, num_columns):
        overall = np.bincount(codes[:, q])[different[sets, q]] / num_rows
        share = overall
        for p in range(q):
            both = different[:, p] * (codes[:, q].max() + 1) + different[:, q]
            numbers, _ = pd.factorize(both)
            agreeing = np.bincount(numbers)[numbers[sets]] - 1
            share = np.maximum(share, (agreeing + overall) / (others[p] + 1))
        expected *= share
    return expected
