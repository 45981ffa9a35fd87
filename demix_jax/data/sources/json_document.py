"""JSON documents that hold a table: an array of records, or of rows, or one array per column; as a `Source`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from demix_jax.common.checks import InputError
from demix_jax.data.sources.boundary import printable, reading
from demix_jax.data.sources.json_lines import has_stray, stray_notes, text_to_read, text_to_write, utf_of
from demix_jax.data.sources.json_splice import elements, members, spliced
from demix_jax.data.sources.json_table import JsonColumns, JsonRecords, RecordEdits, is_escaped
from demix_jax.data.sources.json_values import Literal, after_space, value_at, written
from demix_jax.data.sources.source import Edits

_KIND = "JSON file"
_ADVICE = "save it as UTF-8"
_USUAL_KEYS = ("data", "records", "rows", "items", "results")
_EXPECTED = (
    'expected a list of records such as [{"age": 36}, …], under a key such as "data" if need be, or one list per column'
)


class _Layout(NamedTuple):
    """A document that is no list of records: its records, and how they are put together again."""

    records: list[dict[str, Any]]
    document: Callable[[list[dict[str, Any]], list[str]], Any]


class JsonSource(JsonRecords):
    """A JSON document; see `Source`, and `JsonLinesSource` on how values are read.

    A list of records is edited in place. Another layout (one list per column, or names and rows) is written anew with
    the same indent where something changes.
    """

    def __init__(self, path: Path, *, encoding: str | None = None) -> None:
        """Read the document.

        Raises:
          InputError: the file is no JSON or holds no table; the message names the place.
        """
        self.path = path
        self._encoding = encoding or utf_of(path)
        with reading(path, _KIND, _ADVICE), text_to_read(path, self._encoding) as file:
            self._text = file.read()
        with reading(path, _KIND, "check its brackets and quotes"):
            try:
                self._spans, self._layout = _understood(self._text, printable(path))
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{printable(path)} is not JSON ({error.msg} at line {error.lineno:,}, character {error.colno:,}); "
                    "correct this place."
                ) from error
            self._columns = JsonColumns(self._records(), printable(path))

    @property
    def notes(self) -> tuple[str, ...]:
        lines = [n for n, line in enumerate(self._text.split("\n"), start=1) if has_stray(line)]
        return (*stray_notes(lines), *self._columns.notes())

    def write_edited(self, out: Path, edits: Edits) -> None:
        by_row = RecordEdits(edits, self._columns, printable(self.path))
        if self._layout is None:
            text = self._spliced(by_row)
        elif not edits.cells and edits.dropped is None and not edits.added:
            text = self._text
        else:
            text = self._rebuilt(self._layout, by_row, list(edits.added))
        with text_to_write(out, self.path, self._encoding) as file:
            file.write(text)

    def _records(self) -> Iterator[dict[str, Any]]:
        if self._layout is not None:
            return iter(self._layout.records)
        return (value_at(self._text, start)[0] for start, _ in self._spans)

    def _spliced(self, by_row: RecordEdits) -> str:
        """The text with records changed or left out; what stands between records stays."""
        text, parts, last = self._text, [], None
        ascii_only = is_escaped(text)
        for row, span in enumerate(self._spans):
            if by_row.keeps(row):
                before = self._spans[row - 1][1] if row else 0
                if last is None:
                    parts.append(text[: self._spans[0][0]])
                else:
                    parts.append(text[before : span[0]])
                where = f"Record {row:,} of {printable(self.path)}"
                changes = by_row.changes(row, value_at(text, span[0])[0], ascii_only=ascii_only)
                parts.append(spliced(text, span, changes, where))
                last = row
        if last is None:
            parts.append(text[: self._spans[0][0]] if self._spans else text)
        return "".join(parts) + (text[self._spans[-1][1] :] if self._spans else "")

    def _rebuilt(self, layout: _Layout, by_row: RecordEdits, added: list[str]) -> str:
        text = self._text
        ascii_only = is_escaped(text)
        kept = []
        for row, record in enumerate(layout.records):
            if by_row.keeps(row):
                changes = by_row.changes(row, record, ascii_only=ascii_only)
                whole = written(record, ascii_only=ascii_only)
                kept.append(value_at(spliced(whole, (0, len(whole)), changes, f"Row {row:,}"), 0)[0])
        start, found = after_space(text, 0), re.search(r"[{\[]\n?( +)[\"\[{]", text)
        indent = len(found.group(1)) if found and "\n" in found.group() else None
        end = value_at(text, start)[1]
        return text[:start] + written(layout.document(kept, added), indent, ascii_only=ascii_only) + text[end:]


def _understood(text: str, where: str) -> tuple[list[tuple[int, int]], _Layout | None]:
    """Spans of the records in the text; or no spans and another layout."""
    start = after_space(text, 0)
    if text[start : start + 1] == "[":
        return _from_array(text, start, where)
    if text[start : start + 1] != "{":
        value_at(text, start)
        raise InputError(f"{where} is a single value; {_EXPECTED}.")
    document, end = value_at(text, start)
    if after_space(text, end) < len(text):
        return _one_after_another(text, start, where), None
    layout = _split(document) or _by_column(document)
    if layout is not None:
        return [], layout
    return _under_a_key(text, start, document, where)


def _from_array(
    text: str, start: int, where: str, *, inside: bool = False
) -> tuple[list[tuple[int, int]], _Layout | None]:
    """The records of the list that starts at `start`; `inside`: of an object."""
    found = list(elements(text, start))
    end = after_space(text, after_space(text, found[-1][2] if found else start + 1) + 1)
    if not inside and end < len(text):
        raise InputError(f"{where} has text after its list of records ends; expected one list.")
    kinds = {type(value) for value, _, _ in found}
    if kinds == {list}:
        return [], _rows([value for value, _, _ in found], where)
    for row, (value, _, _) in enumerate(found):
        if not isinstance(value, dict):
            raise InputError(f"{where} has no record at place {row:,} of its list but {_named(value)}; {_EXPECTED}.")
    return [(begin, stop) for _, begin, stop in found], None


def _one_after_another(text: str, start: int, where: str) -> list[tuple[int, int]]:
    spans = []
    while start < len(text):
        value, end = value_at(text, start)
        if not isinstance(value, dict):
            raise InputError(f"{where} holds {_named(value)} beside its records; {_EXPECTED}.")
        spans.append((start, end))
        start = after_space(text, end)
    return spans


def _under_a_key(text: str, start: int, document: dict, where: str) -> tuple[list[tuple[int, int]], _Layout | None]:
    """The records in the one list of records that the document holds under a key."""
    lists = [
        key for key, value in document.items() if isinstance(value, list) and all(isinstance(v, dict) for v in value)
    ]
    usual = [key for key in lists if key.lower() in _USUAL_KEYS]
    chosen = usual if len(usual) == 1 else lists
    if len(chosen) > 1:
        names = ", ".join(map(repr, chosen[:4]))
        raise InputError(f"{where} has several lists of records ({names}); save the one that is meant as its own file.")
    if chosen:
        return _from_array(text, members(text, start)[chosen[0]].value, where, inside=True)
    inner = [key for key, value in document.items() if isinstance(value, dict)]
    if len(inner) == 1:
        return _under_a_key(text, members(text, start)[inner[0]].value, document[inner[0]], where)
    raise InputError(f"{where} holds no table; {_EXPECTED}.")


def _split(document: dict) -> _Layout | None:
    """{"columns": [names], "data": [rows]}."""
    names, rows = document.get("columns"), document.get("data")
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return None
    if not all(isinstance(name, str) and len(row) == len(names) for row in rows for name in names):
        return None

    def put_together(kept: list[dict], added: list[str]) -> Any:
        columns = [*names, *added]
        index = {"index": [Literal(row) for row in range(len(kept))]} if "index" in document else {}
        return document | {"columns": columns, "data": [[row.get(c) for c in columns] for row in kept]} | index

    return _Layout([dict(zip(names, row, strict=True)) for row in rows], put_together)


def _by_column(document: dict) -> _Layout | None:
    """{"age": [36, …], …} or, as pandas writes it, {"age": {"0": 36, …}, …}."""
    values = list(document.values())
    lists = len(values) > 1 and all(isinstance(v, list) for v in values) and len({len(v) for v in values}) == 1
    if lists and not all(isinstance(cell, dict) for column in values for cell in column):
        records = [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
        return _Layout(records, lambda kept, added: {c: [r.get(c) for r in kept] for c in (*document, *added)})
    if not values or not all(isinstance(v, dict) and v and v.keys() == values[0].keys() for v in values):
        return None
    keys = list(values[0])
    if any(isinstance(cell, dict) for cell in values[0].values()) or not all(key.isdigit() for key in keys):
        return None
    records = [{name: column[key] for name, column in document.items()} for key in keys]

    def put_together(kept: list[dict], added: list[str]) -> Any:
        return {c: {str(row): record.get(c) for row, record in enumerate(kept)} for c in (*document, *added)}

    return _Layout(records, put_together)


def _rows(rows: list[list[Any]], where: str) -> _Layout:
    """A list of rows; the first one has the names if it alone is of texts."""
    header = all(type(v) is str for v in rows[0]) and not all(type(v) is str for row in rows[1:] for v in row)
    names = rows[0] if header else [f"column_{place}" for place in range(len(rows[0]))]
    if len(set(names)) < len(names):
        raise InputError(f"{where} has two columns of one name in its first row; rename one of them.")
    cells = rows[header:]
    for number, row in enumerate(cells, start=int(header)):
        if len(row) != len(names):
            raise InputError(
                f"{where} has {len(row)} values in row {number:,} but {len(names)} in the first; align them."
            )

    def put_together(kept: list[dict], added: list[str]) -> Any:
        columns = [*names, *added]
        return [columns] * header + [[record.get(c) for c in columns] for record in kept]

    return _Layout([dict(zip(names, row, strict=True)) for row in cells], put_together)


def _named(value: Any) -> str:
    match value:
        case None:
            return "null"
        case list():
            return "a list"
        case Literal():
            return f"the number {value}"
        case str():
            return f"the text {value[:30]!r}"
    return f"the value {written(value)[:30]}"
