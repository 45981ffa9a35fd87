"""What the inverse curvature in an influence function is."""

from demix_jax.curvature.identity import Identity

__all__ = ["Identity"]
