"""The influence matrix written to disk chunk by chunk, so that an interruption costs a few chunks at most."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.files import check_writable, nearest_folder
from demix_jax.common.wording import in_words
from demix_jax.curvature import Curvature
from demix_jax.gradients.per_example import Loss, PyTree
from demix_jax.gradients.stream import bytes_of
from demix_jax.influence.blocks import IDENTITY, InfluenceBlocks
from demix_jax.influence.grid import Chunk, computed_on_all_devices, grid_for
from demix_jax.influence.manifest import DTYPES, Journal, Manifest, checksum, finished_chunks
from demix_jax.influence.provenance import Provenance
from demix_jax.influence.store import StoredInfluence, check_is_ours, create, open_stored, read_influence, tensorstore

logger = logging.getLogger("demix_jax")

# Chunks on their way to the disk while the next ones are computed.
IN_FLIGHT = 2


def write_influence(
    path: str | os.PathLike,
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    curvature: Curvature = IDENTITY,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
    dtype: str = "float32",
    chunk_shape: tuple[int, int] | None = None,
) -> StoredInfluence:
    """Write the influence matrix to a Zarr array on disk; go on where an earlier call was interrupted.

    Whatever ended the earlier call — Ctrl-C, kill, power, a full disk — calling again with the same arguments
    computes the chunks that are missing, and ends with the same bits as a call that ran through (on the same kind
    of device and version of JAX; a change of either is logged). Chunks found finished are first compared with
    their checksums, and those that differ are computed anew, with a warning in the log.

    Every device of the process computes chunks of its own, on which their bits do not depend.
    After `jax.distributed.initialize()` each process computes and writes its own rows of chunks; all of them call
    with the same arguments and a `path` on a file system that they share. The number of processes may change from
    one call to the next. Leaves of `train` that are NumPy arrays, mapped from files or not, are read a block at a
    time, by each process only the rows that it needs (and once whole, for a fingerprint).

    Args:
      path: folder, new or begun by an earlier call.
      loss, params, train, valid, curvature, normalize, select, memory: as in `influence_matrix`.
      dtype: on disk, "float32", "bfloat16" or "float16"; computed in f32 at least in any case.
      chunk_shape: training × validation samples per chunk, the unit that is computed, stored, lost and read; None for
        as many as `memory` allows, in chunks of a sixteenth of it.
    Returns:
      The finished matrix as `read_influence(path)` opens it.
    Raises:
      InputError: as `influence_matrix`; `path` holds something else, or influence begun with other params, data, loss
        or options; the disk has too little room for the rest; values do not fit in `dtype`.
      OSError: a chunk could not be written; the message says how many are safe.
      ImportError: TensorStore is not installed.
    """
    tensorstore()
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; pass one of {', '.join(DTYPES)}.")
    check_writable(path, folder=True)
    folder = Path(path)
    memory = bytes_of(memory)
    options = {"curvature": curvature, "normalize": normalize, "select": select, "memory": memory}
    source = Provenance.of(loss, params, train, valid, **options, dtype=dtype, chunk_shape=chunk_shape)
    begun = Manifest.load(folder)
    if begun is None:
        check_is_ours(folder)
    else:
        source.check_same(begun.source, folder)
    _wait_for_all("checked")
    blocks = None
    if begun is None:
        blocks = InfluenceBlocks.make(loss, params, train, valid, **options)
        begun = Manifest(grid_for(blocks, chunk_shape), dtype, source)
        check_room(folder, begun, list(begun.grid.chunks()))
    if jax.process_index() == 0:
        create(folder, begun)
    _wait_for_all("created")
    with Journal(folder, jax.process_index()) as journal:
        stored = open_stored(folder)
        unfinished = _unfinished(stored)
        check_room(folder, begun, unfinished)
        if unfinished:
            blocks = blocks or InfluenceBlocks.make(loss, params, train, valid, **options)
            _write_chunks(stored, journal, computed_on_all_devices(blocks, stored.grid, unfinished))
    _wait_for_all("written")
    return read_influence(folder)


def check_room(folder: Path, manifest: Manifest, chunks: list[Chunk]) -> None:
    """InputError if the disk has no room for `chunks`."""
    free = shutil.disk_usage(nearest_folder(folder)).free
    needed = len(chunks) * manifest.chunk_bytes
    if needed > free:
        num = manifest.grid.num_chunks
        raise InputError(
            f"influence for {folder} takes {in_words(needed)} more, but only {in_words(free)} are free there; "
            f"{num - len(chunks)} of {num} chunks are finished and stay. Make room, or begin on another disk, with "
            'dtype="bfloat16" or with fewer validation samples.'
        )


def _unfinished(stored: StoredInfluence) -> list[Chunk]:
    """This process's chunks that are not on the disk as they should be: every so many-th row of chunks is its own."""
    finished = finished_chunks(stored.path)
    own = [chunk for chunk in stored.grid.chunks() if chunk.row % jax.process_count() == jax.process_index()]
    unfinished = [chunk for chunk in own if not stored.is_sound(chunk, finished)]
    for chunk in unfinished:
        stored.discard(chunk)
    damaged = sum((chunk.row, chunk.column) in finished for chunk in unfinished)
    if damaged:
        logger.warning("%s: %d finished chunks differ from their checksum; computed anew.", stored.path, damaged)
    if len(unfinished) < len(own):
        logger.info("%s: going on after %d of %d chunks.", stored.path, len(own) - len(unfinished), len(own))
    return unfinished


def _write_chunks(stored: StoredInfluence, journal: Journal, chunks: Iterator[tuple[Chunk, jax.Array]]) -> None:
    """Write `chunks` while the next ones are computed, and note each one as soon as it is safe."""
    in_flight: deque[tuple[Chunk, str, Any]] = deque()

    def settle() -> None:
        chunk, digest, writing = in_flight.popleft()
        try:
            writing.result()
            journal.add(chunk, digest)
        except (ValueError, OSError) as error:
            code = errno.ENOSPC if "No space left" in str(error) else getattr(error, "errno", None) or errno.EIO
            safe = stored.grid.num_chunks - len(stored.missing())
            raise OSError(
                code,
                f"chunk ({chunk.row}, {chunk.column}) could not be written to {stored.path}: {error}. {safe} of "
                f"{stored.grid.num_chunks} chunks are safe; call again to go on from there",
            ) from error

    try:
        for chunk, block in chunks:
            values = _as_stored(block, stored.dtype, chunk)
            in_flight.append((chunk, checksum(values), stored.write(chunk, values)))
            if len(in_flight) > IN_FLIGHT:
                settle()
        while in_flight:
            settle()
    finally:  # after an error, too, nothing of this call may write any more when the next one begins
        for _, _, writing in in_flight:
            with contextlib.suppress(Exception):
                writing.result()


def _as_stored(block: jax.Array, dtype: np.dtype, chunk: Chunk) -> np.ndarray:
    values = np.asarray(block.astype(dtype))
    if not np.isfinite(values).all():
        raise InputError(
            f"influence of up to {float(jnp.abs(block).max()):.1e} in training samples from {chunk.rows.start} on does "
            f'not fit in {dtype.name}; pass dtype="bfloat16" or "float32", or normalize="cosine".'
        )
    return values


def _wait_for_all(step: str) -> None:
    """Until every process is here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(f"demix_jax write_influence {step}")
