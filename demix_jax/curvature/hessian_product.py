"""Products of the mean loss's Hessian with vectors, forward over reverse, in chunks of samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.curvature.base import CurvatureProblem
from demix_jax.gradients.factored import sum_dtype
from demix_jax.gradients.per_example import PyTree, num_examples
from demix_jax.gradients.stream import gradient_shape
from demix_jax.gradients.tracer import GradientPlan

# Samples whose forward and backward passes are held at once, for each vector.
_CHUNK = 256

# Deterministic ±1 probes for the trace: signs of the multiples of square roots of primes (Weyl sequences).
_PROBES = (2, 3, 5, 7, 11, 13, 17, 19)


class HessianProduct(NamedTuple):
    """v ↦ H v for H the Hessian of the mean loss in the selected parameters, laid out as the blocks' full gradients.

    chunks: samples and their weights, f[chunks, samples per chunk, ...]; the weights sum to one.
    """

    plan: GradientPlan
    formed: tuple[bool, ...]
    params: PyTree
    chunks: tuple[PyTree, jax.Array]

    @classmethod
    def make(cls, problem: CurvatureProblem, samples: PyTree) -> HessianProduct:
        num = num_examples(samples, "train")
        length = min(_CHUNK, num)
        count = math.ceil(num / length)
        rows = np.minimum(np.arange(count * length), num - 1).reshape(count, length)
        weights = (np.arange(count * length) < num).reshape(count, length) / num
        chunks = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], samples)
        dtype = sum_dtype(problem.plan.shape().losses.dtype)
        return cls(problem.plan, problem.formed, problem.params, (chunks, jnp.asarray(weights, dtype)))

    @property
    def num_parameters(self) -> int:
        return self.plan.num_parameters

    def statics(self) -> tuple[GradientPlan, tuple[bool, ...]]:
        """What a compiled function is compiled for."""
        return self.plan, self.formed

    def trace(self) -> float:
        """Estimate of the trace of H, from a few products."""
        numbers = np.arange(1, self.num_parameters + 1)
        signs = [np.where(numbers * math.sqrt(prime) % 1.0 < 0.5, 1.0, -1.0) for prime in _PROBES]
        dtype = self.chunks[1].dtype
        probes = jnp.asarray(np.stack(signs), dtype)
        return float(_mean_quadratic(*self.statics(), self.params, self.chunks, probes))


def hessian_product(plan: GradientPlan, formed: tuple[bool, ...], params: PyTree, chunks: Any) -> Callable:
    """f[P] → f[P], to be used inside a compiled function."""
    template = gradient_shape(plan, formed)

    def mean_loss(values, samples, weights):
        losses = jax.vmap(plan.loss, in_axes=(None, 0))(values, samples)
        return jnp.sum(weights * losses.astype(weights.dtype))

    def product(vector):
        tangent = jax.tree.map(lambda leaf: leaf[0], template.with_full(vector[None]).to_dense())

        def add(total, chunk):
            gradient = partial(jax.grad(mean_loss), samples=chunk[0], weights=chunk[1])
            of_chunk = jax.jvp(gradient, (params,), (tangent,))[1]
            return jax.tree.map(lambda total, leaf: total + leaf.astype(total.dtype), total, of_chunk), None

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, sum_dtype(leaf.dtype)), params)
        total, _ = jax.lax.scan(add, zeros, chunks)
        return template.pack(jax.tree.map(lambda leaf: leaf[None], total)).full()[0]

    return product


@partial(jax.jit, static_argnums=(0, 1))
def _mean_quadratic(plan, formed, params, chunks, probes):
    product = hessian_product(plan, formed, params, chunks)
    return jnp.mean(jax.lax.map(lambda probe: jnp.vdot(probe, product(probe), precision="highest"), probes))
