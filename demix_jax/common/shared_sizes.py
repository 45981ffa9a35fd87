"""Rounds sizes of arrays up, so that small tables of similar size share compiled programs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

PyTree = Any
SMALL = 4_096  # rows; a diagnosis of fewer takes less time to compute than to compile
_FEW = 64  # rows of a batch


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()


def shared_size(num_rows: int) -> int:
    """The smallest shared size that is at least `num_rows`: 64, 256, or a multiple of 512.

    Example:
      >>> [shared_size(n) for n in (1, 65, 2_048, 2_049)]
      [64, 256, 2048, 2560]
    """
    return next((size for size in (64, 256) if num_rows <= size), -(-num_rows // 512) * 512)


class SharedBatch(NamedTuple):
    """Rows of a training step: the first `size` of `width` rows; only `width` is compiled into a program."""

    width: int
    size: np.int32


def shared_batch(num_rows: int, most: int) -> SharedBatch:
    """Batches of about an eighth of the rows, but at most `most`, in a width of 64 or `most`.

    Example:
      >>> [(batch.width, int(batch.size)) for batch in (shared_batch(n, 256) for n in (200, 600, 5_000))]
      [(64, 25), (256, 75), (256, 256)]
    """
    size = min(most, max(1, num_rows // 8))
    return SharedBatch(min(_FEW, most) if size <= _FEW else most, np.int32(size))


def with_length(array: np.ndarray, length: int, axis: int = 0) -> np.ndarray:
    """`array` with zeros after its end along `axis`, so that it has `length` entries there."""
    missing = length - array.shape[axis]
    if not missing:
        return array
    widths = [(0, missing if place == axis else 0) for place in range(array.ndim)]
    return np.pad(array, widths)


def rows_of_shared_size(tree: PyTree, axis: int = 0) -> PyTree:
    """`tree`, whose leaves are equally long along `axis`, with zeros up to length `SMALL`; unchanged if longer."""
    if jax.tree.leaves(tree)[0].shape[axis] > SMALL:
        return tree
    return jax.tree.map(lambda leaf: with_length(np.asarray(leaf), SMALL, axis), tree)
