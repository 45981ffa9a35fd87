"""Writes a new cell in the form of a file: its delimiter, quotes and escapes."""

from __future__ import annotations

import re

from demix_jax.data.sources.delimited.dialect import TextDialect

_LINE_END = re.compile(rb"[\r\n]")
_UNPROTECTED = re.compile(rb'\\("|$)')  # would protect the quote behind it


class NotWritableError(ValueError):
    """A text that cannot be written in a dialect; the message completes "cannot be written: …"."""


def written_cell(text: bytes, dialect: TextDialect, *, keep_quotes: bool = False, is_alone: bool = False) -> bytes:
    """A cell as the file writes it, in quotes if its text needs them.

    Args:
      text: the value in UTF-8. keep_quotes: whether the cell had quotes before. is_alone: whether it is the only cell
        of its line, which must not look like a blank line.
    Raises:
      NotWritableError: the file has no quotes, and the text needs some.
    """
    needs = keep_quotes or _needs_quotes(text, dialect) or (is_alone and not text.strip())
    if not needs:
        return text
    quote = dialect.quote
    if not quote:
        raise NotWritableError(
            "it contains the delimiter, a line end or a quote, and fields have no quotes in this file"
        )
    if not dialect.has_backslash:
        return quote + text.replace(quote, quote * 2) + quote
    if _UNPROTECTED.search(text):
        raise NotWritableError(
            "it has a backslash before a quote or at its end, and backslashes protect quotes in this file"
        )
    return quote + text.replace(quote, b"\\" + quote) + quote


def _needs_quotes(text: bytes, dialect: TextDialect) -> bool:
    if dialect.has_runs and (not text or text.startswith(b" ")):
        return True
    if dialect.is_padded and text.startswith(b" "):
        return True
    if dialect.quote and dialect.quote in text:
        return True
    has_delimiter = bool(dialect.delimiter) and dialect.delimiter in text
    return has_delimiter or _LINE_END.search(text) is not None
