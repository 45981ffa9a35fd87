"""Recognises by the first bytes what is no delimited text, whatever the file is called."""

from __future__ import annotations

import re
from pathlib import Path

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable

_STARTS = (  # the first bytes, what has them, what to do
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"ARROW1", "an Arrow file", "name it .arrow or .feather"),
    (b"FEA1", "an old Feather file", "write it again as Parquet"),
    (b"PK\x03\x04", "an Excel or OpenDocument workbook", "name it .xlsx or .ods, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook", "name it .xls, or save the sheet as CSV"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF document", "get the table that it was made from, as CSV"),
    (b"\x89PNG", "a PNG image", "give a table instead"),
    (b"\xff\xd8\xff", "a JPEG image", "give a table instead"),
    (b"GIF8", "a GIF image", "give a table instead"),
    (b"\x89HDF", "an HDF5 file", "write its table as Parquet or CSV"),
    (b"\x93NUMPY", "a NumPy array", "write it as CSV or Parquet, with names for its columns"),
    (b"ORC", "an ORC file", "write it again as Parquet"),
    (b"Obj\x01", "an Avro file", "write it again as Parquet"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name the table within"),
    (b"Rar!", "a RAR archive", "unpack it and name the table within"),
    (b"\x80\x02", "a Python pickle", "write its table as Parquet or CSV"),
    (b"\x80\x03", "a Python pickle", "write its table as Parquet or CSV"),
    (b"\x80\x04", "a Python pickle", "write its table as Parquet or CSV"),
    (b"\x80\x05", "a Python pickle", "write its table as Parquet or CSV"),
    (b"{\\rtf", "an RTF document", "save the table as CSV"),
)
_HTML = re.compile(rb"(?i)\s*(<!doctype html|<html|<head|<body|<table|<div|<script)")
_XML = re.compile(rb"(?i)\s*<(\?xml|[a-z][\w:]*( [^,;|\t>]*)?>\s*<)")
_JSON = re.compile(rb'\s*(\{\s*("(\\.|[^"\\])*"\s*:|\}\s*$)|\[\s*[\[{])')
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x01\x02\x1a\x1b\x1c\x1d\x1e\x1f\x00")
_MOST_CONTROL = 0.01  # share of control characters in text


def refuse_other_content(path: Path, start: bytes) -> None:
    """Raise InputError if the first bytes of a file (decompressed) show that it is no delimited text.

    Args:
      path: the file, for the message. start: some thousand bytes; UTF-16 and NUL bytes are not judged.
    """
    what, advice = _other_content(start)
    if what:
        raise InputError(f"{printable(path)} is {what}, but delimited text (CSV) was expected; {advice}.")


def _other_content(start: bytes) -> tuple[str, str]:
    for magic, what, advice in _STARTS:
        if start.startswith(magic):
            return what, advice
    text = start.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(text):
        return "an HTML page", "a login or error page may have been saved instead of the file, so download it again"
    if _XML.match(text):
        return "an XML document", "convert it to CSV"
    if _JSON.match(text):
        return "JSON", "name it .json, or .jsonl if each line is an object"
    control = sum(start[:4096].count(byte) for byte in _CONTROL)
    if control > _MOST_CONTROL * len(start[:4096]) and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        if 3 * start[:4096].count(0) < len(start[:4096]):
            return "not text", "write the table as CSV"
    return "", ""
