"""The command `demix-jax`: checks what was typed, calls the library, and prints what came of it."""

from demix_jax.cli.command_line import main

__all__ = ["main"]
