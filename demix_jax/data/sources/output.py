"""Where an edited table is written: a new file, complete or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demix_jax.common.checks import InputError
from demix_jax.common.files import atomic_paths, same_file
from demix_jax.data.sources.boundary import printable


@contextmanager
def new_file(out: Path, source: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `out` if the block succeeds.

    Raises:
      InputError: `out` is the file that is read, or no file can be written there.
    """
    if same_file(source, out):
        raise InputError(f"{printable(out)} is the file that is read; choose another name to write to.")
    with atomic_paths(out) as (name,):
        yield name
