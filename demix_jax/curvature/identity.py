"""No curvature: influence is the plain inner product of gradients."""

from __future__ import annotations

import flax.struct

from demix_jax.curvature.base import CurvatureProblem, Directions
from demix_jax.gradients.factored import FactoredGradients


@flax.struct.dataclass
class Identity:
    """(H + λI)⁻¹ replaced by the identity: I(i, j) = −∇ℓ(v_j)ᵀ∇ℓ(t_i), as in TracIn (Pruthi et al. 2020)."""

    def fit(self, problem: CurvatureProblem) -> FittedIdentity:
        del problem
        return FittedIdentity()


@flax.struct.dataclass
class FittedIdentity:
    """damping: 0, as nothing is damped."""

    damping: float = 0.0

    @property
    def in_full(self) -> bool:
        return False

    def solve(self, gradients: FactoredGradients) -> Directions:
        return Directions(gradients)
