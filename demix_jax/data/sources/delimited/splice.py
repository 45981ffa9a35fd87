"""Copies a delimited file byte for byte, except for the edits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.delimited.blocks import text_blocks
from demix_jax.data.sources.delimited.cells import field_text, is_quoted
from demix_jax.data.sources.delimited.encodings import Encoding, can_encode, encoded
from demix_jax.data.sources.delimited.layout import TextLayout
from demix_jax.data.sources.delimited.quoting import NotWritableError, written_cell
from demix_jax.data.sources.delimited.rows import Oddities, RowBlock, stream_rows
from demix_jax.data.sources.source import Edits

_START_BLOCK = 1 << 20


class Replacement(NamedTuple):
    """Bytes of a block from `start` to `stop` that are replaced by `text`."""

    start: int
    stop: int
    text: bytes


@dataclass(frozen=True)
class Splice:
    """A file, how it is written, and edits of its N rows."""

    path: Path
    encoding: Encoding
    layout: TextLayout
    edits: Edits
    num_rows: int

    def write(self, file: IO[bytes]) -> None:
        """Write the file with the edits.

        Raises:
          InputError: a new text cannot be written in the encoding or in the form of the file.
        """
        file.write(self.encoding.bom)
        for block in self._preamble():
            file.write(encoded(block, self.encoding))
        start = 0
        for block in stream_rows(self.path, self.encoding, self.layout, Oddities()):
            rows = block.rows[: max(0, self.num_rows - start)]  # the lines after them are no rows
            changes = self._changes(block._replace(rows=rows), start)
            text = _applied(block.records.data[: block.records.num_bytes], changes)
            file.write(encoded(text, self.encoding))
            start += len(rows)

    def _preamble(self) -> Iterator[bytes]:
        """What stands above the header."""
        left = self.layout.preamble
        for block in text_blocks(self.path, self.encoding, _START_BLOCK):
            yield block[:left]
            left -= len(block[:left])
            if not left:
                return

    def _changes(self, block: RowBlock, start: int) -> list[Replacement]:
        """The changes of a block of which the first row is number `start`, in order."""
        changes: list[Replacement] = []
        beyond: dict[int, dict[int, bytes]] = defaultdict(
            dict
        )  # row of the block -> column -> cell it has no field for
        dropped = self._dropped(block, start)
        for column, name in enumerate(self.layout.names):
            if name in self.edits.cells:
                changes += self._cell_changes(block, start, column, (dropped, beyond))
        if block.header >= 0 and self.edits.added:
            changes.append(self._header_change(block))
        changes += self._tail_changes(block, start, dropped, beyond)
        records = block.records
        for row in block.rows[dropped]:
            changes.append(Replacement(int(records.starts[row]), int(records.stops[row]), b""))
        return sorted(changes, key=lambda change: change.start)  # stable: a cell comes before what is put behind it

    def _dropped(self, block: RowBlock, start: int) -> np.ndarray:
        """bool[n], whether a row of the block is left out."""
        if self.edits.dropped is None:
            return np.zeros(len(block.rows), bool)
        return np.asarray(self.edits.dropped, bool)[start : start + len(block.rows)]

    def _cell_changes(
        self, block: RowBlock, start: int, column: int, state: tuple[np.ndarray, dict[int, dict[int, bytes]]]
    ) -> Iterator[Replacement]:
        """The changed cells of a column; a cell for which the line is too short goes to the second part of `state`."""
        dropped, beyond = state
        records, name = block.records, self.layout.names[column]
        new = self.edits.cells[name]
        low, high = np.searchsorted(new.rows, [start, start + len(block.rows)])
        for row, value in zip((new.rows[low:high] - start).tolist(), new.values[low:high], strict=True):
            if dropped[row]:
                continue
            record, text = block.rows[row], _as_text(value)
            field = int(records.first[record]) + column
            if field >= records.first[record + 1]:
                if text:
                    beyond[row][column] = self._written(text, name, start + row)
            elif field_text(records, field) != text:
                cell = self._written(text, name, start + row, keep_quotes=is_quoted(records, field))
                yield Replacement(int(records.field_starts[field]), int(records.field_ends[field]), cell)

    def _header_change(self, block: RowBlock) -> Replacement:
        """The names of the added columns, behind the last name."""
        records, names = block.records, list(self.edits.added)
        last = int(records.first[block.header]) + len(self.layout.names) - self.layout.has_index - 1
        place = int(records.field_ends[last])
        cells = [self._written(name, name, None) for name in names]
        return Replacement(place, place, b"".join(self._delimiter + cell for cell in cells))

    def _tail_changes(
        self, block: RowBlock, start: int, dropped: np.ndarray, beyond: dict[int, dict[int, bytes]]
    ) -> Iterator[Replacement]:
        """What is put behind the last field of a line: cells that it lacks, and those of added columns."""
        width = len(self.layout.names)
        added = [
            self._added_cells(name, values[start : start + len(block.rows)], start)
            for name, values in self.edits.added.items()
        ]
        counts = np.minimum(block.records.num_fields[block.rows], width)
        places = block.records.field_ends[block.records.first[block.rows] + counts - 1].tolist()
        for row in range(len(block.rows)) if added else sorted(beyond):
            if dropped[row]:
                continue
            lacking = beyond.get(row, {})
            size = width if added else max(lacking) + 1
            cells = [lacking.get(column, self._empty()) for column in range(int(counts[row]), size)]
            cells += [column[row] for column in added]
            yield Replacement(places[row], places[row], b"".join(self._delimiter + cell for cell in cells))

    def _added_cells(self, name: str, values: Sequence[Any] | np.ndarray, start: int) -> list[bytes]:
        return [self._written(_as_text(value), name, start + row) for row, value in enumerate(values)]

    @property
    def _delimiter(self) -> bytes:
        return self.layout.dialect.delimiter or b","  # of the first added column, if the file has only one

    def _empty(self) -> bytes:
        return written_cell(b"", self.layout.dialect)

    def _written(self, text: str, name: str, row: int | None, *, keep_quotes: bool = False) -> bytes:
        """A new cell as the file writes it; `row` is for messages, None: the header."""
        reason = (
            f"it has a character that {self.encoding.name} lacks, so convert the file to UTF-8 or choose another text"
        )
        if can_encode(text, self.encoding):
            try:
                is_alone = len(self.layout.names) == 1 and not self.edits.added
                return written_cell(text.encode(), self.layout.dialect, keep_quotes=keep_quotes, is_alone=is_alone)
            except NotWritableError as error:
                reason = f"{error}, so choose another text"
        place = "the header" if row is None else f"row {row:,} (from 0)"
        raise InputError(
            f"the new text {text[:60]!r} for column {name!r} in {place} cannot be written to "
            f"{printable(self.path)}: {reason}."
        )


def check_edits(edits: Edits, names: Sequence[str], num_rows: int) -> None:
    """Check that edits belong to a table of these columns and N rows.

    Raises:
      InputError: a new column has the name of one that is there. ValueError: a column or a row is not in the table.
    """
    for name, new in edits.cells.items():
        if name not in names:
            raise ValueError(f"there is no column {name!r} to edit; the columns are {', '.join(names[:8])}.")
        if len(new.rows) != len(new.values) or (len(new.rows) and not 0 <= new.rows[0] <= new.rows[-1] < num_rows):
            raise ValueError(f"edits of column {name!r} need one value per row, of rows from 0 to {num_rows - 1}.")
    for what, size in [("dropped", edits.dropped), *edits.added.items()]:
        if size is not None and len(size) != num_rows:
            raise ValueError(f"{what!r} has {len(size)} values, but the table has {num_rows} rows.")
    for name in edits.added:
        if name in names:
            raise InputError(
                f"the table has a column named {name!r} already; rename it, since a new one is to be added."
            )


def _applied(data: bytes, changes: list[Replacement]) -> bytes:
    """The bytes with changes, which are in order and do not overlap."""
    parts, place = [], 0
    for start, stop, text in changes:
        parts += [data[place:start], text]
        place = stop
    return b"".join([*parts, data[place:]])


def _as_text(value: object) -> str:
    """A value as text; missing ones are empty."""
    return "" if value is None or value is pd.NA or value != value else str(value)
