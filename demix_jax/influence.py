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
from demix_jax.ghost import formed_blocks, gram_positions
from demix_jax.gradients import Loss, PyTree, checked_plan, num_examples

_IDENTITY = Identity()

# Pairs per block: their products then stay in cache on a CPU, and fill an accelerator.
_PAIRS_ON_CPU = 2**20
_PAIRS_ON_ACCELERATOR = 2**25


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
        fitted = curvature.fit(Problem(loss, params, train, train_plan, select, memory))
        none = (False,) * train_plan.num_blocks
        unit = normalize == "cosine" and isinstance(curvature, Identity)
        one_train, one_valid = (
            Gradients(plan, params, none).shape(batch, 1) for plan, batch in ((train_plan, train), (valid_plan, valid))
        )
        formed = formed_blocks(one_train, one_valid)
        streams = [Gradients(plan, params, formed, unit) for plan in (train_plan, valid_plan)]
        shapes = [stream.shape(batch, 1) for stream, batch in zip(streams, (train, valid), strict=True)]
        # An example takes its factors, about as much again for each of forward and backward pass, and its products.
        each = [4 * num_bytes(shape) + 2 * num_bytes(one) for shape, one in zip(shapes, (one_train, one_valid), strict=True)]
        width = min(num_valid, max(1, memory // 2 // num_bytes(shapes[1])))
        pairs = _PAIRS_ON_CPU if jax.default_backend() == "cpu" else _PAIRS_ON_ACCELERATOR
        most = max(16, pairs // (width * gram_positions(*shapes)))
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
            directions = _solve(self.fitted, gradients)
            scale = _inverse_lengths(gradients, directions) if self.cosine else None
            yield start, self._row_blocks(directions, scale)

    def _row_blocks(self, directions: Directions, scale: jax.Array | None) -> Iterator[tuple[Span, jax.Array]]:
        length = min(self.length, block_length(1, self.num_train, 2**62))
        for span in spans(self.num_train, length):
            gradients = self.train_gradients.of(self.train, span, length, "train")
            block = _influence(gradients, directions)
            if scale is not None:
                lengths = _inverse_lengths(gradients, _solve(self.fitted, gradients))
                block = block * lengths[:, None] * scale[None, :]
            yield span, block


@jax.jit
def _influence(gradients: FactoredGradients, directions: Directions) -> jax.Array:
    return -directions.products(gradients)


@jax.jit
def _solve(fitted: Fitted, gradients: FactoredGradients) -> Directions:
    return fitted.solve(gradients)


@partial(jax.jit, donate_argnums=0)
def _write(matrix: jax.Array, block: jax.Array, start: Any) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(matrix, block, start, axis=0)
