"""Report on a Diagnosis as one HTML file, and its summary on the terminal."""

from demix_jax.report.parts import headline

__all__ = ["headline"]
