"""A checked call of an influence function, and the blocks of its matrix.

Everything that returns influence in some form goes through these blocks: one of validation samples, for which the
curvature is solved once, and within it one after another of training samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from demix_jax._stream import Gradients, Span, as_arrays, block_length, default_memory, num_bytes, spans
from demix_jax.checks import InputError
from demix_jax.curvature import Curvature, Directions, Fitted, Identity, Problem
from demix_jax.factored import FactoredGradients
from demix_jax.ghost import formed_blocks, gram_positions, pairs_per_block
from demix_jax.gradients import Loss, PyTree, checked_plan, num_examples

IDENTITY = Identity()


class InfluenceBlocks(NamedTuple):
    """What the blocks of one influence matrix are computed from. cosine: scale by lengths in the curvature's metric.

    length: training samples per block, and samples per gradient computation. width: validation samples per block.
    """

    train: PyTree
    valid: PyTree
    train_gradients: Gradients
    valid_gradients: Gradients
    fitted: Fitted
    cosine: bool
    length: int
    width: int

    @property
    def num_train(self) -> int:
        return jax.tree.leaves(self.train)[0].shape[0]

    @classmethod
    def make(
        cls,
        loss: Loss,
        params: PyTree,
        train: PyTree,
        valid: PyTree,
        curvature: Curvature,
        *,
        normalize: str | None = None,
        select: str | None = None,
        memory: int | None = None,
        factors_only: bool = False,
    ) -> InfluenceBlocks:
        """Check all arguments (see `influence_matrix`) and fit the curvature.

        factors_only: form no gradient in full, whatever it costs.
        """
        if normalize not in (None, "cosine"):
            raise InputError(f'normalize is {normalize!r}; pass None or "cosine".')
        memory = default_memory() if memory is None else memory
        train, valid = as_arrays(train), as_arrays(valid)
        num_train, num_valid = num_examples(train, "train"), num_examples(valid, "valid")
        train_plan = checked_plan(loss, params, select, train=train)
        valid_plan = checked_plan(loss, params, select, valid=valid)
        if train_plan.layouts != valid_plan.layouts:
            raise InputError(
                "the loss uses its parameters differently for a train and a valid sample; give both the same keys "
                "and, where the parameters depend on it, the same shapes."
            )
        unit = normalize == "cosine" and isinstance(curvature, Identity)
        one_train, one_valid = train_plan.shape(), valid_plan.shape()
        formed = formed_blocks(one_train, one_valid)
        if factors_only:
            formed = (False,) * len(formed)
        fitted = curvature.fit(Problem(loss, params, train, train_plan, formed, select, memory))
        streams = [Gradients(plan, params, formed, unit) for plan in (train_plan, valid_plan)]
        shapes = [stream.shape() for stream in streams]
        # An example takes its factors, about as much again for each of forward and backward pass, and its products.
        each = [
            4 * num_bytes(shape) + 2 * num_bytes(one) for shape, one in zip(shapes, (one_train, one_valid), strict=True)
        ]
        # Validation gradients are kept, for each further block of them those of `train` are computed anew.
        most_kept = max(1, memory * 3 // 4 // num_bytes(shapes[1]))
        width = math.ceil(num_valid / math.ceil(num_valid / most_kept))
        most = max(16, pairs_per_block() // (width * gram_positions(*shapes)))
        length = block_length(max(each), max(num_train, num_valid), memory // 4, most)
        return cls(
            train, valid, streams[0], streams[1], fitted,
            normalize == "cosine" and not unit, length, width,
        )  # fmt: skip

    def column_directions(self) -> Iterator[Directions]:
        """(H + λI)⁻¹ applied to the gradients of one block of validation samples after another."""
        for gradients in self._column_gradients():
            yield self.fitted.solve(gradients)

    def column_blocks(self) -> Iterator[Iterator[tuple[Span, jax.Array]]]:
        """Per block of validation samples, the blocks of its rows."""
        for gradients in self._column_gradients():
            directions = self.fitted.solve(gradients)
            scale = inverse_lengths(gradients, directions) if self.cosine else None
            yield self._row_blocks(directions, scale)

    def _column_gradients(self) -> Iterator[FactoredGradients]:
        num_valid = jax.tree.leaves(self.valid)[0].shape[0]
        for start in range(0, num_valid, self.width):
            part = jax.tree.map(lambda leaf: leaf[start : start + self.width], self.valid)  # noqa: B023
            yield self.valid_gradients.all(part, self.length, "valid", start)

    def row_gradients(self, width: int) -> Iterator[tuple[Span, FactoredGradients]]:
        """The gradients of the training samples, in blocks fit for products with `width` others."""
        length = min(self.length, block_length(1, self.num_train, max(16, pairs_per_block() // width)))
        for span in spans(self.num_train, length):
            yield span, self.train_gradients.of(self.train, span, length, "train")

    def _row_blocks(self, directions: Directions, scale: jax.Array | None) -> Iterator[tuple[Span, jax.Array]]:
        width = self.width if directions.basis is None else directions.basis.losses.shape[0]
        for span, gradients in self.row_gradients(width):
            block = _influence(gradients, directions)
            if scale is not None:
                lengths = inverse_lengths(gradients, self.fitted.solve(gradients))
                block = block * lengths[:, None] * scale[None, :]
            yield span, block


@jax.jit
def _influence(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    return -directions.products(gradients)


@jax.jit
def inverse_lengths(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    """f[N]: one over the length of each gradient in the metric of `directions`, its own solutions; 0 for no length."""
    squared = directions.paired_products(gradients)
    return jnp.where(squared > 0, jax.lax.rsqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
