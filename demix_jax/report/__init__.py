"""The report that a person reads: one HTML file made of a Diagnosis."""

from demix_jax.report.parts import headline

__all__ = ["headline"]
