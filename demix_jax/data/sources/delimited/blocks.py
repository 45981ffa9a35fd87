"""The text of a file, decompressed and decoded, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from demix_jax.data.sources.boundary import reading
from demix_jax.data.sources.compression import open_decompressed
from demix_jax.data.sources.delimited.encodings import Encoding, decoded


def text_blocks(path: Path, encoding: Encoding, block_bytes: int, *, skip: int = 0) -> Iterator[bytes]:
    """UTF-8 blocks of about `block_bytes`, without the byte order mark and the first `skip` bytes after it.

    Raises:
      InputError: the file is missing or damaged, or its text ends within a character.
    """
    with reading(path, f"{encoding.name} text"), open_decompressed(path) as file:
        for block in decoded(file, encoding, block_bytes):
            if skip < len(block):
                yield block[skip:]
            skip = max(0, skip - len(block))
