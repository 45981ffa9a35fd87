"""No curvature: influence is the plain inner product of gradients."""

from __future__ import annotations

import flax.struct


@flax.struct.dataclass
class Identity:
    """H + λI replaced by the identity: I(i, j) = −∇ℓ(v_j)ᵀ∇ℓ(t_i), as in TracIn (Pruthi et al. 2020)."""
