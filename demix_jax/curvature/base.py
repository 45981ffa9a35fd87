"""What every curvature is: a choice (a frozen dataclass) that, fitted to training data, solves (H + λI) s = g.

To add a curvature, write one file with a frozen dataclass that has `fit`, whose result has `solve`, and export it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from demix_jax.common.checks import InputError
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.ghost import gram_matrix, paired_products
from demix_jax.gradients.per_example import Loss, PyTree, num_examples
from demix_jax.gradients.stream import Gradients, as_arrays
from demix_jax.gradients.tracer import GradientPlan


class CurvatureProblem(NamedTuple):
    """What a curvature is fitted to. train: pytree with a leading axis N. memory: bytes to work in.

    plan: how gradients of `loss` at `params` are computed, of the selected parameters only.
    formed: which of their blocks are formed in full; what `fit` keeps must match the gradients it will solve for.
    mesh: devices to share large Gram matrices among; None for one device.
    """

    loss: Loss
    params: PyTree
    train: PyTree
    plan: GradientPlan
    formed: tuple[bool, ...]
    select: str | None
    memory: int
    mesh: Mesh | None = None

    def stream(self, plan: GradientPlan | None = None) -> Gradients:
        """Gradients of `plan`, a loss with the same parameters, or of this problem's own."""
        return Gradients(plan or self.plan, self.params, self.formed, self.memory)

    def gradients(self, batch: PyTree, plan: GradientPlan | None = None) -> FactoredGradients:
        """Gradients of all examples of `batch`, computed in blocks within `memory`."""
        stream, batch = self.stream(plan), as_arrays(batch)
        return stream.all(batch, stream.block_length(num_examples(batch, "train")), "train")


class Directions(NamedTuple):
    """M directions in parameter space, s_j = own_j − Σ_r basis_r weights_rj. weights: f[R, M].

    Kept apart, so that low-rank inverses never form a direction of length P.
    """

    own: FactoredGradients
    basis: FactoredGradients | None = None
    weights: jax.Array | None = None

    def scaled(self, factors: jax.Array) -> Directions:
        """Each direction times its factor, f[M]."""
        weights = None if self.weights is None else self.weights * factors[None, :]
        return Directions(self.own.scaled(factors), self.basis, weights)

    def products(self, gradients: FactoredGradients) -> jax.Array:
        """f[N, M]: inner product of each of N gradients with each direction."""
        products = gram_matrix(gradients, self.own)
        if self.basis is None or self.weights is None:
            return products
        return products - jnp.matmul(gram_matrix(gradients, self.basis), self.weights, precision="highest")

    def paired_products(self, gradients: FactoredGradients) -> jax.Array:
        """f[M]: inner product of gradient j with direction j, for as many gradients as directions."""
        products = paired_products(gradients, self.own)
        if self.basis is None or self.weights is None:
            return products
        return products - jnp.sum(gram_matrix(gradients, self.basis).T * self.weights, axis=0)


class Fitted(Protocol):
    """A curvature fitted to training data. `damping` is the λ in use (0 where there is none).

    in_full: whether the directions that `solve` returns are vectors of length P rather than factors.
    """

    @property
    def damping(self) -> Any: ...

    @property
    def in_full(self) -> bool: ...

    def solve(self, gradients: FactoredGradients) -> Directions:
        """(H + λI)⁻¹ g_j for each of M gradients."""
        ...


class Curvature(Protocol):
    """A choice of curvature H and damping λ."""

    def fit(self, problem: CurvatureProblem) -> Fitted:
        """Prepare (H + λI)⁻¹ from `problem.train`."""
        ...


def check_curvature(curvature: Curvature) -> None:
    """InputError unless `curvature` is a curvature, and not its class, its name or a solver."""
    if isinstance(curvature, type) or not callable(getattr(curvature, "fit", None)):
        raise InputError(f"curvature is {curvature!r}; pass one such as EKFAC(), Identity() or Hessian(solver=CG()).")


def check_damping(damping: float | None) -> None:
    """InputError unless `damping` is None or a positive, finite number."""
    if damping is None:
        return
    try:
        usable = bool(0.0 < damping < float("inf"))
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(
            f"damping is {damping!r}; pass a positive number, or None to take it from the curvature itself."
        )
