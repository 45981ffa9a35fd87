"""A low-rank Hessian: its dominant eigenvectors from a Krylov space, so that many solves cost one iteration."""

from __future__ import annotations

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.curvature.base import CurvatureProblem, Directions, check_damping
from demix_jax.curvature.gauss_newton import curvature_samples
from demix_jax.curvature.hessian import chosen_damping
from demix_jax.curvature.hessian_product import HessianProduct, hessian_product
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.ghost import blocked_gram_matrix


@flax.struct.dataclass
class Arnoldi:
    """H ≈ Σ θ_k u_k u_kᵀ over the Hessian's largest positive eigenvalues, λ everywhere else.

    As H is symmetric, Arnoldi's iteration is Lanczos's, here with full orthogonalisation.

    Attributes:
      key: for the start vector.
      rank: how many eigenvectors are kept. steps: Hessian-vector products, at least `rank`; None for twice as many.
      damping: λ > 0; None as in `Hessian`.
      samples: how many training samples, evenly spread over the data, make up H; None for all.
    Source: Schioppa et al. 2022, "Scaling Up Influence Functions".
    """

    key: jax.Array
    damping: float | None = None
    rank: int = flax.struct.field(pytree_node=False, default=50)
    steps: int | None = flax.struct.field(pytree_node=False, default=None)
    samples: int | None = flax.struct.field(pytree_node=False, default=None)

    def fit(self, problem: CurvatureProblem) -> FittedArnoldi:
        """Eigenvalues and eigenvectors; InputError for damping ≤ 0, rank < 1 or steps < rank."""
        check_damping(self.damping)
        steps = 2 * self.rank if self.steps is None else self.steps
        if not 1 <= self.rank <= steps:
            raise InputError(f"rank is {self.rank} and steps {steps}; pass 1 ≤ rank ≤ steps.")
        product = HessianProduct.make(problem, curvature_samples(problem.train, self.samples))
        damping = chosen_damping(self.damping, product, "Arnoldi")
        steps = min(steps, product.num_parameters)
        values, vectors = _eigenvectors(
            *product.statics(), steps, min(self.rank, steps), product.params, product.chunks, self.key
        )
        template = problem.stream().shape()
        return FittedArnoldi(template.with_full(vectors), values, damping)


@flax.struct.dataclass
class FittedArnoldi:
    """vectors: R eigenvectors of length P. values: f[R], their eigenvalues. damping: the λ in use."""

    vectors: FactoredGradients
    values: jax.Array
    damping: jax.Array

    @property
    def in_full(self) -> bool:
        return False

    def solve(self, gradients: FactoredGradients) -> Directions:
        shares = self.values / (self.values + self.damping) / self.damping
        weights = shares[:, None] * blocked_gram_matrix(self.vectors, gradients)
        inverse = jnp.ones(gradients.losses.shape[0], self.damping.dtype) / self.damping
        return Directions(gradients.scaled(inverse), self.vectors, weights)


_product = partial(jnp.matmul, precision="highest")


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _eigenvectors(plan, formed, steps, rank, params, chunks, key):
    """Eigenvalues f[rank], negative ones set to 0, and eigenvectors f[rank, P] of H within a Krylov space."""
    product = hessian_product(plan, formed, params, chunks)
    size, dtype = plan.num_parameters, chunks[1].dtype
    start = jax.random.normal(key, (size,), dtype)

    def step(number, state):
        basis, images, vector = state
        for _ in range(2):  # once more for what rounding left
            vector = vector - _product(basis.T, _product(basis, vector))
        vector = vector / jnp.maximum(jnp.linalg.norm(vector), jnp.finfo(dtype).tiny)
        image = product(vector)
        return basis.at[number].set(vector), images.at[number].set(image), image

    empty = jnp.zeros((steps, size), dtype)
    basis, images, _ = jax.lax.fori_loop(0, steps, step, (empty, empty, start))
    projected = _product(basis, images.T)
    values, rotations = jnp.linalg.eigh(0.5 * (projected + projected.T))
    chosen = jnp.argsort(-values)[:rank]
    return jnp.maximum(values[chosen], 0.0), _product(rotations[:, chosen].T, basis)
