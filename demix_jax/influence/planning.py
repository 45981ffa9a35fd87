"""How long an influence matrix will take, and how much memory and disk, before it is computed."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from demix_jax.common.checks import InputError
from demix_jax.common.files import nearest_folder
from demix_jax.common.wording import in_words
from demix_jax.curvature import Curvature
from demix_jax.gradients.per_example import Loss, PyTree, num_examples
from demix_jax.gradients.stream import as_arrays, bytes_of, num_bytes
from demix_jax.influence.blocks import IDENTITY, InfluenceBlocks
from demix_jax.influence.grid import Grid, default_chunk_shape
from demix_jax.influence.manifest import DTYPES
from demix_jax.influence.timing import drawn, first_examples, hashing_seconds, measured_steps, writing_seconds
from demix_jax.influence.write import IN_FLIGHT

# What compiled programs and the libraries' threads take.
_PROGRAMS_BYTES = 12 * 2**20

# Times that a chunk is held on its way to the disk: its values, TensorStore's copy, encoded, with its checksum …
_COPIES = 6

# No less `memory` is tried of its own accord.
_LEAST_MEMORY = 2**24


class InfluencePlan(NamedTuple):
    """What `write_influence` with the same arguments will need, in one process.

    num_parameters: P. grid: how the matrix of N × M is cut into chunks. memory: bytes to work in, to be passed on.
    peak_memory: bytes beyond what the process and the data take. disk: bytes.
    compile_seconds: once per process. fit_seconds: for the curvature. compute_seconds: for all chunks.
    write_seconds: for reading the data once, for its fingerprint, and for checksums and writing.
    """

    num_parameters: int
    grid: Grid
    memory: int
    peak_memory: int
    disk: int
    compile_seconds: float
    fit_seconds: float
    compute_seconds: float
    write_seconds: float

    @property
    def seconds(self) -> float:
        """From start to end."""
        return self.compile_seconds + self.fit_seconds + self.compute_seconds + self.write_seconds


def influence_plan(
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
    path: str | os.PathLike | None = None,
    available_memory: int | None = None,
) -> InfluencePlan:
    """Predict what `write_influence` will take on this machine with nothing else to do, after a few seconds of trials.

    Args:
      loss, curvature, normalize, select, dtype: as in `write_influence`.
      params, train, valid: as there; any array may be a `jax.ShapeDtypeStruct`, for which numbers are drawn.
      memory: bytes to work in; None for the default of `write_influence`, or less where that does not fit.
      path: where it will be written; None leaves the disk out of account.
      available_memory: bytes that may be used; None for what the system says is free.
    Returns:
      InfluencePlan; pass its `memory` on.
    Raises:
      InputError: it cannot fit in memory or on the disk, with what to change; or as `influence_matrix`.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; pass one of {', '.join(DTYPES)}.")
    train, valid, params = _arrays(train), _arrays(valid), jax.tree.map(drawn, _arrays(params))
    shape = (num_examples(train, "train"), num_examples(valid, "valid"))
    folder = None if path is None else nearest_folder(Path(path))
    if folder is not None:
        _check_disk(shape, dtype, folder)
    available = _free_memory() if available_memory is None else available_memory
    samples = min(shape[0], getattr(curvature, "samples", None) or shape[0])

    def make(memory: int, train: PyTree, valid: PyTree) -> InfluenceBlocks:
        return InfluenceBlocks.make(
            loss, params, train, valid, curvature, normalize=normalize, select=select, memory=memory
        )

    one = first_examples(train, 1), first_examples(valid, 1)
    space = _working_space(lambda memory: make(memory, *one), shape, DTYPES[dtype].itemsize, memory, available)
    steps = measured_steps(partial(make, space.memory), train, valid, shape, samples, space.num_parameters)
    peak = int(max(space.bytes + steps.kept, 3 * steps.kept))
    if available is not None and peak > available:
        raise InputError(
            f"the curvature of {samples:,} samples takes the memory needed to {in_words(peak)}, but "
            f"{in_words(available)} are available; give it fewer `samples`."
        )
    chunk = math.prod(space.grid.chunk_shape)
    num_chunks = shape[0] * shape[1] / chunk
    disk = space.grid.num_chunks * (chunk * DTYPES[dtype].itemsize + 4)  # the last ones of an axis are filled up
    computing = space.grid.num_columns * steps.column + num_chunks * steps.chunk
    writing = 0.0
    if folder is not None:
        writing = num_chunks * writing_seconds(folder, chunk * DTYPES[dtype].itemsize)
        writing += hashing_seconds(train) * (num_bytes(train) + num_bytes(valid))
    return InfluencePlan(
        space.num_parameters, space.grid, space.memory, peak, disk, steps.compile, steps.fit, computing, writing
    )


