"""Finds the rows of a table again in its saved diagnosis, however either was sorted or filtered since."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.row_names import ROW, ROW_FINGERPRINT, read_fingerprints
from demix_jax.common.wording import count
from demix_jax.data.fingerprint import row_fingerprints, table_fingerprint

WEIGHT = "sample_weight"


class MatchedRows(NamedTuple):
    """line: i64[N], number of the diagnosis line about each row of the table; −1 where there is none.

    sentences: what does not match, in words.
    """

    line: np.ndarray
    sentences: list[str]


def match_rows(
    frame: pd.DataFrame, flags: pd.DataFrame, summary: dict[str, Any], what: str, *, whole: bool = False
) -> MatchedRows:
    """Find the line of a diagnosis about each row of a table.

    A line with a fingerprint belongs to the row of its number if their fingerprints agree, else to another row with
    this fingerprint. Columns that were added to the table since do not count. A table of flags that somebody made,
    without fingerprints, has one line per row, in the same order or with the same index.

    Args:
      frame: N rows. flags: the lines. summary: of the diagnosis, {} if unknown. what: names the diagnosis in messages.
      whole: whether all columns of `frame` were fingerprinted, whichever the summary names.
    Raises:
      InputError: the diagnosis is of another table, or rows were changed since.
    """
    if ROW_FINGERPRINT not in flags.columns:
        return _by_order(frame, flags, summary, what)
    given = read_fingerprints([str(text) for text in flags[ROW_FINGERPRINT]])
    if given is None:
        raise InputError(f"{what} has a damaged column {ROW_FINGERPRINT}; restore it, or diagnose the table again.")
    names = list(frame.columns) if whole else _diagnosed_columns(frame, summary, what)
    diagnosed: Any = frame[names]
    line = _by_fingerprint(row_fingerprints(diagnosed), given, _row_numbers(flags))
    lost, new = len(flags) - int(np.sum(line >= 0)), int(np.sum(line < 0))
    if (lost and new) or new == len(frame):
        raise InputError(
            f"{what} belongs to another table: {count(new, 'row')} of {len(frame):,} cannot be found in it by their "
            "cells. Pass the table that was diagnosed, with its cells unchanged, or diagnose this one."
        )
    sentences = []
    if new:
        sentences.append(f"{count(new, 'row')} of the table have no line in the diagnosis and were left as they are.")
    if lost:
        sentences.append(f"{count(lost, 'line')} of the diagnosis are about rows that the table no longer has.")
    return MatchedRows(line, sentences)


def _by_order(frame: pd.DataFrame, flags: pd.DataFrame, summary: dict[str, Any], what: str) -> MatchedRows:
    expected = summary.get("fingerprint")
    if expected is not None and expected != table_fingerprint(list(frame.columns), row_fingerprints(frame)):
        raise InputError(
            f"{what} belongs to another table: the fingerprints differ. "
            "Pass the table that was diagnosed, unchanged, or diagnose this one."
        )
    if ROW in flags.columns and expected is None:
        raise InputError(
            f"{what} has row numbers but neither a column {ROW_FINGERPRINT} nor a summary.json that tells which table "
            "it is about; restore one of the two, or diagnose the table again."
        )
    if len(flags) != len(frame):
        raise InputError(
            f"The diagnosis has {len(flags)} rows but the table has {len(frame)}; pass the table that was diagnosed."
        )
    numbers = _row_numbers(flags)
    if numbers is not None:
        if not np.array_equal(np.sort(numbers), np.arange(len(frame))):
            raise InputError(f"The column {ROW} of {what} must hold each number from 0 to {len(frame) - 1} once.")
        return MatchedRows(np.argsort(numbers), [])
    counted = [_counts_rows(index, len(frame)) for index in (frame.index, flags.index)]
    if not any(counted) and not frame.index.equals(flags.index):
        raise InputError(
            "The diagnosis and the table have different indexes; pass the table that was diagnosed, "
            "or reset the index of both."
        )
    return MatchedRows(np.arange(len(frame)), [])


def _by_fingerprint(of_rows: np.ndarray, given: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    """i64[N]: line of each row with fingerprint u64[N]; rows of one fingerprint take its lines in their order."""
    line = np.full(len(of_rows), -1)
    if numbers is not None:
        at = np.flatnonzero((numbers >= 0) & (numbers < len(of_rows)))
        at = at[of_rows[numbers[at]] == given[at]]
        line[numbers[at]] = at
    free_rows = np.flatnonzero(line < 0)
    free_lines = np.setdiff1d(np.arange(len(given)), line[line >= 0], assume_unique=False)
    rows = pd.DataFrame({"fingerprint": of_rows[free_rows], "row": free_rows})
    lines = pd.DataFrame({"fingerprint": given[free_lines], "line": free_lines})
    for part in (rows, lines):
        part["copy"] = part.groupby("fingerprint").cumcount()
    both = rows.merge(lines, on=["fingerprint", "copy"])
    line[both["row"].to_numpy()] = both["line"].to_numpy()
    return line


def _diagnosed_columns(frame: pd.DataFrame, summary: dict[str, Any], what: str) -> list[Any]:
    """Keys of the columns that were diagnosed: those that the summary names, else all but sample_weight."""
    diagnosed: Collection[str] = summary.get("columns") or ()
    if not diagnosed:
        return [key for key in frame.columns if str(key) != WEIGHT]
    wanted = {str(name) for name in (*diagnosed, *(summary.get("identifiers") or ()), summary.get("label"))}
    absent = sorted(wanted - {str(key) for key in frame.columns})
    if absent:
        shown = ", ".join(repr(name) for name in absent[:8])
        raise InputError(
            f"The table lacks the columns {shown}, which {what} is about; pass the table that was diagnosed."
        )
    return [key for key in frame.columns if str(key) in wanted]


def _row_numbers(flags: pd.DataFrame) -> np.ndarray | None:
    """i64[n]: the row number in each line; None if there is no such column."""
    if ROW not in flags.columns:
        return None
    given: Any = pd.to_numeric(flags[ROW], errors="coerce")
    numbers = given.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.all(np.isfinite(numbers) & (numbers == np.round(numbers))):
        raise InputError(f"The column {ROW} of the diagnosis must hold whole numbers, counted from 0.")
    return numbers.astype(np.int64)


def _counts_rows(index: pd.Index, num_rows: int) -> bool:
    return bool(np.array_equal(index.to_numpy(), np.arange(num_rows)))
