"""`DateForm`, how a column writes its dates: it reads texts as dates and writes dates as texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from demix_jax.data.written.date_shapes import DateShape, date_shape
from demix_jax.data.written.shapes import shapes_of, texts_at

POSIX_PIVOT = 68  # two-digit years up to 68 are 20xx, as strptime reads them
_ORDERS = {  # what the numbers of a date such as 01-02-03 are
    "dmy": {"1": "d", "2": "m"}, "mdy": {"1": "m", "2": "d"}, "ymd": {"1": "y", "2": "m", "y": "d"},
}  # fmt: skip
_YEARS = (1678, 2261)  # years that nanoseconds can hold
_DAY, _SECOND = 86_400 * 10**9, 10**9
_EXAMPLE = np.datetime64("2019-12-31T13:45", "ns")


@dataclass(frozen=True)
class DateForm:
    """How a column writes its dates; texts of every other form are read too, with the same order of day and month.

    Attributes:
      pattern: the usual form, "{d2}.{m2}.{Y4}"; the letters are those of `DatePart`, the digits are widths.
      order: "dmy", "mdy" or "ymd", where three numbers leave it open. pivot: later two-digit years are 19xx.
      months, weekdays: names as the column writes them. halves: of the day, ("AM", "PM"); empty if not used.
      zone: as the column writes it, "Z". offset: its minutes east of Greenwich.
    """

    pattern: str
    order: str = "dmy"
    pivot: int = POSIX_PIVOT
    months: tuple[str, ...] = ()
    weekdays: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()
    zone: str = ""
    offset: int = 0

    def parse(self, texts: Sequence[str]) -> np.ndarray:
        """datetime64[ns][n], in UTC: the dates of n stripped texts; NaT where a text is no date.

        A month or quarter is its first day, a time of day alone is on 1970-01-01.

        Example:
          >>> DateForm("{d2}.{m2}.{Y4}").parse(["31.12.2019", "Apr 2019", "x"]).astype("datetime64[D]").tolist()
          [datetime.date(2019, 12, 31), datetime.date(2019, 4, 1), None]
        """
        values = np.full(len(texts), np.datetime64("NaT", "ns"))
        for text, rows in shapes_of(texts):
            shape = date_shape(text)
            if shape is not None:
                values[rows] = shape_dates(texts_at(texts, rows), shape, order=self.order, pivot=self.pivot)
        return values

    def write(self, value: np.datetime64 | pd.Timestamp) -> str:
        """A date as text in the usual form of the column; what the form has no place for is left out.

        Example:
          >>> DateForm("{d1}. {b} {Y4}", months=("Januar", "Februar")).write(pd.Timestamp("2019-02-03"))
          '3. Februar 2019'
        """
        stamp = cast(pd.Timestamp, pd.Timestamp(value) + pd.Timedelta(minutes=self.offset))
        return re.sub(r"\{(\w)(\d*)\}", lambda place: self._part(stamp, place[1], int(place[2] or 0)), self.pattern)

    @property
    def how(self) -> str:
        """A short phrase for people: "day first, as 31.12.2019"."""
        example = f"as {self.write(_EXAMPLE)}"
        numeric = re.search(r"\{[dm]\d\}.{1,2}\{[dm]\d\}", self.pattern) and not self.pattern.startswith("{Y")
        first = {"dmy": "day first, ", "mdy": "month first, ", "ymd": "year first, "}[self.order]
        return f"{first}{example}" if numeric else example

    def _part(self, stamp: pd.Timestamp, name: str, width: int) -> str:
        """One part of a date as text."""
        if name == "f":
            return f"{stamp.microsecond * 1000 + stamp.nanosecond:09d}"[:width]
        if name in "bapZ":
            return {
                "b": lambda: self.months[stamp.month - 1],
                "a": lambda: self.weekdays[stamp.weekday()],
                "p": lambda: self.halves[stamp.hour >= 12],
                "Z": lambda: self.zone,
            }[name]()
        if name == "o":
            return _ordinal(stamp.day)
        iso = stamp.isocalendar()
        number = {
            "Y": iso[0] if "{W" in self.pattern else stamp.year,
            "y": stamp.year % 100, "m": stamp.month, "d": stamp.day, "Q": stamp.quarter, "W": iso[1], "u": iso[2],
            "j": stamp.day_of_year, "H": stamp.hour, "I": (stamp.hour - 1) % 12 + 1, "M": stamp.minute,
            "S": stamp.second,
        }[name]  # fmt: skip
        return f"{number:0{width}d}"


def part_names(shape: DateShape, order: str) -> dict[str, str]:
    """The meaning of the parts 1, 2 and year of an ambiguous shape, in an order from `DateForm`; else nothing."""
    if not shape.is_ambiguous:
        return {}
    return _ORDERS["dmy" if order == "ymd" and shape.written("Y") else order]  # a year of four digits is no day


def shape_dates(texts: Sequence[str], shape: DateShape, *, order: str, pivot: int) -> np.ndarray:
    """datetime64[ns][m], in UTC: the dates of m texts of one shape; NaT where the date does not exist.

    Args:
      order, pivot: as in `DateForm`.
    """
    numbers = shape_numbers(texts, shape, order)
    zero = np.zeros(len(texts), np.int64)
    if "y" in numbers:
        numbers["Y"] = numbers["y"] + np.where(numbers["y"] > pivot, 1900, 2000)
    months = zero + shape.month if shape.month else numbers.get("m", zero + 1)
    if "Q" in numbers:
        months = 3 * numbers["Q"] - 2
    years = numbers.get("Y", zero + 1970)
    days, exists = _days(years, months, numbers)
    hours = numbers.get("H", zero)
    if "I" in numbers:
        late = shape.written("p").lower().startswith("p")
        hours = np.where((numbers["I"] >= 1) & (numbers["I"] <= 12), numbers["I"] % 12 + 12 * late, 24)
    minutes, seconds = numbers.get("M", zero), numbers.get("S", zero)
    exists &= (hours < 24) & (minutes < 60) & (seconds < 60)
    time = (hours * 3600 + minutes * 60 + seconds) * _SECOND
    if "f" in numbers:
        time += numbers["f"] * 10 ** (9 - len(shape.written("f")))
    offset = numbers.get("Z", zero)
    exists &= np.abs(offset) <= 14 * 60
    stamps = np.where(exists, days * _DAY + time - offset * 60 * _SECOND, np.iinfo(np.int64).min)
    return stamps.astype("datetime64[ns]")


def shape_numbers(texts: Sequence[str], shape: DateShape, order: str | None) -> dict[str, np.ndarray]:
    """Name of a part -> its numbers i64[m] in m texts of one shape; minutes for a time zone.

    Args:
      order: as in `DateForm`; None: parts 1 and 2 keep their names.
    """
    letters = np.array(texts, dtype=f"U{len(shape.text)}").view(np.uint32).reshape(len(texts), len(shape.text))
    renamed = part_names(shape, order) if order is not None else {}
    found = {}
    for part in shape.parts:
        written = shape.text[part.start : part.end]
        digits = [part.start + place for place, letter in enumerate(written) if letter == "9"]
        if digits:
            powers = 10 ** np.arange(len(digits), dtype=np.int64)[::-1]
            numbers = (letters[:, digits].astype(np.int64) - ord("0")) @ powers
            if part.name == "Z":
                numbers = numbers * 60 if len(digits) < 3 else numbers // 100 * 60 + numbers % 100
                numbers = numbers if "+" in written else -numbers
            found[renamed.get(part.name, part.name)] = numbers
    return found


def _days(years: np.ndarray, months: np.ndarray, numbers: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """i64[m] days since 1970, and bool[m] whether there is such a day."""
    exists = (years >= _YEARS[0]) & (years <= _YEARS[1]) & (months >= 1) & (months <= 12)
    start = np.where(exists, (years - 1970) * 12 + months - 1, 0)
    first, following = (_day_number(start + later) for later in (0, 1))
    if "W" in numbers:
        weekday = (first + 3) % 7  # of January 1st, from Monday
        monday = first - weekday + np.where(weekday <= 3, 0, 7)
        day = numbers.get("u", np.ones_like(years))
        return monday + 7 * (numbers["W"] - 1) + day - 1, exists & (numbers["W"] <= 53) & (day >= 1) & (day <= 7)
    if "j" in numbers:
        day, following = numbers["j"], _day_number(start + 12)
    else:
        day = numbers.get("d", np.ones_like(years))
    return first + day - 1, exists & (day >= 1) & (day <= following - first)


def _day_number(months: np.ndarray) -> np.ndarray:
    """i64[m]: the first day of a month, in days since 1970; months are counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _ordinal(day: int) -> str:
    """A day with its English ending: 1st, 22nd."""
    ending = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
