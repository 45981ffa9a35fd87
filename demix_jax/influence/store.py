"""An influence matrix on disk: a Zarr (version 3) group with one array, `influence`, opened lazily by TensorStore.

path/zarr.json             the group
path/influence/            the array; dimensions train × valid; each chunk with a CRC-32C of its own
path/manifest.json         what it was computed from
path/finished-00000.jsonl  the chunks that process 0 finished, with their SHA-256
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.files import json_text, write_text
from demix_jax.influence.grid import Chunk, Grid
from demix_jax.influence.manifest import ARRAY, Manifest, checksum, finished_chunks

_GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {"made_by": "demix_jax"}}


class StoredInfluence:
    """An influence matrix on disk, f[N, M]; index it with slices or numbers to read that part into memory.

    `numpy.asarray` reads it whole. What is read is checked against the checksum in its chunk; a chunk that is missing
    or damaged raises InputError.
    """

    def __init__(self, path: Path, manifest: Manifest, array: Any) -> None:
        self.path = path
        self.grid = manifest.grid
        self.manifest = manifest
        self._array = array

    @property
    def shape(self) -> tuple[int, int]:
        """(N, M)."""
        return self.grid.shape

    @property
    def dtype(self) -> np.dtype:
        """On disk."""
        return self._array.dtype.numpy_dtype

    def __repr__(self) -> str:
        return f"StoredInfluence({str(self.path)!r}, {self.manifest.dtype}{list(self.shape)})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        parts = index if isinstance(index, tuple) else (index,)
        if not any(part is None or part is Ellipsis for part in parts):
            parts = tuple(_counted_from_start(part, size) for part, size in zip(parts, self.shape, strict=False))
        chosen = self._array[parts]
        try:
            return np.asarray(chosen.read().result())
        except ValueError as error:
            raise InputError(
                f"a chunk of {self.path} cannot be read ({error}); call write_influence again to compute it anew."
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy  # what is read is always new
        return self[:].astype(dtype, copy=False)

    def missing(self) -> list[Chunk]:
        """The chunks that are not finished or not there; none for a complete matrix. Reads none of them."""
        finished = finished_chunks(self.path)
        return [
            chunk
            for chunk in self.grid.chunks()
            if (chunk.row, chunk.column) not in finished or not self._file(chunk).exists()
        ]

    def damaged(self) -> list[Chunk]:
        """The chunks that are missing or differ from their checksum; none for a sound matrix. Reads all of them."""
        finished = finished_chunks(self.path)
        return [chunk for chunk in self.grid.chunks() if not self.is_sound(chunk, finished)]

    def is_sound(self, chunk: Chunk, finished: dict[tuple[int, int], set[str]]) -> bool:
        """Whether `chunk` is on the disk as it was written. finished: from `finished_chunks`."""
        expected = finished.get((chunk.row, chunk.column), set())
        try:
            return bool(expected) and checksum(self[chunk.rows, chunk.columns]) in expected
        except InputError:
            return False

    def write(self, chunk: Chunk, values: np.ndarray) -> Any:
        """Begin to write a chunk; the future that comes back ends when it is on the disk."""
        return self._array[chunk.rows, chunk.columns].write(values)

    def discard(self, chunk: Chunk) -> None:
        """Remove what there is of a chunk, which would be read to fill up one that ends beyond the matrix."""
        file = self._file(chunk)
        for name in (file.name, f"{file.name}.__lock"):  # the second is TensorStore's, until it moves it there
            file.with_name(name).unlink(missing_ok=True)

    def _file(self, chunk: Chunk) -> Path:
        return self.path / ARRAY / "c" / str(chunk.row) / str(chunk.column)


def _counted_from_start(part: Any, size: int) -> Any:
    """An index along one axis as TensorStore takes it, for which negative numbers are not counted from the end."""
    if isinstance(part, slice):
        return slice(*part.indices(size))
    numbers = np.asarray(part)
    if numbers.dtype == bool:
        return np.flatnonzero(numbers)
    if numbers.size and not (-size <= numbers.min() and numbers.max() < size):
        raise IndexError(f"index {part} is out of bounds for an axis of {size}.")
    return np.where(numbers < 0, numbers + size, numbers) if numbers.ndim else int(part) + size * (part < 0)


def read_influence(path: str | os.PathLike) -> StoredInfluence:
    """Open an influence matrix that `write_influence` wrote, without reading it.

    Reading a part checks the checksum inside each chunk that it touches. `damaged()` compares every chunk with the
    manifest, which also finds chunks that were exchanged or removed. Other programs can open the same path:
    `zarr.open_group(path)["influence"]`, `xarray.open_zarr(path, consolidated=False).influence` (not bfloat16, which
    Zarr for Python does not know).

    Args:
      path: folder.
    Returns:
      StoredInfluence, f[N, M]: `[rows, columns]` gives NumPy arrays in the dtype on disk. Negative: raising the
      training sample's weight lowers the validation sample's loss.
    Raises:
      InputError: there is no such matrix, or it is not finished.
      ImportError: TensorStore is not installed.
    """
    stored = open_stored(path)
    missing = stored.missing()
    if missing:
        raise InputError(
            f"{path} is not finished: {len(missing)} of {stored.grid.num_chunks} chunks are missing; call "
            "write_influence again as before, which computes only these."
        )
    return stored


def open_stored(path: str | os.PathLike) -> StoredInfluence:
    """As `read_influence`, finished or not."""
    folder = Path(path)
    manifest = Manifest.load(folder)
    if manifest is None:
        raise InputError(f"{path} holds no influence matrix; pass the path that write_influence was given.")
    return StoredInfluence(folder, manifest, _open(folder, manifest.grid, manifest.dtype, create=False))


def create(path: Path, manifest: Manifest) -> None:
    """Make the files of a matrix of which nothing is finished, or what an interruption left out of them."""
    (path / ARRAY).mkdir(parents=True, exist_ok=True)
    if Manifest.load(path) is None:
        manifest.save(path)
    if not (path / "zarr.json").exists():
        write_text(path / "zarr.json", json_text(_GROUP))
    _open(path, manifest.grid, manifest.dtype, create=True)


def check_is_ours(path: Path) -> None:
    """InputError if the folder `path` has other things in it than a matrix whose writing just began."""
    for file in path.rglob("*"):
        if not (file.name.startswith(".writing-") or file == path / ARRAY):
            raise InputError(
                f"{path} has other files in it ({file.relative_to(path)}); name a new folder for the influence matrix."
            )


def tensorstore() -> Any:
    """The TensorStore package; ImportError with what to do if it is not installed."""
    try:
        import tensorstore
    except ImportError:
        raise ImportError(
            'influence on disk needs TensorStore, which is not installed; run: pip install "demix_jax[store]".'
        ) from None
    return tensorstore


def _open(path: Path, grid: Grid, dtype: str, *, create: bool) -> Any:
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str((path / ARRAY).absolute())},
        "fill_missing_data_reads": False,  # a missing chunk is an error, not a block of NaN
        "store_data_equal_to_fill_value": True,
        "metadata": {
            "shape": list(grid.shape),
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid.chunk_shape)}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "fill_value": "NaN",
            "dimension_names": ["train", "valid"],
        },
    }
    try:
        return tensorstore().open(spec, open=True, create=create).result()
    except ValueError as error:
        raise InputError(f"the array in {path} does not fit its manifest ({error}); write to another path.") from error
