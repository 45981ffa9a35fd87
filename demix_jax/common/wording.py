"""Formats numbers, shares, sizes and durations as text, and holds the terms of a kind of data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


def in_words(num_bytes: float) -> str:
    """Format a number of bytes with a unit: "0.4 MiB", "16 GiB"."""
    units = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20))
    unit, size = next((one for one in units if num_bytes >= one[1]), units[-1])
    number = num_bytes / size
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


class Words(NamedTuple):
    """Terms that a report uses for one kind of data.

    noun: name of one sample. compares_labels: whether samples with equal labels are alike; charts then separate them
      from the others.
    names, meaning, plural, reading, advice: texts by error type. In order: its name ("none": no finding), its meaning,
      the plural of the findings, how to read them, and what to do (terminal).
    unfolds: what an opened finding shows.
    labels: plural of the label ("labels"). for_labels: advice where labels cannot be judged, a sentence.
    """

    noun: str
    compares_labels: bool
    names: Mapping[str, str]
    meaning: Mapping[str, str]
    plural: Mapping[str, str]
    reading: Mapping[str, str]
    advice: Mapping[str, str]
    unfolds: str
    labels: str
    for_labels: str


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Format a number with its noun.

    Example:
      >>> count(1, "row"), count(3500, "row"), count(2, "entry", "entries")
      ('1 row', '3,500 rows', '2 entries')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def percent(share: float) -> str:
    """Format a share in [0, 1] with one decimal; only an exact 0 or 1 becomes 0 % or 100 %.

    Example:
      >>> percent(0.1234), percent(0.0), percent(0.0004), percent(0.9996)
      ('12.3 %', '0 %', 'under 0.1 %', 'over 99.9 %')
    """
    if not math.isfinite(share):
        return "–"
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "under 0.1 %"
    return "over 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"


def chance(probability: float) -> str:
    """Format a probability in whole percent from 0.1 to 0.99, and like `percent` elsewhere."""
    return f"{100 * probability:.0f} %" if 0.1 <= probability <= 0.99 else percent(probability)


def listed(parts: list[str], last: str = "and") -> str:
    """Join words to a list: "a", "a and b", "a, b and c"; `last` is the word before the last one."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""


def duration(seconds: float) -> str:
    """Format seconds as a duration.

    Example:
      >>> [duration(seconds) for seconds in (0.42, 12, 185, 7_800)]
      ['0.4 s', '12 s', '3 min 05 s', '2 h 10 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def shortened(names: list[str], limit: int = 8) -> str:
    """The first `limit` names in quotes, and the number of further names."""
    shown = ", ".join(repr(n) for n in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


class Html(str):
    """HTML that is safe to insert into a page unchanged."""
