"""Text in any encoding as UTF-8 blocks and back, byte for byte, stray bytes included.

Bytes that are no text in the encoding become lone surrogates, which UTF-8 text never contains. So `encoded` finds them
again, and `mend` shows them as U+FFFD without moving any other byte.
"""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Iterator
from typing import IO

import numpy as np

from demix_jax.common.checks import InputError

_BOMS = (  # UTF-32 first: its mark begins like that of UTF-16
    ("utf-32-le", codecs.BOM_UTF32_LE),
    ("utf-32-be", codecs.BOM_UTF32_BE),
    ("utf-8", codecs.BOM_UTF8),
    ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE),
)
_ASCII = bytes(range(128))
_LEAST_NULS = 0.05  # share of NUL bytes from which a file may be UTF-16
_REPLACEMENT = np.frombuffer("\ufffd".encode(), np.uint8)


@dataclasses.dataclass(frozen=True)
class Encoding:
    """name: of the codec. bom: the byte order mark at the start of the file, or nothing."""

    name: str
    bom: bytes = b""

    @property
    def errors(self) -> str:
        """How the codec handles what is no text: bytes become lone surrogates, which UTF-16 may have of its own."""
        return "surrogatepass" if self.name.startswith(("utf-16", "utf-32")) else "surrogateescape"

    @property
    def keeps_ascii(self) -> bool:
        """Whether bytes under 128 are ASCII."""
        return _ASCII.decode(self.name, "replace").encode() == _ASCII


def encoding_by_start(start: bytes) -> Encoding | None:
    """The encoding that the first bytes of a file show: a byte order mark, or the NUL bytes of UTF-16 and UTF-32."""
    for name, bom in _BOMS:
        if start.startswith(bom):
            return Encoding(name, bom)
    units = np.frombuffer(start[: len(start) // 4 * 4], np.uint8).reshape(-1, 4)
    if not len(units):
        return None
    nuls = (units == 0).mean(axis=0)
    if nuls[1:].min() > 0.9 and nuls[0] < 0.1:
        return Encoding("utf-32-le")
    if nuls[:3].min() > 0.9 and nuls[3] < 0.1:
        return Encoding("utf-32-be")
    pairs = units.reshape(-1, 2)
    for name, low, high in (("utf-16-le", 0, 1), ("utf-16-be", 1, 0)):
        ends_line = np.isin(pairs[:, low], (10, 13)) & (pairs[:, high] == 0)
        shares = (pairs == 0).mean(axis=0)
        if ends_line.any() and shares[high] > _LEAST_NULS and shares[low] < 0.01 * shares[high]:
            return Encoding(name)
    return None


def named_encoding(name: str, start: bytes) -> Encoding:
    """The encoding that a user names, with the byte order mark if the file starts with one of it.

    Raises:
      InputError: there is no encoding of this name.
    """
    try:
        canonical = codecs.lookup(name).name
        b"a".decode(canonical, "replace")
    except (LookupError, ValueError) as error:
        raise InputError(
            f"encoding must be a name such as utf-8, cp1252, utf-16 or shift_jis, got {name!r}; leave it out to have "
            "the encoding recognised."
        ) from error
    canonical = {"utf-8-sig": "utf-8", "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030"}.get(
        canonical, canonical
    )
    found = next((Encoding(known, bom) for known, bom in _BOMS if start.startswith(bom)), None)
    if found is not None and found.name.startswith(canonical):
        return found
    return Encoding({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(canonical, canonical))


def decoded(stream: IO[bytes], encoding: Encoding, block_bytes: int) -> Iterator[bytes]:
    """The text of a stream without its byte order mark, in blocks of UTF-8; each block ends between two characters.

    Raises:
      UnicodeDecodeError: UTF-16 or UTF-32 that ends within a character or has values that are none.
    """
    place = len(stream.read(len(encoding.bom)))
    decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
    keeps_ascii, pending = encoding.keeps_ascii, b""
    while block := stream.read(block_bytes):
        if keeps_ascii and not pending and block.isascii():
            yield block
            place += len(block)
            continue
        text = _text(decoder, block, place - len(pending))
        rest = decoder.getstate()[0]
        place += len(block)
        block = pending + block
        yield _reversible(text, block[: len(block) - len(rest)], encoding)
        pending = rest
    if last := _text(decoder, b"", place - len(pending), final=True):
        yield _reversible(last, pending, encoding)


def encoded(data: bytes, encoding: Encoding) -> bytes:
    """The bytes of the file for text from `decoded`.

    Raises:
      UnicodeEncodeError: a character that the encoding does not have.
    """
    if data.isascii() and encoding.keeps_ascii:
        return data
    if encoding.name == "utf-8" and b"\xed" not in data:
        return data
    return data.decode("utf-8", "surrogatepass").encode(encoding.name, encoding.errors)


def can_encode(text: str, encoding: Encoding) -> bool:
    """Whether new text can be written in the encoding."""
    try:
        text.encode(encoding.name)
    except UnicodeEncodeError:
        return False
    return True


def strays(data: bytes) -> np.ndarray:
    """i64[S], where bytes that are no text stand in a block from `decoded`; each takes three bytes there."""
    if b"\xed" not in data:
        return np.zeros(0, np.int64)
    array = np.frombuffer(data, np.uint8)
    found = np.flatnonzero(array[:-1] == 0xED)
    return found[array[found + 1] >= 0xA0]


def mend(data: bytes) -> np.ndarray:
    """u8[n], a block from `decoded` with U+FFFD in place of every byte that is no text; of the same length."""
    array, found = np.frombuffer(data, np.uint8), strays(data)
    if len(found):
        array = array.copy()
        array[found[:, None] + np.arange(3)] = _REPLACEMENT
    return array


def _text(decoder: codecs.IncrementalDecoder, block: bytes, place: int, *, final: bool = False) -> str:
    """The text of a block; `place` of its first byte in the file is added to that of an error."""
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        error.start += place
        raise


def _reversible(text: str, original: bytes, encoding: Encoding) -> bytes:
    """UTF-8 of `text`, in which every character that would not be written as it was read becomes its single bytes."""
    if not encoding.name.startswith("utf") and text.encode(encoding.name, encoding.errors) != original:
        lines = original.splitlines(keepends=True)
        text = "".join(_reversible_line(line, encoding.name) for line in lines)
    return text.encode("utf-8", "surrogatepass")


def _reversible_line(line: bytes, name: str) -> str:
    whole = line.decode(name, "surrogateescape")
    if whole.encode(name, "surrogateescape") == line:
        return whole
    characters, place = [], 0
    while place < len(line):
        character, length = _character(line[place : place + 4], name)
        characters.append(character)
        place += length
    return "".join(characters)


def _character(start: bytes, name: str) -> tuple[str, int]:
    """The first character of some bytes, and how many it takes; a lone surrogate if it would be written otherwise."""
    for length in range(1, len(start) + 1):
        try:
            character = start[:length].decode(name)
            if len(character) == 1 and character.encode(name) == start[:length]:
                return character, length
        except UnicodeError:
            continue
    return start[:1].decode("ascii", "surrogateescape"), 1
