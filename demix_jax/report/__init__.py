"""The report that a person reads: one HTML file made of a Diagnosis."""

from demix_jax.report.page import headline, render, write_html

__all__ = ["headline", "render", "write_html"]
