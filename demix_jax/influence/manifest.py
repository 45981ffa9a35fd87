"""What a stored influence matrix is made of, and which of its chunks are finished: files in the array's folder.

`manifest.json` is written once and says from what the matrix is computed. Each process adds a line to a journal of
its own, `finished-00000.jsonl`, after a chunk has reached the disk; a line that an interruption cut short does not
count.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.files import json_text, write_text
from demix_jax.influence.grid import Chunk, Grid
from demix_jax.influence.provenance import Provenance

DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype(np.float16)}

FORMAT = 1
ARRAY = "influence"  # name of the array in its group, in whose folder other programs look for nothing else
_MANIFEST = f"{ARRAY}/manifest.json"


class Manifest(NamedTuple):
    """A stored matrix: how it is cut into chunks, the dtype on disk, and what it is computed from."""

    grid: Grid
    dtype: str
    source: Provenance

    @property
    def chunk_bytes(self) -> int:
        """What a chunk takes on disk, its line in the journal and the rest of its last disk block included."""
        values = math.prod(self.grid.chunk_shape) * DTYPES[self.dtype].itemsize
        return values + 2**13

    def save(self, path: Path) -> None:
        """Write `manifest.json` for the matrix in `path`, atomically."""
        content = {
            "format": FORMAT,
            "shape": self.grid.shape,
            "chunk_shape": self.grid.chunk_shape,
            "dtype": self.dtype,
            **self.source._asdict(),
        }
        write_text(path / _MANIFEST, json_text(content))

    @classmethod
    def load(cls, path: Path) -> Manifest | None:
        """The manifest of the matrix in `path`; None if there is no such file.

        Raises:
          InputError: the file is none of this version's manifests.
        """
        try:
            content = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            grid = Grid(tuple(content["shape"]), tuple(content["chunk_shape"]))
            return cls(grid, content["dtype"], Provenance(*(content[name] for name in Provenance._fields)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path / _MANIFEST} is no manifest of this version of demix_jax ({error}); name another path."
            ) from error


class Journal:
    """The finished chunks and their checksums; holding one open keeps other processes from writing to it."""

    def __init__(self, path: Path, process: int) -> None:
        """Open process number `process`'s journal for the matrix in `path`.

        Raises:
          InputError: another process has it open.
        """
        self._file = open(path / ARRAY / f"finished-{process:05d}.jsonl", "a+b", buffering=0)
        if not _locked(self._file.fileno()):
            self._file.close()
            raise InputError(f"another process is writing to {path}; wait for it, or name another path.")
        self._file.seek(0)
        self._end = self._file.read().rfind(b"\n") + 1

    def add(self, chunk: Chunk, checksum: str) -> None:
        """Note that `chunk` is on the disk."""
        line = json.dumps({"row": chunk.row, "column": chunk.column, "sha256": checksum}).encode() + b"\n"
        self._file.truncate(self._end)  # what an interruption or a full disk left of a line
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        os.fsync(self._file.fileno())
        self._end += len(line)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def finished_chunks(path: Path) -> dict[tuple[int, int], set[str]]:
    """(row, column) of each chunk that any process finished → its checksum.

    There may be several where a chunk was computed anew on a device that rounds otherwise: each is of a right result.
    """
    finished: dict[tuple[int, int], set[str]] = {}
    for journal in path.glob(f"{ARRAY}/finished-*.jsonl"):
        for line in journal.read_bytes().split(b"\n")[:-1]:
            try:
                entry = json.loads(line)
                finished.setdefault((entry["row"], entry["column"]), set()).add(entry["sha256"])
            except (ValueError, KeyError, TypeError):  # not a whole line
                continue
    return finished


def checksum(values: np.ndarray) -> str:
    """SHA-256 of a chunk's values as they are stored."""
    return hashlib.sha256(np.ascontiguousarray(values).view(np.uint8).data).hexdigest()


def _locked(handle: int) -> bool:
    """Lock a file until it is closed; False if another process has. Where there are no locks nothing is locked."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        pass
    return True
