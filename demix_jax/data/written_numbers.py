"""Parses numbers as people write them (1,234.50, 1.234,50, $12, 45 %) and formats numbers in the same style."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

_NUMBER = re.compile(
    r"(?P<sign>[-+−]?)(?P<before>(?:[$€£¥]\s*)?)"
    r"(?P<whole>\d{1,3}(?P<group>[,.'’ \u00a0\u202f])\d{3}(?:(?P=group)\d{3})*|\d*)"
    r"(?:(?P<mark>[.,])(?P<rest>\d+))?(?P<after>(?:\s*[$€£¥%])?)"
)


class _Parts(NamedTuple):
    """The parts of a written number.

    before, after: currency or percent sign. whole, rest: digits before and after the decimal mark.
    group: separator of thousands, or "". mark: decimal mark, or "".
    """

    negative: bool
    before: str
    whole: str
    group: str
    mark: str
    rest: str
    after: str

    @property
    def value(self) -> float:
        """The number itself."""
        number = float(f"{self.whole or 0}.{self.rest or 0}")
        return -number if self.negative else number

    @property
    def plain(self) -> bool:
        """Whether it is written without signs, separators of thousands or a decimal comma, as programs do."""
        return not (self.before or self.after or self.group or self.mark == ",")


class NumberStyle(NamedTuple):
    """How a column writes its numbers.

    before, after: currency or percent sign. group: separator of thousands. mark: decimal mark. decimals: their number.
    """

    before: str
    after: str
    group: str
    mark: str
    decimals: int

    def write(self, value: float) -> str:
        """The number as text in this style."""
        text = f"{abs(value):,.{self.decimals}f}".translate({ord(","): self.group, ord("."): self.mark})
        negative = value < 0 and any(digit in "123456789" for digit in text)
        return f"{'-' if negative else ''}{self.before}{text}{self.after}"


def read_number(text: str) -> float:
    """Parse a number that may have a currency or percent sign, a decimal comma or separated thousands; else NaN.

    A comma before three digits separates thousands. A single point is a decimal point. 45 % is 45.

    Example:
      >>> [read_number(text) for text in ("1,234.50", "1.234,50", "$12", "45 %", "twelve")]
      [1234.5, 1234.5, 12.0, 45.0, nan]
    """
    parts = _parts(text)
    return float("nan") if parts is None else parts.value


def number_style(texts: Iterable[str]) -> NumberStyle | None:
    """The style of most numbers among texts; None if it is the plain style of programs, or there is no number.

    If any number has a decimal comma or a separator of thousands, the style is not plain.
    """
    written = [parts for text in texts if (parts := _parts(text)) is not None]
    apart = any(parts.group or parts.mark == "," for parts in written)
    if not written or (not apart and 2 * sum(parts.plain for parts in written) > len(written)):
        return None
    before, after = Counter((parts.before, parts.after) for parts in written).most_common(1)[0][0]
    group = _commonest(parts.group for parts in written)
    mark = _commonest(parts.mark for parts in written) or ("," if group == "." else ".")
    decimals = Counter(len(parts.rest) for parts in written).most_common(1)[0][0]
    return NumberStyle(before=before, after=after, group=group, mark=mark, decimals=decimals)


def _parts(text: str) -> _Parts | None:
    """The parts of a written number; None if the text is not one."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, group, mark, rest = (match[name] or "" for name in ("whole", "group", "mark", "rest"))
    if not (whole or rest) or (group and group == mark):
        return None
    if group == "." and not mark and whole.count(".") == 1:
        (whole, rest), group, mark = whole.split("."), "", "."
    digits = whole.replace(group, "") if group else whole
    return _Parts(
        negative=match["sign"] in ("-", "−"),
        before=match["before"],
        whole=digits,
        group=group,
        mark=mark,
        rest=rest,
        after=match["after"],
    )


def _commonest(marks: Iterable[str]) -> str:
    """The most frequent non-empty mark; "" if all are empty."""
    counts = Counter(mark for mark in marks if mark)
    return counts.most_common(1)[0][0] if counts else ""
