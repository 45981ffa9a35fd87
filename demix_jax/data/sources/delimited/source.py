"""`DelimitedSource`: a delimited text file as it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.common.files import atomic_paths, same_file
from demix_jax.common.wording import count
from demix_jax.data.sources.boundary import check_is_file, printable, reading
from demix_jax.data.sources.compression import compression_by_suffix, member_of, open_compressed
from demix_jax.data.sources.delimited.cells import column_texts
from demix_jax.data.sources.delimited.footer import MOST_LINES, TOTAL, footer_length
from demix_jax.data.sources.delimited.layout import TextLayout, find_layout
from demix_jax.data.sources.delimited.rows import Oddities, RowBlock, stream_rows
from demix_jax.data.sources.delimited.scan import Scan, scan_text
from demix_jax.data.sources.delimited.splice import Splice, check_edits
from demix_jax.data.sources.source import Edits


class _FileState(NamedTuple):
    """What tells whether a file has been changed since it was opened."""

    size: int
    modified: int


class DelimitedSource:
    """A delimited text file; see `Source`. Made by `open_delimited`."""

    is_text = True

    def __init__(self, path: Path, scan: Scan, layout: TextLayout, notes: list[str]):
        self.path = path
        self.names = layout.names
        self._encoding, self._layout, self._state = scan.encoding, layout, _state(path)
        self._first_notes: tuple[str, ...] = (*notes, *layout.notes)
        self._last_notes: tuple[str, ...] = ()
        self._num_rows = round(scan.num_bytes / max(layout.bytes_per_row, 1.0))
        self._is_counted = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on how the file was read; complete once `batches` has reached the end."""
        return (*self._first_notes, *self._last_notes)

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        """The rows in order, `num_rows` at a time, every cell a string as it is written, without quotes.

        Raises:
          InputError: the file is damaged or was changed, a quote never ends, or a line has too many fields.
        """
        held, waiting, total = [], 0, 0
        for table in self._tables():
            held.append(table)
            waiting, total = waiting + len(table), total + len(table)
            if waiting >= num_rows:
                joined = pa.concat_tables(held)
                whole = waiting // num_rows * num_rows
                for start in range(0, whole, num_rows):
                    yield joined.slice(start, num_rows)
                held, waiting = [joined.slice(whole)], waiting - whole
        if waiting:
            yield pa.concat_tables(held)
        if not total:
            raise InputError(f"{printable(self.path)} has a header but no rows; expected one line per row below it.")
        self._num_rows, self._is_counted = total, True

    def estimated_cells(self) -> int:
        """Rows times columns, from the size of the file and the length of its first lines until all are read."""
        return self._num_rows * len(self.names)

    def write_edited(self, out: Path, edits: Edits) -> None:
        """Write the file with `edits` to `out`; all other bytes stay as they are.

        `out` is compressed if its name ends like that of a compressed file. Above the table, between the rows and below
        them, lines that are no rows are kept. A file that fails is not written.

        Raises:
          InputError: the file was changed since it was read, a new text cannot be written in its encoding, or `out` is
            the file itself.
        """
        if same_file(self.path, out):
            raise InputError(f"{printable(out)} is the file that is read; choose another name to write to.")
        if not self._is_counted:
            for _ in self.batches(1 << 16):
                pass
        self._check_unchanged()
        check_edits(edits, self.names, self._num_rows)
        member = member_of(self.path) or out.with_suffix("").name
        with atomic_paths(out) as (name,), open_compressed(name, compression_by_suffix(out), member) as file:
            Splice(self.path, self._encoding, self._layout, edits=edits, num_rows=self._num_rows).write(file)
        self._check_unchanged()

    def _tables(self) -> Iterator[pa.Table]:
        """The rows block by block; the last lines of the file are held back until it is known whether they are rows."""
        self._check_unchanged()
        oddities, totals_above = Oddities(), False
        tail: list[RowBlock] = []
        for block in stream_rows(self.path, self._encoding, self._layout, oddities):
            tail.append(block)
            while sum(len(one.rows) for one in tail[1:]) >= MOST_LINES:
                table = self._table(tail.pop(0))
                totals_above = totals_above or _has_totals(table.column(0))
                yield table
        num_lines, notes = self._footer(tail, totals_above, oddities)
        for place, block in enumerate(tail):
            later = sum(len(other.rows) for other in tail[place + 1 :])
            yield self._table(block, max(0, num_lines - later))
        self._last_notes = (*oddities.notes(), *notes)

    def _table(self, block: RowBlock, num_left_out: int = 0) -> pa.Table:
        rows = block.rows[: max(0, len(block.rows) - num_left_out)]
        columns = column_texts(block.records, rows, range(len(self.names)))
        return pa.Table.from_arrays(columns, names=list(self.names))

    def _footer(self, tail: list[RowBlock], totals_above: bool, oddities: Oddities) -> tuple[int, list[str]]:
        """How many of the last rows are none, and a note on them; they are no longer counted as short lines."""
        lines = [cells for block in tail for cells in _last_lines(block)][-MOST_LINES:]
        firsts = [column_texts(block.records, block.rows, [0])[0] for block in tail]
        above = pa.concat_arrays(firsts) if firsts else pa.array([], pa.string())
        above = above.slice(0, max(0, len(above) - len(lines)))
        length = footer_length(lines, totals_above=totals_above or _has_totals(above))
        oddities.num_short -= sum(len(cells) < len(self.names) for cells in lines[len(lines) - length :])
        if not length:
            return 0, []
        shown = next((cell.strip() for cell in lines[-length] if cell.strip()), "")
        begins = f", beginning with {shown[:60]!r}," if shown else ""
        verb = "is" if length == 1 else "are"
        return length, [f"{count(length, 'line')} below the rows{begins} {verb} no row of the table."]

    def _check_unchanged(self) -> None:
        if _state(self.path) != self._state:
            raise InputError(f"{printable(self.path)} was changed after it was opened; open it again.")


def open_delimited(path: str | os.PathLike, *, encoding: str | None = None) -> DelimitedSource:
    """Open a delimited text file, compressed or not; the file is read once to find how it is written.

    Args:
      encoding: name of its encoding; None: recognised.
    Raises:
      InputError: no delimited text, damaged, not in the encoding, or two columns of one name.
    """
    path = Path(path)
    check_is_file(path)
    scan, notes = scan_text(path, encoding)
    return DelimitedSource(path, scan, find_layout(path, scan), notes)


def _state(path: Path) -> _FileState:
    with reading(path):
        found = path.stat()
    return _FileState(found.st_size, found.st_mtime_ns)


def _has_totals(texts: pa.Array | pa.ChunkedArray) -> bool:
    """Whether one of the cells is a word like "Total"."""
    return any(TOTAL.fullmatch(text) for text in texts.unique().to_pylist())


def _last_lines(block: RowBlock) -> list[list[str]]:
    """The cells of the last rows of a block, as many as each line has."""
    records, lines = block.records, []
    for row in block.rows[-MOST_LINES:]:
        columns = column_texts(records, np.array([row]), range(int(records.num_fields[row])))
        lines.append([column[0].as_py() for column in columns])
    return lines
