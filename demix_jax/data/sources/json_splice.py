"""Changes a JSON record within its text: only the values that change, and the keys that are added, differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from json.decoder import scanstring  # the same scanner that the decoder uses
from typing import Any, NamedTuple

from demix_jax.common.checks import InputError
from demix_jax.data.sources.json_values import Literal, Path_, after_space, is_number, value_at, written


class Change(NamedTuple):
    """A new value of a record: path, and the JSON text of the value."""

    path: Path_
    json: str


class Member(NamedTuple):
    """A member of an object: where its key and its value start, and where the value ends."""

    key: int
    value: int
    end: int


def members(text: str, start: int) -> dict[str, Member]:
    """The members of the object that starts at `start`, by key; of repeated keys the last one counts."""
    found: dict[str, Member] = {}
    place = after_space(text, start + 1)
    while text[place] != "}":
        name, after = scanstring(text, place + 1, False)
        value = after_space(text, after_space(text, after) + 1)  # behind the colon
        end = value_at(text, value)[1]
        found[name] = Member(place, value, end)
        place = after_space(text, end)
        if text[place] == ",":
            place = after_space(text, place + 1)
    return found


def elements(text: str, start: int) -> Iterator[tuple[Any, int, int]]:
    """Value, start and end of each element of the array that starts at `start`.

    Raises:
      json.JSONDecodeError: the array is broken.
    """
    place = after_space(text, start + 1)
    while text[place : place + 1] != "]":
        value, end = value_at(text, place)
        yield value, place, end
        place = after_space(text, end)
        if text[place : place + 1] == ",":
            place = after_space(text, place + 1)
        elif text[place : place + 1] != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, place)


def new_value(new: Any, old: Any, usual: str, *, ascii_only: bool) -> str:
    """The JSON of a new value in the form that the old one has, or the column usually has if there was none.

    Args:
      new: a text, number, list or None. old: the value before, None if there was none.
      usual: form of most cells of the column, as `form_of` names it. ascii_only: whether other characters are escaped.
    """
    if new is None or (isinstance(new, str) and not new and not (isinstance(old, str) and old == "")):
        return "null"
    if isinstance(new, str) and not isinstance(new, Literal):
        form = usual if old is None else _form(old)
        if form == "number" and is_number(new):
            return new
        if form == "bool" and new in ("true", "false"):
            return new
        if form == "list" and new[:1] in "[{":
            return new
    return written(new, ascii_only=ascii_only)


def spliced(text: str, span: tuple[int, int], changes: Iterable[Change], where: str) -> str:
    """The text of the record at `span` with `changes`.

    Raises:
      InputError: a change leads into a value that is no object.
    """
    start, end = span
    record = text[start:end]
    for change in changes:
        record = _changed(record, change, where)
    return record


def _form(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, Literal) else "text" if isinstance(value, str) else "list"


def _changed(record: str, change: Change, where: str) -> str:
    start = 0
    for depth, key in enumerate(change.path):
        known = members(record, start)
        last = depth + 1 == len(change.path)
        if key not in known:
            return _with_member(record, start, known, _nested(change, depth))
        member = known[key]
        if last or record[member.value : member.end] == "null":
            value = change.json if last else _nested(change, depth + 1)
            return record[: member.value] + value + record[member.end :]
        if record[member.value] != "{":
            name = ".".join(change.path)
            raise InputError(f"{where} has no object that {name!r} could be written into; leave this cell as it is.")
        start = member.value
    return record


def _nested(change: Change, depth: int) -> str:
    """The rest of a path from `depth` on as an object that holds the new value."""
    text = change.json
    for key in reversed(change.path[depth:]):
        text = f"{{{json.dumps(key, ensure_ascii=False)}: {text}}}"
    return text


def _with_member(record: str, start: int, known: dict[str, Member], addition: str) -> str:
    """The record with the one member of the object `addition` put last into the object at `start`, spaced as others."""
    member = addition[1:-1]
    if not known:
        return f"{record[: start + 1]}{member}{record[start + 1 :]}"
    last = max(known.values(), key=lambda each: each.end)
    before = last.key
    while record[before - 1] in " \t\r\n":
        before -= 1
    gap = record[before : last.key]
    if len(known) == 1 and "\n" not in gap:
        gap = "" if record[last.value - 1] == ":" else " "
    if record[last.value - 1] == ":":
        name, after = scanstring(addition, 2, False)
        member = f"{json.dumps(name, ensure_ascii=False)}:{addition[after + 2 : -1]}"
    return f"{record[: last.end]},{gap}{member}{record[last.end :]}"
