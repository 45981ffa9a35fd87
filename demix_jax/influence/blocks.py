"""A checked call of an influence function, and the blocks of its matrix.

Everything that returns influence in some form goes through these blocks: one of validation samples, for which the
curvature is solved once, and within it one after another of training samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh

from demix_jax.common.checks import InputError
from demix_jax.curvature import Curvature, CurvatureProblem, Directions, Fitted, Identity
from demix_jax.curvature.base import check_curvature
from demix_jax.gradients.factored import FactoredGradients, reciprocal
from demix_jax.gradients.ghost import accumulated_dtype, formed_blocks, rows_per_block, write_rows
from demix_jax.gradients.per_example import Loss, PyTree, checked_plan, num_examples
from demix_jax.gradients.stream import Gradients, Span, as_arrays, bytes_of, num_bytes, spans

IDENTITY = Identity()

# Factors of more validation samples are read anew for every few rows: slower than computing those of the rows again.
_WIDEST = 2**14


class InfluenceBlocks(NamedTuple):
    """What the blocks of one influence matrix are computed from. cosine: scale by lengths in the curvature's metric.

    length: training samples per block. width: validation samples per block, most_columns: as many of them as there is
    memory for, column_length: of which gradients are computed at a time.
    """

    train: PyTree
    valid: PyTree
    train_gradients: Gradients
    valid_gradients: Gradients
    fitted: Fitted
    cosine: bool
    length: int
    width: int
    most_columns: int
    column_length: int

    @property
    def num_train(self) -> int:
        return jax.tree.leaves(self.train)[0].shape[0]

    @property
    def num_valid(self) -> int:
        return jax.tree.leaves(self.valid)[0].shape[0]

    @property
    def dtype(self) -> Any:
        """Of the influence."""
        return accumulated_dtype(self.train_gradients.shape(), self.valid_gradients.shape())

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
        mesh: Mesh | None = None,
    ) -> InfluenceBlocks:
        """Check all arguments (see `influence_matrix`) and fit the curvature.

        factors_only: form no gradient in full, whatever it costs. mesh: devices that share the curvature's Gram matrix.
        """
        if normalize not in (None, "cosine"):
            raise InputError(f'normalize is {normalize!r}; pass None or "cosine".')
        check_curvature(curvature)
        memory = bytes_of(memory)
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, train, valid))):
            raise InputError(
                "params or data are traced; influence is not to be computed inside jit, vmap or grad, as it compiles "
                "block by block what it needs. Call it outside, or use `per_example_gradients` inside."
            )
        train, valid = as_arrays(train), as_arrays(valid)
        num_train, num_valid = num_examples(train, "train"), num_examples(valid, "valid")
        train_plan = checked_plan(loss, params, select, train=train)
        valid_plan = checked_plan(loss, params, select, valid=valid)
        if train_plan.layouts != valid_plan.layouts:
            raise InputError(
                "the loss uses its parameters differently for a train and a valid sample; give both the same keys "
                "and, where the parameters depend on it, the same shapes."
            )
        cosine = normalize == "cosine"  # of no length: all gradients may be scaled to unit length first
        one_train, one_valid = train_plan.shape(), valid_plan.shape()
        formed = formed_blocks(one_train, one_valid)
        if factors_only:
            formed = (False,) * len(formed)
        fitted = curvature.fit(CurvatureProblem(loss, params, train, train_plan, formed, select, memory, mesh))
        train_gradients = Gradients(train_plan, params, formed, memory, unit=cosine)
        valid_gradients = train_gradients._replace(plan=valid_plan)
        # Validation gradients are kept; for each further block of them those of `train` are computed anew.
        each = num_bytes(valid_gradients.shape())
        if fitted.in_full:
            each = max(each, 4 * one_valid.num_parameters)
        most_columns = max(1, memory * 5 // 8 // each)
        cosine = cosine and not isinstance(curvature, Identity)
        blocks = cls(train, valid, train_gradients, valid_gradients, fitted, cosine, 0, 0, most_columns, 0)
        return blocks.for_shape((num_train, num_valid))

    def for_shape(self, shape: tuple[int, int]) -> InfluenceBlocks:
        """With the blocks of an N × M matrix."""
        length = self.length_for(shape)
        return self._replace(length=length, column_length=length, width=self.width_for(shape[1]))

    def length_for(self, shape: tuple[int, int]) -> int:
        """Training samples per block of an N × M matrix."""
        return self.train_gradients.block_length(max(shape))

    def with_rows(self, num: int) -> InfluenceBlocks:
        """For matrices of which `num` rows are computed at a time: no more gradients than these at once."""
        return self._replace(length=min(self.length, 2 ** math.ceil(math.log2(num))))

    def width_for(self, num_valid: int) -> int:
        """Validation samples per block of M, all blocks about equally wide."""
        return math.ceil(num_valid / math.ceil(num_valid / min(self.most_columns, _WIDEST)))

    def on(self, device: Any) -> InfluenceBlocks:
        """The same blocks, computed on another device; data on the host are moved there block by block."""

        def move(leaf: Any) -> Any:
            return jax.device_put(leaf, device) if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

        def there(batch: PyTree) -> PyTree:
            return jax.tree.map(lambda leaf: move(leaf) if isinstance(leaf, jax.Array) else leaf, batch)

        params = jax.tree.map(move, self.train_gradients.params)
        return self._replace(
            train=there(self.train),
            valid=there(self.valid),
            train_gradients=self.train_gradients._replace(params=params),
            valid_gradients=self.valid_gradients._replace(params=params),
            fitted=jax.tree.map(move, self.fitted),
        )

    def columns(self) -> Iterator[slice]:
        """The blocks of validation samples."""
        for start in range(0, self.num_valid, self.width):
            yield slice(start, min(start + self.width, self.num_valid))

    def directions(self, columns: slice) -> Directions:
        """(H + λI)⁻¹ applied to the gradients of a block of validation samples."""
        return self.fitted.solve(self._column_gradients(columns))

    def normalized_directions(self, columns: slice) -> Directions:
        """`directions` as `normalize` wants them, ready to be multiplied with `row_blocks`."""
        gradients = self._column_gradients(columns)
        directions = self.fitted.solve(gradients)
        return directions.scaled(inverse_lengths(gradients, directions)) if self.cosine else directions

    def row_gradients(self, rows: slice | None = None) -> Iterator[tuple[Span, FactoredGradients]]:
        """The gradients of the training samples, or of those from `rows.start` up to `rows.stop`, block by block."""
        start, stop = (0, self.num_train) if rows is None else (rows.start, rows.stop)
        for within in spans(stop - start, self.length):
            span = Span(start + within.start, start + within.stop, within.seen)
            yield span, self.train_gradients.of(self.train, span, self.length, "train")

    def row_blocks(self, rows: slice | None = None) -> Iterator[tuple[Span, FactoredGradients]]:
        """`row_gradients` as `normalize` wants them."""
        for span, gradients in self.row_gradients(rows):
            if self.cosine:
                gradients = gradients.scaled(inverse_lengths(gradients, self.fitted.solve(gradients)))
            yield span, gradients

    def block(self, rows: slice, directions: Directions) -> jax.Array:
        """f[n, m]: influence of the training samples `rows` in m normalized directions.

        Its bits depend on nothing outside: the same block comes out wherever a run began.
        """
        block = jnp.zeros((rows.stop - rows.start, directions.own.losses.shape[0]), self.dtype)
        for span, gradients in self.row_blocks(rows):
            block = fill_block(block, gradients, directions, span.start - rows.start, 0)
        return block

    def _column_gradients(self, columns: slice) -> FactoredGradients:
        part = jax.tree.map(lambda leaf: leaf[columns], self.valid)
        return self.valid_gradients.all(part, self.column_length, "valid", columns.start)


@partial(jax.jit, donate_argnums=0)
def fill_block(
    matrix: jax.Array, gradients: FactoredGradients, directions: Directions, row: Any, column: Any
) -> jax.Array:
    """`matrix` with the influence of n samples in m directions, f[n, m], at (`row`, `column`)."""
    length = rows_per_block(gradients, directions.own)
    if directions.basis is not None:
        length = min(length, rows_per_block(gradients, directions.basis))
    return write_rows(matrix, lambda part: -directions.products(part), gradients, length, row, column)


@jax.jit
def inverse_lengths(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    """f[N]: one over the length of each gradient in the metric of `directions`, its own solutions; 0 for no length."""
    squared = directions.paired_products(gradients)
    return reciprocal(jnp.sqrt(jnp.maximum(squared, 0.0)))
