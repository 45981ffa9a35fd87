"""Gradients of many examples, block by block, so that memory does not grow with N and one program serves all blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.ghost import form
from demix_jax.gradients.tracer import GradientPlan

PyTree = Any

# No matrix product gains from more rows at a time.
_LONGEST_BLOCK = 2048

# Default of every `memory` argument: what a block of examples and its products may take, in bytes.
MEMORY_ON_CPU = 2**28
MEMORY_ON_ACCELERATOR = 2**32


class Span(NamedTuple):
    """Examples [start, stop), of which the first `seen` were part of an earlier span."""

    start: int
    stop: int
    seen: int


class Gradients(NamedTuple):
    """What turns a batch into gradients: compiled once per block length.

    plan, params: see `GradientPlan`. formed: blocks to form in full. memory: bytes to work in.
    unit: scale each gradient to length one.
    """

    plan: GradientPlan
    params: PyTree
    formed: tuple[bool, ...]
    memory: int
    unit: bool = False

    def shape(self) -> FactoredGradients:
        """Shapes of the gradients of one example."""
        return gradient_shape(self.plan, self.formed)

    def block_length(self, num: int) -> int:
        """How many of `num` examples to take at a time, so that their gradients fill a part of the memory."""
        return block_length(num_bytes(self.shape()), num, self.memory // 4, _LONGEST_BLOCK)

    def pass_length(self, length: int) -> int:
        """How many examples go through the loss at a time: what a forward and a backward pass keep is larger."""
        each = 4 * num_bytes(self.shape()) + 2 * num_bytes(self.plan.shape())
        return block_length(each, length, self.memory // 8)

    def of(self, batch: PyTree, span: Span, length: int, argument: str, offset: int = 0) -> FactoredGradients:
        """Gradients of the examples of `span`; InputError if a loss or gradient among them is not finite.

        The message names the example's number plus `offset`, its place in the whole `argument`.
        """
        num = span.stop - span.start
        block = _take(batch, span.start, num, length)
        gradients, finite = block_gradients(*self.statics(self.pass_length(length)), self.params, block)
        finite = np.asarray(finite)[:num]
        if not finite.all():
            raise not_finite(argument, offset + span.start + int(np.argmin(finite)))
        return gradients if num == length else head(gradients, num)

    def statics(self, length: int) -> tuple[GradientPlan, tuple[bool, ...], bool, int]:
        """What `block_gradients` is compiled for, taking `length` examples at a time."""
        return self.plan, self.formed, self.unit, length

    def all(self, batch: PyTree, length: int, argument: str, offset: int = 0) -> FactoredGradients:
        """Gradients of every example of `batch`, computed `length` at a time."""
        num = jax.tree.leaves(batch)[0].shape[0]
        total = None
        for span in spans(num, length):
            part = self.of(batch, span, length, argument, offset)
            if span.stop - span.start == num:
                return part
            total = _room_for(part, num) if total is None else total
            total = _written(total, part, span.start)
        assert total is not None
        return total


@lru_cache(maxsize=128)
def gradient_shape(plan: GradientPlan, formed: tuple[bool, ...]) -> FactoredGradients:
    """Shapes of the gradients of one example, the blocks marked in `formed` in full."""
    return jax.eval_shape(lambda one: form(one, formed), plan.shape())


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def block_gradients(
    plan: GradientPlan, formed: tuple[bool, ...], unit: bool, length: int, params: PyTree, batch: PyTree
):
    """Gradients of `batch`, `length` examples at a time, and which of them are finite."""

    def one_pass(batch):
        gradients = plan.gradients(params, batch)
        finite = jnp.isfinite(gradients.losses)
        for leaf in jax.tree.leaves(gradients.blocks):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                finite &= jnp.isfinite(leaf).all(axis=tuple(range(1, leaf.ndim)))
        gradients = form(gradients, formed)
        return gradients.to_unit_length() if unit else gradients, finite

    num = jax.tree.leaves(batch)[0].shape[0]
    if length >= num:
        return one_pass(batch)
    parts = jax.tree.map(lambda leaf: leaf.reshape(-1, length, *leaf.shape[1:]), batch)
    return jax.tree.map(lambda leaf: leaf.reshape(num, *leaf.shape[2:]), jax.lax.map(one_pass, parts))


@partial(jax.jit, static_argnums=1)
def _room_for(part: PyTree, num: int) -> PyTree:
    """Zeros like `part`, for `num` examples."""
    return jax.tree.map(lambda leaf: jnp.zeros((num, *leaf.shape[1:]), leaf.dtype), part)


@partial(jax.jit, donate_argnums=0)
def _written(total: PyTree, part: PyTree, start: Any) -> PyTree:
    """`total` with the examples from `start` on replaced by `part`, in place."""
    return jax.tree.map(lambda all_, new: jax.lax.dynamic_update_slice_in_dim(all_, new, start, axis=0), total, part)


@partial(jax.jit, static_argnums=1)
def head(tree: PyTree, num: int) -> PyTree:
    """The first `num` examples."""
    return jax.tree.map(lambda leaf: leaf[:num], tree)


@partial(jax.jit, static_argnums=1)
def tail(tree: PyTree, num: int) -> PyTree:
    """The last `num` examples."""
    return jax.tree.map(lambda leaf: leaf[leaf.shape[0] - num :], tree)


def not_finite(argument: str, number: int) -> InputError:
    """The error for a sample whose loss or gradient is not finite."""
    return InputError(
        f"the loss or its gradient is not finite for {argument} sample {number}; check that sample and the parameters."
    )


def spans(num: int, length: int) -> Iterator[Span]:
    """[0, num) in spans of `length`; the last one reaches back over its predecessor, so that all are equally long."""
    for start in range(0, num, length):
        stop = min(start + length, num)
        first = max(0, stop - length)
        yield Span(first, stop, start - first)


def block_length(bytes_each: int, num: int, memory: int, most: int = 2**20) -> int:
    """How many examples to take at a time: a power of two, so that few programs are compiled.

    Args:
      bytes_each: what one example takes. num: how many there are. memory: bytes for all of a block.
    """
    fitting = max(1, min(most, memory // max(1, bytes_each)))
    return min(2 ** int(math.log2(fitting)), 2 ** math.ceil(math.log2(max(1, num))))


def bytes_of(memory: float | None) -> int:
    """What the argument `memory` stands for: itself, or the default where it is None; InputError unless positive."""
    if memory is None:
        return MEMORY_ON_CPU if jax.default_backend() == "cpu" else MEMORY_ON_ACCELERATOR
    if not isinstance(memory, Real) or not 1 <= memory < math.inf:
        raise InputError(f"memory is {memory!r}; pass a number of bytes to work in, or None for the default.")
    return int(memory)


def num_bytes(tree: PyTree) -> int:
    """Bytes of all leaves of `tree`, arrays or shapes."""
    return sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def as_arrays(batch: PyTree) -> PyTree:
    """`batch` with lists of numbers and the like made into arrays; arrays stay where they are."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, (jax.Array, np.ndarray)) else np.asarray(leaf), batch)


def _take(batch: PyTree, start: int, num: int, length: int) -> PyTree:
    """Examples [start, start + num), the last one repeated up to `length`.

    Leaf by leaf, so that one in host memory or mapped from a file is never moved to the device as a whole.
    """
    leaves, structure = jax.tree.flatten(batch)
    on_device = [leaf for leaf in leaves if not isinstance(leaf, np.ndarray)]
    taken = iter(_take_on_device(on_device, start, num, length) if on_device else [])
    rows = slice(start, start + num) if num == length else np.minimum(np.arange(length), num - 1) + start
    return jax.tree.unflatten(
        structure, [leaf[rows] if isinstance(leaf, np.ndarray) else next(taken) for leaf in leaves]
    )


@partial(jax.jit, static_argnums=3)
def _take_on_device(leaves: list[jax.Array], start: int, num: int, length: int) -> list[jax.Array]:
    rows = jnp.minimum(jnp.arange(length), num - 1) + start
    return [leaf[rows] for leaf in leaves]
