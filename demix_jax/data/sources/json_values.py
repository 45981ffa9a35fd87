"""JSON values as they are written: numbers keep their digits, and records become flat ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

Path_ = tuple[str, ...]  # the keys that lead to a value within nested objects

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Literal(str):
    """A number as a JSON file writes it, such as 1.50."""

    __slots__ = ()


_PLAIN_FORMS: dict[type, str] = {type(None): "null", bool: "bool", Literal: "number", str: "text"}
_DECODER = json.JSONDecoder(parse_int=Literal, parse_float=Literal, parse_constant=Literal, strict=False)


def value_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that starts at `start`, and the place after it; numbers are `Literal`.

    Raises:
      json.JSONDecodeError: no value starts there, or it is broken.
    """
    return _DECODER.raw_decode(text, start)


def after_space(text: str, start: int) -> int:
    """The first place from `start` on that is no white space."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


def is_number(text: str) -> bool:
    """Whether a text is a number by the rules of JSON."""
    return _NUMBER.fullmatch(text) is not None


def written(value: Any, indent: int | None = None, depth: int = 0, *, ascii_only: bool = False) -> str:
    """A value as JSON; a `Literal` as it is, NumPy values as numbers, and what is not finite as null.

    Args:
      indent: spaces per level, each member on its own line; None: all on one line. depth: level of the value.
      ascii_only: whether other characters are escaped.
    """
    if isinstance(value, Literal):
        return str(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        members = [
            f"{json.dumps(key, ensure_ascii=ascii_only)}: {written(v, indent, depth + 1, ascii_only=ascii_only)}"
            for key, v in value.items()
        ]
        return _joined(members, "{}", indent, depth)
    if isinstance(value, list | tuple):
        members = [written(v, indent, depth + 1, ascii_only=ascii_only) for v in value]
        return _joined(members, "[]", indent, depth)
    if isinstance(value, float) and value - value != 0:
        return "null"
    return json.dumps(value, ensure_ascii=ascii_only)


def _joined(members: list[str], brackets: str, indent: int | None, depth: int) -> str:
    if indent is None or not members:
        return brackets[0] + ", ".join(members) + brackets[1]
    inner, outer = "\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth
    return brackets[0] + inner + f",{inner}".join(members) + outer + brackets[1]


def leaves(record: dict[str, Any]) -> Iterator[tuple[Path_, Any]]:
    """Paths and values of a record; a nested object counts by its members, an empty one as nothing."""
    for key, value in record.items():
        if isinstance(value, dict):
            for path, leaf in leaves(value):
                yield (key, *path), leaf
        else:
            yield (key,), value


def form_of(value: Any) -> str:
    """The form of a cell: "null", "number", "bool", "text", "texts", "list", or "numbers 3" with its length."""
    plain = _PLAIN_FORMS.get(type(value))
    if plain is not None:
        return plain
    if all(type(member) is str for member in value):
        return "texts"
    numbers = list(_numbers_in(value))
    return f"numbers {len(numbers)}" if numbers and all(v is None or type(v) is Literal for v in numbers) else "list"


def column_type(forms: Counter[str]) -> pa.DataType:
    """The Arrow type of a column whose cells have these forms: lists where all are alike, else text."""
    present = {form for form in forms if form != "null"}
    if present == {"texts"}:
        return pa.large_list(pa.large_string())
    if len(present) == 1 and next(iter(present)).startswith("numbers"):
        return pa.large_list(pa.float64())
    return pa.large_string()


def is_ragged(forms: Counter[str]) -> bool:
    """Whether a column holds lists of numbers of different lengths, and nothing else."""
    present = {form for form in forms if form != "null"}
    return len(present) > 1 and all(form.startswith("numbers") or form == "texts" for form in present)


def cells(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column of cells as `column_type` says."""
    if kind == pa.large_list(pa.float64()):
        lists = [None if v is None else [_as_float(number) for number in _numbers_in(v)] for v in values]
        return pa.array(lists, kind)
    if kind == pa.large_list(pa.large_string()):
        return pa.array([None if v is None else [sound(text) for text in v] for v in values], kind)
    texts = [None if v is None else v if type(v) is str else cell_text(v) for v in values]
    try:
        return pa.array(texts, kind)
    except UnicodeEncodeError:
        return pa.array([None if text is None else sound(text) for text in texts], kind)


def cell_text(value: Any) -> str:
    """One value as text: a text as it is, anything else as JSON."""
    return str(value) if isinstance(value, str) else written(value)


def sound(text: str) -> str:
    """A text without half of a character pair, which is shown as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _numbers_in(value: Any) -> Iterator[Any]:
    for member in value:
        if isinstance(member, list):
            yield from _numbers_in(member)
        else:
            yield member


def _as_float(number: str | None) -> float:
    return np.nan if number is None else float(number)
