"""Per-example gradients of any JAX loss, in full or as factors, and their inner products."""

from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.per_example import factored_gradients, per_example_gradients

__all__ = ["FactoredGradients", "factored_gradients", "per_example_gradients"]
