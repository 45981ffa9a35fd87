"""From a diagnosis to a repaired table with sample weights."""

from demix_jax.repairs.pipeline import Changes, Repaired, repair

__all__ = ["Changes", "Repaired", "repair"]
