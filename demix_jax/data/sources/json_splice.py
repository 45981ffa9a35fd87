"""Changes a JSON record within its text: only the values that change, and the keys that are added, differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from demix_jax.common.checks import InputError
from demix_jax.data.sources.json_values import Literal, Path_, after_space, is_number, value_at, written


class ValueChange(NamedTuple):
    """A new value of a record: path, and the JSON text of the value."""

    path: Path_
    json: str


class RecordChanges(NamedTuple):
    """Changes of a record: of values within it, and members that it does not have, to add to it."""

    cells: list[ValueChange]
    added: list[ValueChange]


class Member(NamedTuple):
    """A member of an object: where its key and its value start, and where the value ends."""

    key: int
    value: int
    end: int


def members(text: str, start: int) -> dict[str, Member]:
    """The members of the object that starts at `start`, by key; of repeated keys the last one counts."""
    return dict(_members(text, start))


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


def spliced(text: str, span: tuple[int, int], changes: RecordChanges, where: str) -> str:
    """The text of the record at `span` with `changes`; new members come last and are spaced like the others.

    Raises:
      InputError: a change leads into a value that is no object.
    """
    start, end = span
    cells, added = changes
    if text[after_space(text, start + 1)] == "}":
        cells, added = [*cells, *added], []
    new = list(_replacements(text, start, cells, where)) if cells else []
    if added:
        last = len(text[start : end - 1].rstrip()) + start
        new.append(_addition(text, start, last, [(key, value) for (key,), value in added]))
    parts, place = [], start
    for begin, stop, value in sorted(new, key=lambda each: each[:2]):
        parts += [text[place:begin], value]
        place = stop
    return "".join([*parts, text[place:end]])


def _form(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, Literal) else "text" if isinstance(value, str) else "list"


def _replacements(text: str, start: int, changes: list[ValueChange], where: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and new text of what changes within the object that starts at `start`."""
    known = members(text, start)
    last = max((member.end for member in known.values()), default=start + 1)
    additions = []
    for key, inner in _by_first_key(changes).items():
        member = known.get(key)
        if member is None:
            additions.append((key, _object(inner)))
        elif not inner[0].path or text[member.value : member.end] == "null":
            yield member.value, member.end, _object(inner)
        elif text[member.value] == "{":
            yield from _replacements(text, member.value, inner, where)
        else:
            raise InputError(
                f"{where} has no object under {key!r} to write a new value into; leave this cell as it is."
            )
    if additions:
        yield _addition(text, start, last, additions)


def _by_first_key(changes: list[ValueChange]) -> dict[str, list[ValueChange]]:
    """The changes below each key, with the rest of their paths."""
    found: dict[str, list[ValueChange]] = {}
    for path, new in changes:
        found.setdefault(path[0], []).append(ValueChange(path[1:], new))
    return found


def _object(changes: list[ValueChange]) -> str:
    """The JSON of a value that holds the changes and nothing else."""
    if not changes[0].path:
        return changes[0].json
    parts = [f"{written(key)}: {_object(inner)}" for key, inner in _by_first_key(changes).items()]
    return "{" + ", ".join(parts) + "}"


def _addition(text: str, start: int, last: int, additions: list[tuple[str, str]]) -> tuple[int, int, str]:
    """New members at the place `last`, behind the last one of an object, spaced like its first ones."""
    first = [member for _, member in islice(_members(text, start), 2)]
    if not first:
        return last, last, ", ".join(f"{written(key)}: {new}" for key, new in additions)
    colon = ":" if text[first[0].value - 1] == ":" else ": "
    gap = text[start + 1 : first[0].key]
    if len(first) == 2:
        gap = text[text.index(",", first[0].end) + 1 : first[1].key]
    elif "\n" not in gap:
        gap = colon[1:]
    return last, last, "".join(f",{gap}{written(key)}{colon}{new}" for key, new in additions)


def _members(text: str, start: int) -> Iterator[tuple[str, Member]]:
    """Key and place of each member of the object that starts at `start`."""
    place = after_space(text, start + 1)
    while text[place] != "}":
        name, after = value_at(text, place)
        value = after_space(text, after_space(text, after) + 1)  # behind the colon
        end = value_at(text, value)[1]
        yield name, Member(place, value, end)
        place = after_space(text, end)
        if text[place] == ",":
            place = after_space(text, place + 1)
