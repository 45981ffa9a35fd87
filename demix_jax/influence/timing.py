"""How long the steps of an influence matrix take on this machine: the steps themselves, on a few samples."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from demix_jax.gradients.per_example import PyTree
from demix_jax.gradients.stream import num_bytes
from demix_jax.influence.blocks import InfluenceBlocks
from demix_jax.influence.grid import default_chunk_shape
from demix_jax.influence.manifest import checksum
from demix_jax.influence.provenance import array_fingerprint

# Curvature samples that are fitted with at most; a quarter as many before, to see the growth.
_MOST_SAMPLES = 2048

# Passes of rows that a chunk is timed on at most.
_MOST_PASSES = 4

# A step is timed until it took so long altogether, or so often.
_SECONDS, _MOST_REPEATS = 0.3, 6

# Shorter times do not grow by a law that could be seen.
_NOISE_SECONDS = 5e-3


class Steps(NamedTuple):
    """Seconds and bytes of each step with n curvature samples. kept: bytes of the fitted curvature.

    column: a block of validation gradients and their solves. chunk: of the matrix, computed. compile: of all programs.
    """

    samples: int
    kept: float
    compile: float
    fit: float
    column: float
    chunk: float

    def with_samples(self, num: int, before: Steps, num_parameters: int) -> Steps:
        """Extrapolated to `num` curvature samples from these and those `before`, with fewer."""
        if num == self.samples or before.samples == self.samples:
            return self

        def grown(name: str, most: float) -> float:
            first, last = getattr(before, name), getattr(self, name)
            if last < _NOISE_SECONDS:
                return last
            power = math.log(max(last / first, 1.0)) / math.log(self.samples / before.samples)
            return last * (num / self.samples) ** min(power, most)

        slope = max(0.0, (self.chunk - before.chunk) / (self.samples - before.samples))
        squares = (self.kept / self.samples - before.kept / before.samples) / (self.samples - before.samples)
        linear = max(0.0, self.kept / self.samples - max(0.0, squares) * self.samples)
        matrix = min(max(0.0, squares) * num**2, 8 * num_parameters**2)  # nothing larger than P × P is factored
        return self._replace(
            samples=num,
            kept=max(self.kept, linear * num + matrix) if squares > 0 else self.kept,
            fit=grown("fit", 3.0),
            column=grown("column", 2.0),
            chunk=self.chunk + slope * (num - self.samples),
        )


def measured_steps(
    make: Callable[[PyTree, PyTree], InfluenceBlocks],
    train: PyTree,
    valid: PyTree,
    shape: tuple[int, int],
    samples: int,
    num_parameters: int,
) -> Steps:
    """The steps for an N × M matrix with `samples` curvature samples. make: blocks for some of `train` and `valid`."""
    fitted = min(samples, _MOST_SAMPLES)
    steps = [_measured(make, train, valid, shape, num) for num in sorted({max(1, fitted // 4), fitted})]
    total = steps[-1].with_samples(samples, steps[0], num_parameters)
    return total._replace(compile=max(step.compile for step in steps))


def _measured(make: Callable, train: PyTree, valid: PyTree, shape: tuple[int, int], samples: int) -> Steps:
    part = first_examples(train, samples)
    few = first_examples(valid, 1)
    fit = _timed(lambda: make(part, few))
    blocks = fit.result
    chunk_shape = default_chunk_shape(shape, blocks)
    blocks = blocks.for_shape(shape).with_rows(chunk_shape[0])
    rows = min(chunk_shape[0], _MOST_PASSES * blocks.length)
    blocks = blocks._replace(train=first_examples(train, rows), valid=first_examples(valid, chunk_shape[1]))
    column = _timed(lambda: blocks.normalized_directions(slice(0, chunk_shape[1])))
    chunk = _timed(lambda: blocks.block(slice(0, rows), column.result))
    compiling = sum(step.first - step.seconds for step in (fit, column, chunk))
    scale = chunk_shape[0] / rows
    return Steps(samples, _held(blocks.fitted), max(0.0, compiling), fit.seconds, column.seconds, chunk.seconds * scale)


def hashing_seconds(batch: PyTree) -> float:
    """Per byte of data."""
    batch = first_examples(batch, 4096)
    return _timed(lambda: array_fingerprint(batch)).seconds / max(1, num_bytes(batch))


def writing_seconds(folder: Path, num_bytes: int) -> float:
    """For a chunk of so many bytes: its checksum, and its way to the disk that `folder` is on."""
    values = np.zeros(num_bytes, np.uint8)

    def write() -> None:
        checksum(values)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(values.data)
            file.flush()
            os.fsync(file.fileno())

    return _timed(write).seconds


def first_examples(batch: PyTree, num: int) -> PyTree:
    """The first `num` examples, or numbers drawn in place of those of which only the shape is known."""

    def some(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return drawn(jax.ShapeDtypeStruct((min(num, leaf.shape[0]), *leaf.shape[1:]), leaf.dtype))
        return leaf[:num]

    return jax.tree.map(some, batch)


def drawn(leaf: Any) -> Any:
    """Standard normal numbers of the shape of a `ShapeDtypeStruct`, zeros where they are whole; arrays as they are."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    if not jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating):
        return np.zeros(leaf.shape, leaf.dtype)
    return np.random.default_rng(0).standard_normal(leaf.shape, np.float32).astype(leaf.dtype)


class _Timed(NamedTuple):
    """first: seconds of the first call, compilation included. seconds: least of the later ones.

    Others on the machine only ever add time, and often much.
    """

    first: float
    seconds: float
    result: Any


def _timed(function: Callable[[], Any]) -> _Timed:
    seconds, result = [], None
    while len(seconds) < 2 or (len(seconds) < _MOST_REPEATS and sum(seconds[1:]) < _SECONDS):
        start = time.perf_counter()
        result = function()
        jax.block_until_ready([leaf for leaf in jax.tree.leaves(result) if isinstance(leaf, jax.Array)])
        seconds.append(time.perf_counter() - start)
    return _Timed(seconds[0], min(seconds[1:]), result)


def _held(fitted: Any) -> int:
    return num_bytes([leaf for leaf in jax.tree.leaves(fitted) if isinstance(leaf, jax.Array)])
