"""Tells which records of a file are rows of its table, and checks their number of fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.wording import count
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.delimited.blocks import text_blocks
from demix_jax.data.sources.delimited.encodings import Encoding
from demix_jax.data.sources.delimited.layout import TextLayout
from demix_jax.data.sources.delimited.tokens import Records, stream_records

_BLOCK_BYTES = 1 << 20


class RowBlock(NamedTuple):
    """Records of a part of a file. rows: i64[n], those that are rows. header: number of the header, or -1."""

    records: Records
    rows: np.ndarray
    header: int


@dataclass
class Oddities:
    """Lines that are unlike the others: how many, and the number of the first one."""

    num_short: int = 0
    first_short: int = 0
    num_long: int = 0
    first_long: int = 0
    num_headers: int = 0
    num_comments: int = 0

    def notes(self) -> list[str]:
        """Sentences for the user."""
        notes = []
        if self.num_short:
            verb, whose = ("has", "its") if self.num_short == 1 else ("have", "their")
            notes.append(
                f"{count(self.num_short, 'line')} {verb} fewer fields than the header "
                f"(first: line {self.first_short:,}); {whose} last cells count as missing."
            )
        if self.num_long:
            verb = "has" if self.num_long == 1 else "have"
            notes.append(
                f"{count(self.num_long, 'line')} {verb} more fields than the header (first: line {self.first_long:,}); "
                "the further ones are empty and left out."
            )
        if self.num_headers:
            verbs = "repeats the header and is no row" if self.num_headers == 1 else "repeat the header and are no rows"
            notes.append(f"{count(self.num_headers, 'line')} {verbs}.")
        if self.num_comments:
            notes.append(f"{count(self.num_comments, 'comment line')} between the rows left out.")
        return notes


def stream_rows(path: Path, encoding: Encoding, layout: TextLayout, oddities: Oddities) -> Iterator[RowBlock]:
    """The records of a file from its header on, with the numbers of those that are rows.

    Args:
      oddities: to which lines unlike the others are added.
    Raises:
      InputError: the file is damaged, a quote never ends, or a line has cells beyond the last column.
    """
    is_first = True
    blocks = text_blocks(path, encoding, _BLOCK_BYTES, skip=layout.preamble)
    for records in stream_records(path, blocks, layout.dialect, layout.first_line):
        header = 0 if is_first and layout.header is not None else -1
        is_first = False
        rows = _rows(records, header, layout, oddities)
        _check_widths(path, records, rows, layout, oddities)
        yield RowBlock(records, rows, header)


def _rows(records: Records, header: int, layout: TextLayout, oddities: Oddities) -> np.ndarray:
    """i64[n], the records that are neither blank, nor comments, nor the header or a copy of it."""
    data, counts = records.data, records.num_fields
    keep = (records.ends > records.starts) & (counts > 0)  # a line of spaces has no field where spaces delimit
    if header >= 0:
        keep[header] = False
    if len(layout.names) > 1:
        for record in np.flatnonzero(keep & (counts == 1)):
            keep[record] = bool(data[records.starts[record] : records.ends[record]].strip())
    if layout.comment:
        for record in np.flatnonzero(keep & (counts != layout.written_width)):
            if data.startswith(layout.comment, int(records.starts[record])):
                keep[record] = False
                oddities.num_comments += 1
    if layout.header is not None:
        for record in np.flatnonzero(keep & (records.ends - records.starts == len(layout.header))):
            if data.startswith(layout.header, int(records.starts[record])):
                keep[record] = False
                oddities.num_headers += 1
    return np.flatnonzero(keep)


def _check_widths(path: Path, records: Records, rows: np.ndarray, layout: TextLayout, oddities: Oddities) -> None:
    """Count short and long lines, and raise InputError where a line has text beyond the last column."""
    width, counts = len(layout.names), records.num_fields[rows]
    short = np.flatnonzero(counts < width)
    if len(short):
        oddities.first_short = oddities.first_short or records.line_of(int(records.starts[rows[short[0]]]))
        oddities.num_short += len(short)
    long = np.flatnonzero(counts > layout.written_width)
    if len(long):
        oddities.first_long = oddities.first_long or records.line_of(int(records.starts[rows[long[0]]]))
        oddities.num_long += len(long)
    for row in rows[_with_text_beyond(records, rows, width)]:
        fields = slice(int(records.first[row]) + width, int(records.first[row + 1]))
        spans = zip(records.field_starts[fields], records.field_ends[fields], strict=True)
        if any(records.data[start:end].strip(b' "') for start, end in spans):
            found, line = count(int(records.num_fields[row]), "field"), records.line_of(int(records.starts[row]))
            raise InputError(
                f"{printable(path)} has {found} in line {line:,}, but its header has {width:,}; put quotes around "
                f"fields that contain {layout.dialect.delimiter.decode()!r}, or correct the line."
            )


def _with_text_beyond(records: Records, rows: np.ndarray, width: int) -> np.ndarray:
    """bool[n], whether a row has bytes in fields beyond the first `width`."""
    filled = np.concatenate([[0], np.cumsum(records.field_ends > records.field_starts)])
    stop = records.first[rows + 1]
    beyond = np.minimum(records.first[rows] + width, stop)
    return filled[stop] > filled[beyond]
