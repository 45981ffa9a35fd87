"""Parquet files as a `Source`: read and written row group by row group, with schema and metadata unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from demix_jax.data.sources.arrow_edits import added_arrays, edited_schema, edited_table
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.nested import flat_notes, flat_paths, flat_table
from demix_jax.data.sources.output import new_file
from demix_jax.data.sources.rows_of_edits import edits_between
from demix_jax.data.sources.source import Edits

_KIND = "Parquet file"
_ADVICE = "write it again"


class ParquetSource:
    """A Parquet file; see `Source`. Nested columns are flattened as the module `nested` says."""

    is_text = False

    def __init__(self, path: Path) -> None:
        """Read the schema.

        Raises:
          InputError: the file is missing or damaged, or two columns have one name.
        """
        self.path = path
        with reading(path, _KIND, _ADVICE), _opened(path) as file:
            self._metadata = file.metadata
            self._schema = file.schema_arrow
        self._paths = flat_paths(self._schema, printable(path))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._paths)

    @property
    def notes(self) -> tuple[str, ...]:
        return flat_notes(self._schema)

    def estimated_cells(self) -> int:
        return self._metadata.num_rows * len(self._paths)

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        with reading(self.path, _KIND, _ADVICE), _opened(self.path) as file:
            start = 0
            for batch in file.iter_batches(num_rows):
                table = pa.Table.from_batches([batch])
                yield flat_table(table, printable(self.path), first_row=start)
                start += len(table)

    def write_edited(self, out: Path, edits: Edits) -> None:
        added = added_arrays(edits, self._schema, printable(self.path))
        schema = edited_schema(self._schema, added)
        options = self._options(list(added))
        start = 0
        with (
            new_file(out, self.path) as name,
            name.open("wb") as file,
            pq.ParquetWriter(file, schema, **options) as writer,
        ):
            for table in self._row_groups():
                stop = start + len(table)
                parts = {name: values[start:stop] for name, values in added.items()}
                made = edited_table(table, edits_between(edits, start, stop), self._paths, parts)
                start = stop
                if len(made):
                    writer.write_table(made, row_group_size=len(made))

    def _row_groups(self) -> Iterator[pa.Table]:
        with reading(self.path, _KIND, _ADVICE), _opened(self.path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)

    def _options(self, added: list[str]) -> dict[str, Any]:
        """How the file is written: format version, and codec and dictionary of each column, as in its first group."""
        metadata = self._metadata
        if not metadata.num_row_groups:
            return {}
        group = metadata.row_group(0)
        chunks = [group.column(place) for place in range(group.num_columns)]
        usual = chunks[0].compression
        codecs = {chunk.path_in_schema: _codec(chunk.compression) for chunk in chunks}
        return {
            "version": metadata.format_version if metadata.format_version in ("1.0", "2.4", "2.6") else "2.6",
            "compression": codecs | dict.fromkeys(added, _codec(usual)),
            "use_dictionary": [*(c.path_in_schema for c in chunks if c.has_dictionary_page), *added] or False,
            "use_deprecated_int96_timestamps": any(chunk.physical_type == "INT96" for chunk in chunks),
        }


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file, opened by Python: Arrow cannot open names that are not UTF-8."""
    with path.open("rb") as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
        yield file


def _codec(name: str) -> str:
    return "NONE" if name == "UNCOMPRESSED" else name
