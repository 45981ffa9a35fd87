"""Per-example gradients kept as factors: Σ_t a_t δ_tᵀ of a matrix product, ids and rows of a lookup, or in full.

Letters: N examples, P parameters, B blocks (independent weights of one stacked parameter), T positions, C inputs
(a bias is one more, constant input), F outputs, V rows of a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from demix_jax.gradients.uses import Steps, arrange_back, rearrange

PyTree = Any


@dataclass(frozen=True)
class Part:
    """One leaf of the parameters, and the steps that rearrange it to f[B, C, F]."""

    name: str
    index: int
    shape: tuple[int, ...]
    steps: Steps


@dataclass(frozen=True)
class Layout:
    """Which entries of the parameters a block holds, as f[B, C, F]; a bias is the last row along C."""

    kernel: Part
    bias: Part | None
    matrix: tuple[int, int, int]

    @property
    def size(self) -> int:
        return math.prod(self.matrix)

    def pack(self, leaves: Sequence[jax.Array]) -> jax.Array:
        """f[N, B * C * F] from all leaves of the parameters, each with a leading axis N."""
        array = rearrange(leaves[self.kernel.index], self.kernel.steps, leading=1)
        if self.bias is not None:
            row = rearrange(leaves[self.bias.index], self.bias.steps, leading=1)
            array = jnp.concatenate([array, row.astype(array.dtype)], axis=2)
        return array.reshape(array.shape[0], -1)

    def unpack(self, values: jax.Array) -> dict[int, jax.Array]:
        """Leaf number → f[N, ...]: the inverse of `pack`."""
        array = values.reshape(values.shape[0], *self.matrix)
        leaves = {}
        if self.bias is not None:
            leaves[self.bias.index] = arrange_back(array[:, :, -1:], self.bias.steps, self.bias.shape, leading=1)
            array = array[:, :, :-1]
        leaves[self.kernel.index] = arrange_back(array, self.kernel.steps, self.kernel.shape, leading=1)
        return leaves


@flax.struct.dataclass
class Outer:
    """Gradient Σ_t a_t δ_tᵀ per block. a: f[N, B, T, C]. delta: f[N, B, T, F]."""

    a: jax.Array
    delta: jax.Array
    layout: Layout = flax.struct.field(pytree_node=False)

    @property
    def layouts(self) -> tuple[Layout, ...]:
        return (self.layout,)

    @property
    def positions(self) -> int:
        return self.a.shape[2]

    def full(self) -> jax.Array:
        """f[N, B * C * F]."""
        matrix = jnp.einsum("nbtc,nbtf->nbcf", *accumulating(self.a, self.delta), precision="highest")
        return matrix.reshape(matrix.shape[0], -1)

    def magnitudes(self) -> jax.Array:
        """f[N]: the largest cotangent."""
        return jnp.max(jnp.abs(self.delta), axis=(1, 2, 3))

    def scaled(self, weights: jax.Array) -> Outer:
        return replace(self, delta=accumulating(self.delta)[0] * weights[:, None, None, None])

    def squared_norms(self) -> jax.Array:
        a, delta = accumulating(self.a, self.delta)
        positions, inputs, outputs = a.shape[2], a.shape[3], delta.shape[3]
        if positions == 1:
            return jnp.sum(jnp.sum(a * a, axis=(2, 3)) * jnp.sum(delta * delta, axis=(2, 3)), axis=1)
        if positions * (inputs + outputs) > inputs * outputs:
            full = self.full()
            return jnp.sum(full * full, axis=1)
        gram_a = jnp.einsum("nbtc,nbsc->nbts", a, a, precision="highest")
        gram_delta = jnp.einsum("nbtf,nbsf->nbts", delta, delta, precision="highest")
        return jnp.sum(gram_a * gram_delta, axis=(1, 2, 3))


@flax.struct.dataclass
class RowGradients:
    """Gradient of a table of which only some rows were looked up. ids: i32[N, T] in [0, V). rows: f[N, T, F]."""

    ids: jax.Array
    rows: jax.Array
    layout: Layout = flax.struct.field(pytree_node=False)

    @property
    def layouts(self) -> tuple[Layout, ...]:
        return (self.layout,)

    @property
    def positions(self) -> int:
        return self.ids.shape[1]

    def full(self) -> jax.Array:
        """f[N, V * F]."""
        _, num_rows, width = self.layout.matrix
        (rows,) = accumulating(self.rows)
        number = jnp.arange(rows.shape[0])[:, None]
        table = jnp.zeros((rows.shape[0], num_rows, width), rows.dtype).at[number, self.ids].add(rows)
        return table.reshape(rows.shape[0], -1)

    def magnitudes(self) -> jax.Array:
        """f[N]: the largest entry."""
        return jnp.max(jnp.abs(self.rows), axis=(1, 2))

    def scaled(self, weights: jax.Array) -> RowGradients:
        return replace(self, rows=accumulating(self.rows)[0] * weights[:, None, None])

    def squared_norms(self) -> jax.Array:
        (rows,) = accumulating(self.rows)
        same = self.ids[:, :, None] == self.ids[:, None, :]
        return jnp.sum(jnp.einsum("ntf,nsf->nts", rows, rows, precision="highest") * same, axis=(1, 2))


@flax.struct.dataclass
class Dense:
    """Gradient in full, of one or more parameters. values: f[N, sum of B * C * F over `layouts`]."""

    values: jax.Array
    layouts: tuple[Layout, ...] = flax.struct.field(pytree_node=False)

    def full(self) -> jax.Array:
        return accumulating(self.values)[0]

    def magnitudes(self) -> jax.Array:
        """f[N]: the largest entry."""
        return jnp.max(jnp.abs(self.full()), axis=1)

    def scaled(self, weights: jax.Array) -> Dense:
        return replace(self, values=self.full() * weights[:, None])

    def squared_norms(self) -> jax.Array:
        full = self.full()
        return jnp.sum(full * full, axis=1)


Block = Outer | RowGradients | Dense


@flax.struct.dataclass
class FactoredGradients:
    """Per-example gradients of N examples.

    blocks: Outer, RowGradients or Dense, which together cover the parameters used.

    losses: f[N]. leaves: (shape, dtype) of each leaf of the parameters, whose structure is `structure`.
    lengths: f[N], Euclidean lengths that gradients had before `to_unit_length`; None: they were not scaled.
    """

    blocks: tuple[Block, ...]
    losses: jax.Array
    leaves: tuple = flax.struct.field(pytree_node=False)
    structure: Any = flax.struct.field(pytree_node=False)
    lengths: jax.Array | None = None

    def to_dense(self) -> PyTree:
        """Pytree like the parameters, each leaf with a leading axis N: what `per_example_gradients` returns."""
        num = self.losses.shape[0]
        parts = {}
        for block in self.blocks:
            full, start = block.full(), 0
            for layout in block.layouts:
                parts.update(layout.unpack(full[:, start : start + layout.size]))
                start += layout.size
        filled = [
            parts[index].astype(dtype) if index in parts else jnp.zeros((num, *shape), dtype)
            for index, (shape, dtype) in enumerate(self.leaves)
        ]
        return jax.tree.unflatten(self.structure, filled)

    def scaled(self, weights: jax.Array) -> FactoredGradients:
        """Each example's gradient times its weight, f[N]."""
        return replace(self, blocks=tuple(block.scaled(weights) for block in self.blocks))

    def to_unit_length(self) -> FactoredGradients:
        """Each example's gradient over its Euclidean length; zero stays zero.

        Scaled to the order of one first: the square of a small gradient would lose its digits.
        """
        magnitudes = jnp.zeros(self.losses.shape[0], jnp.float32)
        for block in self.blocks:
            magnitudes = jnp.maximum(magnitudes, block.magnitudes())
        in_order = self.scaled(reciprocal(magnitudes))
        lengths = jnp.sqrt(in_order.squared_norms())
        return replace(in_order.scaled(reciprocal(lengths)), lengths=magnitudes * lengths)

    @property
    def num_parameters(self) -> int:
        """P, over all blocks."""
        return sum(layout.size for block in self.blocks for layout in block.layouts)

    def full(self) -> jax.Array:
        """f[N, P], the blocks one after another."""
        return jnp.concatenate([block.full() for block in self.blocks], axis=1)

    def with_full(self, full: jax.Array) -> FactoredGradients:
        """The gradients f[M, P] in place of these: the inverse of `full`."""
        blocks, start = [], 0
        for block in self.blocks:
            size = sum(layout.size for layout in block.layouts)
            blocks.append(Dense(full[:, start : start + size], block.layouts))
            start += size
        return replace(self, blocks=tuple(blocks), losses=jnp.zeros(full.shape[0], jnp.float32), lengths=None)

    def squared_norms(self) -> jax.Array:
        """f32[N] (f64 for f64 parameters): squared Euclidean norm of each example's gradient."""
        total = jnp.zeros(self.losses.shape[0], jnp.float32)
        for block in self.blocks:
            total = total + block.squared_norms()
        return total

    def pack(self, tree: PyTree) -> FactoredGradients:
        """`tree`, like the parameters with a leading axis R, as R full gradients that match these block by block."""
        leaves = jax.tree.leaves(tree)
        blocks = tuple(
            Dense(jnp.concatenate([layout.pack(leaves) for layout in block.layouts], axis=1), block.layouts)
            for block in self.blocks
        )
        return replace(self, blocks=blocks, losses=jnp.zeros(leaves[0].shape[0], jnp.float32), lengths=None)


def sum_dtype(*dtypes: Any) -> Any:
    """The dtype that sums of these are taken in: f32 at least; also where JAX was told to promote none by itself."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(jnp.float32, *dtypes)


def accumulating(*arrays: jax.Array) -> list[jax.Array]:
    """`arrays` in the precision that sums are taken in."""
    dtype = sum_dtype(*(array.dtype for array in arrays))
    return [array.astype(dtype) for array in arrays]


def reciprocal(values: jax.Array) -> jax.Array:
    """1 / `values`; 0 where they are so small that this would overflow."""
    usable = values >= jnp.finfo(values.dtype).tiny
    return jnp.where(usable, 1.0 / jnp.where(usable, values, 1.0), 0.0)
