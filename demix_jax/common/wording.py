"""Numbers, shares, sizes and durations in words, and the terms of a kind of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
import math
from collections.abc import Mapping
from typing import NamedTuple


def in_words(num_bytes: float) -> str:
    """`num_bytes` with a unit: "0.4 MiB", "16 GiB"."""
    units = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20))
    unit, size = next((one for one in units if num_bytes >= one[1]), units[-1])
    number = num_bytes / size
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


class Words(NamedTuple):
    """How a report speaks of what was diagnosed.

    noun: what one of it is called. compares_labels: whether equal labels make samples alike; pictures then tell them
      apart from others.
    names, meaning, plural, reading, advice: by error type: its name ("none": no finding); what it means; those found,
      in the plural; how to read what is shown of them; what to do, for the terminal.
    found_none: how the sentence begins that there are none of a type. unfolds: what opening one shows.
    """

    noun: str
    compares_labels: bool
    names: Mapping[str, str]
    meaning: Mapping[str, str]
    plural: Mapping[str, str]
    reading: Mapping[str, str]
    advice: Mapping[str, str]
    found_none: str
    unfolds: str


def count(number: int, singular: str, plural: str | None = None) -> str:
    """ "1 row", "3,500 rows"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def percent(share: float) -> str:
    """A share in [0, 1] with one decimal; only an exact 0 or 1 is called 0 % or 100 %."""
    if not math.isfinite(share):
        return "–"
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "under 0.1 %"
    return "over 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"


def chance(probability: float) -> str:
    """A probability as `percent` says it, in whole percent where more would only pretend."""
    return f"{100 * probability:.0f} %" if 0.1 <= probability <= 0.99 else percent(probability)


def listed(parts: list[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c", or with another word before the last one."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""


def duration(seconds: float) -> str:
    """Seconds as a person says them: "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Html(str):
    """Text that is safe to put into a page as it stands."""
