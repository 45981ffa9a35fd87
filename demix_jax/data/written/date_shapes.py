"""What the shape of a written date says: where year, month, day and time of day stand in it."""

from __future__ import annotations

import re
from typing import NamedTuple

from demix_jax.data.written.date_names import MONTHS, WEEKDAYS, folded

_TIME = re.compile(
    r"(?:^|(?<=9)T|(?<=9)_|[ ,:]\s*)(?:"
    r"(?P<H>99?):(?P<M>99)(?::(?P<S>99)(?:[.,](?P<f>9{1,9}))?)?(?:\s*(?P<p>[ap]\.?m\b\.?))?"
    r"|(?<=T)(?P<h>99)(?P<m>99)(?P<s>99)?"
    r"|(?P<hour>99?)\s*(?P<half>[ap]\.?m\b\.?))"
    r"(?:\s*(?P<z>Z\b|(?:UTC|GMT)?[+−-]99(?::?99)?|UTC\b|GMT\b))?(?![\w:])",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"9+|[QW](?=9)|(?<=9)[QW]|KW(?= ?9)|[^\W\d_]+|.", re.IGNORECASE)
_SEPARATORS = frozenset("-/., '_")
_FILLERS = frozenset("de del of den the st nd rd th er le el il º ª 年 月 日".split())
_ZONES = frozenset("z utc gmt".split())

# Kinds of the tokens of a date -> its parts. Kinds: a digit is the length of a number, b the name of a month; E, F, G
# are 8, 12, 14 digits. Parts: 1 and 2 are day and month in the order of the column.
_WITH_NAMES = {
    "2b4": "dbY", "1b4": "dbY", "2b2": "dby", "1b2": "dby", "b24": "bdY", "b14": "bdY", "b22": "bdy", "b12": "bdy",
    "4b2": "Ybd", "4b1": "Ybd", "b4": "bY", "b2": "by", "4b": "Yb", "4Q1": "Y-Q", "Q14": "-QY", "1Q4": "Q-Y",
    "4W2": "Y-W", "4W21": "Y-Wu", "W24": "-WY", "": "",
}  # fmt: skip
_NUMERIC = {
    **{f"4{month}{day}": ("Ymd", "-/. ") for month in "12" for day in "12"},
    **{f"{first}{second}4": ("12Y", "-/. ") for first in "12" for second in "12"},
    **{f"{first}{second}2": ("12y", "-/. ") for first in "12" for second in "12"},
    "42": ("Ym", "-/"), "41": ("Ym", "/"), "24": ("mY", "-/."), "14": ("mY", "-/"), "43": ("Yj", "-"),
}  # fmt: skip
_COMPACT = {"E": "Ymd", "F": "YmdHM", "G": "YmdHMS"}


class DatePart(NamedTuple):
    """A part of a date. name: a letter as in strftime, or 1 and 2 for day and month in the order of the column, Q for a
    quarter, W and u for week and day, Z for the time zone. start, end: its place.
    """

    name: str
    start: int
    end: int


class DateShape(NamedTuple):
    """The parts of one shape, in which every digit is 9.

    Attributes:
      text: the shape. parts: in its order. month: 1 … 12, from a name; 0 without one.
      pattern: the shape with "{Y}" in place of each part, {o} for a day with st, nd, rd or th.
    """

    text: str
    parts: tuple[DatePart, ...]
    month: int
    pattern: str

    def written(self, name: str) -> str:
        """What stands in the part of that name; "" if there is none."""
        return next((self.text[part.start : part.end] for part in self.parts if part.name == name), "")

    @property
    def is_compact(self) -> bool:
        """Whether it is written in digits alone, 20190403."""
        return re.sub(r"\{\w\}", "", self.pattern) == ""

    @property
    def is_ambiguous(self) -> bool:
        """Whether day and month may be exchanged."""
        return bool(self.written("1"))


