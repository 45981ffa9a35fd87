"""How an N × M influence matrix is cut into chunks, which are both computed and stored as a whole."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from demix_jax.common.checks import InputError
from demix_jax.influence.blocks import InfluenceBlocks

# Fewer rows at a time would cost more to dispatch than to compute.
_FEWEST_ROWS = 16


class Chunk(NamedTuple):
    """Training samples `rows`, validation samples `columns`; (row, column) is its place among the chunks."""

    row: int
    column: int
    rows: slice
    columns: slice


class Grid(NamedTuple):
    """shape: (N, M). chunk_shape: samples per chunk; the last of an axis may be smaller."""

    shape: tuple[int, int]
    chunk_shape: tuple[int, int]

    @property
    def num_rows(self) -> int:
        """Chunks along the training samples."""
        return math.ceil(self.shape[0] / self.chunk_shape[0])

    @property
    def num_columns(self) -> int:
        """Chunks along the validation samples."""
        return math.ceil(self.shape[1] / self.chunk_shape[1])

    @property
    def num_chunks(self) -> int:
        return self.num_rows * self.num_columns

    def column_chunks(self, column: int) -> Iterator[Chunk]:
        """The chunks of one block of validation samples."""
        for row in range(self.num_rows):
            yield Chunk(row, column, self._part(0, row), self._part(1, column))

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, one block of validation samples after another."""
        for column in range(self.num_columns):
            yield from self.column_chunks(column)

    def _part(self, axis: int, number: int) -> slice:
        start = number * self.chunk_shape[axis]
        return slice(start, min(start + self.chunk_shape[axis], self.shape[axis]))


def grid_for(blocks: InfluenceBlocks, chunk_shape: tuple[int, int] | None) -> Grid:
    """The grid of `blocks`, with chunks of the given shape or of `default_chunk_shape`.

    Raises:
      InputError: `chunk_shape` is not two positive numbers, or has more columns than fit in memory.
    """
    shape = (blocks.num_train, blocks.num_valid)
    if chunk_shape is None:
        return Grid(shape, default_chunk_shape(shape, blocks))
    if len(chunk_shape) != 2 or min(chunk_shape) < 1:
        raise InputError(f"chunk_shape is {chunk_shape}; pass two positive numbers: training and validation samples.")
    rows, columns = (min(size, most) for size, most in zip(chunk_shape, shape, strict=True))
    if columns > blocks.most_columns:
        raise InputError(
            f"chunk_shape has {columns} validation samples, but the gradients of {blocks.most_columns} fill the memory "
            "to work in; pass fewer, or a larger memory."
        )
    return Grid(shape, (rows, columns))


def default_chunk_shape(shape: tuple[int, int], blocks: InfluenceBlocks) -> tuple[int, int]:
    """As many columns as fit in memory, and a power of two of rows, so that a chunk takes a sixteenth of it."""
    columns = blocks.width_for(shape[1])
    fitting = blocks.train_gradients.memory // 16 // (columns * 4)
    return min(2 ** int(math.log2(max(_FEWEST_ROWS, fitting))), shape[0]), columns


def computed(blocks: InfluenceBlocks, grid: Grid, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, jax.Array]]:
    """Each of `chunks` of `grid`, ordered by column, with its influence; the curvature is solved once per column."""
    blocks = blocks.with_rows(grid.chunk_shape[0])
    for _, group in itertools.groupby(chunks, key=lambda chunk: chunk.column):
        first, *others = group
        directions = blocks.normalized_directions(first.columns)
        for chunk in (first, *others):
            yield chunk, blocks.block(chunk.rows, directions)


def computed_on_all_devices(
    blocks: InfluenceBlocks, grid: Grid, chunks: Iterable[Chunk]
) -> Iterator[tuple[Chunk, jax.Array]]:
    """`computed`, every device of this process computing chunks of its own; in the same order, with the same bits."""
    devices = jax.local_devices()
    if len(devices) == 1:
        yield from computed(blocks, grid, chunks)
        return
    on = [blocks.with_rows(grid.chunk_shape[0]).on(device) for device in devices]

    def run(number: int, method: str, *arguments: Any) -> Any:
        with jax.default_device(devices[number]):
            return getattr(on[number], method)(*arguments)

    numbers = range(len(devices))
    with ThreadPoolExecutor(len(devices)) as threads:
        for _, group in itertools.groupby(chunks, key=lambda chunk: chunk.column):
            first, *others = group
            solving = [threads.submit(run, number, "normalized_directions", first.columns) for number in numbers]
            directions = [future.result() for future in solving]
            pending: deque[tuple[Chunk, Future]] = deque()
            for chunk, number in zip((first, *others), itertools.cycle(numbers)):
                pending.append((chunk, threads.submit(run, number, "block", chunk.rows, directions[number])))
                if len(pending) > len(devices):
                    done, block = pending.popleft()
                    yield done, block.result()
            for done, block in pending:
                yield done, block.result()
