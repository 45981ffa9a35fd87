"""A folder or a pattern of files as one table: the files stand one below the other, in the order of their names."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.formats import format_by_name
from demix_jax.data.sources.nested import few_of, json_text
from demix_jax.data.sources.rows_of_edits import edits_between
from demix_jax.data.sources.source import Edits, Source

_NO_TABLES = ("dataset_info.json", "dataset_dict.json", "state.json")  # what `datasets` writes beside its tables


class ManyFiles:
    """Files with the same columns as one table; see `Source`. Folders such as `year=2020` give a column `year`."""

    def __init__(self, path: Path, files: Sequence[Path], opened: Callable[[Path], Source]) -> None:
        """Open all files.

        Args:
          path: the folder, or the pattern. files: in order. opened: opens one of them.
        Raises:
          InputError: a file is no table, or its columns are others than the first one's.
        """
        self.path = path
        self._files = tuple(files)
        self._top = path if path.is_dir() else Path(os.path.commonpath([file.parent for file in files]))
        self._parts = tuple(opened(file) for file in files)
        self._folders = tuple(_folder_values(file.relative_to(self._top)) for file in files)
        self._names = _shared_names(self._files, self._parts)
        self._folder_names = _shared_folders(self._files, self._folders, self._names)
        self._num_rows: list[int | None] = [None] * len(files)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._names, *self._folder_names)

    @property
    def is_text(self) -> bool:
        return all(part.is_text for part in self._parts)

    @property
    def notes(self) -> tuple[str, ...]:
        names = [printable(file.relative_to(self._top)) for file in self._files]
        if len(names) == 1:
            return self._parts[0].notes
        notes = [f"{len(names):,} files were read as one table, in this order: {few_of(names)}."]
        for name, part in zip(names, self._parts, strict=True):
            notes += [f"{name}: {note}" for note in part.notes]
        return tuple(notes)

    def estimated_cells(self) -> int:
        return sum(part.estimated_cells() for part in self._parts)

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        kinds = self._types()
        for place, part in enumerate(self._parts):
            rows = 0
            for batch in part.batches(num_rows):
                rows += len(batch)
                columns = {name: _as_type(batch.column(name), kind) for name, kind in kinds.items()}
                for name in self._folder_names:
                    columns[name] = pa.chunked_array([pa.repeat(self._folders[place][name], len(batch))])
                yield pa.table(columns)
            self._num_rows[place] = rows

    def write_edited(self, out: Path, edits: Edits) -> None:
        """Write a folder with the same files.

        Raises:
          InputError: `out` is a file or a folder that is not empty, or a column that folders give is edited.
        """
        constant = [name for name in edits.cells if name in self._folder_names]
        if constant:
            raise InputError(f"The column {constant[0]!r} comes from the names of folders, so it cannot be changed.")
        if out.exists() and (out.is_file() or any(out.iterdir())):
            raise InputError(f"{printable(out)} exists already; name a new folder for the files.")
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".writing-", dir=out.parent))
        try:
            self._write_parts(beside, edits)
            beside.chmod(0o777 & ~_umask())
            os.replace(beside, out)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _write_parts(self, folder: Path, edits: Edits) -> None:
        start = 0
        for place, (file, part) in enumerate(zip(self._files, self._parts, strict=True)):
            stop = start + self._rows_of(place)
            target = folder / file.relative_to(self._top)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.write_edited(target, edits_between(edits, start, stop))
            start = stop

    def _rows_of(self, place: int) -> int:
        """The number of rows of a file, counted unless it was read already."""
        known = self._num_rows[place]
        if known is None:
            known = sum(len(batch) for batch in self._parts[place].batches(1 << 16))
            self._num_rows[place] = known
        return known

    def _types(self) -> dict[str, pa.DataType]:
        """A type for each column that holds the values of all files."""
        schemas = [next(iter(part.batches(1))).schema for part in self._parts]
        return {name: _common_type([schema.field(name).type for schema in schemas]) for name in self._names}


def files_in(folder: Path) -> list[Path]:
    """The tables in a folder and its folders, by name; hidden files and those that begin with `_` are skipped.

    Raises:
      InputError: there is none, or there are tables of several formats.
    """
    with reading(folder):
        found = sorted(file for file in folder.rglob("*") if file.is_file())
    tables: dict[str, list[Path]] = {}
    for file in found:
        kind, inside = format_by_name(file), file.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in inside.parts)
        if kind is not None and not hidden and file.name not in _NO_TABLES:
            tables.setdefault(kind, []).append(file)
    where = printable(folder)
    if not tables:
        raise InputError(f"{where} is a folder without tables; give a folder of .csv or .parquet files.")
    if len(tables) > 1:
        kinds = ", ".join(f"{kind} such as {files[0].name}" for kind, files in tables.items())
        raise InputError(f"{where} has tables of several formats ({kinds}); give a pattern such as {where}/*.csv.")
    return next(iter(tables.values()))


def files_of_pattern(pattern: Path) -> list[Path]:
    """The files that a pattern such as part-*.csv stands for, by name; none if it is no pattern."""
    if not glob.has_magic(str(pattern)):
        return []
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    return [file for file in found if file.is_file() and not file.name.startswith((".", "_"))]


def _folder_values(inside: Path) -> dict[str, str]:
    """Columns that the folders of a file stand for, such as year=2020."""
    return dict(part.split("=", 1) for part in inside.parent.parts if "=" in part)


def _shared_names(files: Sequence[Path], parts: Sequence[Source]) -> tuple[str, ...]:
    """The columns of all files, in the order of the first one."""
    first = parts[0].names
    for file, part in zip(files, parts, strict=True):
        lacking = [name for name in first if name not in part.names]
        extra = [name for name in part.names if name not in first]
        if lacking or extra:
            lacks = f"lacks {lacking[0]!r}" if lacking else f"also has {extra[0]!r}"
            raise InputError(
                f"{printable(file)} {lacks}, unlike {printable(files[0])}; files that are one table need the same "
                "columns, so leave out what is no part of it."
            )
    return first


def _shared_folders(files: Sequence[Path], folders: Sequence[dict[str, str]], names: Sequence[str]) -> tuple[str, ...]:
    for file, values in zip(files, folders, strict=True):
        if values.keys() != folders[0].keys():
            raise InputError(
                f"{printable(file)} lies in other folders than {printable(files[0])}; expected folders such as "
                f"{'/'.join(f'{name}=…' for name in folders[0]) or 'one for all files'} for each."
            )
    return tuple(name for name in folders[0] if name not in names)


def _common_type(kinds: Sequence[pa.DataType]) -> pa.DataType:
    if len(set(kinds)) == 1:
        return kinds[0]
    try:
        schemas = [pa.schema([pa.field("x", kind)]) for kind in kinds]
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:  # a number in one file and a text in another
        return pa.large_string()


def _as_type(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowException:
        texts = [None if v is None else json_text(v) if isinstance(v, list) else str(v) for v in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
