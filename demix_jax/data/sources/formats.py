"""The format of a file, by its content and by its name."""

from __future__ import annotations

import json
import re
from pathlib import Path

from demix_jax.common.checks import InputError
from demix_jax.common.files import check_suffix
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.compression import compression_by_suffix, compression_of, is_workbook, open_decompressed
from demix_jax.data.sources.json_values import value_at

SUFFIXES = {
    "delimited text": (".csv", ".tsv", ".tab", ".psv", ".txt", ".dat", ".data"),
    "Parquet": (".parquet", ".pq"),
    "Arrow": (".arrow", ".arrows", ".feather", ".ipc"),
    "JSON": (".json", ".jsonl", ".ndjson", ".jsonlines"),
    "workbook": (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"),
}
TEXTS = ("delimited text", "JSON")
EDITABLE = (*TEXTS, "Parquet", "Arrow")  # formats whose cells can be changed while all others stay as they are

_HEAD_BYTES = 1 << 16
_STARTS = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"FEA1": "Arrow",
    b"\xff\xff\xff\xff": "Arrow",  # a stream
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "workbook",  # .xls
}
_RECORDS = re.compile(r"\s*\[\s*\{\s*[\"}]")


def format_of(path: Path) -> str:
    """The format to read a file as: a key of `SUFFIXES`. What its first bytes show counts more than its name.

    Raises:
      InputError: the file cannot be opened or is empty, or neither name nor content tell the format.
    """
    named, compression = format_by_name(path), compression_of(path)
    if named == "workbook" and compression == "zip":  # damaged, since an intact workbook counts as not compressed
        return named
    found = _format_by_content(path, compression)
    if found is not None:
        return found
    if named is None:
        raise InputError(
            f"{printable(path)} has the suffix {printable(path.suffix) or '(none)'}; expected a table as .csv, .tsv, "
            ".txt, .json, .jsonl (also .gz, .zip), .parquet, .feather, .xlsx or .ods. Save it in one of these formats."
        )
    return "delimited text" if named not in TEXTS and _may_be_text(path) else named


def format_by_name(path: Path) -> str | None:
    """The format that the end of a name stands for, before the suffix of a compression; None if it is unknown."""
    suffix = _uncompressed(path).suffix.lower()
    return next((name for name, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def same_format(path: Path | None, out: Path) -> bool:
    """Whether a file named `out` has the format of the file at `path`, and a format that can be edited in place."""
    if path is None or not path.is_file():
        return False
    kind = format_of(path)
    as_before = kind in EDITABLE and format_by_name(out) == kind
    return as_before and (kind != "JSON" or _uncompressed(path).suffix == _uncompressed(out).suffix)


def suffix_to_write(path: Path) -> str:
    """Suffix of a table made of the one at `path`: the same if its format can be edited in place, else .csv."""
    kind = format_by_name(path)
    if kind not in EDITABLE:
        return "" if path.is_dir() else ".csv"
    return "".join(path.suffixes[-2:]) if compression_by_suffix(path) is not None else path.suffix


def check_suffix_to_write(out: Path, *, like: Path) -> None:
    """InputError unless `out` ends in .csv or .parquet, or is of the format of the table `like`."""
    if not (same_format(like, out) or (like.is_dir() and not out.suffix)):
        check_suffix(out)


def _uncompressed(path: Path) -> Path:
    return path.with_suffix("") if compression_by_suffix(path) is not None else path


def with_article(kind: str) -> str:
    """A format within a sentence.

    Example:
      >>> with_article("Arrow"), with_article("delimited text")
      ('an Arrow table', 'delimited text')
    """
    names = {"delimited text": "delimited text", "Arrow": "an Arrow table", "workbook": "a workbook"}
    return names.get(kind, f"a {kind} table")


def _format_by_content(path: Path, compression: str | None) -> str | None:
    """The format that the first bytes show; None if they may be delimited text, or are of nothing known."""
    if compression is None and is_workbook(path):
        return "workbook"
    with open_decompressed(path) as file, reading(path):
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise InputError(f"{printable(path)} is empty; expected a header line and rows.")
    found = next((name for magic, name in _STARTS.items() if head.startswith(magic)), None)
    return "JSON" if found is None and _is_json(head) else found


def _may_be_text(path: Path) -> bool:
    """Whether a file has lines, and no control characters."""
    with open_decompressed(path) as file, reading(path):
        head = file.read(4096)
    return b"\n" in head and not re.search(rb"[\x00-\x08\x0e-\x1f]", head)


def _is_json(head: bytes) -> bool:
    """Whether a text begins with a record, or with a list of records."""
    text = head.decode(json.detect_encoding(head), errors="ignore").lstrip("\ufeff \t\r\n")
    if _RECORDS.match(text):
        return True
    if not text.startswith("{"):
        return False
    try:
        return isinstance(value_at(text, 0)[0], dict)
    except (json.JSONDecodeError, RecursionError):
        return len(head) == _HEAD_BYTES and text[1:].lstrip().startswith('"')
