"""Arrow IPC files and streams (Feather, .arrow) as a `Source`; the file is mapped into memory and not copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.sources.arrow_edits import added_arrays, edited_table
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.nested import flat_notes, flat_paths, flat_table
from demix_jax.data.sources.source import Edits

_KIND = "Arrow file"
_ADVICE = "write it again"
_FILE_MAGIC, _OLD_MAGIC = b"ARROW1", b"FEA1"
_CODECS = {b"\x04\x22\x4d\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}  # by the first bytes of a compressed buffer


class ArrowFileSource:
    """An Arrow IPC file or stream; see `Source`. Nested columns are flattened as the module `nested` says."""

    is_text = False

    def __init__(self, path: Path) -> None:
        """Map the file and read its schema.

        Raises:
          InputError: the file is missing or damaged, or two columns have one name.
        """
        self.path = path
        with reading(path, _KIND, _ADVICE), path.open("rb") as file:
            magic = file.read(len(_FILE_MAGIC))
        if magic.startswith(_OLD_MAGIC):
            raise InputError(f"{printable(path)} is a Feather file of version 1; write it again as version 2.")
        self._is_stream = magic != _FILE_MAGIC
        self._table = self._read()
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
            self._table.validate()
            for start in range(0, max(1, self._table.num_rows), num_rows):
                yield flat_table(self._table.slice(start, num_rows), printable(self.path), first_row=start)

    def write_edited(self, out: Path, edits: Edits) -> None:
        added = added_arrays(edits, self._table.schema, printable(self.path))
        made = edited_table(self._table, edits, self._paths, added).unify_dictionaries()
        longest = max((len(batch) for batch in self._table.to_batches()), default=1)
        options = pa.ipc.IpcWriteOptions(compression=self._codec())
        new: Any = pa.ipc.new_stream if self._is_stream else pa.ipc.new_file
        with new(out, made.schema, options=options) as writer:
            writer.write_table(made, max_chunksize=max(1, longest))

    def _read(self) -> pa.Table:
        opened: Any = pa.ipc.open_stream if self._is_stream else pa.ipc.open_file
        with reading(self.path, _KIND, _ADVICE):
            return opened(pa.memory_map(str(self.path))).read_all()

    def _codec(self) -> str | None:
        """The compression of the first buffers, which the reader does not tell."""
        with reading(self.path, _KIND, _ADVICE):
            content = pa.memory_map(str(self.path)).read_buffer()
            if not self._is_stream:
                content = content.slice(8)  # magic and padding; messages follow as in a stream
            for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(content)):
                if message.body is not None and message.body.size:
                    start = message.body.slice(0, min(message.body.size, 1 << 16)).to_pybytes()
                    return next((name for magic, name in _CODECS.items() if magic in start), None)
        return None
