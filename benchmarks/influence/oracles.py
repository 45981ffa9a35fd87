"""Damped Gauss–Newton influence in float64 by means that share nothing with the engine: an inverse, and CG."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.influence.problems import Problem


def by_inverse(problem: Problem, damping: float) -> np.ndarray:
    """f64[N, M] from the Gauss–Newton matrix of all N training samples, formed and inverted. For small P."""
    model = problem.model
    with jax.enable_x64(True):
        params, train, valid = _in_double(problem)
        flat, unravel = ravel_pytree(params)

        def parts(batch: Any) -> tuple[Any, Any]:
            jacobian = jax.vmap(lambda e: jax.jacrev(lambda p: model.outputs(unravel(p), e))(flat))(batch)
            outputs = jax.vmap(lambda e: model.outputs(params, e))(batch)
            return jacobian, outputs

        def gradients(batch: Any) -> Any:
            jacobian, outputs = parts(batch)
            slopes = jax.vmap(jax.grad(model.output_loss))(outputs, batch)
            return jnp.einsum("nkp,nk->np", jacobian, slopes)

        jacobian, outputs = parts(train)
        hessians = jax.vmap(jax.hessian(model.output_loss))(outputs, train)
        weighted = jnp.einsum("nkl,nlp->nkp", hessians, jacobian)
        matrix = jnp.einsum("nkp,nkq->pq", jacobian, weighted) / len(outputs) + damping * jnp.eye(len(flat))
        return np.asarray(-gradients(train) @ jnp.linalg.solve(matrix, gradients(valid).T))


def by_cg(problem: Problem, damping: float, samples: int, columns: list[int]) -> tuple[np.ndarray, float]:
    """f64[N, columns] by conjugate gradients on Gauss–Newton products, and the largest relative residual.

    The curvature is the mean over `samples` training samples spread evenly over all.
    """
    model = problem.model
    with jax.enable_x64(True):
        params, train, valid = _in_double(problem)
        num = len(train["y"])
        rows = np.arange(min(samples, num)) * num // min(samples, num)
        chosen = jax.tree.map(lambda leaf: leaf[rows], train)

        @jax.jit
        def column(params: Any, train: Any, chosen: Any, example: Any) -> tuple[Any, Any]:
            product = _damped_product(model, params, chosen, damping)
            right = jax.grad(model.loss)(params, example)
            solution = jax.scipy.sparse.linalg.cg(product, right, tol=1e-9, maxiter=2000)[0]
            rest = jax.tree.map(jnp.subtract, product(solution), right)
            residual = jnp.linalg.norm(ravel_pytree(rest)[0]) / jnp.linalg.norm(ravel_pytree(right)[0])
            losses = jax.vmap(model.loss, in_axes=(None, 0))
            return -jax.jvp(lambda p: losses(p, train), (params,), (solution,))[1], residual

        examples = [jax.tree.map(lambda leaf: leaf[i], valid) for i in columns]  # noqa: B023
        results = [column(params, train, chosen, example) for example in examples]
        influence = np.stack([np.asarray(values) for values, _ in results], axis=1)
        return influence, max(float(residual) for _, residual in results)


def _damped_product(model: Any, params: Any, batch: Any, damping: float) -> Any:
    """vector → (H + λI) vector, H the mean Gauss–Newton matrix of `batch`."""

    def outputs(p: Any) -> Any:
        return jax.vmap(model.outputs, in_axes=(None, 0))(p, batch)

    def mean_loss(z: Any) -> Any:
        return jnp.mean(jax.vmap(model.output_loss)(z, batch))

    def product(vector: Any) -> Any:
        z, tangent = jax.jvp(outputs, (params,), (vector,))
        curved = jax.jvp(jax.grad(mean_loss), (z,), (tangent,))[1]
        back = jax.vjp(outputs, params)[1](curved)[0]
        return jax.tree.map(lambda a, b: a + damping * b, back, vector)

    return product


def _in_double(problem: Problem) -> tuple[Any, Any, Any]:
    def double(leaf: Any) -> Any:
        leaf = np.asarray(leaf)
        return jnp.asarray(leaf.astype(np.float64) if leaf.dtype.kind == "f" else leaf)

    params, train, valid = jax.tree.map(double, (problem.params, problem.train, problem.valid))
    return params, train, valid
