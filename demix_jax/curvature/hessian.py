"""The Hessian of the mean training loss, inverted by an iterative solver."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.curvature.base import CurvatureProblem, Directions, check_damping
from demix_jax.curvature.gauss_newton import curvature_samples
from demix_jax.curvature.hessian_product import HessianProduct, hessian_product
from demix_jax.gradients.factored import FactoredGradients

logger = logging.getLogger("demix_jax")

# Right-hand sides that are solved for at a time.
_RIGHT_HAND_SIDES = 32


@flax.struct.dataclass
class CG:
    """Conjugate gradients, for H + λI with positive eigenvalues. tolerance: residual over the right-hand side."""

    tolerance: float = 1e-5
    max_steps: int = flax.struct.field(pytree_node=False, default=200)

    def solve(self, product: Any, right: jax.Array) -> jax.Array:
        return jax.scipy.sparse.linalg.cg(product, right, tol=self.tolerance, maxiter=self.max_steps)[0]


@flax.struct.dataclass
class LiSSA:
    """Neumann series s ← s + (g − (H + λI)s) / scale over all curvature samples; converges if scale > λ_max(H) + λ.

    Attributes:
      scale: None for the largest eigenvalue as a power iteration finds it, and a tenth more.
    Source: Agarwal et al. 2017, "Second-Order Stochastic Optimization for Machine Learning in Linear Time".
    """

    scale: float | None = None
    tolerance: float = 1e-3
    max_steps: int = flax.struct.field(pytree_node=False, default=1000)

    def solve(self, product: Any, right: jax.Array) -> jax.Array:
        scale = 1.1 * _largest_eigenvalue(product, right) if self.scale is None else self.scale
        return jax.lax.fori_loop(0, self.max_steps, lambda _, s: s + (right - product(s)) / scale, right / scale)


class SolveResult(NamedTuple):
    """directions: M of them. residual_norm: f[M], relative to the right-hand side. converged: bool[M]."""

    directions: Directions
    residual_norm: jax.Array
    converged: jax.Array


@flax.struct.dataclass
class Hessian:
    """H = ∂²/∂θ² of the mean loss of curvature samples, by Hessian-vector products.

    Attributes:
      damping: λ > 0; None for a tenth of H's mean eigenvalue (its trace, estimated from 8 products, over P).
      solver: `CG()` or `LiSSA()`.
      samples: how many training samples, evenly spread over the data, make up H; None for all.
    Source: Pearlmutter 1994, "Fast Exact Multiplication by the Hessian"; Koh & Liang 2017, §3.
    """

    damping: float | None = None
    solver: CG | LiSSA = CG()
    samples: int | None = flax.struct.field(pytree_node=False, default=None)

    def fit(self, problem: CurvatureProblem) -> FittedHessian:
        """Nothing but λ is computed ahead; InputError for damping ≤ 0, or a solver that is none."""
        check_damping(self.damping)
        if not isinstance(self.solver, (CG, LiSSA)):
            raise InputError(f"solver is {self.solver!r}; pass CG() or LiSSA().")
        product = HessianProduct.make(problem, curvature_samples(problem.train, self.samples))
        return FittedHessian(product, chosen_damping(self.damping, product, "Hessian"), self.solver)


class FittedHessian(NamedTuple):
    """damping: the λ in use."""

    product: HessianProduct
    damping: jax.Array
    solver: CG | LiSSA

    @property
    def in_full(self) -> bool:
        return True

    def solve(self, gradients: FactoredGradients) -> Directions:
        """As `solve_reported`, with a warning in the log when some right-hand sides did not converge."""
        result = self.solve_reported(gradients)
        warn = partial(_warn_of_slow_solves, self.solver.max_steps)
        jax.debug.callback(warn, result.converged, result.residual_norm, self.damping)
        return result.directions

    def solve_reported(self, gradients: FactoredGradients) -> SolveResult:
        """(H + λI)⁻¹ g_j and how far each solve got."""
        full, residual_norm = _solve(
            *self.product.statics(), self.product.params, self.product.chunks, self.damping, self.solver, gradients
        )
        converged = residual_norm <= 2 * self.solver.tolerance
        return SolveResult(Directions(gradients.with_full(full)), residual_norm, converged)


def _warn_of_slow_solves(max_steps: int, converged: Any, residual_norm: Any, damping: Any) -> None:
    if not converged.all():
        logger.warning(
            "%d of %d right-hand sides did not converge in %d steps (largest relative residual %.1e); raise the "
            "damping (now %.1e) or max_steps.",
            int((~converged).sum()),
            converged.shape[0],
            max_steps,
            float(residual_norm.max()),
            float(damping),
        )


@partial(jax.jit, static_argnums=(0, 1))
def _solve(plan, formed, params, chunks, damping, solver, gradients):
    undamped = hessian_product(plan, formed, params, chunks)

    def damped(vector):
        return undamped(vector) + damping * vector

    def one(right):
        solution = solver.solve(damped, right)
        size = jnp.linalg.norm(right)
        residual = jnp.linalg.norm(right - damped(solution)) / jnp.where(size > 0, size, 1.0)
        return solution, residual

    full = gradients.full()
    return jax.lax.map(one, full, batch_size=min(_RIGHT_HAND_SIDES, full.shape[0]))


def _largest_eigenvalue(product: Any, start: jax.Array) -> jax.Array:
    def step(_, vector):
        image = product(vector)
        return image / jnp.maximum(jnp.linalg.norm(image), jnp.finfo(image.dtype).tiny)

    vector = jax.lax.fori_loop(0, 50, step, start / jnp.maximum(jnp.linalg.norm(start), 1e-30))
    return jnp.linalg.norm(product(vector))


def chosen_damping(damping: float | None, product: HessianProduct, name: str) -> jax.Array:
    """`damping`, or a tenth of the mean eigenvalue."""
    dtype = product.chunks[1].dtype
    if damping is not None:
        return jnp.asarray(damping, dtype)
    chosen = 0.1 * product.trace() / product.num_parameters
    if not chosen > 0:
        raise InputError(f"the Hessian's mean eigenvalue is {10 * chosen:.1e}, not positive; pass a damping.")
    logger.info("%s: damping set to %.3e, a tenth of the mean eigenvalue.", name, chosen)
    return jnp.asarray(chosen, dtype)
