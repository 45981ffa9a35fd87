"""Finds how a column writes its numbers, from all its values: decimal mark, thousands, currency, unit, sign."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from demix_jax.common.wording import count
from demix_jax.data.written.number_form import NumberForm, digits_in, shape_values, split_by_zero
from demix_jax.data.written.number_shapes import digits_with, number_shape
from demix_jax.data.written.number_usage import NumberGroup, ReadNumbers, heaviest, num_cells, usual_form
from demix_jax.data.written.shapes import Shape, shapes_of, texts_at
from demix_jax.data.written.units import is_common_unit

_UNIT_SHARE = 0.5  # a unit on fewer of the numbers is part of codes such as 12A; currency and percent are exempt
_PHONE = re.compile(r"\+[9 /-]{8,}")  # shape of a telephone number
_LETTER_MULTIPLIERS = ("k", "K", "M")  # m, B, T multiply in a column that has one of these


@dataclass(frozen=True)
class NumberFinding:
    """Numbers found in a column of n distinct texts.

    Attributes:
      values: f64[n], NaN where a text is no number. form: how they are written.
      objection: why these are codes and no numbers, as a sentence; "" if they are numbers.
      notes: sentences for the user.
    """

    values: np.ndarray
    form: NumberForm
    objection: str
    notes: tuple[str, ...]


def find_number_form(
    texts: Sequence[str], counts: np.ndarray, shapes: Sequence[Shape] | None = None
) -> NumberFinding | None:
    """How most numbers of a column are written, and the numbers.

    What one text leaves open (1,234) is decided by all others in the same way.

    Args:
      texts: n distinct stripped texts, without those that mean missing. counts: i64[n], cells with each text.
      shapes: of the texts, if known.
    Returns:
      None if no text is a number.
    """
    shapes = shapes_of(texts) if shapes is None else shapes
    groups, letters = _groups(texts, counts, shapes)
    if not groups:
        return None
    mark, mark_notes = _decimal_mark(groups)
    unit = _unit(groups)
    read = [
        ReadNumbers(group, digits)
        for group in groups
        if group.shape.unit in ("", unit) and (digits := digits_in(group.shape.core, mark, zero=group.zero)) is not None
    ]
    if not read:
        return None
    values = np.full(len(texts), np.nan)
    for group, digits in read:
        values[group.rows] = shape_values(group.texts, group.shape, digits)
    form = usual_form(read, mark=mark, unit=unit, letters=letters)
    objection = _leading_zeros(groups) or _phones(texts, counts, shapes)
    notes = (*mark_notes, *_other_marks(read, mark), *_without_unit(read, unit), *_brackets(read))
    return NumberFinding(values, form, objection, notes)


def _groups(texts: Sequence[str], counts: np.ndarray, shapes: Sequence[Shape]) -> tuple[list[NumberGroup], bool]:
    """The groups that may be numbers, and whether the letters m, B and T multiply."""
    parts = [number_shape(shape.text, letters=False) for shape in shapes]
    letters = any(part is not None and part.multiplier.text.strip() in _LETTER_MULTIPLIERS for part in parts)
    groups = []
    for shape, part in zip(shapes, parts, strict=True):
        part = number_shape(shape.text, letters=True) if letters else part
        if part is not None:
            for zero, rows, chosen in split_by_zero(texts, shape.rows, part.start):
                cells = counts[rows]
                group = NumberGroup(
                    shape=part, zero=zero, texts=chosen, rows=rows, counts=cells, weight=int(cells.sum())
                )
                groups.append(group)
    return groups, letters


def _decimal_mark(groups: list[NumberGroup]) -> tuple[str, tuple[str, ...]]:
    """The decimal mark that explains most numbers, and a note if nothing tells it."""
    evidence = {".": 0, ",": 0}
    open_groups: dict[str, list[NumberGroup]] = {".": [], ",": []}
    for group in groups:
        found = {mark: digits_with(group.shape.core, mark, zero=group.zero) for mark in evidence}
        fitting = [mark for mark, digits in found.items() if digits is not None]
        if len(fitting) == 1:
            evidence[fitting[0]] += group.weight
        elif fitting and (seen := set(group.shape.core) & {".", ","}):
            open_groups[seen.pop()].append(group)
    mark = "," if evidence[","] > evidence["."] else "."
    if evidence[","] != evidence["."]:
        return mark, ()
    return mark, tuple(
        f"Nothing decides what the {name} means in {count(_cells(found), 'number')} such as {_example(found)!r}; "
        f"it is read as {meaning}."
        for name, separator, meaning in (("comma", ",", "separator of thousands"), ("point", ".", "decimal point"))
        if (found := open_groups[separator])
    )


def _unit(groups: list[NumberGroup]) -> str:
    """The unit that most numbers with a unit have; "" if too few have it."""
    weights: dict[str, int] = {}
    for group in groups:
        weights[group.shape.unit] = weights.get(group.shape.unit, 0) + group.weight
    units = {unit: weight for unit, weight in weights.items() if unit}
    if not units:
        return ""
    best = heaviest(units)
    enough = is_common_unit(best) or units[best] >= _UNIT_SHARE * sum(weights.values())
    return best if enough else ""


def _leading_zeros(groups: list[NumberGroup]) -> str:
    """A sentence if numbers have leading zeros, as postal codes have; else ""."""
    padded = [group for group in groups if group.zero and group.shape.core[1:2] == "9"]
    if not padded:
        return ""
    return (
        f"Leading zeros in {count(_cells(padded), 'value')} such as {_example(padded)!r} show that these are "
        "codes, not numbers; give the kind of the column if they are numbers."
    )


def _phones(texts: Sequence[str], counts: np.ndarray, shapes: Sequence[Shape]) -> str:
    """A sentence if most texts are telephone numbers, +493012345678; else ""."""
    phones = [shape.rows for shape in shapes if _PHONE.fullmatch(shape.text)]
    cells = int(sum(counts[rows].sum() for rows in phones))
    if 2 * cells <= counts.sum():
        return ""
    example = min(min(texts_at(texts, rows)) for rows in phones)
    return f"{count(cells, 'value')} such as {example!r} look like telephone numbers and are not numbers."


def _other_marks(read: list[ReadNumbers], mark: str) -> Iterable[str]:
    """A note on numbers whose decimal mark is not that of the column."""
    other = [one.group for one in read if one.digits.mark not in ("", mark)]
    if other:
        name = "comma" if mark == "." else "point"
        number = count(_cells(other), "number")
        yield f"Unlike the rest, {number} such as {_example(other)!r} must have a decimal {name}."


def _without_unit(read: list[ReadNumbers], unit: str) -> Iterable[str]:
    """A note on numbers that lack the unit of the others, or have it when most do not."""
    bare = [one.group for one in read if not one.group.shape.unit]
    if unit and bare and len(bare) < len(read):
        yield f"{_cells(bare):,} of {count(num_cells(read), 'number')} lack the unit {unit!r} of the others."


def _brackets(read: list[ReadNumbers]) -> Iterable[str]:
    """A note if every number is in brackets."""
    if all(one.group.shape.template.lstrip().startswith("(") for one in read):
        yield "Every number is in brackets and is read as negative."


def _cells(groups: list[NumberGroup]) -> int:
    return sum(group.weight for group in groups)


def _example(groups: list[NumberGroup]) -> str:
    """The first text of the groups in alphabetical order."""
    return min(min(group.texts) for group in groups)
