"""Files of one JSON record per line (.jsonl, .ndjson) as a `Source`, read line by line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from demix_jax.common.checks import InputError
from demix_jax.common.wording import count
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.compression import compression_by_suffix, member_of, open_compressed, open_decompressed
from demix_jax.data.sources.json_splice import spliced
from demix_jax.data.sources.json_table import JsonColumns, JsonRecords, RecordEdits, is_escaped
from demix_jax.data.sources.json_values import after_space, value_at
from demix_jax.data.sources.output import new_file
from demix_jax.data.sources.source import Edits

_KIND = "JSON file"
_ADVICE = "save it as UTF-8"


class _Line(NamedTuple):
    """A line: its text with the line end, its number from 1, and its record with its span, None if it is blank."""

    text: str
    number: int
    record: dict[str, Any] | None
    span: tuple[int, int]


class JsonLinesSource(JsonRecords):
    """A file of one JSON record per line; see `Source`.

    Numbers are texts with all their digits, nested objects columns such as `address.city`, lists of numbers of one
    length and lists of texts Arrow lists, other lists JSON text. A record may lack keys.
    """

    def __init__(self, path: Path, *, encoding: str | None = None) -> None:
        """Read all lines once, to know the keys.

        Raises:
          InputError: a line is no JSON object (named by its number), or the file is damaged.
        """
        self.path = path
        self._encoding = encoding or utf_of(path)
        self._stray: list[int] = []
        self._columns = JsonColumns(self._records(), printable(path))

    @property
    def notes(self) -> tuple[str, ...]:
        return (*stray_notes(self._stray), *self._columns.notes())

    def write_edited(self, out: Path, edits: Edits) -> None:
        where = printable(self.path)
        by_row = RecordEdits(edits, self._columns, where)
        row = -1
        with text_to_write(out, self.path, self._encoding) as file:
            for line in self._lines():
                text = line.text
                if line.record is not None:
                    row += 1
                    if not by_row.keeps(row):
                        continue
                    changes = by_row.changes(row, line.record, ascii_only=is_escaped(text))
                    if changes.cells or changes.added:
                        start, end = line.span
                        text = text[:start] + spliced(text, line.span, changes, f"Line {line.number} of {where}")
                        text += line.text[end:]
                file.write(text)

    def _records(self) -> Iterator[dict[str, Any]]:
        return (line.record for line in self._lines() if line.record is not None)

    def _lines(self) -> Iterator[_Line]:
        self._stray.clear()
        with text_to_read(self.path, self._encoding) as file, reading(self.path, _KIND, _ADVICE):
            for number, text in enumerate(file, start=1):
                if has_stray(text):
                    self._stray.append(number)
                start = after_space(text, 0)
                if start == len(text):
                    yield _Line(text, number, None, (start, start))
                else:
                    yield self._parsed(text, number, start)

    def _parsed(self, text: str, number: int, start: int) -> _Line:
        where = f"Line {number:,} of {printable(self.path)}"
        try:
            record, end = value_at(text, start)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{where} is not JSON ({error.msg} at character {error.pos + 1:,}); correct or delete this line."
            ) from error
        if not isinstance(record, dict):
            raise InputError(f'{where} is no record; expected an object such as {{"age": 36}}.')
        if after_space(text, end) != len(text):
            raise InputError(f"{where} has more than one record; write each record on its own line.")
        return _Line(text, number, record, (start, end))


def utf_of(path: Path) -> str:
    """The UTF encoding of a JSON file by its first bytes; UTF-8 unless they show another one.

    Raises:
      InputError: the file is missing or damaged.
    """
    with open_decompressed(path) as file:
        start = file.read(4)
    if start.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32-le" if start[0] else "utf-32-be"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16-le" if start[0] == 0xFF else "utf-16-be"
    found = json.detect_encoding(start)
    return "utf-8" if found.startswith("utf-8") else found


@contextmanager
def text_to_read(path: Path, encoding: str) -> Iterator[IO[str]]:
    """The text of a file, compressed or not; bytes that are not UTF-8 become halves of character pairs.

    Raises:
      InputError: no such encoding.
    """
    with open_decompressed(path) as file:
        try:
            yield io.TextIOWrapper(file, encoding, _errors(encoding), newline="\n")
        except LookupError as error:
            raise InputError(f"There is no encoding {encoding!r}; give a name such as utf-8 or cp1252.") from error


@contextmanager
def text_to_write(out: Path, source: Path, encoding: str) -> Iterator[IO[str]]:
    """A file to write, compressed as its suffix says; what `text_to_read` gave becomes the same bytes."""
    member = member_of(source) or out.with_suffix("").name
    with new_file(out, source) as name, open_compressed(name, compression_by_suffix(out), member) as file:
        text = io.TextIOWrapper(file, encoding, _errors(encoding), newline="\n")
        yield text
        text.flush()
        text.detach()


def has_stray(text: str) -> bool:
    """Whether a text of `text_to_read` stands for bytes that are not UTF-8."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def stray_notes(lines: list[int]) -> tuple[str, ...]:
    """A note on lines with bytes that are not UTF-8."""
    if not lines:
        return ()
    verb = "has" if len(lines) == 1 else "have"
    return (
        f"{count(len(lines), 'line')} {verb} bytes that are not UTF-8 (first: line {lines[0]:,}); they are shown as "
        "\ufffd and written back unchanged. Name the encoding if it is another one.",
    )


def _errors(encoding: str) -> str:
    return "surrogateescape" if encoding == "utf-8" else "strict"
