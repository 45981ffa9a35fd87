"""What the inverse curvature in an influence function is."""

from demix_jax.curvature.arnoldi import Arnoldi
from demix_jax.curvature.base import Curvature, CurvatureProblem, Directions, Fitted
from demix_jax.curvature.empirical_fisher import EmpiricalFisher
from demix_jax.curvature.gauss_newton import GaussNewton
from demix_jax.curvature.hessian import CG, Hessian, LiSSA
from demix_jax.curvature.identity import Identity
from demix_jax.curvature.kronecker import EKFAC, KFAC

__all__ = [
    "CG",
    "EKFAC",
    "KFAC",
    "Arnoldi",
    "Curvature",
    "CurvatureProblem",
    "Directions",
    "EmpiricalFisher",
    "Fitted",
    "GaussNewton",
    "Hessian",
    "Identity",
    "LiSSA",
]
