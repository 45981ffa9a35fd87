"""Undoes known mistakes: exchanged values are swapped back, signs are reversed, numbers are converted to their unit."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.data.decimals import decimals_of, stray_decimals, usual_decimals
from demix_jax.data.kinds import as_numbers, nature
from demix_jax.data.write_cells import with_cells
from demix_jax.repairs.impute import WrongCells


class Mistaken(NamedTuple):
    """A known mistake in a row with a feature error, by the diagnosis: its name and the columns concerned."""

    mistake: str
    columns: list[str]


def told_mistakes(flags: pd.DataFrame, rows: np.ndarray) -> dict[int, Mistaken]:
    """The likely mistakes of rows bool[N] that a diagnosis table of N rows names, by row number."""
    if not {"mistake", "suspect_columns"}.issubset(flags.columns):
        return {}
    mistakes, suspects = flags["mistake"].to_numpy(dtype=object), flags["suspect_columns"].to_numpy(dtype=object)
    told = {}
    for row in np.flatnonzero(rows).tolist():
        if isinstance(mistakes[row], str) and mistakes[row] and isinstance(suspects[row], str) and suspects[row]:
            names = _names(suspects[row])
            if names:
                told[row] = Mistaken(mistakes[row], names)
    return told


def _names(suspects: str) -> list[str]:
    """Column names of a JSON list.

    Raises:
      InputError: the text is no such list.
    """
    try:
        names = json.loads(suspects)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"The diagnosis has {suspects!r} in suspect_columns; expected a JSON list of column names such as "
            '["age", "hours"].'
        )
    return names


class Undone(NamedTuple):
    """A table of N rows after known mistakes were undone.

    rows: bool[N], where one was undone. columns: keys of the changed columns.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    columns: frozenset[Hashable]


def undo_mistakes(frame: pd.DataFrame, mistakes: Mapping[int, Mistaken]) -> Undone:
    """Undo exchanges and wrong signs in a table of N rows.

    Numbers in another unit are left to `in_old_unit`: a right amount may be ten times what its row suggests.
    """
    of_frame: Any = frame
    key_of = {str(name): name for name in frame.columns}
    values = _numbers_of(frame, key_of.values())
    new: dict[str, dict[int, Any]] = {}
    undone = np.zeros(len(frame), bool)
    for row, (mistake, columns) in mistakes.items():
        restored: dict[str, Any] = {}
        if mistake == "exchanged" and len(columns) > 1 and key_of.keys() >= set(columns[:2]):
            one, other = columns[:2]
            if one in values and other in values:
                restored = {one: values[other][row], other: values[one][row]}
            elif one not in values and other not in values:
                restored = {one: of_frame[key_of[other]].iloc[row], other: of_frame[key_of[one]].iloc[row]}
        elif mistake == "times -1" and columns[0] in values:
            restored = {columns[0]: -values[columns[0]][row]}
        if restored and all(_fits(of_frame[key_of[name]], value) for name, value in restored.items()):
            undone[row] = True
            for name, value in restored.items():
                new.setdefault(name, {})[row] = value
    if not new:
        return Undone(frame, undone, frozenset())
    result = frame.copy(deep=False)
    for name, of_rows in new.items():
        restored_values = list(of_rows.values())
        decimals = decimals_of(np.delete(values[name], list(of_rows))) if name in values else None
        if decimals is not None:
            restored_values = [round(value, decimals) for value in restored_values]
        result[key_of[name]] = with_cells(of_frame[key_of[name]], np.array(list(of_rows)), restored_values)
    return Undone(result, undone, frozenset(key_of[name] for name in new))


def _numbers_of(frame: pd.DataFrame, keys: Iterable[Any]) -> dict[str, np.ndarray]:
    """f64[N] by name: the values of those columns among `keys` that are stored as numbers."""
    of_frame: Any = frame
    return {str(key): as_numbers(of_frame[key]) for key in keys if nature(of_frame[key]) == "number"}


def _fits(column: Any, value: Any) -> bool:
    """Whether a value of another column is present and `column` can hold it."""
    if pd.isna(value) or (isinstance(value, float) and not np.isfinite(value)):
        return False
    return not isinstance(column.dtype, pd.CategoricalDtype) or value in column.dtype.categories


def in_old_unit(frame: pd.DataFrame, cells: WrongCells, mistakes: Mapping[int, Mistaken]) -> np.ndarray:
    """object[E]: new values of wrong cells.

    Where the row's known mistake is another unit in this column, the new value is the given one divided by the factor.
    """
    of_frame: Any = frame
    given, values = as_numbers(of_frame[cells.column]), cells.value.copy()
    for place, row in enumerate(cells.row.tolist()):
        told = mistakes.get(row)
        if told and told.mistake.startswith("times ") and told.columns[0] == str(cells.column):
            factor = float(told.mistake.removeprefix("times "))
            values[place] = given[row] / factor if np.isfinite(given[row]) else values[place]
    return values


def known_cells(mistakes: Mapping[int, Mistaken], frame: pd.DataFrame, names: tuple[Any, ...]) -> np.ndarray:
    """bool[N, Q]: the cells of columns `names` that a known mistake says are filled in or have stray decimals."""
    place = {str(name): q for q, name in enumerate(names)}
    known = np.zeros((len(frame), len(names)), bool)
    told = {name for mistake, columns in mistakes.values() if mistake == "stray decimals" for name in columns}
    numbers = _numbers_of(frame, [name for name in names if str(name) in told])
    stray = {name: stray_decimals(values, usual_decimals(values)) for name, values in numbers.items()}
    for row, (mistake, columns) in mistakes.items():
        for name in columns:
            if mistake == "filled" and name in place:
                known[row, place[name]] = True
            elif mistake == "stray decimals" and name in stray:
                known[row, place[name]] = stray[name][row]
    return known
