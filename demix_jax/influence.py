"""Influence of every training sample on every validation sample, in blocks.

I(i, j) = −∇ℓ(v_j)ᵀ (H + λI)⁻¹ ∇ℓ(t_i): the change of validation sample j's loss per unit of weight added to training
sample i. Negative: raising this sample's weight lowers that loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from demix_jax._stream import Gradients, Span, as_arrays, block_length, default_memory, num_bytes, spans
from demix_jax.checks import InputError
from demix_jax.curvature import Curvature, Directions, Fitted, Identity, Problem
from demix_jax.factored import FactoredGradients
from demix_jax.ghost import formed_blocks, gram_positions, pairs_per_block
from demix_jax.gradients import Loss, PyTree, checked_plan, num_examples

_IDENTITY = Identity()


def influence_matrix(
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    curvature: Curvature = _IDENTITY,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
) -> jax.Array:
    """Influence of each training sample on the loss of each validation sample.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `train` or `valid`. Programs are compiled
        once per loss and shapes: pass the same function again rather than a new lambda.
      params: pytree of floating-point arrays.
      train: pytree whose leaves share a leading axis N.
      valid: pytree whose leaves share a leading axis M.
      curvature: H and λ; `Identity()` for the plain inner product of gradients.
      normalize: "cosine" divides I(i, j) by the length of both gradients in the metric (H + λI)⁻¹, so that −1 is a
        training sample that helps as a copy of the validation sample would; None leaves losses per unit weight.
      select: regular expression; only parameters whose path it matches anywhere count.
      memory: bytes to work in beyond the result; None for 256 MiB (4 GiB on an accelerator).
    Returns:
      f32[N, M] (f64 for f64 parameters). Negative: raising this sample's weight lowers that loss.
    Raises:
      InputError: a leaf of `params` is not floating-point, leaves of `train` or `valid` disagree on their leading
        axis or are empty, the loss is not a finite scalar, or an option is not one of those above.
    Source: Koh & Liang 2017, "Understanding Black-box Predictions via Influence Functions", eq. 2.
    """
    setting = _Setting.make(loss, params, train, valid, curvature, normalize, select, memory)
    columns = []
    for _, blocks in setting.column_blocks():
        matrix = None
        for span, block in blocks:
            if matrix is None:
                matrix = jnp.zeros((setting.num_train, block.shape[1]), block.dtype)
            matrix = _write(matrix, block, span.start)
        columns.append(matrix)
    return columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=1)


class _Setting(NamedTuple):
    """A checked call: what the blocks of its influence matrix are computed from."""

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
    def make(cls, loss, params, train, valid, curvature, normalize, select, memory) -> _Setting:
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
        fitted = curvature.fit(Problem(loss, params, train, train_plan, formed, select, memory))
        streams = [Gradients(plan, params, formed, unit) for plan in (train_plan, valid_plan)]
        shapes = [stream.shape() for stream in streams]
        # An example takes its factors, about as much again for each of forward and backward pass, and its products.
        each = [
            4 * num_bytes(shape) + 2 * num_bytes(one) for shape, one in zip(shapes, (one_train, one_valid), strict=True)
        ]
        width = min(num_valid, max(1, memory // 2 // num_bytes(shapes[1])))
        most = max(16, pairs_per_block() // (width * gram_positions(*shapes)))
        length = block_length(max(each), max(num_train, num_valid), memory // 2, most)
        return cls(
            train, valid, streams[0], streams[1], fitted,
            normalize == "cosine" and not unit, length, width,
        )  # fmt: skip

    def column_blocks(self) -> Iterator[tuple[int, Iterator[tuple[Span, jax.Array]]]]:
        """Per block of validation samples its first number, and the blocks of its rows."""
        num_valid = jax.tree.leaves(self.valid)[0].shape[0]
        for start in range(0, num_valid, self.width):
            part = jax.tree.map(lambda leaf: leaf[start : start + self.width], self.valid)  # noqa: B023
            gradients = self.valid_gradients.all(part, self.length, "valid")
            directions = self.fitted.solve(gradients)
            scale = _inverse_lengths(gradients, directions) if self.cosine else None
            yield start, self._row_blocks(directions, scale)

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
                lengths = _inverse_lengths(gradients, self.fitted.solve(gradients))
                block = block * lengths[:, None] * scale[None, :]
            yield span, block


@jax.jit
def _influence(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    return -directions.products(gradients)


@jax.jit
def _inverse_lengths(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    """f[N]: one over the length of each gradient in the metric of `directions`, its own solutions; 0 for no length."""
    squared = directions.paired_products(gradients)
    return jnp.where(squared > 0, jax.lax.rsqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)


@partial(jax.jit, donate_argnums=0)
def _write(matrix: jax.Array, block: jax.Array, start: Any) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(matrix, block, start, axis=0)


def self_influence(
    loss: Loss,
    params: PyTree,
    batch: PyTree,
    *,
    curvature: Curvature = _IDENTITY,
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
    setting = _Setting.make(loss, params, batch, batch, curvature, None, select, memory)
    blocks = []
    for span, gradients in setting.row_gradients(setting.width):
        block = _self_influence(gradients, setting.fitted.solve(gradients))
        blocks.append(block[span.seen :])
    return jnp.concatenate(blocks)


@jax.jit
def _self_influence(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    return -directions.paired_products(gradients)


class TopInfluences(NamedTuple):
    """The k training samples that matter most to each of M validation samples, strongest first.

    helpful: i32[M, k], numbers of the training samples whose influence, helpful_influence f32[M, k], is most negative.
    harmful: i32[M, k], those whose influence, harmful_influence f32[M, k], is most positive.
    """

    helpful: jax.Array
    helpful_influence: jax.Array
    harmful: jax.Array
    harmful_influence: jax.Array


def top_influences(
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    k: int,
    curvature: Curvature = _IDENTITY,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
) -> TopInfluences:
    """The k most helpful and most harmful training samples for each validation sample, without the whole matrix.

    Args:
      k: how many of each, at most N.
      loss, params, train, valid, curvature, normalize, select, memory: as in `influence_matrix`.
    Returns:
      TopInfluences, equal to sorting the columns of `influence_matrix`.
    Raises:
      InputError: as `influence_matrix`, or k outside [1, N].
    """
    setting = _Setting.make(loss, params, train, valid, curvature, normalize, select, memory)
    if not 1 <= k <= setting.num_train:
        raise InputError(f"k is {k}; pass a number from 1 to the {setting.num_train} training samples.")
    columns = []
    for _, blocks in setting.column_blocks():
        best = None
        for span, block in blocks:
            if best is None:
                empty = jnp.zeros((block.shape[1], k), jnp.int32)
                worst = jnp.full((block.shape[1], k), jnp.inf, block.dtype)
                best = TopInfluences(empty, worst, empty, -worst)
            best = _keep_best(best, block, span.start, span.seen)
        columns.append(best)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *columns)


@jax.jit
def _keep_best(best: TopInfluences, block: jax.Array, start: Any, seen: Any) -> TopInfluences:
    rows = jnp.arange(block.shape[0], dtype=jnp.int32)
    k = best.helpful.shape[1]

    def merged(numbers, influence, sign):
        candidates = jnp.where(rows[None, :] >= seen, sign * block.T, -jnp.inf)
        candidates, chosen = jax.lax.top_k(candidates, min(k, candidates.shape[1]))
        all_values = jnp.concatenate([sign * influence, candidates], axis=1)
        all_numbers = jnp.concatenate([numbers, chosen.astype(jnp.int32) + start], axis=1)
        values, order = jax.lax.top_k(all_values, k)
        return jnp.take_along_axis(all_numbers, order, axis=1), sign * values

    return TopInfluences(
        *merged(best.helpful, best.helpful_influence, -1.0), *merged(best.harmful, best.harmful_influence, 1.0)
    )


def tracin(
    loss: Loss,
    stacked_params: PyTree,
    step_sizes: Any,
    train: PyTree,
    valid: PyTree,
    *,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
) -> jax.Array:
    """Influence traced through checkpoints: −Σ_c η_c ⟨∇ℓ(v_j; θ_c), ∇ℓ(t_i; θ_c)⟩.

    Args:
      loss: maps (params, example) to a scalar.
      stacked_params: the parameters at each checkpoint, stacked on a leading axis S.
      step_sizes: f32[S], the step size η_c at each checkpoint.
      train, valid: pytrees whose leaves share a leading axis N, M.
      normalize, select, memory: as in `influence_matrix`.
    Returns:
      f32[N, M]. Negative: training on this sample lowered that loss.
    Raises:
      InputError: as `influence_matrix`, or `stacked_params` and `step_sizes` disagree on S.
    Source: Pruthi et al. 2020, "Estimating Training Data Influence by Tracing Gradient Descent", eq. 1 (sign turned).
    """
    step_sizes = jnp.asarray(step_sizes)
    num = num_examples(stacked_params, "stacked_params")
    if step_sizes.shape != (num,):
        raise InputError(
            f"stacked_params holds {num} checkpoints but step_sizes has shape {step_sizes.shape}; pass one step size "
            "per checkpoint."
        )
    total = None
    for index in range(num):
        params = jax.tree.map(lambda leaf: leaf[index], stacked_params)  # noqa: B023
        matrix = influence_matrix(loss, params, train, valid, normalize=normalize, select=select, memory=memory)
        total = (
            _weighted(matrix, step_sizes[index]) if total is None else _add_weighted(total, matrix, step_sizes[index])
        )
    assert total is not None
    return total


@partial(jax.jit, donate_argnums=0)
def _weighted(matrix: jax.Array, weight: jax.Array) -> jax.Array:
    return matrix * weight.astype(matrix.dtype)


@partial(jax.jit, donate_argnums=0)
def _add_weighted(total: jax.Array, matrix: jax.Array, weight: jax.Array) -> jax.Array:
    return total + matrix * weight.astype(matrix.dtype)
