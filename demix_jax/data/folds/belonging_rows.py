"""What the user and the table itself say of rows that belong together and of their order in time, with notes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.data.folds.equal_rows import equal_rows
from demix_jax.data.folds.in_time import time_note
from demix_jax.data.folds.propose_groups import proposal_note, propose_groups
from demix_jax.data.folds.row_groups import group_numbers, joined_groups, large_group_note, row_times
from demix_jax.data.inspected_table import Table, resolve_label
from demix_jax.data.kinds import column_of


class BelongingRows(NamedTuple):
    """What decides the folds of N rows besides their labels.

    groups: i64[N], rows of one number belong together; None: no row belongs to another.
    times: f64[N], NaN where missing; None: time plays no part. notes: for the user.
    """

    groups: np.ndarray | None
    times: np.ndarray | None
    notes: tuple[str, ...]


def belonging_rows(table: Table, *, num_folds: int) -> BelongingRows:
    """Find the rows that belong together: those of one group, and copies of each other.

    Args:
      table: N rows; its options name the columns of groups and times, if there are any.
      num_folds: number of folds, or of blocks in time.
    Raises:
      InputError: a column cannot tell groups or times.
    """
    options = table.options
    equal = equal_rows(table)
    groups, notes = equal.groups if equal.any else None, list(equal.notes())
    if options.groups is None:
        notes += [proposal_note(table, name) for name in propose_groups(table)[:1]]
    else:
        named = group_numbers(column_of(table.frame, resolve_label(table.frame, options.groups)))
        groups = named if groups is None else joined_groups(named, groups)
        large = large_group_note(groups)
        notes += [] if large is None else [large]
    times = None
    if options.time is not None:
        times = row_times(column_of(table.frame, resolve_label(table.frame, options.time)))
        notes.append(time_note(times, num_folds))
    return BelongingRows(groups=groups, times=times, notes=tuple(notes))
