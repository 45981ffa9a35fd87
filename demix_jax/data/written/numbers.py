"""Finds how a column writes its numbers, from all its values: decimal mark, thousands, currency, unit, sign."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from demix_jax.common.wording import count
from demix_jax.data.written.number_form import (
    NumberForm,
    decimals_written,
    digits_in,
    shape_values,
    split_by_zero,
)
from demix_jax.data.written.number_shapes import Digits, NumberShape, digits_with, number_shape
from demix_jax.data.written.shapes import Shape, shapes_of
from demix_jax.data.written.units import is_common_unit

_UNIT_SHARE = 0.5  # a unit on fewer of the numbers is part of codes such as 12A; currency and percent are exempt
_USUAL_SHARE = 0.99  # share of the numbers whose decimals count
_PHONE = re.compile(r"\+[9 /-]{8,}")  # shape of a telephone number
_LETTER_MULTIPLIERS = ("k", "K", "M")  # m, B, T multiply in a column that has one of these
_T = TypeVar("_T", bound=Hashable)


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


class _Group(NamedTuple):
    """Texts of one shape whose first digit is or is not 0: their positions i64[m] and number of cells."""

    shape: NumberShape
    zero: bool
    rows: np.ndarray
    weight: float


class _Read(NamedTuple):
    """A group whose digits were understood."""

    group: _Group
    digits: Digits


def find_number_form(texts: Sequence[str], counts: np.ndarray) -> NumberFinding | None:
    """How most numbers of a column are written, and the numbers.

    What one text leaves open (1,234) is decided by all others in the same way.

    Args:
      texts: n distinct stripped texts, without those that mean missing. counts: i64[n], cells with each text.
    Returns:
      None if no text is a number.
    """
    shapes = shapes_of(texts)
    groups, letters = _groups(texts, counts, shapes)
    if not groups:
        return None
    mark, mark_notes = _decimal_mark(texts, groups)
    unit = _unit(groups)
    read = [
        _Read(group, digits)
        for group in groups
        if group.shape.unit in ("", unit)
        and (digits := digits_in(group.shape.core, mark, zero=group.zero)) is not None
    ]
    if not read:
        return None
    values = np.full(len(texts), np.nan)
    for group, digits in read:
        values[group.rows] = shape_values([texts[row] for row in group.rows.tolist()], group.shape, digits)
    form = _form(texts, counts, read, mark=mark, unit=unit, letters=letters)
    objection = _leading_zeros(texts, groups) or _phones(texts, counts, shapes)
    notes = (*mark_notes, *_other_marks(texts, read, mark), *_without_unit(read, unit), *_brackets(read))
    return NumberFinding(values, form, objection, notes)


def _groups(texts: Sequence[str], counts: np.ndarray, shapes: list[Shape]) -> tuple[list[_Group], bool]:
    """The groups that may be numbers, and whether the letters m, B and T multiply."""
    parts = [number_shape(shape.text, letters=False) for shape in shapes]
    letters = any(part is not None and part.multiplier.text.strip() in _LETTER_MULTIPLIERS for part in parts)
    groups = []
    for shape, part in zip(shapes, parts, strict=True):
        part = number_shape(shape.text, letters=True) if letters else part
        if part is not None:
            for zero, rows in split_by_zero(texts, shape.rows, part.start):
                groups.append(_Group(part, zero, rows, float(counts[rows].sum())))
    return groups, letters


def _decimal_mark(texts: Sequence[str], groups: list[_Group]) -> tuple[str, tuple[str, ...]]:
    """The decimal mark that explains most numbers, and a note if nothing tells it."""
    evidence = {".": 0.0, ",": 0.0}
    open_groups: dict[str, list[_Group]] = {".": [], ",": []}
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
        f"Nothing decides what the {name} means in {count(_cells(found), 'number')} such as {_example(texts, found)!r}; "
        f"it is read as {meaning}."
        for name, separator, meaning in (("comma", ",", "separator of thousands"), ("point", ".", "decimal point"))
        if (found := open_groups[separator])
    )


def _unit(groups: list[_Group]) -> str:
    """The unit that most numbers with a unit have; "" if too few have it."""
    weights: Counter[str] = Counter()
    for group in groups:
        weights[group.shape.unit] += group.weight  # type: ignore[assignment]  # cells are whole numbers
    units = {unit: weight for unit, weight in weights.items() if unit}
    if not units:
        return ""
    best = _heaviest(units)
    enough = is_common_unit(best) or units[best] >= _UNIT_SHARE * sum(weights.values())
    return best if enough else ""


def _form(
    texts: Sequence[str], counts: np.ndarray, read: list[_Read], *, mark: str, unit: str, letters: bool
) -> NumberForm:
    """The usual form of the numbers."""
    negative = [one for one in read if one.group.shape.negative]
    positive = [one for one in read if not one.group.shape.negative]
    upwards = _commonest(positive or read, lambda one: one.group.shape.template) if positive else "{}"
    downwards = _commonest(negative, lambda one: one.group.shape.template) if negative else "-" + upwards.lstrip("+")
    scientific = [one for one in read if one.group.shape.exponent]
    is_scientific = 2 * _weight(scientific) > _weight(read)
    usual = scientific if is_scientific else [one for one in read if not one.group.shape.exponent] or read
    group, indian = _thousands(usual)
    fewest, most = _decimals(texts, counts, usual)
    return NumberForm(
        mark=mark,
        group=group,
        indian=indian,
        unit=unit,
        positive=upwards,
        negative=downwards,
        fewest=fewest,
        most=most,
        multipliers=_multipliers(read),
        letters=letters,
        exponent=_exponent(scientific) if is_scientific else "",
    )


def _thousands(read: list[_Read]) -> tuple[str, bool]:
    """The separator of thousands, "" if most numbers of four digits and more have none; whether groups are Indian."""
    grouped = [one for one in read if one.digits.group]
    bare = [one for one in read if not one.digits.group and one.digits.whole > 3]
    if not grouped or _weight(bare) > _weight(grouped):
        return "", False
    group = _commonest(grouped, lambda one: one.digits.group)
    long = [one for one in grouped if one.digits.whole > 5]
    return group, bool(long) and 2 * _weight([one for one in long if one.digits.indian]) > _weight(long)


def _decimals(texts: Sequence[str], counts: np.ndarray, read: list[_Read]) -> tuple[int, int]:
    """The fewest and most decimals to write; a few numbers with unusually many decimals do not count.

    They are equal if the column fills up with zeros: more numbers of the usual length end in 0 than are shorter.
    """
    weights: Counter[int] = Counter()
    for one in read:
        weights[decimals_written(one.group.shape, one.digits)] += round(one.group.weight)
    usual = max(weights, key=lambda decimals: (decimals > 0, weights[decimals], decimals))
    shorter, longer = (sum(weights[d] for d in weights if (d - usual) * side > 0) for side in (-1, 1))
    filled = _ending_in_zero(texts, counts, read, usual) if usual > 1 or not longer else 0
    if filled > shorter and filled > longer:
        return usual, usual
    at_most = np.cumsum([weights[decimals] for decimals in sorted(weights)])
    return min(weights), sorted(weights)[int(np.searchsorted(at_most, _USUAL_SHARE * at_most[-1]))]


def _ending_in_zero(texts: Sequence[str], counts: np.ndarray, read: list[_Read], decimals: int) -> int:
    """The number of cells with that many decimals, the last of which is 0."""
    found = 0
    for one in read:
        if decimals and decimals_written(one.group.shape, one.digits) == decimals:
            end = one.group.shape.end - 1
            zeros = [texts[row][end] == "0" for row in one.group.rows.tolist()]
            found += int(counts[one.group.rows][zeros].sum())
    return found


def _multipliers(read: list[_Read]) -> tuple:
    """The multipliers of the column in the usual spelling, with the bare number if it is used; none if none is."""
    by_factor: dict[float, list[_Read]] = {}
    for one in read:
        by_factor.setdefault(one.group.shape.multiplier.factor, []).append(one)
    if set(by_factor) == {1.0}:
        return ()
    return tuple(
        _commonest(by_factor[factor], lambda one: one.group.shape.multiplier) for factor in sorted(by_factor)
    )


def _exponent(scientific: list[_Read]) -> str:
    """The shape of the usual exponent; one without minus tells whether a plus is written."""
    upwards = [one for one in scientific if not set(one.group.shape.exponent) & {"-", "−"}]
    return _commonest(upwards or scientific, lambda one: one.group.shape.exponent)


def _leading_zeros(texts: Sequence[str], groups: list[_Group]) -> str:
    """A sentence if numbers have leading zeros, as postal codes have; else ""."""
    padded = [group for group in groups if group.zero and group.shape.core[1:2] == "9"]
    if not padded:
        return ""
    return (
        f"{count(_cells(padded), 'value')} with leading zeros, such as {_example(texts, padded)!r}, show that these are "
        "codes and not numbers; tell the kind of the column if they are numbers."
    )


def _phones(texts: Sequence[str], counts: np.ndarray, shapes: list[Shape]) -> str:
    """A sentence if most texts are telephone numbers, +493012345678; else ""."""
    phones = [row for shape in shapes if _PHONE.fullmatch(shape.text) for row in shape.rows]
    if 2 * sum(counts[row] for row in phones) <= counts.sum():
        return ""
    number = count(int(sum(counts[row] for row in phones)), "value")
    return f"{number} with a plus, such as {min(texts[row] for row in phones)!r}, are read as telephone numbers."


def _other_marks(texts: Sequence[str], read: list[_Read], mark: str) -> Iterable[str]:
    """A note on numbers whose decimal mark is not that of the column."""
    other = [one.group for one in read if one.digits.mark not in ("", mark)]
    if other:
        name = "comma" if mark == "." else "point"
        number = count(_cells(other), "number")
        yield f"Unlike the rest, {number} such as {_example(texts, other)!r} must have a decimal {name}."


def _without_unit(read: list[_Read], unit: str) -> Iterable[str]:
    """A note on numbers that lack the unit of the others, or have it when most do not."""
    bare = [one.group for one in read if not one.group.shape.unit]
    if unit and bare and len(bare) < len(read):
        yield f"{_cells(bare):,} of {count(round(_weight(read)), 'number')} lack the unit {unit!r} of the others."


def _brackets(read: list[_Read]) -> Iterable[str]:
    """A note if every number is in brackets."""
    if all(one.group.shape.template.lstrip().startswith("(") for one in read):
        yield "Every number is in brackets and is read as negative."


def _weight(read: list[_Read]) -> float:
    return sum(one.group.weight for one in read)


def _cells(groups: list[_Group]) -> int:
    return round(sum(group.weight for group in groups))


def _example(texts: Sequence[str], groups: list[_Group]) -> str:
    """The first text of the groups in alphabetical order."""
    return min(texts[row] for group in groups for row in group.rows)


def _heaviest(weights: dict[_T, float]) -> _T:
    """The key with the largest weight; of several the first in order."""
    return min(weights, key=lambda key: (-weights[key], str(key)))


def _commonest(read: list[_Read], part: Callable[[_Read], _T]) -> _T:
    """What most numbers have."""
    weights: dict[_T, float] = {}
    for one in read:
        weights[part(one)] = weights.get(part(one), 0.0) + one.group.weight
    return _heaviest(weights)
