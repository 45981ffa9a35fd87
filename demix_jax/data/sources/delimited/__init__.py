"""Delimited text (CSV and its kin) as it is written: read cell by cell, and edited without changing another byte."""

from demix_jax.data.sources.delimited.source import DelimitedSource, open_delimited

__all__ = ["DelimitedSource", "open_delimited"]
