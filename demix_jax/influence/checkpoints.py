"""Influence summed over the checkpoints of one training run."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.gradients.per_example import Loss, PyTree, num_examples
from demix_jax.influence.matrix import influence_matrix


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
