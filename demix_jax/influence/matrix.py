"""Influence of every training sample on every validation sample, in blocks.

I(i, j) = −∇ℓ(v_j)ᵀ (H + λI)⁻¹ ∇ℓ(t_i): the change of validation sample j's loss per unit of weight added to training
sample i. Negative: raising this sample's weight lowers that loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from demix_jax.curvature import Curvature, Directions
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.per_example import Loss, PyTree
from demix_jax.gradients.stream import Span
from demix_jax.influence.blocks import IDENTITY, InfluenceBlocks, fill_block
from demix_jax.influence.grid import computed, grid_for
from demix_jax.influence.sharded import check_mesh, sharded_matrix


def influence_matrix(
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    curvature: Curvature = IDENTITY,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Influence of each training sample on the loss of each validation sample.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `train` or `valid`. Programs are compiled
        once per loss and shapes: pass the same function again rather than a new lambda. Matrix products in it are
        taken in full f32, on accelerators too, unless it or `jax_default_matmul_precision` asks for another precision.
      params: pytree of floating-point arrays.
      train: pytree whose leaves share a leading axis N.
      valid: pytree whose leaves share a leading axis M.
      curvature: H and λ; `Identity()` for the plain inner product of gradients.
      normalize: "cosine" divides I(i, j) by the length of both gradients in the metric (H + λI)⁻¹, so that −1 is a
        training sample that helps as a copy of the validation sample would; None leaves losses per unit weight.
      select: regular expression; only parameters whose path it matches anywhere count.
      memory: bytes to work in beyond the result; None for 256 MiB (4 GiB on an accelerator). Of each device.
      mesh: devices to share the work, its axes named "train" and "valid" (or only one of these); None for one device.
        After `jax.distributed.initialize()` it may span processes, which all call with the same arguments. `train` and
        `valid` may then be NumPy arrays mapped from files: a process reads the rows that its devices need.
    Returns:
      f32[N, M] (f64 for f64 parameters). Negative: raising this sample's weight lowers that loss. With a mesh it lies
      on its devices, rows along "train" and columns along "valid"; an axis whose devices do not divide the number of
      samples is not split in the result.
    Raises:
      InputError: a leaf of `params` is not floating-point, leaves of `train` or `valid` disagree on their leading
        axis or are empty, the loss is not a finite scalar, or an option is not one of those above, or `mesh` has
        other axes.
    Source: Koh & Liang 2017, "Understanding Black-box Predictions via Influence Functions", eq. 2.
    """
    if mesh is not None:
        check_mesh(mesh)
    blocks_of = InfluenceBlocks.make(
        loss, params, train, valid, curvature, normalize=normalize, select=select, memory=memory, mesh=mesh
    )
    if mesh is not None:
        return sharded_matrix(blocks_of, mesh)
    return _matrix(blocks_of)


def cosine_influence(
    loss: Loss, params: PyTree, train: PyTree, valid: PyTree, *, select: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How samples act on validation samples, and how strongly they pull at the parameters.

    Args:
      loss, params, train, valid, select: as in `influence_matrix`.
    Returns:
      `influence_matrix(…, normalize="cosine")` f32[N, M], −cosine of the gradients; and the Euclidean lengths f32[N] of
      those of `train`, of which the matrix alone says nothing.
    """
    blocks_of = InfluenceBlocks.make(loss, params, train, valid, IDENTITY, normalize="cosine", select=select)
    parts = {}

    def keep(span: Span, gradients: FactoredGradients) -> None:
        parts[span] = gradients.lengths

    matrix = np.asarray(_matrix(blocks_of, keep))
    lengths = np.empty(blocks_of.num_train, matrix.dtype)
    for span, part in parts.items():
        lengths[span.start : span.stop] = part
    return matrix, lengths


def _matrix(
    blocks_of: InfluenceBlocks, on_rows: Callable[[Span, FactoredGradients], None] = lambda span, gradients: None
) -> jax.Array:
    """All of the blocks; `on_rows` is called with the gradients of each block of rows."""
    matrix = jnp.zeros((blocks_of.num_train, blocks_of.num_valid), blocks_of.dtype)
    for columns in blocks_of.columns():
        directions = blocks_of.normalized_directions(columns)
        for span, gradients in blocks_of.row_blocks():
            matrix = fill_block(matrix, gradients, directions, span.start, columns.start)
            on_rows(span, gradients)
    return matrix


def influence_blocks(
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    curvature: Curvature = IDENTITY,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
    chunk_shape: tuple[int, int] | None = None,
) -> Iterator[tuple[slice, slice, jax.Array]]:
    """The influence matrix block by block, for what shall not hold it whole.

    Args:
      loss, params, train, valid, curvature, normalize, select, memory: as in `influence_matrix`. Leaves of `train`
        that are NumPy arrays, mapped from files or not, are read a block at a time.
      chunk_shape: training × validation samples per block; None for as many as `memory` allows. Blocks at the end of
        an axis may be smaller.
    Returns:
      Iterator of (rows, columns, block): two slices and f32[n, m], that part of the influence matrix. All rows for
      the first columns come first: the curvature is solved once per block of columns.
    Raises:
      InputError: as `influence_matrix`, or `chunk_shape` is not two positive numbers that fit in memory.
    """
    blocks = InfluenceBlocks.make(
        loss, params, train, valid, curvature, normalize=normalize, select=select, memory=memory
    )
    grid = grid_for(blocks, chunk_shape)
    return ((chunk.rows, chunk.columns, block) for chunk, block in computed(blocks, grid, grid.chunks()))


def self_influence(
    loss: Loss,
    params: PyTree,
    batch: PyTree,
    *,
    curvature: Curvature = IDENTITY,
    select: str | None = None,
    memory: int | None = None,
) -> jax.Array:
    """Influence of each sample on its own loss, the curvature fitted to `batch` itself.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `batch`.
      params: pytree of floating-point arrays.
      batch: pytree whose leaves share a leading axis N.
      curvature, select, memory: as in `influence_matrix`.
    Returns:
      f32[N], −gᵢᵀ(H + λI)⁻¹gᵢ, never positive for H ≥ 0: loss per unit of sample weight. The most negative samples are
      those that the model had to memorise.
    Raises:
      InputError: as `influence_matrix`.
    Source: Koh & Liang 2017, §5.4.
    """
    blocks_of = InfluenceBlocks.make(loss, params, batch, batch, curvature, select=select, memory=memory)
    blocks = []
    for span, gradients in blocks_of.row_gradients():
        block = _self_influence(gradients, blocks_of.fitted.solve(gradients))
        blocks.append(block[span.seen :])
    return jnp.concatenate(blocks)


@jax.jit
def _self_influence(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    return -directions.paired_products(gradients)
