"""Numbers as people write them in tables, 1,234.50 or 1.234,50 or $12 or 45 %: read, and written in the same way."""

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
    """What a written number consists of; `group` and `mark` are "" where it has none."""

    negative: bool
    before: str
    whole: str
    group: str
    mark: str
    rest: str
    after: str

    @property
    def value(self) -> float:
        number = float(f"{self.whole or 0}.{self.rest or 0}")
        return -number if self.negative else number

    @property
    def plain(self) -> bool:
        """Whether it is written as programs write numbers."""
        return not (self.before or self.after or self.group or self.mark == ",")


class NumberStyle(NamedTuple):
    """How a column writes its numbers: what stands before and after, between thousands and before the decimals."""

    before: str
    after: str
    group: str
    mark: str
    decimals: int

    def write(self, value: float) -> str:
        """The number in this style."""
        text = f"{abs(value):,.{self.decimals}f}".translate({ord(","): self.group, ord("."): self.mark})
        negative = value < 0 and any(digit in "123456789" for digit in text)
        return f"{'-' if negative else ''}{self.before}{text}{self.after}"


def read_number(text: str) -> float:
    """The number that a text writes with a currency, a percent sign, a decimal comma or thousands apart; else NaN.

    A comma before three digits stands between thousands, a single point is a decimal point; 45 % is 45.
    """
    parts = _parts(text)
    return float("nan") if parts is None else parts.value


def number_style(texts: Iterable[str]) -> NumberStyle | None:
    """How texts write numbers; None if most do so plainly, and none with a decimal comma or thousands apart."""
    written = [parts for text in texts if (parts := _parts(text)) is not None]
    apart = any(parts.group or parts.mark == "," for parts in written)
    if not written or (not apart and 2 * sum(parts.plain for parts in written) > len(written)):
        return None
    before, after = Counter((parts.before, parts.after) for parts in written).most_common(1)[0][0]
    group = _commonest(parts.group for parts in written)
    mark = _commonest(parts.mark for parts in written) or ("," if group == "." else ".")
    decimals = Counter(len(parts.rest) for parts in written).most_common(1)[0][0]
    return NumberStyle(before, after, group, mark, decimals)


def _parts(text: str) -> _Parts | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, group, mark, rest = (match[name] or "" for name in ("whole", "group", "mark", "rest"))
    if not (whole or rest) or (group and group == mark):
        return None
    if group == "." and not mark and whole.count(".") == 1:
        (whole, rest), group, mark = whole.split("."), "", "."
    digits = whole.replace(group, "") if group else whole
    return _Parts(match["sign"] in ("-", "−"), match["before"], digits, group, mark, rest, match["after"])


def _commonest(marks: Iterable[str]) -> str:
    """The most frequent of the marks that are there; "" if none is."""
    counts = Counter(mark for mark in marks if mark)
    return counts.most_common(1)[0][0] if counts else ""