def date_shape(shape: str) -> DateShape | None:
    """The parts of a shape; None if no date or time of day is written so.

    Args:
      shape: a text with every digit as 9.

    Example:
      >>> date_shape("99.99.9999 99:99").pattern, date_shape("Mon, 9 Apr 9999").pattern
      ('{1}.{2}.{Y} {H}:{M}', '{a}, {d} {b} {Y}')
    """
    time = _TIME.search(shape)
    parts, outside = (_time_parts(time), time.span()) if time else ([], (0, 0))
    found = _date_parts(shape, outside)
    if found is None or (not found[0] and time is None):
        return None
    dates, month = found
    parts = sorted([*parts, *dates], key=lambda part: part.start)
    if time is None and any(part.name == "j" for part in dates):  # 2019-093 alone is the number of a document
        return None
    zone = next((part for part in parts if part.name == "Z"), None)
    if not dates and zone is not None and "9" in shape[zone.start : zone.end]:  # 13:45-14:30 is no time zone
        return None
    return DateShape(shape, tuple(parts), month, _pattern(shape, parts))


def _time_parts(time: re.Match[str]) -> list[DatePart]:
    """Hour, minute, second, fraction, half of the day and zone."""
    named = {name.upper() if name in "hms" else name: time.span(name) for name in "HMSfphms" if time[name]}
    if time["half"]:
        named |= {"H": time.span("hour"), "p": time.span("half")}
    if time["z"]:
        named["Z"] = time.span("z")
    if "p" in named:
        named["I"] = named.pop("H")
    return [DatePart(name, *span) for name, span in named.items()]


def _date_parts(shape: str, outside: tuple[int, int]) -> tuple[list[DatePart], int] | None:
    """Year, month, day outside of the time, and the month if it is a name; None if this is no date."""
    tokens = [token for token in _TOKEN.finditer(shape) if not outside[0] <= token.start() < outside[1]]
    num_months = sum(folded(token[0]) in MONTHS for token in tokens)
    code, fields, others, month, gaps = "", [], [], 0, [""]
    for token in tokens:
        text, word = token[0], folded(token[0])
        if text[0] == "9":
            code += {8: "E", 12: "F", 14: "G"}.get(len(text), str(len(text)))
        elif word in WEEKDAYS and not code and not others and (word not in MONTHS or num_months > 1):
            others.append(DatePart("a", *token.span()))
            continue
        elif word in MONTHS and not month:
            code, month = code + "b", MONTHS[word]
        elif word in ("q", "w", "kw"):
            code += word[-1].upper()
        elif word in _ZONES and code:
            others.append(DatePart("Z", *token.span()))
            continue
        elif text in _SEPARATORS or word in _FILLERS:
            gaps[-1] += text
            continue
        else:
            return None
        fields.append(token)
        gaps.append("")
    names = _names(code, gaps, has_weekday=bool(others and others[0].name == "a"))
    if names is None:
        return None
    if code in _COMPACT:
        return [*_compact(names, fields[0].start()), *others], 0
    return [*(DatePart(n, *token.span()) for n, token in zip(names, fields, strict=True) if n != "-"), *others], month


def _names(code: str, gaps: list[str], *, has_weekday: bool) -> str | None:
    """The names of the parts of a date; None if no date has these tokens.

    Args:
      code: kinds of its tokens. gaps: what stands before, between and after them.
    """
    if not code:
        return None if has_weekday else ""
    if (gaps[0].strip() and not has_weekday) or (gaps[-1].strip(" .,日") and code in _NUMERIC):
        return None
    if code in _WITH_NAMES or code in _COMPACT:
        return _WITH_NAMES.get(code) or _COMPACT[code]
    names, separators = _NUMERIC.get(code, ("", ""))
    between = {gap.strip() or gap[:1] for gap in gaps[1:-1]}
    if len(between) == 1 and between <= set(separators):
        return names
    return "Ymd" if gaps[1:] == ["年", "月", "日"] and code[0] == "4" else None


def _compact(names: str, start: int) -> list[DatePart]:
    """The parts of a date in digits alone: four of the year, two of all else."""
    parts = []
    for name in names:
        width = 4 if name == "Y" else 2
        parts.append(DatePart(name, start, start + width))
        start += width
    return parts


def _pattern(shape: str, parts: list[DatePart]) -> str:
    """The shape with "{Y}" in place of each part, {o} for a day with its ending."""
    pieces, end = [], 0
    for part in parts:
        pieces += [shape[end : part.start], f"{{{part.name}}}"]
        end = part.end
    return re.sub(r"\{d\}(st|nd|rd|th)", "{o}", "".join([*pieces, shape[end:]]))
