"""Arrow IPC files and streams (Feather, .arrow) as a `Source`; the file is mapped into memory and not copied."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.sources.arrow_edits import added_arrays, edited_table
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.nested import flat_notes, flat_paths, flat_table, is_utf8_error
from demix_jax.data.sources.output import new_file
from demix_jax.data.sources.source import Edits

_KIND = "Arrow file"
_ADVICE = "write it again"
_FILE_MAGIC, _OLD_MAGIC = b"ARROW1", b"FEA1"
_CODECS = {b"\x04\x22\x4d\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}  # by the first bytes of a compressed buffer
_COMPRESSED = re.compile(rb"\x00\x00\x00(\x04\x22\x4d\x18|\x28\xb5\x2f\xfd)")
_SEARCHED_BYTES = 1 << 23


class ArrowFileSource:
    """An Arrow IPC file or stream; see `Source`. Nested columns are flattened as the module `nested` says."""

    is_text = False

    def __init__(self, path: Path) -> None:
        """Map the file and read its schema.

        Raises:
          InputError: the file is missing or damaged, or two columns have one name.
        """
        self.path = path
        self._table, self._is_stream = read_arrow(path)
        self._paths = flat_paths(self._table.schema, printable(path))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._paths)

    @property
    def notes(self) -> tuple[str, ...]:
        return flat_notes(self._table.schema)

    def estimated_cells(self) -> int:
        return self._table.num_rows * len(self._paths)

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        with reading(self.path, _KIND, _ADVICE):
            for start in range(0, max(1, self._table.num_rows), num_rows):
                table = self._table.slice(start, num_rows)
                _check(table)
                yield flat_table(table, printable(self.path), first_row=start)

    def write_edited(self, out: Path, edits: Edits) -> None:
        added = added_arrays(edits, self._table.schema, printable(self.path))
        made = edited_table(self._table, edits, self._paths, added).unify_dictionaries()
        longest = max((len(batch) for batch in self._table.to_batches()), default=1)
        options = pa.ipc.IpcWriteOptions(compression=self._codec())
        new: Any = pa.ipc.new_stream if self._is_stream else pa.ipc.new_file
        with (
            new_file(out, self.path) as name,
            name.open("wb") as file,
            new(file, made.schema, options=options) as writer,
        ):
            writer.write_table(made, max_chunksize=max(1, longest))

    def _codec(self) -> str | None:
        """The compression of the first buffers, which the reader does not tell: their size comes before these bytes."""
        with reading(self.path, _KIND, _ADVICE), self.path.open("rb") as file:
            found = _COMPRESSED.search(file.read(_SEARCHED_BYTES))
        return _CODECS[found.group(1)] if found else None


def _check(table: pa.Table) -> None:
    """Raise ArrowInvalid if offsets or codes point outside of the data, which would end the process when used."""
    for column in table.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if not is_utf8_error(error):  # texts are checked when they are read, and then told by row
                raise


def read_arrow(path: Path) -> tuple[pa.Table, bool]:
    """The table of an Arrow IPC file or stream, mapped into memory, and whether it is a stream.

    Raises:
      InputError: the file is missing or damaged, or of an old format.
    """
    with reading(path, _KIND, _ADVICE), path.open("rb") as file:
        magic = file.read(len(_FILE_MAGIC))
    if magic.startswith(_OLD_MAGIC):
        raise InputError(f"{printable(path)} is a Feather file of version 1; write it again as version 2.")
    is_stream = magic != _FILE_MAGIC
    opened: Any = pa.ipc.open_stream if is_stream else pa.ipc.open_file
    with reading(path, _KIND, _ADVICE), path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return opened(pa.py_buffer(mapped)).read_all(), is_stream
