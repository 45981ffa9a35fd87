"""The columns of flat JSON records: which there are, of which form, and batches of their cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.sources.json_splice import RecordChanges, ValueChange, new_value
from demix_jax.data.sources.json_values import Path_, cells, column_type, form_of, is_ragged, leaves, sound, written
from demix_jax.data.sources.source import Edits

_MOST_COLUMNS = 20_000


class JsonColumns:
    """Columns of JSON records, found in one pass: name -> path, form of the cells, Arrow type; and the record count."""

    def __init__(self, records: Iterable[dict[str, Any]], where: str) -> None:
        """Read all records once.

        Raises:
          InputError: two paths get one name, or there are too many different keys.
        """
        forms: dict[Path_, Counter[str]] = {}
        self.num_rows = 0
        for record in records:
            self.num_rows += 1
            _count_forms(record, forms)
            if len(forms) > _MOST_COLUMNS:
                raise InputError(
                    f"{where} has more than {_MOST_COLUMNS:,} different keys, which seem to be data; give records that "
                    "share their keys."
                )
        self.paths = _named(forms, where)
        self.forms = {name: forms[path] for name, path in self.paths.items()}
        self.types = {name: column_type(counts) for name, counts in self.forms.items()}

    def notes(self) -> tuple[str, ...]:
        """Sentences on nested values that are read otherwise than they are written."""
        ragged = [name for name, counts in self.forms.items() if is_ragged(counts)]
        return tuple(
            f"The lists in {name!r} differ in length, so they are read as text and not as vectors." for name in ragged
        )

    def batch(self, records: list[dict[str, Any]]) -> pa.Table:
        """The cells of some records."""
        flat = [dict(leaves(record)) for record in records]
        columns = {name: cells([row.get(path) for row in flat], self.types[name]) for name, path in self.paths.items()}
        return pa.table(columns)

    def usual_form(self, name: str) -> str:
        """The form of most cells of a column, for new values where there was none."""
        counts = Counter({form: n for form, n in self.forms[name].items() if form != "null"})
        form = counts.most_common(1)[0][0] if counts else "text"
        return form if form in ("number", "bool", "text") else "list"


class RecordEdits:
    """`Edits` by row, as changes of single records."""

    def __init__(self, edits: Edits, columns: JsonColumns, where: str) -> None:
        """Raises InputError if a new column has the name of an old one."""
        used = {key for path in columns.paths.values() for key in (path[0], ".".join(path))}
        taken = [name for name in edits.added if name in used]
        if taken:
            raise InputError(f"{where} has a column {taken[0]!r} already; rename it, so that a new one can be added.")
        self._edits, self._columns = edits, columns
        self._next = dict.fromkeys(edits.cells, 0)

    def keeps(self, row: int) -> bool:
        """Whether a row stays in the table."""
        return self._edits.dropped is None or not self._edits.dropped[row]

    def changes(self, row: int, record: dict[str, Any], *, ascii_only: bool) -> RecordChanges:
        """Changes of the record of a row; rows come in ascending order."""
        cells = []
        for name, new in self._edits.cells.items():
            place = self._next[name]
            while place < len(new.rows) and new.rows[place] < row:
                place += 1
            self._next[name] = place
            if place < len(new.rows) and new.rows[place] == row:
                path = self._columns.paths[name]
                old, usual = _value_of(record, path), self._columns.usual_form(name)
                cells.append(ValueChange(path, new_value(new.values[place], old, usual, ascii_only=ascii_only)))
        added = [
            ValueChange((name,), written(_plain_number(values[row]), ascii_only=ascii_only))
            for name, values in self._edits.added.items()
        ]
        return RecordChanges(cells, added)


def in_batches(records: Iterable[dict[str, Any]], num_rows: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of `num_rows` records, the last one shorter; one empty list if there are none."""
    part: list[dict[str, Any]] = []
    count = 0
    for record in records:
        part.append(record)
        count += 1
        if len(part) == num_rows:
            yield part
            part = []
    if part or not count:
        yield part


def _count_forms(record: Mapping[str, Any], forms: dict[Path_, Counter[str]]) -> None:
    for path, value in leaves(dict(record)):
        forms.setdefault(path, Counter())[form_of(value)] += 1


def _named(forms: dict[Path_, Counter[str]], where: str) -> dict[str, Path_]:
    """Name -> path. A path that only leads to null is left out where other records have an object there."""
    above = {path[:depth] for path in forms for depth in range(1, len(path))}
    paths: dict[str, Path_] = {}
    for path, counts in forms.items():
        if path in above and set(counts) == {"null"}:
            continue
        name = sound(".".join(path))
        if name in paths:
            raise InputError(f"{where} has two keys that are read as {name!r}; rename one of them.")
        paths[name] = path
    return paths


def _value_of(record: Any, path: Path_) -> Any:
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _plain_number(value: Any) -> Any:
    """A NumPy number as a plain one, without digits that only its wider type would show."""
    return float(str(value)) if isinstance(value, np.floating) else value


class JsonRecords:
    """What sources of JSON records have in common: columns with dotted names, and batches of records; see `Source`.

    Numbers are texts with all their digits, so that every cell counts as text.
    """

    is_text = True
    _columns: JsonColumns

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._columns.paths)

    def estimated_cells(self) -> int:
        return self._columns.num_rows * len(self._columns.paths)

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        for part in in_batches(self._records(), num_rows):
            yield self._columns.batch(part)

    def _records(self) -> Iterator[dict[str, Any]]:
        """All records, in order."""
        raise NotImplementedError


def is_escaped(text: str) -> bool:
    """Whether a JSON text writes other characters than ASCII as escapes, so that new values should, too."""
    return text.isascii() and "\\u" in text
