"""Known mistakes undone: exchanged values change places again, a wrong sign is turned, another unit is divided by."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.data.decimals import decimals_of, stray_decimals, usual_decimals
from demix_jax.repairs.write_cells import with_cells

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.repairs.impute import WrongCells


class Mistaken(NamedTuple):
    """What a diagnosis says of a row with a feature error: the mistake, by its name, and the columns it is about."""

    mistake: str
    columns: list[str]


def told_mistakes(flags: pd.DataFrame, rows: np.ndarray) -> dict[int, Mistaken]:
    """The likely mistakes of rows bool[N] by a diagnosis table of N rows, by row number; none where it tells none."""
    if not {"mistake", "suspect_columns"}.issubset(flags.columns):
        return {}
    mistakes, suspects = flags["mistake"].to_numpy(dtype=object), flags["suspect_columns"].to_numpy(dtype=object)
    return {
        int(row): Mistaken(mistakes[row], suspects[row].split(";"))
        for row in np.flatnonzero(rows)
        if isinstance(mistakes[row], str) and mistakes[row] and isinstance(suspects[row], str)
    }


class Undone(NamedTuple):
    """A table of N rows as it was before known mistakes. rows: bool[N], where one was undone. columns: changed ones."""

    frame: pd.DataFrame
    rows: np.ndarray
    columns: frozenset[Hashable]


def undo_mistakes(frame: pd.DataFrame, mistakes: Mapping[int, Mistaken]) -> Undone:
    """Undo exchanges and wrong signs in a table of N rows.

    Numbers in another unit are left to `in_old_unit`: honest amounts may be ten times what their row lets expect.
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
    """f64[N] by name: the values of those of the columns `keys` that hold numbers."""
    from demix_jax.data.kinds import as_numbers, nature

    of_frame: Any = frame
    return {str(key): as_numbers(of_frame[key]) for key in keys if nature(of_frame[key]) == "number"}


def _fits(column: Any, value: Any) -> bool:
    """Whether `column` can hold a value that came from another column, and it is one."""
    import pandas as pd

    if pd.isna(value) or (isinstance(value, float) and not np.isfinite(value)):
        return False
    return not isinstance(column.dtype, pd.CategoricalDtype) or value in column.dtype.categories


def in_old_unit(frame: pd.DataFrame, cells: WrongCells, mistakes: Mapping[int, Mistaken]) -> np.ndarray:
    """object[E]: the new values of wrong cells; divided by the factor where the row's mistake is one in this column."""
    from demix_jax.data.kinds import as_numbers

    of_frame: Any = frame
    given, values = as_numbers(of_frame[cells.column]), cells.value.copy()
    for place, row in enumerate(cells.row.tolist()):
        told = mistakes.get(row)
        if told and told.mistake.startswith("times ") and told.columns[0] == str(cells.column):
            factor = float(told.mistake.removeprefix("times "))
            values[place] = given[row] / factor if np.isfinite(given[row]) else values[place]
    return values


def known_cells(mistakes: Mapping[int, Mistaken], frame: pd.DataFrame, names: tuple[Any, ...]) -> np.ndarray:
    """bool[N, Q]: the cells of N rows that seem filled in or have stray decimals, of the columns `names`."""
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
