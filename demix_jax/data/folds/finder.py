"""Finds the fold of rows that were not among those from which the folds were made."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.data.folds.equal_rows import compared_columns, unusual_rows
from demix_jax.data.folds.row_groups import row_times
from demix_jax.data.inspected_table import Table, resolve_label
from demix_jax.data.kinds import column_of
from demix_jax.data.row_hashes import cell_hashes, row_hashes


class FoldFinder(NamedTuple):
    """Which fold's models judge a row that is not among the R rows from which F folds were made.

    The row is judged in the fold of its group or of its copies among these rows, so that no model has seen them. Where
    there are none, a hash of its group or of its values decides, so that rows that belong together are judged alike.
    In time it is judged in its block, or in the one of its group or copies if that is earlier.

    columns: keys of the columns by which rows are compared.
    copies: folds of the rows of which a further one would be a copy, by the hash of their values.
    group_column: key of the column of groups, and groups: folds of its values; None: no groups.
    time_column: key of the column of times, and times: f64[T] ascending, block: i32[T], of the rows with a time; None:
    no times.
    """

    num_folds: int
    columns: tuple[Hashable, ...]
    copies: _FoldByHash
    group_column: Hashable | None
    groups: _FoldByHash | None
    time_column: Hashable | None
    times: np.ndarray | None
    block: np.ndarray | None

    @classmethod
    def of(cls, table: Table, fold: np.ndarray) -> FoldFinder:
        """Learn the folds i32[R] of the R rows of a table.

        Args:
          table: R rows; its options name the columns of groups and times, if there are any. fold: i32[R].
        """
        options = table.options
        group_key = None if options.groups is None else resolve_label(table.frame, options.groups)
        columns = compared_columns(table)
        unusual, hashes = unusual_rows(table), row_hashes(columns.values())
        groups, time_key, times, block = None, None, None, None
        if group_key is not None:
            values = column_of(table.frame, group_key)
            known = values.notna().to_numpy()
            groups = _FoldByHash.of(cell_hashes(values)[known], fold[known])
        if options.time is not None:
            time_key = resolve_label(table.frame, options.time)
            of_rows = row_times(column_of(table.frame, time_key))
            order = np.argsort(of_rows, kind="stable")[: int(np.sum(~np.isnan(of_rows)))]
            times, block = of_rows[order], fold[order]
        return cls(
            num_folds=int(fold.max()) + 1,
            columns=tuple(columns),
            copies=_FoldByHash.of(hashes[unusual], fold[unusual]),
            group_column=group_key,
            groups=groups,
            time_column=time_key,
            times=times,
            block=block,
        )

    def find(self, frame: pd.DataFrame) -> np.ndarray:
        """i32[n]: the fold of each row of `frame`, which has the same columns."""
        hashes = row_hashes(column_of(frame, key) for key in self.columns)
        found, deciding = self.copies.of_hashes(hashes), hashes
        if self.groups is not None:
            values = column_of(frame, self.group_column)
            known, of_group = values.notna().to_numpy(), cell_hashes(values)
            of_groups = np.where(known, self.groups.of_hashes(of_group), -1)
            found, deciding = np.where(of_groups >= 0, of_groups, found), np.where(known, of_group, hashes)
        if self.times is None:
            own = (deciding % np.uint64(self.num_folds)).astype(np.int32)
            return np.where(found >= 0, found, own).astype(np.int32)
        own = self._block(row_times(column_of(frame, self.time_column)))
        return np.where(found >= 0, np.minimum(own, found), own).astype(np.int32)

    def _block(self, times: np.ndarray) -> np.ndarray:
        """i32[n]: blocks of rows at these times, of the latest known row that is not later; the last if missing."""
        assert self.times is not None and self.block is not None
        place = np.searchsorted(self.times, times, side="right") - 1
        return np.where(np.isnan(times), self.num_folds - 1, self.block[np.maximum(place, 0)])


class _FoldByHash(NamedTuple):
    """hashes: u64[H], ascending. fold: i32[H], the first of the folds of the rows with each hash."""

    hashes: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, hashes: np.ndarray, fold: np.ndarray) -> _FoldByHash:
        order = np.lexsort((fold, hashes))
        distinct, first = np.unique(hashes[order], return_index=True)
        return cls(distinct, fold[order][first])

    def of_hashes(self, hashes: np.ndarray) -> np.ndarray:
        """i64[n]: the fold of each hash u64[n], −1 where it is not known."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[place] == hashes, self.fold[place], -1)
