"""What the shape of a written number says: where its digits are, its sign, unit and multiplier, its possible values."""

from __future__ import annotations

import re
from typing import NamedTuple

from demix_jax.data.written.units import Multiplier, is_currency, multiplier_of, unit_of

SPACES = " \u00a0\u202f\u2009\u2007"
_MINUS = r"\-−–"
_SEPARATORS = rf".,'’_{SPACES}"
_SHAPE = re.compile(
    rf"(?P<open>\(\s*)?(?P<sign>[+{_MINUS}])?\s*(?P<before>[^9()+{_MINUS}]*?)\s*(?P<inner>[(+{_MINUS}])?\s*"
    rf"(?P<core>9+(?:[{_SEPARATORS}]9+)*\.?|[.,]9+)(?P<exponent>[eE][-+−]?9{{1,3}})?"
    rf"(?P<after>[^9()]*?)\s*(?P<trail>[{_MINUS}])?\s*(?P<close>\))?"
)


def _with_mark(mark: str, other: str) -> re.Pattern[str]:
    """The digits of a number with the decimal mark `mark`, where `other` may separate thousands."""
    group = rf"[{other}'’_{SPACES}]"
    western, indian = rf"9{{1,3}}(?P<g>{group})999(?:(?P=g)999)*", rf"9{{1,2}}(?P<h>{group})99(?:(?P=h)99)*(?P=h)999"
    return re.compile(rf"(?:(?P<plain>9+)|{western}|{indian})?(?:\{mark}(?P<rest>9*))?")


_WITH_MARK = {".": _with_mark(".", ","), ",": _with_mark(",", ".")}
_DECIMAL_OTHERWISE = re.compile(r"9*[.,](?:9{0,2}|9{4,})|9{4,}[.,]999|[.,]999")  # these cannot be thousands


class NumberShape(NamedTuple):
    """The parts of one shape, in which every digit is 9.

    Attributes:
      start, end: place of the digits and their separators; stop: end of the exponent.
      core, exponent: these parts. negative: whether it has a minus or stands in brackets.
      unit: from `unit_of`. multiplier: from `multiplier_of`. template: the text around digits and multiplier, "-$ {}".
    """

    start: int
    end: int
    stop: int
    core: str
    exponent: str
    negative: bool
    unit: str
    multiplier: Multiplier
    template: str

    @property
    def is_plain(self) -> bool:
        """Whether nothing but a sign and a decimal point is added to the digits, as programs write numbers."""
        return self.template in ("{}", "-{}") and not self.multiplier.text and not set(self.core) - {"9", "."}


class Digits(NamedTuple):
    """How the digits of a number are meant. mark: its decimal mark, "" without one. group: separator of thousands.

    whole, decimals: numbers of digits. indian: whether groups before the last have two digits.
    """

    mark: str
    group: str
    whole: int
    decimals: int
    indian: bool


def number_shape(shape: str, *, letters: bool) -> NumberShape | None:
    """The parts of a shape; None if no number is written so.

    Args:
      shape: from `shapes_of`. letters: whether m, B, T multiply, as they do beside K and M.
    """
    match = _SHAPE.fullmatch(shape)
    if match is None:
        return None
    start, end = match.span("core")
    before, core, after = match["before"], match["core"], match["after"]
    if before.strip().isalpha() and core[0] in ".,":  # "Rs.500"
        before, core, start = before + core[0], core[1:], start + 1
    signs = [match[name] for name in ("sign", "inner", "trail") if match[name]] + ["("] * bool(match["open"])
    opened = bool(match["open"]) or match["inner"] == "("
    if len(signs) > 1 or opened != bool(match["close"]) or (match["trail"] and core.endswith(".")):
        return None
    multiplier = multiplier_of(after, letters=letters or is_currency(before.strip()))
    unit = unit_of(before, after[len(multiplier.text) :])
    if unit is None:
        return None
    stop = end + len(match["exponent"] or "")
    return NumberShape(
        start=start,
        end=end,
        stop=stop,
        core=core,
        exponent=match["exponent"] or "",
        negative=bool(signs) and signs[0] != "+",
        unit=unit,
        multiplier=multiplier,
        template=f"{shape[:start]}{{}}{shape[stop + len(multiplier.text) :]}",
    )


def digits_with(core: str, mark: str, *, zero: bool) -> Digits | None:
    """How digits are meant if `mark` is the decimal mark; None if it cannot be.

    Args:
      core: the digits as in `NumberShape`. mark: "." or ",". zero: whether the first digit is 0.
    """
    match = _WITH_MARK[mark].fullmatch(core)
    if match is None:
        return None
    group = match["g"] or match["h"] or ""
    if group and zero:  # 0,123
        return None
    whole, found, rest = core.partition(mark)
    return Digits(mark=found, group=group, whole=whole.count("9"), decimals=len(rest), indian=bool(match["h"]))


def digits_otherwise(core: str, *, zero: bool) -> Digits | None:
    """How digits are meant that have only one meaning, a decimal mark other than that of their column: 1,5 or 0,123."""
    if _DECIMAL_OTHERWISE.fullmatch(core) or (zero and re.fullmatch(r"9[.,]999", core)):
        place = max(core.find("."), core.find(","))
        return Digits(mark=core[place], group="", whole=place, decimals=len(core) - place - 1, indian=False)
    return None
