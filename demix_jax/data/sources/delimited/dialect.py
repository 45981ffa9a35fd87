"""`TextDialect`: how the fields of a delimited text are separated and quoted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextDialect:
    r"""How fields are separated and quoted.

    Attributes:
      delimiter: one or more bytes of UTF-8; empty: each line is one field.
      quote: the byte around quoted fields, or nothing if there are no quoted fields.
      has_backslash: whether \" within quotes is a quote; "" always is.
      has_runs: whether several delimiters in a row count as one, as in tables aligned with spaces.
      is_padded: whether spaces may stand before an opening quote.
    """

    delimiter: bytes
    quote: bytes = b'"'
    has_backslash: bool = False
    has_runs: bool = False
    is_padded: bool = False