class _Space(NamedTuple):
    """bytes: at the peak with so much `memory` to work in, beside the fitted curvature."""

    memory: int
    bytes: int
    grid: Grid
    num_parameters: int


def _working_space(
    make: Callable[[int], InfluenceBlocks],
    shape: tuple[int, int],
    itemsize: int,
    memory: int | None,
    available: int | None,
) -> _Space:
    """With `memory`, or with the largest that fits if it is None; InputError if none does."""
    tried = bytes_of(memory)
    while True:
        blocks = make(tried)
        grid = Grid(shape, default_chunk_shape(shape, blocks))
        working = _working_bytes(blocks, grid, itemsize)
        if available is None or working <= available:
            return _Space(tried, working, grid, blocks.train_gradients.shape().num_parameters)
        if memory is not None or tried <= _LEAST_MEMORY:
            raise InputError(
                f"working on chunks of {grid.chunk_shape[0]:,} × {grid.chunk_shape[1]:,} samples takes "
                f"{in_words(working)}, but {in_words(available)} are available; pass a smaller memory (it is "
                f"{in_words(tried)}) or fewer parameters by select."
            )
        tried //= 2


def _working_bytes(blocks: InfluenceBlocks, grid: Grid, itemsize: int) -> int:
    """Bytes at the peak beside the fitted curvature: gradients of a block, and chunks on their way to the disk."""
    train, valid = blocks.train_gradients, blocks.valid_gradients
    directions = 4 * valid.shape().num_parameters if blocks.fitted.in_full else num_bytes(valid.shape())
    columns = grid.chunk_shape[1] * (num_bytes(valid.shape()) + directions)
    length = min(blocks.length_for(grid.shape), grid.chunk_shape[0])
    one_pass = train.pass_length(length) * (2 * num_bytes(train.shape()) + num_bytes(train.plan.shape()))
    in_flight = min(IN_FLIGHT + 1, grid.num_chunks)
    chunks = math.prod(grid.chunk_shape) * (2 * 4 + _COPIES * itemsize * in_flight)
    return columns + 2 * length * num_bytes(train.shape()) + one_pass + chunks + _PROGRAMS_BYTES


def _check_disk(shape: tuple[int, int], dtype: str, folder: Path) -> None:
    disk = shape[0] * shape[1] * DTYPES[dtype].itemsize
    free = shutil.disk_usage(folder).free
    if disk > free:
        fitting = free // (shape[0] * DTYPES[dtype].itemsize)
        raise InputError(
            f"influence of {shape[0]:,} × {shape[1]:,} samples takes {in_words(disk)} in {dtype}, but {in_words(free)} "
            f'are free in {folder}; pass at most {fitting:,} validation samples, dtype="bfloat16", or a path on '
            "another disk."
        )


def _free_memory() -> int | None:
    """Bytes that the system could give to a new program; None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def _arrays(tree: PyTree) -> PyTree:
    """`as_arrays`, with shapes left as they are."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.ShapeDtypeStruct) else as_arrays(leaf), tree)
