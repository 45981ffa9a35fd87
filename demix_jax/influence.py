"""Influence of every training sample on every validation sample."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from demix_jax.curvature import Identity
from demix_jax.gradients import Loss, PyTree, per_example_gradients


def _flat(loss, params, batch):
    """f32[N, P]: per-example gradients as rows."""
    leaves = jax.tree.leaves(per_example_gradients(loss, params, batch))
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


@partial(jax.jit, static_argnums=0)
def _rows(loss, params, batch):
    return _flat(loss, params, batch)


@partial(jax.jit, static_argnums=0)
def _unit_rows(loss, params, batch):
    g = _flat(loss, params, batch)
    norm = jnp.linalg.norm(g, axis=1, keepdims=True)
    return g / jnp.where(norm > 0, norm, 1.0)


_product = jax.jit(lambda left, right: -left @ right.T)


def influence_matrix(
    loss: Loss, params: PyTree, train: PyTree, valid: PyTree, *, curvature: Any = Identity(),  # noqa: B008
    normalize: str | None = None,
) -> jax.Array:
    """Influence of each training sample on the loss of each validation sample.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `train` or `valid`.
      params: pytree of floating-point arrays.
      train: pytree whose leaves share a leading axis N.
      valid: pytree whose leaves share a leading axis M.
      normalize: None, or "cosine" for −cos(∇ℓ_i, ∇ℓ_j).
    Returns:
      f32[N, M], I(i, j) = −∇ℓ(v_j)ᵀ∇ℓ(t_i). Negative: raising this sample's weight lowers that loss.
    """
    rows = _unit_rows if normalize == "cosine" else _rows
    block = 512
    num = jax.tree.leaves(train)[0].shape[0]
    right = rows(loss, params, valid)
    parts = []
    for start in range(0, num, block):
        parts.append(_product(rows(loss, params, jax.tree.map(lambda v: v[start : start + block], train)), right))  # noqa: B023
    return jnp.concatenate(parts)


def self_influence(loss: Loss, params: PyTree, batch: PyTree, *, curvature: Any = Identity()) -> jax.Array:  # noqa: B008
    """Influence of each sample on its own loss: f32[N], −gᵢᵀgᵢ, never positive."""
    num = jax.tree.leaves(batch)[0].shape[0]
    parts = []
    for start in range(0, num, 512):
        g = _rows(loss, params, jax.tree.map(lambda v: v[start : start + 512], batch))  # noqa: B023
        parts.append(-jnp.sum(g * g, axis=1))
    return jnp.concatenate(parts)
