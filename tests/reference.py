"""Slow and obvious twins of the influence engine, in float64 NumPy where the numbers matter; no code is shared."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree


def gradient_rows(loss, params, batch):
    """f64[N, P]: one call of `jax.grad` per example."""
    num = jax.tree.leaves(batch)[0].shape[0]
    gradient = jax.jit(jax.grad(loss))
    rows = []
    for index in range(num):
        tree = gradient(params, jax.tree.map(lambda leaf, i=index: leaf[i], batch))
        rows.append(np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)]))
    return np.stack(rows)


def influence(train_rows, valid_rows, hessian, damping):
    """f64[N, M]: −g_v (H + λI)⁻¹ g_t with the inverse formed."""
    return -train_rows @ np.linalg.inv(hessian + damping * np.eye(len(hessian))) @ valid_rows.T


def cosine(train_rows, valid_rows):
    """f64[N, M]: minus the cosine."""
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (train_rows, valid_rows)]
    return -unit[0] @ unit[1].T


def hessian(loss, params, batch):
    """f64[P, P]: `jax.hessian` of the mean loss."""
    flat, unravel = ravel_pytree(params)

    def mean_loss(vector):
        return jnp.mean(jax.vmap(lambda example: loss(unravel(vector), example))(batch))

    return np.asarray(jax.jit(jax.hessian(mean_loss))(flat), np.float64)


def output_rows(outputs, output_loss, params, batch):
    """f64[N, K, P] and f64[N, K, K]: Jacobian of the outputs, and second derivative of the loss in them."""
    flat, unravel = ravel_pytree(params)
    jacobian = jax.jit(jax.vmap(jax.jacobian(lambda vector, x: outputs(unravel(vector), x)), in_axes=(None, 0)))
    values = jax.vmap(lambda x: outputs(params, x))(batch["x"])
    second = jax.vmap(jax.hessian(output_loss))(values, batch["y"])
    return np.asarray(jacobian(flat, batch["x"]), np.float64), np.asarray(second, np.float64)


def gauss_newton(outputs, output_loss, params, batch):
    """f64[P, P]: mean of Jᵀ (∂²loss/∂outputs²) J."""
    jacobians, second = output_rows(outputs, output_loss, params, batch)
    return np.einsum("nka,nkl,nlb->ab", jacobians, second, jacobians) / len(jacobians)
