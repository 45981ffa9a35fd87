"""Opens JSON: a file of one record per line or a whole document, whatever its suffix says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.json_document import JsonSource
from demix_jax.data.sources.json_lines import JsonLinesSource, text_to_read, utf_of
from demix_jax.data.sources.json_values import value_at

LINE_SUFFIXES = (".jsonl", ".ndjson", ".jsonlines")
_KIND, _ADVICE = "JSON file", "save it as UTF-8"
_BLANKS = " \t\r\n\ufeff"


def open_json(path: Path, *, encoding: str | None = None) -> JsonLinesSource | JsonSource:
    """A JSON file as a source.

    Args:
      path: the file, compressed or not. encoding: of its text; None: one of the UTF encodings, by its first bytes.
    Raises:
      InputError: the file is damaged, no JSON, or no table.
    """
    if _has_records_in_lines(path, encoding or utf_of(path)):
        return JsonLinesSource(path, encoding=encoding)
    return JsonSource(path, encoding=encoding)


def read_json(path: Path) -> Any:
    """The content of a JSON file with plain numbers: a list with the value of each line, or the whole document.

    Raises:
      InputError: the file is damaged or no JSON; the message names the line.
    """
    encoding, where = utf_of(path), printable(path)
    in_lines = _has_records_in_lines(path, encoding)
    values = []
    with text_to_read(path, encoding) as file, reading(path, _KIND, _ADVICE):
        for number, text in enumerate(file if in_lines else [file.read()], start=1):
            if text.strip(_BLANKS) or not in_lines:
                try:
                    values.append(json.loads(text.strip(_BLANKS)))
                except json.JSONDecodeError as error:
                    line = number if in_lines else error.lineno
                    raise InputError(f"Line {line:,} of {where} is not JSON ({error.msg}); correct it.") from error
    return values if in_lines else values[0]


def _has_records_in_lines(path: Path, encoding: str) -> bool:
    """Whether the first line that is not blank is a whole record, or looks like a broken one by the file's suffix."""
    with reading(path, _KIND, _ADVICE), text_to_read(path, encoding) as file:
        lines = (line.strip(_BLANKS) for line in file)
        first = next((line for line in lines if line), "")
        more = any(lines)
    by_name = any(suffix.lower() in LINE_SUFFIXES for suffix in path.suffixes)
    if by_name or not first.startswith("{"):
        return by_name and not first.startswith("[") and first != "{"
    try:
        return more and value_at(first, 0)[1] == len(first)
    except json.JSONDecodeError:
        return False
