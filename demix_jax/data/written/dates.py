"""Finds how a column writes its dates, from all its values: order of day and month, century, usual form."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from demix_jax.common.wording import count
from demix_jax.data.written.date_form import POSIX_PIVOT, DateForm, part_names, shape_dates, shape_numbers
from demix_jax.data.written.date_names import months_like, weekdays_like
from demix_jax.data.written.date_shapes import DateShape, date_shape
from demix_jax.data.written.shapes import Shape, shapes_of, texts_at

_COMPACT_YEARS = (np.datetime64("1900"), np.datetime64("2101"))  # of dates in digits alone
_FAR_YEARS, _FAR_SHARE = 10, 0.05  # so many dates so many years ahead were meant in the last century


@dataclass(frozen=True)
class DateFinding:
    """Dates found in a column of n distinct texts.

    Attributes:
      values: datetime64[ns][n], in UTC, NaT where a text is no date. form: how they are written.
      notes: sentences for the user.
    """

    values: np.ndarray
    form: DateForm
    notes: tuple[str, ...]


class DateGroup(NamedTuple):
    """Texts of one shape, their positions i64[m] and numbers of cells i64[m]."""

    shape: DateShape
    texts: list[str]
    rows: np.ndarray
    counts: np.ndarray


def find_date_form(
    texts: Sequence[str], counts: np.ndarray, shapes: Sequence[Shape] | None = None
) -> DateFinding | None:
    """How most dates of a column are written, and the dates; the column may have several forms.

    Args:
      texts: n distinct stripped texts, without those that mean missing. counts: i64[n], cells with each text.
      shapes: of the texts, if known.
    Returns:
      None if no text is a date.
    """
    groups = []
    for text, rows in shapes_of(texts) if shapes is None else shapes:
        shape = date_shape(text)
        if shape is not None:
            group = DateGroup(shape, texts_at(texts, rows), rows, counts[rows])
            if not shape.is_compact or _plausible(group):
                groups.append(group)
    order, notes = _order(groups)
    pivot, century_notes = _pivot(groups, order)
    values = np.full(len(texts), np.datetime64("NaT", "ns"))
    cells = []
    for group in groups:
        values[group.rows] = shape_dates(group.texts, group.shape, order=order, pivot=pivot)
        cells.append(int(group.counts[~np.isnat(values[group.rows])].sum()))
    if not sum(cells):
        return None
    form = _form([one for one, found in zip(groups, cells, strict=True) if found], order=order, pivot=pivot)
    return DateFinding(values, form, (*notes, *century_notes))


def _plausible(group: DateGroup) -> bool:
    """Whether all texts in digits alone are dates of our time: 20190403."""
    values = shape_dates(group.texts, group.shape, order="dmy", pivot=POSIX_PIVOT)
    return bool(np.all((values >= _COMPACT_YEARS[0]) & (values < _COMPACT_YEARS[1])))


def _order(groups: list[DateGroup]) -> tuple[str, Iterable[str]]:
    """The order of day, month and year in which fewest dates are impossible, and notes on it."""
    groups = [group for group in groups if group.shape.is_ambiguous]
    total, impossible = 0, dict.fromkeys(("dmy", "mdy", "ymd"), 0)
    for group in groups:
        numbers = shape_numbers(group.texts, group.shape, order=None)
        first, second, last = numbers["1"], numbers["2"], numbers.get("y", np.full(len(group.rows), 99))
        total += int(group.counts.sum())
        impossible["dmy"] += int(group.counts[(first > 31) | (second > 12)].sum())
        impossible["mdy"] += int(group.counts[(first > 12) | (second > 31)].sum())
        impossible["ymd"] += int(group.counts[(second > 12) | (last > 31)].sum())
    order = min(impossible, key=lambda one: impossible[one])  # day first, if nothing decides
    seen = [group for group in groups if not group.shape.pattern.startswith("{1}.")]
    if not seen:
        return order, ()
    others = min(impossible[one] for one in ("dmy", "mdy") if one != order)
    if others > impossible[order]:
        name = {"dmy": "Day", "mdy": "Month", "ymd": "Year"}[order]
        return order, (f"{name} first: {others:,} of {count(total, 'date')} would be impossible otherwise.",)
    example = min(text for group in seen for text in group.texts)
    return order, (
        f"Nothing decides whether day or month is first in dates such as {example!r}; the day is read first.",
    )


def _pivot(groups: list[DateGroup], order: str) -> tuple[int, Iterable[str]]:
    """The last two-digit year of this century, and a note if it is not that of strptime."""
    this_year = datetime.date.today().year
    total = far = 0
    for group in groups:
        years = shape_numbers(group.texts, group.shape, order).get("y")
        if years is not None:
            total += int(group.counts.sum())
            far += int(group.counts[(years <= POSIX_PIVOT) & (years + 2000 > this_year + _FAR_YEARS)].sum())
    if not total or far < _FAR_SHARE * total:
        return POSIX_PIVOT, ()
    return this_year % 100, (
        f"Two-digit years after {this_year % 100:02d} are read as 19xx: {far:,} of {count(total, 'date')} would lie "
        f"more than {_FAR_YEARS} years ahead otherwise.",
    )


def _form(groups: list[DateGroup], *, order: str, pivot: int) -> DateForm:
    """The form of most dates."""
    weights = _weighed((_pattern(group.shape, order), group) for group in groups)
    pattern = _heaviest(weights)
    usual = [group for group in groups if _pattern(group.shape, order) == pattern]
    months, weekdays, halves = (_weighed((group.shape.written(name), group) for group in usual) for name in "bap")
    zones: Counter[str] = Counter()
    for group in usual:
        place = next((part for part in group.shape.parts if part.name == "Z"), None)
        if place is not None:
            for text, cells in zip(group.texts, group.counts.tolist(), strict=True):
                zones[text[place.start : place.end]] += cells
    half, zone = _heaviest(halves), _heaviest(zones) if zones else ""
    return DateForm(
        pattern=_with_widths(pattern, usual, order),
        order=order,
        pivot=pivot,
        months=months_like(months) if any(months) else (),
        weekdays=weekdays_like(weekdays) if any(weekdays) else (),
        halves=tuple(letter + half[1:] for letter in ("AP" if half[0].isupper() else "ap")) if half else (),
        zone=zone,
        offset=_minutes(zone),
    )


def _pattern(shape: DateShape, order: str) -> str:
    """The pattern of a shape with day and month by name."""
    names = part_names(shape, order)
    return re.sub(r"\{(\w)\}", lambda place: f"{{{names.get(place[1], place[1])}}}", shape.pattern)


def _with_widths(pattern: str, groups: list[DateGroup], order: str) -> str:
    """The pattern with the fewest digits of each part: "{d1}.{m1}.{Y4}"."""
    widths: dict[str, int] = {}
    for group in groups:
        names = part_names(group.shape, order)
        for part in group.shape.parts:
            name = names.get(part.name, part.name)
            widths[name] = min(part.end - part.start, widths.get(name, 9))
    return re.sub(r"\{(\w)\}", lambda place: f"{{{place[1]}{widths.get(place[1], '')}}}", pattern)


def _minutes(zone: str) -> int:
    """Minutes of a written time zone east of Greenwich; 0 for Z, UTC and GMT."""
    match = re.search(r"([+−-])(\d\d):?(\d\d)?", zone)
    if match is None:
        return 0
    minutes = 60 * int(match[2]) + int(match[3] or 0)
    return minutes if match[1] == "+" else -minutes


def _weighed(named: Iterable[tuple[str, DateGroup]]) -> Counter[str]:
    """Number of cells by name."""
    weights: Counter[str] = Counter()
    for name, group in named:
        weights[name] += int(group.counts.sum())
    return weights


def _heaviest(weights: Counter[str]) -> str:
    """The name of most cells; of several the first in alphabetical order."""
    return min(weights, key=lambda name: (-weights[name], name))
