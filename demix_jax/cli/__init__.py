"""The command `demix-jax`: what is typed, checked before any work, handed to the library, and said afterwards."""

from demix_jax.cli.main import main

__all__ = ["main"]
