"""Folds in time: each block of rows is judged by models of the blocks before it."""

from __future__ import annotations

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.wording import count
from demix_jax.data.folds.plan import MIN_ROWS_BEHIND_A_MODEL, Folds, stratified_order, thin

_MIN_KNOWN = 0.5  # share of the rows that must have a time
_MIN_BLOCK = 0.5  # of the usual number of rows in a block; smaller blocks are joined to their neighbour


def time_folds(
    rng: np.random.Generator,
    strata: np.ndarray,
    times: np.ndarray,
    *,
    num_folds: int,
    groups: np.ndarray | None = None,
    valid_share: float = 0.2,
    max_train: int = 50_000,
    max_valid: int = 4_000,
) -> Folds:
    """Folds that are blocks in time; the models of a block are trained on the rows of all blocks before it.

    The first block is judged by models of the second. Validation rows of a block are those closest to it in time among
    the rows that its models may see. Rows without a time are judged with the last block, and no model is trained on
    them. No model of a block is trained on a row that shares a group with a row of the block.

    Args:
      rng: decides which rows are used where there are more than `max_train`.
      strata: int[N], class index or target bin; kept in proportion where training rows are thinned.
      times: f64[N], NaN where missing. Rows of one time are in one block.
      num_folds: F, the number of blocks; times that many rows share may leave fewer.
      groups: i64[N]; None: no row belongs to another.
      valid_share: share of the rows before a block that become validation rows.
      max_train, max_valid: upper limits per fold.
    Returns:
      Folds, numbered in the order of time. Rows of the shorter parts are repeated to one length.
    Raises:
      InputError: too few rows have a time, nearly all have the same, or groups leave too few rows before a block.
    """
    block, known = time_blocks(times, num_folds), ~np.isnan(times)
    trains, valids = [], []
    for b in range(int(block.max()) + 1):
        rows = np.flatnonzero(known & ((block < b) if b else (block == 1)))
        if groups is not None:
            rows = rows[~np.isin(groups[rows], groups[block == b])]
        if len(rows) < MIN_ROWS_BEHIND_A_MODEL:
            where = f"before block {b + 1} of the {block.max() + 1} blocks" if b else "in the second block"
            raise InputError(
                f"Only {count(len(rows), 'row')} {where} in time can train the models that judge a block without "
                f"rows of its own groups or copies of its rows; at least {MIN_ROWS_BEHIND_A_MODEL} are needed. Give "
                "either the groups or the time, not both."
            )
        order = rows[np.argsort(times[rows], kind="stable")]
        nearest_first = order[::-1] if b else order
        num_valid = min(max(round(valid_share * len(rows)), 1), max_valid)
        valid = nearest_first[:num_valid]
        train = _apart(nearest_first[num_valid:], valid, groups)
        train = train[stratified_order(rng, strata[train])]
        trains.append(thin(train, max_train))
        valids.append(valid)
    return Folds.of_unequal(block, trains, valids)


def time_blocks(times: np.ndarray, num_blocks: int) -> np.ndarray:
    """Blocks in time of nearly equal numbers of rows.

    Args:
      times: f64[N], NaN where missing. num_blocks: F.
    Returns:
      i32[N], numbered in the order of time; rows without a time are in the last block.
    Raises:
      InputError: more than half of the times are missing, or nearly all are the same.
    """
    known = ~np.isnan(times)
    num_known = int(known.sum())
    if num_known < _MIN_KNOWN * len(times):
        raise InputError(
            f"{len(times) - num_known} of the {len(times)} rows have no time, more than half; give a column with a "
            "time in most rows, or none."
        )
    num_blocks = max(min(num_blocks, num_known // MIN_ROWS_BEHIND_A_MODEL), 1)
    values, which, sizes = np.unique(times[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - sizes / 2
    least = max(_MIN_BLOCK * num_known / num_blocks, MIN_ROWS_BEHIND_A_MODEL)
    block_of_value = _joined((middle * num_blocks / num_known).astype(int), sizes, least)
    if block_of_value.max() < 1:
        raise InputError(
            f"The times have {count(len(values), 'distinct value')} in {num_known} rows and nearly all rows share one, "
            "so there is no earlier part to learn from; choose a column with more distinct times, or none."
        )
    block = np.full(len(times), block_of_value.max(), np.int32)
    block[known] = block_of_value[which]
    return block


def time_note(times: np.ndarray, num_blocks: int) -> str:
    """The sentence that tells how rows are judged in time; arguments as for `time_blocks`."""
    num_made, missing = int(time_blocks(times, num_blocks).max()) + 1, int(np.isnan(times).sum())
    note = (
        f"Rows are judged in {num_made} blocks of time, each by models of the blocks before it; the first block is "
        "judged by models of the second."
    )
    if missing:
        note += f" {count(missing, 'row')} without a time: judged with the last block, and no model is trained on them."
    return note


def _joined(block: np.ndarray, sizes: np.ndarray, least: float) -> np.ndarray:
    """Blocks i[V], ascending over V values with `sizes` rows, renumbered so that each has at least `least` rows.

    A block of fewer rows is joined to the next one, and the last to the one before it.
    """
    joined, number, rows = np.empty(len(block), int), 0, 0
    for start, stop in _runs(block):
        joined[start:stop] = number
        rows += int(sizes[start:stop].sum())
        if rows >= least:
            number, rows = number + 1, 0
    if rows and number:
        joined[joined == number] = number - 1
    return joined


def _runs(block: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of equal numbers."""
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(block)], strict=True))


def _apart(rows: np.ndarray, valid: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The training rows that share no group with a validation row, or all where more than half would go."""
    if groups is None:
        return rows
    apart = rows[~np.isin(groups[rows], groups[valid])]
    return apart if len(apart) >= len(rows) / 2 else rows
