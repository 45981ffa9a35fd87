"""Finds the table within a text: what stands above it, its header, and its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.wording import count
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.delimited.cells import column_texts
from demix_jax.data.sources.delimited.dialect import TextDialect
from demix_jax.data.sources.delimited.scan import Scan
from demix_jax.data.sources.delimited.sniffing import COMMENTS, NUMBER, choose_dialect, sample_records, usual_width
from demix_jax.data.sources.delimited.tokens import Records

_NUM_TOP = 60  # records among which the header is sought
_NUM_BELOW = 5000  # cells of rows that tell a header from a row


@dataclass(frozen=True)
class TextLayout:
    """Where the table is in a text, and how it is written.

    Attributes:
      names: of the columns, without empty ones at the end.
      header: the header line as written; None: the file has none.
      preamble: number of bytes above the header, or above the first row. first_line: number of the line after them.
      written_width: fields of a usual line, empty ones at the end included.
      has_index: whether the header has no field for the first column.
      comment: what comment lines begin with, or nothing. bytes_per_row: mean length of the first lines.
    """

    dialect: TextDialect
    names: tuple[str, ...]
    header: bytes | None
    preamble: int
    first_line: int
    written_width: int
    has_index: bool
    comment: bytes
    bytes_per_row: float
    notes: tuple[str, ...]


def find_layout(path: Path, scan: Scan) -> TextLayout:
    """Find the table in the text that was scanned; `path` is for messages.

    Raises:
      InputError: the file is empty, or two columns have one name.
    """
    if not scan.head.strip():
        raise InputError(f"{printable(path)} is empty; expected a header line and rows.")
    dialect = choose_dialect(scan)
    parts = sample_records(scan, dialect)
    top, (width, _) = parts[0], usual_width(parts)
    if not len(top):
        raise InputError(f"{printable(path)} opens a quote in its first line that never ends; check the quotes.")
    start, has_header = _find_header(top, width)
    cells = _cells(top, start) if has_header else [""] * width
    num_blank = _num_blank(parts, top.stops[start] if has_header else 0, max(width, len(cells)))
    has_index = has_header and len(cells) == width - 1 and not num_blank
    given, notes = _without_blank(["", *cells] if has_index else cells, num_blank)
    return TextLayout(
        dialect=dialect,
        names=_names(path, given, has_header=has_header),
        header=top.data[top.starts[start] : top.ends[start]] if has_header else None,
        preamble=int(top.starts[start]),
        first_line=top.line_of(int(top.starts[start])),
        written_width=max(width, len(given)),
        has_index=has_index,
        comment=_comment(parts, start, width),
        bytes_per_row=top.num_bytes / len(top),
        notes=(*_top_notes(top, start, given, has_header=has_header), *notes),
    )


def _find_header(top: Records, width: int) -> tuple[int, bool]:
    """Number of the header record, and whether it is one and not the first row of a table without header.

    Above the header may stand titles, which fill few of the fields, comments and blank lines.
    """
    for record in range(min(len(top), _NUM_TOP)):
        cells = _cells(top, record)
        is_header = len(cells) == width and not cells[0][1:2].isspace()  # as #id,name
        if (_is_comment(top, record) and not is_header) or not _fills(cells, width):
            continue
        if len(cells) < width - 1 and (further := _full_header(top, record, width)) is not None:
            return further, True
        if not _is_data(cells, _below(top, record, width)):
            return record, True
        above = [other for other in range(record) if _is_comment(top, other) and len(_cells(top, other)) == width]
        return (above[-1], True) if above else (record, False)
    plain = [record for record in range(len(top)) if top.starts[record] < top.ends[record]]
    return (plain or [0])[0], True


def _fills(cells: Sequence[str], width: int) -> bool:
    """Whether a record has enough cells that are not empty to be a header."""
    filled = sum(bool(cell.strip()) for cell in cells)
    return filled >= max(min(width, 2), (width + 1) // 2)


def _full_header(top: Records, record: int, width: int) -> int | None:
    """A header of full width among the next records, below a title of several fields."""
    for further in range(record + 1, min(record + 4, len(top))):
        cells = _cells(top, further)
        if len(cells) == width and _fills(cells, width) and not any(_is_number(cell) for cell in cells):
            return further if any(_is_number(cell) for row in _below(top, further, width)[:1] for cell in row) else None
    return None


def _is_data(cells: Sequence[str], below: list[list[str]]) -> bool:
    """Whether a first record is a row: it has numbers where the rows below have them, and texts that come again.

    A record of numbers and texts only counts as a row if one of its texts stands below it in the same column.
    """
    rows = [row for row in below if len(row) == len(cells)]
    if not rows or not any(_is_number(cell) for cell in cells):
        return False
    again = []
    for cell, values in zip(cells, zip(*rows, strict=True), strict=True):
        filled = [value for value in values if value.strip()]
        are_numbers = bool(filled) and sum(_is_number(value) for value in filled) > 0.5 * len(filled)
        if not cell.strip():
            continue
        if are_numbers != _is_number(cell):
            return False
        if not are_numbers:
            again.append(cell in filled)
    return not again or any(again)


def _is_number(cell: str) -> bool:
    return any(one.isdigit() for one in cell) and NUMBER.fullmatch(cell) is not None


def _is_comment(records: Records, record: int) -> bool:
    return records.data.startswith(COMMENTS, int(records.starts[record]))


def _below(top: Records, record: int, width: int) -> list[list[str]]:
    """Cells of the rows after a record, without short ones and comments."""
    rows = np.arange(record + 1, min(len(top), record + 1 + max(20, _NUM_BELOW // width)))
    rows = rows[top.num_fields[rows] == width]
    columns = [column.to_pylist() for column in column_texts(top, rows, range(width))]
    return [list(row) for row in zip(*columns, strict=True)]


def _cells(records: Records, record: int) -> list[str]:
    rows = np.array([record])
    return [column[0].as_py() for column in column_texts(records, rows, range(int(records.num_fields[record])))]


def _num_blank(parts: list[Records], after: int, width: int) -> int:
    """How many of the last columns are empty in all sampled rows; `after`: first byte of the rows in the first part."""
    fewest = width
    for part, start in zip(parts, [after] + [0] * len(parts), strict=False):
        rows = np.flatnonzero((part.num_fields == width) & (part.starts >= start))
        for blank in range(fewest):
            column = column_texts(part, rows, [width - 1 - blank])[0]
            if any(text.strip() for text in column.unique().to_pylist()):
                fewest = blank
                break
    return fewest


def _without_blank(given: list[str], num_blank: int) -> tuple[list[str], list[str]]:
    """The names without empty ones at the end of which the columns are empty too, and a note on them."""
    kept = len(given)
    while kept > max(1, len(given) - num_blank) and not given[kept - 1].strip():
        kept -= 1
    lost = len(given) - kept
    return given[:kept], [f"{count(lost, 'column')} at the end without name and values left out."] if lost else []


def _names(path: Path, given: list[str], *, has_header: bool) -> tuple[str, ...]:
    """The names of all columns; a column without name is called by its number.

    Raises:
      InputError: two columns have one name.
    """
    names = [name.strip() for name in given]
    if has_header and names:
        names[0] = names[0].lstrip("#").strip()
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        shown = ", ".join(repr(name) for name in twice[:8])
        raise InputError(f"{printable(path)} has more than one column named {shown}; rename or drop the copies.")
    taken = set(names)
    for place, name in enumerate(names):
        if not name:
            new = f"column_{place + 1}"
            while new in taken:
                new += "_"
            names[place] = new
            taken.add(new)
    return tuple(names)


def _comment(parts: list[Records], start: int, width: int) -> bytes:
    """What comment lines of this file begin with, or nothing."""
    for prefix in COMMENTS:
        for number, part in enumerate(parts):
            for record in range(start if number == 0 else min(len(part), _NUM_TOP)):
                if part.data.startswith(prefix, int(part.starts[record])):
                    return prefix
            lines = np.flatnonzero(part.num_fields == 1) if width > 1 else np.zeros(0, np.int64)
            if any(part.data.startswith(prefix, int(part.starts[record])) for record in lines):
                return prefix
    return b""


def _top_notes(top: Records, start: int, given: list[str], *, has_header: bool) -> list[str]:
    notes = []
    titles = [r for r in range(start) if top.starts[r] < top.ends[r]]
    if titles:
        verb = "is" if len(titles) == 1 else "are"
        notes.append(f"{count(len(titles), 'line')} above the table {verb} no part of it.")
    if not has_header:
        notes.append(f"The file has no header line; its columns are called column_1 to column_{len(given)}.")
    elif unnamed := [place + 1 for place, name in enumerate(given) if not name.strip()]:
        shown = ", ".join(f"column_{place}" for place in unnamed[:4])
        verb = "is" if len(unnamed) == 1 else "are"
        notes.append(
            f"{count(len(unnamed), 'column')} without a name {verb} called {shown}{', …' if unnamed[4:] else ''}."
        )
    return notes
