"""Splits UTF-8 text into records and fields. Reader and writer both use these spans, so they agree on every byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.delimited.dialect import TextDialect
from demix_jax.data.sources.delimited.quotes import Quotes, find_quotes

_LF, _CR = 10, 13


@dataclass(frozen=True)
class Records:
    """R whole records with F fields, as places in a block of UTF-8.

    Attributes:
      data: the block. starts, ends, stops: i64[R], of records: first byte, line end, first byte after the line end.
      first: i64[R + 1], number of each record's first field.
      field_starts, field_ends: i64[F], of fields as written, quotes included.
      quotes: of the block. line_ends: i64[L], of the block, also within quotes. first_line: number of its first line.
    """

    data: bytes
    starts: np.ndarray
    ends: np.ndarray
    stops: np.ndarray
    first: np.ndarray
    field_starts: np.ndarray
    field_ends: np.ndarray
    quotes: Quotes
    line_ends: np.ndarray
    first_line: int = 1

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def num_bytes(self) -> int:
        """Length of the records, which start at the first byte of the block."""
        return int(self.stops[-1]) if len(self) else 0

    @property
    def num_fields(self) -> np.ndarray:
        """i64[R], of each record."""
        return np.diff(self.first)

    def line_of(self, place: int) -> int:
        """Number of the line in the file, from 1."""
        return self.first_line + int(np.searchsorted(self.line_ends, place))


def split_records(data: bytes, dialect: TextDialect, *, is_last: bool = True, first_line: int = 1) -> Records:
    """The records of a block that starts with one; what follows the last line end is a record only if `is_last`."""
    array = np.frombuffer(data, np.uint8)
    quotes = find_quotes(array, dialect)
    line_places, line_lengths = _line_ends(data, array, is_last=is_last)
    delimiters, lengths = _delimiters(data, array, dialect)
    places = np.concatenate([delimiters, line_places])
    order = np.argsort(places, kind="stable")
    is_line = np.repeat([False, True], [len(delimiters), len(line_places)])[order]
    places, lengths = places[order], np.concatenate([lengths, line_lengths])[order]
    if len(quotes.opens):
        outside = ~quotes.cover(places)
        places, lengths, is_line = places[outside], lengths[outside], is_line[outside]
    end = int(places[-1] + lengths[-1]) if len(places) and is_line[-1] else -1
    if is_last and len(data) and end < len(data):
        places, lengths, is_line = np.append(places, len(data)), np.append(lengths, 0), np.append(is_line, True)
    closing = np.flatnonzero(is_line)
    size = closing[-1] + 1 if len(closing) else 0
    places, lengths = places[:size], lengths[:size]
    field_starts = np.concatenate([[0], (places + lengths)[:-1]]) if size else places
    first = np.concatenate([[0], closing + 1])
    records = Records(
        data=data,
        starts=field_starts[first[:-1]],
        ends=places[closing],
        stops=(places + lengths)[closing],
        first=first,
        field_starts=field_starts,
        field_ends=places,
        quotes=quotes,
        line_ends=line_places,
        first_line=first_line,
    )
    return _without_edge_runs(records) if dialect.has_runs and size else records


def stream_records(path: Path, blocks: Iterable[bytes], dialect: TextDialect, first_line: int) -> Iterator[Records]:
    """The records of a file in blocks; a record that spans blocks is kept for the next one.

    Args:
      path: for messages. blocks: UTF-8, from the start of a record on. first_line: its number in the file.
    Raises:
      InputError: a quote is never closed.
    """
    waiting, size, wanted = [], 0, 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size < wanted:
            continue
        data = b"".join(waiting)
        records = split_records(data, dialect, is_last=False, first_line=first_line)
        if len(records):
            _check_closed(path, records, is_last=False)
            yield records
            first_line = records.line_of(records.num_bytes)
        rest = data[records.num_bytes :]
        wanted = 0 if len(records) else 2 * size  # a long record: its parts are not split over and over
        waiting, size = [rest], len(rest)
    records = split_records(b"".join(waiting), dialect, first_line=first_line)
    _check_closed(path, records, is_last=True)
    if len(records):
        yield records


def _check_closed(path: Path, records: Records, *, is_last: bool) -> None:
    quotes, place = records.quotes, -1
    if 0 <= quotes.suspect < records.num_bytes:
        place = quotes.suspect
    elif is_last and len(quotes.closes) and quotes.closes[-1] == len(records.data):
        place = int(quotes.opens[-1])
    if place >= 0:
        raise InputError(
            f"{printable(path)} opens a quote in line {records.line_of(place):,} that never ends; close it, or "
            "remove it if it belongs to the text."
        )


def _line_ends(data: bytes, array: np.ndarray, *, is_last: bool) -> tuple[np.ndarray, np.ndarray]:
    r"""Places and lengths of line ends: \n, \r\n or \r. A final \r may go on as \r\n unless the block is the last."""
    if b"\r" not in data:
        places = np.flatnonzero(array == _LF)
        return places, np.ones(len(places), np.int64)
    places = np.flatnonzero((array == _LF) | (array == _CR))
    is_feed = array[places] == _LF
    follows = np.append(False, (np.diff(places) == 1) & is_feed[1:] & ~is_feed[:-1])
    lengths = 1 + np.append(follows[1:], False).astype(np.int64)
    places, lengths = places[~follows], lengths[~follows]
    if not is_last and data.endswith(b"\r"):
        places, lengths = places[:-1], lengths[:-1]
    return places, lengths


def _delimiters(data: bytes, array: np.ndarray, dialect: TextDialect) -> tuple[np.ndarray, np.ndarray]:
    """Places and lengths of delimiters, within quotes too."""
    width = len(dialect.delimiter)
    if width > 1:
        found = (match.start() for match in re.finditer(re.escape(dialect.delimiter), data))
        places = np.fromiter(found, np.int64)
        return places, np.full(len(places), width, np.int64)
    matches = array == dialect.delimiter[0] if width else np.zeros(len(array), bool)
    if not dialect.has_runs:
        places = np.flatnonzero(matches)
        return places, np.ones(len(places), np.int64)
    changes = np.flatnonzero(np.diff(np.concatenate([[False], matches, [False]])))
    return changes[::2], changes[1::2] - changes[::2]


def _without_edge_runs(records: Records) -> Records:
    """The records without the empty fields that runs of spaces at the edges of a line make."""
    position = np.arange(len(records.field_starts))
    empty = records.field_starts == records.field_ends
    is_first = np.isin(position, records.first[:-1])
    is_final = np.isin(position, records.first[1:] - 1)
    keep = ~(empty & (is_first ^ is_final))
    first = np.concatenate([[0], np.cumsum(keep)])[records.first]
    return Records(
        data=records.data,
        starts=records.starts,
        ends=records.ends,
        stops=records.stops,
        first=first,
        field_starts=records.field_starts[keep],
        field_ends=records.field_ends[keep],
        quotes=records.quotes,
        line_ends=records.line_ends,
        first_line=records.first_line,
    )
