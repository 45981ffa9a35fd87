"""Numbers, cell values and findings as a person says them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

NAMES = {
    "label_error": "Label error",
    "feature_error": "Feature error",
    "spurious_correlation": "Spurious correlation",
    "none": "No finding",
}
MEANING = {
    "label_error": "The label does not fit the rest of the row. Relabel the row, or drop it.",
    "feature_error": "Some of the row's values do not fit the others. Correct them, or drop the row.",
    "spurious_correlation": "The row breaks a shortcut that most rows follow. "
    "Such a row is valuable, not wrong: keep it and give it weight.",
}
PLURAL = {
    "label_error": "label errors",
    "feature_error": "feature errors",
    "spurious_correlation": "rows that break a shortcut",
}
READING = {
    "label_error": "Each row is shown with the label that stands in the table, the label that a model expects which "
    "was trained without the row, and how probable that model finds the label that stands there.",
    "feature_error": "Each row is shown with the columns that stand out. A value's surprise is measured in nats "
    "against what is usual in its column, given the other values of the row: 2.3 nats more is ten times less likely.",
    "spurious_correlation": "A shortcut is a column whose value alone nearly gives the label away. A model that learns "
    "it does well on most rows and fails on those that break it. These rows break it: they are right, and they are "
    "what teaches a model to look further. Keep them, and give them weight.",
}
ADVICE = {
    "label_error": "relabel or drop",
    "feature_error": "correct or drop",
    "spurious_correlation": "keep and give weight: valuable, not wrong",
}


class Words(NamedTuple):
    """How a report speaks of what was diagnosed.

    noun: what one of it is called. names, meaning, plural, reading, advice: by error type: its name; what it means;
    those found, in the plural; how to read what is shown of them; what to do, for the terminal.
    found_none: how the sentence begins that there are none of a type. unfolds: what opening one shows.
    """

    noun: str
    names: Mapping[str, str]
    meaning: Mapping[str, str]
    plural: Mapping[str, str]
    reading: Mapping[str, str]
    advice: Mapping[str, str]
    found_none: str
    unfolds: str


ROWS = Words(
    noun="row",
    names=NAMES,
    meaning=MEANING,
    plural=PLURAL,
    reading=READING,
    advice=ADVICE,
    found_none="No row was flagged; there are no",
    unfolds="values and evidence",
)


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


def signed(value: float) -> str:
    """Three decimals with a true minus sign, as influences are printed."""
    return f"{'−' if value < 0 else '+'}{abs(value):.3f}"


def cell(value: Any, limit: int = 60) -> str:
    """A cell's value on one line: numbers shortened, long text cut, missing values named."""
    if value is None or (not isinstance(value, str | list | dict) and pd.api.types.is_scalar(value) and pd.isna(value)):
        return "missing"
    if isinstance(value, pd.Timestamp):
        return str(value.date()) if value == value.normalize() else str(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return plain_number(value)
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plain_number(value: Any) -> str:
    """A number as it stands in the table, without separators, so that it can be searched for there."""
    if isinstance(value, numbers.Integral):
        return str(int(value))
    value = float(value)
    return str(int(value)) if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def unusual(nats: float) -> str:
    """A surprise in nats above the usual as "about 30 times less likely than usual"."""
    if nats < math.log(1.5):
        return "hardly less likely than usual"
    if nats > math.log(10_000):
        return "over 10,000 times less likely than usual"
    times = math.exp(nats)
    return (
        f"about {times:,.1f} times less likely than usual"
        if times < 9.5
        else (f"about {float(f'{times:.2g}'):,.0f} times less likely than usual")
    )


def listed(parts: list[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c", or with another word before the last one."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""
