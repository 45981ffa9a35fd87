"""The front of all sources: opens a file, a folder or a pattern of files by its content and its name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.sources.arrow_file import ArrowFileSource
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.compression import compression_of
from demix_jax.data.sources.delimited.source import open_delimited
from demix_jax.data.sources.formats import TEXTS, format_by_name, format_of, with_article
from demix_jax.data.sources.json_records import open_json
from demix_jax.data.sources.many_files import ManyFiles, files_in, files_of_pattern
from demix_jax.data.sources.parquet import ParquetSource
from demix_jax.data.sources.source import Edits, Source
from demix_jax.data.sources.spreadsheet import SpreadsheetSource

_BATCH_ROWS = 1 << 16


def open_source(path: str | os.PathLike, *, encoding: str | None = None, sheet: str | int | None = None) -> Source:
    """A table on disk as it is written.

    Args:
      path: a file; a folder or a pattern such as part-*.csv, whose files are read as one table. Delimited text and JSON
        may be compressed (gz, zip, zst, bz2, xz). A file whose content is of another format than its name says is read
        as what it is, with a note.
      encoding: of a text file; None: found by its bytes. sheet: of a workbook, by name or number from 1.
    Raises:
      InputError: no such file, no table, or an option that does not fit the format; the message says what to do.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return ManyFiles(path, files_in(path), lambda file: _open_file(file, encoding, sheet))
    if not os.path.lexists(path):
        files = files_of_pattern(path)
        if not files:
            raise InputError(missing_file(path))
        return ManyFiles(path, files, lambda file: _open_file(file, encoding, sheet))
    return _open_file(path, encoding, sheet)


def read_source(source: Source) -> pa.Table:
    """The whole table of N rows, with the columns `source.names`.

    Raises:
      InputError: the file is damaged, or has no rows.
    """
    table = pa.concat_tables(source.batches(_BATCH_ROWS))
    if not len(table):
        where = "The table" if source.path is None else printable(source.path)
        raise InputError(f"{where} has a header but no rows; expected at least one row of data.")
    return table


def missing_file(path: Path) -> str:
    """The sentence on a file that does not exist, with similar names in its folder."""
    if not path.parent.is_dir():
        return f"{printable(path)} does not exist, nor does the folder {printable(path.parent)}; check the path."
    with reading(path.parent):
        names = [file.name for file in path.parent.iterdir() if not file.name.startswith(".")]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(printable, close))}?" if close else "check the path."
    return f"{printable(path)} does not exist; {hint}"


class _Noted:
    """A source with one more note."""

    def __init__(self, source: Source, note: str) -> None:
        self._source, self._note = source, note
        self.path, self.names, self.is_text = source.path, source.names, source.is_text

    @property
    def notes(self) -> tuple[str, ...]:
        return (self._note, *self._source.notes)

    def estimated_cells(self) -> int:
        return self._source.estimated_cells()

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        return self._source.batches(num_rows)

    def write_edited(self, out: Path, edits: Edits) -> None:
        self._source.write_edited(out, edits)


def _open_file(path: Path, encoding: str | None, sheet: str | int | None) -> Source:
    kind = format_of(path)
    _check_options(path, kind, encoding, sheet)
    compression = compression_of(path)
    if compression is not None and kind in ("Parquet", "Arrow"):
        raise InputError(f"{printable(path)} is a compressed {kind} file; unpack it first.")
    match kind:
        case "Parquet":
            source: Source = ParquetSource(path)
        case "Arrow":
            source = ArrowFileSource(path)
        case "workbook":
            source = SpreadsheetSource(path, sheet=sheet)
        case "JSON":
            source = open_json(path, encoding=encoding)
        case _:
            source = open_delimited(path, encoding=encoding)
    if kind == format_by_name(path):
        return source
    return _Noted(
        source, f"{printable(path)} holds {with_article(kind)}, whatever its name says, and was read as that."
    )


def _check_options(path: Path, kind: str, encoding: str | None, sheet: str | int | None) -> None:
    if encoding is not None and kind not in TEXTS:
        raise InputError(f"{printable(path)} is {with_article(kind)}, which has no encoding to choose; leave it out.")
    if sheet is not None and kind != "workbook":
        raise InputError(f"{printable(path)} is {with_article(kind)}, which has no sheets; leave the sheet out.")
