"""Where the table lies on a sheet: title rows above it, empty rows and columns around it, total rows below it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from demix_jax.common.checks import InputError
from demix_jax.common.wording import count
from demix_jax.data.sources.delimited.footer import MOST_LINES, TOTAL, footer_length

_MOST_TITLE_ROWS = 50


class SheetTable(NamedTuple):
    """The table on a sheet: names of the columns, rows of cells, and notes on what was left out."""

    names: list[str]
    rows: list[list[Any]]
    notes: tuple[str, ...]


def find_table(cells: Sequence[Sequence[Any]], where: str) -> SheetTable:
    """Find the table among the cells of a sheet; an empty cell is "" or None.

    The header is the first row that fills at least half as many cells as most rows do, and two at least where the
    table has two columns. A sheet whose first row has numbers has no header: its columns are column_1, column_2, ….

    Raises:
      InputError: the sheet has no rows below the header, a column with cells but without a name, or one name twice.
    """
    filled = [place for place, row in enumerate(cells) if any(not is_empty(cell) for cell in row)]
    if not filled:
        raise InputError(f"{where} is empty; expected a header and rows.")
    width = max(len(row) for row in cells)
    rows = [[*cells[place], *[""] * (width - len(cells[place]))] for place in filled]
    top = _header_place(rows)
    columns = [c for c in range(width) if any(not is_empty(row[c]) for row in rows[top:])]
    notes = []
    if top:
        notes.append(f"{count(top, 'row')} above the header on the sheet {'is' if top == 1 else 'are'} left out.")
    rows = [[row[c] for c in columns] for row in rows[top:]]
    names, rows = _header(rows, filled[top] + 1, where, notes)
    rows = _without_footer(rows, notes)
    if not rows:
        raise InputError(f"{where} has a header but no rows; expected at least one row of data.")
    return SheetTable(names, rows, tuple(notes))


def cell_text(value: Any) -> str:
    """A cell as a person sees it in the sheet: 36 and not 36.0; a date at midnight without its time."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case dt.datetime() if value.time() == dt.time():
            return value.date().isoformat()
        case dt.datetime():
            return value.isoformat(" ")
    return str(value)


def is_empty(cell: Any) -> bool:
    """Whether a cell has nothing to see."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _filled(row: Sequence[Any]) -> int:
    return sum(not is_empty(cell) for cell in row)


def _header_place(rows: list[list[Any]]) -> int:
    usual = median(_filled(row) for row in rows[: 10 * _MOST_TITLE_ROWS])
    needed = max(min(2, usual), usual / 2)
    return next((place for place, row in enumerate(rows[:_MOST_TITLE_ROWS]) if _filled(row) >= needed), 0)


def _header(rows: list[list[Any]], number: int, where: str, notes: list[str]) -> tuple[list[str], list[list[Any]]]:
    """Names and the rows below them; `number` is the header's row on the sheet, from 1."""
    first = rows[0]
    if not any(isinstance(cell, str) and not is_empty(cell) for cell in first):
        notes.append("The sheet has no header, so its columns are named column_1, column_2, ….")
        return [f"column_{place}" for place in range(1, len(first) + 1)], rows
    names = [_name(cell) for cell in first]
    if not names[0]:  # the index that a program wrote
        names[0] = "column_1"
    unnamed = [place for place, name in enumerate(names) if not name]
    if unnamed:
        raise InputError(
            f"{where} has cells in column {unnamed[0] + 1} of the table but no name above them in row {number}; name "
            "the column, or delete what does not belong to the table."
        )
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise InputError(f"{where} has more than one column named {twice[0]!r}; rename or drop the copies.")
    return names, [row for row in rows[1:] if row != first]


def _name(cell: Any) -> str:
    return " ".join(cell_text(cell).split())


def _without_footer(rows: list[list[Any]], notes: list[str]) -> list[list[Any]]:
    """The rows without totals and remarks at the end."""
    lines = [[cell_text(cell) for cell in row] for row in rows[-MOST_LINES:]]
    totals = sum(TOTAL.fullmatch(cell_text(row[0])) is not None for row in rows)
    number = footer_length(lines, totals_above=totals > 1)
    if not number:
        return rows
    notes.append(f"{count(number, 'row')} below the table on the sheet {'is' if number == 1 else 'are'} left out.")
    return rows[:-number]
