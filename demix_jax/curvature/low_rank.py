"""H = GᵀG / n from R rows of G: its damped inverse by Woodbury in R dimensions, or directly in P when P is smaller."""

from __future__ import annotations

import logging

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from demix_jax.common.checks import InputError
from demix_jax.curvature.base import Directions, Fitted
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.ghost import blocked_gram_matrix, second_moment
from demix_jax.gradients.meshes import sharded_gram_matrix, sharded_second_moment
from demix_jax.gradients.tracer import GradientPlan

logger = logging.getLogger("demix_jax")

# The matrix to factor may take this many bytes (32,768 rows in f32).
_MOST_BYTES = 2**32


@flax.struct.dataclass
class SampleSpace:
    """(GᵀG / n + λI)⁻¹ = (1/λ)(I − Gᵀ(nλI + GGᵀ)⁻¹G), the Woodbury identity.

    rows: G, R gradients. factor: f[R, R], lower Cholesky factor of nλI + GGᵀ. damping: λ.
    """

    rows: FactoredGradients
    factor: jax.Array
    damping: jax.Array

    @property
    def in_full(self) -> bool:
        return False

    def solve(self, gradients: FactoredGradients) -> Directions:
        products = blocked_gram_matrix(self.rows, gradients)
        weights = _solve_factored(self.factor, products, self.damping)
        return Directions(_over(gradients, self.damping), self.rows, weights)


@flax.struct.dataclass
class ParameterSpace:
    """(H + λI)⁻¹ by the lower Cholesky factor of H + λI, f[P, P], over the parameters that the blocks hold."""

    factor: jax.Array
    damping: jax.Array

    @property
    def in_full(self) -> bool:
        return True

    def solve(self, gradients: FactoredGradients) -> Directions:
        return Directions(_solve_full(self.factor, gradients))


def fit_rows(rows: FactoredGradients, num: int, damping: float | None, name: str, mesh: Mesh | None = None) -> Fitted:
    """The damped inverse of H = GᵀG / `num` for the R rows of G; chooses λ if `damping` is None.

    mesh: devices that share the work of GGᵀ or GᵀG; its Cholesky factor is computed on one.
    """
    squared_norms = rows.squared_norms()
    num_rows, num_parameters = squared_norms.shape[0], rows.num_parameters
    if damping is None:
        chosen = 0.1 * jnp.sum(squared_norms) / num / min(num_rows, num_parameters)
        if not chosen > 0:
            raise InputError("the curvature is zero for every sample; pass a damping, or check the parameters.")
        logger.info("%s: damping set to %.3e, a tenth of the mean eigenvalue.", name, float(chosen))
    else:
        chosen = jnp.asarray(damping, squared_norms.dtype)
    if num_parameters <= num_rows:
        moment = second_moment(rows) if mesh is None else sharded_second_moment(rows, mesh)
        factor = _factor(moment / num, chosen)
    else:
        gram = blocked_gram_matrix(rows, rows) if mesh is None else sharded_gram_matrix(rows, mesh)
        factor = _factor(gram, num * chosen)
    if not bool(jnp.isfinite(factor).all()):
        raise InputError(
            f"damping {float(chosen):.1e} is too small to invert the curvature in {factor.dtype}; pass a larger one, "
            "or compute in 64 bits."
        )
    return ParameterSpace(factor, chosen) if num_parameters <= num_rows else SampleSpace(rows, factor, chosen)


def check_size(num_rows: int, plan: GradientPlan, argument: str) -> None:
    """InputError if the matrix that `fit_rows` would factor is too large."""
    side = min(num_rows, plan.num_parameters)
    if side**2 * 4 > _MOST_BYTES:
        raise InputError(
            f"the curvature needs a {side} × {side} matrix ({side**2 * 4 / 2**30:.0f} GiB); pass a smaller {argument}."
        )


@jax.jit
def _factor(gram: jax.Array, shift: jax.Array) -> jax.Array:
    return jnp.linalg.cholesky(gram + shift * jnp.eye(gram.shape[0], dtype=gram.dtype), symmetrize_input=False)


@jax.jit
def _solve_factored(factor: jax.Array, products: jax.Array, damping: jax.Array) -> jax.Array:
    return jax.scipy.linalg.cho_solve((factor, True), products) / damping


@jax.jit
def _over(gradients: FactoredGradients, damping: jax.Array) -> FactoredGradients:
    return gradients.scaled(jnp.ones(gradients.losses.shape[0], damping.dtype) / damping)


@jax.jit
def _solve_full(factor: jax.Array, gradients: FactoredGradients) -> FactoredGradients:
    return gradients.with_full(jax.scipy.linalg.cho_solve((factor, True), gradients.full().T).T)
