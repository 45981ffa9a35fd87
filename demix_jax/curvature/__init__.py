"""What the inverse curvature in an influence function is."""

from demix_jax.curvature.base import Curvature, Directions, Fitted, Problem
from demix_jax.curvature.empirical_fisher import EmpiricalFisher
from demix_jax.curvature.gauss_newton import GaussNewton
from demix_jax.curvature.identity import Identity

__all__ = ["Curvature", "Directions", "EmpiricalFisher", "Fitted", "GaussNewton", "Identity", "Problem"]
