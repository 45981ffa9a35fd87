"""A sheet of an Excel or OpenDocument workbook as a `Source`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import python_calamine as calamine

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.sheet_layout import SheetTable, cell_text, find_table
from demix_jax.data.sources.source import Edits

_KIND = "workbook"
_ADVICE = "save it again as .xlsx or .csv"


class SpreadsheetSource:
    """The table on a sheet of a workbook; see `Source`. The sheet is held in memory.

    A column of numbers, dates, times or truth values has that type. Any other column has texts, as a person sees them:
    36 and not 36.0. Cells with an error such as #DIV/0! are missing.
    """

    is_text = False

    def __init__(self, path: Path, *, sheet: str | int | None = None) -> None:
        """Read the sheet.

        Args:
          path: .xlsx, .xlsm, .xlsb, .xls or .ods. sheet: name, or number from 1; None: the first that is not empty.
        Raises:
          InputError: the workbook is damaged or has a password, there is no such sheet, or no table on it.
        """
        self.path = path
        name, rows, self._sheet_notes = _read_sheet(path, sheet)
        where = f"Sheet {name!r} of {printable(path)}"
        self._found: SheetTable = find_table(rows, where)
        self._table = pa.table(
            {
                column: _column([row[place] for row in self._found.rows])
                for place, column in enumerate(self._found.names)
            }
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._found.names)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._sheet_notes, *self._found.notes)

    def estimated_cells(self) -> int:
        return self._table.num_rows * self._table.num_columns

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        for start in range(0, max(1, self._table.num_rows), num_rows):
            yield self._table.slice(start, num_rows)

    def write_edited(self, out: Path, edits: Edits) -> None:
        """Raises InputError: a workbook has formulas and formats, which would be lost."""
        raise InputError(
            f"{printable(self.path)} is a workbook, which cannot be edited in place; end the name of the output in "
            f".csv or .parquet, not {out.suffix or 'otherwise'}."
        )


def _read_sheet(path: Path, sheet: str | int | None) -> tuple[str, list[list[Any]], tuple[str, ...]]:
    """Name and cells of the chosen sheet, and a note if there was a choice."""
    with reading(path, _KIND, _ADVICE):
        try:
            with path.open("rb") as file, calamine.CalamineWorkbook.from_filelike(file) as book:
                name, others = _choose(book, sheet, path)
                rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        except calamine.PasswordError as error:
            raise InputError(f"{printable(path)} has a password; save a copy without one.") from error
        except calamine.CalamineError as error:
            raise InputError(f"{printable(path)} is a damaged {_KIND} ({_reason(error)}); {_ADVICE}.") from error
    if others:
        listed = ", ".join(map(repr, others))
        return name, rows, (f"The sheet {name!r} was read; others are {listed}. Choose one with sheet.",)
    return name, rows, ()


def _choose(book: calamine.CalamineWorkbook, sheet: str | int | None, path: Path) -> tuple[str, list[str]]:
    """Name of the sheet to read, and names of other sheets that are not empty if none was asked for."""
    kind = calamine.SheetTypeEnum.WorkSheet
    names = [each.name for each in book.sheets_metadata if each.typ == kind]
    if not names:
        raise InputError(
            f"{printable(path)} has no sheet with cells, only charts or macros; expected a table on a sheet."
        )
    if sheet is not None:
        return _named_sheet(names, sheet, path), []
    filled = [name for name in names if book.get_sheet_by_name(name).height]
    if not filled:
        raise InputError(f"{printable(path)} has only empty sheets; expected a table on one of them.")
    return filled[0], filled[1:]


def _named_sheet(names: list[str], sheet: str | int, path: Path) -> str:
    if str(sheet) in names:
        return str(sheet)
    if str(sheet).isdecimal() and 1 <= int(sheet) <= len(names):
        return names[int(sheet) - 1]
    alike = [name for name in names if name.strip().lower() == str(sheet).strip().lower()]
    if len(alike) == 1:
        return alike[0]
    listed = ", ".join(map(repr, names))
    raise InputError(
        f"{printable(path)} has no sheet {sheet!r}; its sheets are {listed}. Give one of them, or a number from 1."
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]


def _column(values: Sequence[Any]) -> pa.Array:
    """Cells as an array: of numbers, dates, times or truth values if all are alike, else of texts; "" is missing."""
    cells: list[Any] = [None if isinstance(value, str) and not value.strip() else value for value in values]
    kinds = {type(value) for value in cells if value is not None}
    if kinds == {bool}:
        return pa.array(cells, pa.bool_())
    if kinds and kinds <= {int, float}:
        whole = all(value is None or (float(value).is_integer() and abs(value) < 2**53) for value in cells)
        return pa.array([None if v is None else int(v) for v in cells], pa.int64()) if whole else _floats(cells)
    if kinds and kinds <= {dt.date, dt.datetime}:
        return pa.array([None if v is None else _instant(v) for v in cells], pa.timestamp("us"))
    if kinds == {dt.time}:
        return pa.array(cells, pa.time64("us"))
    if kinds == {dt.timedelta}:
        return pa.array(cells, pa.duration("us"))
    return pa.array([None if value is None else cell_text(value) for value in cells], pa.large_string())


def _floats(cells: Sequence[Any]) -> pa.Array:
    return pa.array([None if value is None else float(value) for value in cells], pa.float64())


def _instant(value: dt.date) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
