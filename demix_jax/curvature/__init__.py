"""What the inverse curvature in an influence function is."""

from demix_jax.curvature.base import Curvature, Directions, Fitted, Problem
from demix_jax.curvature.identity import Identity

__all__ = ["Curvature", "Directions", "Fitted", "Identity", "Problem"]
