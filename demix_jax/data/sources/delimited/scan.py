"""Reads a text file once, before its rows: decides its encoding, and keeps pieces from all over it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.wording import count
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.compression import open_decompressed
from demix_jax.data.sources.content import refuse_other_content
from demix_jax.data.sources.delimited.blocks import text_blocks
from demix_jax.data.sources.delimited.detection import detect_code_page
from demix_jax.data.sources.delimited.encodings import (
    Encoding,
    encoded,
    encoding_by_start,
    named_encoding,
    strays,
)

_BLOCK_BYTES = 1 << 20
_START_BYTES = 1 << 16
_HEAD_BYTES = 1 << 19
_HEAD_LINES = 60
_LONGEST_HEAD = 1 << 26
_PIECE_BYTES = 1 << 14
_NUM_PIECES = 64
_ODD_BYTES = 1 << 16  # of lines that show the encoding
_ODD_LINE = re.compile(rb"[^\r\n]{0,2000}\xed[\xa0-\xbf][^\r\n]{0,2000}")


@dataclass
class Scan:
    """What one reading of a file found; all bytes are counted in UTF-8.

    Attributes:
      encoding: of the file. num_bytes: without the byte order mark.
      head: the start of the text, with the header and some lines after it. pieces: whole lines from evenly spaced
        places after the head, in order, the last from the end of the file.
      num_strays: bytes that are no text in the encoding. first_stray: line and column of the first one, from 1.
      num_foreign: characters over 127 that are text.
    """

    encoding: Encoding
    num_bytes: int = 0
    head: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    num_strays: int = 0
    first_stray: tuple[int, int] = (0, 0)
    num_foreign: int = 0

    @property
    def has_all(self) -> bool:
        """Whether the head is the whole text."""
        return len(self.head) == self.num_bytes


def scan_text(path: Path, encoding: str | None) -> tuple[Scan, list[str]]:
    """Read the whole file once, or twice if it is in a code page.

    Args:
      encoding: as the user names it; None: recognised by byte order mark, then as UTF-16, UTF-8 or a code page.
    Returns:
      What was found, and notes for the user on the encoding.
    Raises:
      InputError: no text, damaged, or not in the encoding that was named.
    """
    with open_decompressed(path) as file:
        start = file.read(_START_BYTES)
    refuse_other_content(path, start)
    shown = encoding_by_start(start)
    if encoding is not None:
        known = named_encoding(encoding, start)
        scan, _ = _scan(path, known)
        _check_named(path, scan, encoding, start)
        return scan, _stray_notes(scan)
    scan, odd_lines = _scan(path, shown or Encoding("utf-8"))
    notes = []
    if shown is None and scan.num_strays > scan.num_foreign:
        scan, _ = _scan(path, Encoding(detect_code_page(odd_lines)))
        notes.append(
            f"The file is not UTF-8; it was read as {scan.encoding.name}. If letters look wrong, name its encoding."
        )
    elif shown is not None and shown.name != "utf-8":
        notes.append(f"The file was read as {shown.name}.")
    return scan, notes + _stray_notes(scan)


def _scan(path: Path, encoding: Encoding) -> tuple[Scan, bytes]:
    """What is in the file, and lines with bytes that are no text in the encoding."""
    scan, odd, lines, stride = Scan(encoding), bytearray(), 0, 1
    head, last = bytearray(), b""
    head_is_open = True
    for number, block in enumerate(text_blocks(path, encoding, _BLOCK_BYTES)):
        if (place := block.find(0)) >= 0:
            raise InputError(_nul_sentence(path, lines + block.count(b"\n", 0, place) + 1))
        if not block.isascii():
            _count_foreign(scan, block, lines, last)
            if len(odd) < _ODD_BYTES:
                odd += _odd_lines(block, encoding)
        if head_is_open:
            head += block
            head_is_open = len(head) < _HEAD_BYTES or (
                len(head) < _LONGEST_HEAD and head.count(b"\n") + head.count(b"\r") < _HEAD_LINES
            )
        elif number % stride == 0:
            scan.pieces.append(_whole_lines(block[: 2 * _PIECE_BYTES]))
            if len(scan.pieces) > _NUM_PIECES:
                scan.pieces, stride = scan.pieces[::2], 2 * stride
        scan.num_bytes += len(block)
        lines += block.count(b"\n")
        last = (last + block)[-2 * _PIECE_BYTES :]
    scan.head = bytes(head)
    if not scan.has_all:
        scan.pieces.append(_whole_lines(last, ends=True))
    return scan, bytes(odd)


def _count_foreign(scan: Scan, block: bytes, lines: int, before: bytes) -> None:
    """Add the characters over 127 of a block, and note the first stray byte."""
    found = strays(block)
    leads = int((np.frombuffer(block, np.uint8) >= 0xC2).sum())
    scan.num_foreign += leads - len(found)
    if len(found) and not scan.num_strays:
        text = before + block[: found[0]]
        start = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        column = len(text[start:].decode("utf-8", "replace")) + 1
        scan.first_stray = (lines + block.count(b"\n", 0, int(found[0])) + 1, column)
    scan.num_strays += len(found)


def _odd_lines(block: bytes, encoding: Encoding) -> bytes:
    lines = [match.group() for match in islice(_ODD_LINE.finditer(block), 400)]
    return b"".join(encoded(line, encoding) + b"\n" for line in lines)[:_ODD_BYTES]


def _whole_lines(block: bytes, *, ends: bool = False) -> bytes:
    """The block without the line that begins before it, and, unless the file ends with it, without its last line."""
    start = min((place for place in (block.find(b"\n"), block.find(b"\r")) if place >= 0), default=len(block) - 1) + 1
    stop = len(block) if ends else max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
    return block[start : max(start, stop)]


def _check_named(path: Path, scan: Scan, name: str, start: bytes) -> None:
    """Raise InputError if the file is not in the encoding that the user named."""
    wrong = scan.num_strays > scan.num_foreign
    if not scan.encoding.keeps_ascii:
        wrong = wrong or (b"\n" in start and b"\n" not in scan.head and b"\r" not in scan.head)
    if wrong:
        raise InputError(
            f"{printable(path)} is not {name} text (line {scan.first_stray[0] or 1:,}); name another encoding, or none "
            "to have it recognised."
        )


def _stray_notes(scan: Scan) -> list[str]:
    if not scan.num_strays:
        return []
    line, column = scan.first_stray
    verb = "is" if scan.num_strays == 1 else "are"
    return [
        f"{count(scan.num_strays, 'byte')} of the file {verb} not {scan.encoding.name} text (first: line {line:,}, "
        f"column {column:,}) and shown as \ufffd; the file itself keeps them."
    ]


def _nul_sentence(path: Path, line: int) -> str:
    return (
        f"{printable(path)} has a NUL byte in line {line:,}, which no text file has; the file is damaged or no table "
        "of text, so write it again."
    )
