"""Currencies, units and multipliers (K, Mio., bn) that stand beside a number."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_CODES = frozenset(
    "AED ARS AUD BAM BGN BHD BRL CAD CHF CLP CNY COP CRC CZK DKK DOP EGP EUR GBP GEL GHS HKD HRK HUF IDR ILS INR "
    "ISK JOD JPY KES KRW KWD KZT LKR MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB "
    "TND TRY TWD TZS UAH UGX USD UYU VND XAF XOF ZAR DEM FRF ITL ESP ATS BTC ETH RMB".split()
)
_NAMES = frozenset(
    "kr zł zl kč ft fr sfr rs rp rm tl лв руб р грн lei din dm nkr 元 円 원 bs euro euros dollar dollars".split()
)
_SURE = {
    "k": 1e3, "tsd": 1e3, "thousand": 1e3, "mn": 1e6, "mln": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6,
    "bn": 1e9, "bln": 1e9, "mrd": 1e9, "billion": 1e9, "billions": 1e9, "tn": 1e12, "trillion": 1e12,
    "lakh": 1e5, "lakhs": 1e5, "lac": 1e5, "crore": 1e7, "crores": 1e7, "cr": 1e7,
}  # fmt: skip
_LETTERS = {"m": 1e6, "b": 1e9, "B": 1e9, "G": 1e9, "T": 1e12}  # units by themselves, multipliers beside a K or M
_SAME = {
    "ounce": "oz", "pound": "lb", "lbs": "lb", "kilogram": "kg", "kilo": "kg", "gram": "g", "gr": "g", "meter": "m",
    "metre": "m", "kilometer": "km", "kilometre": "km", "mile": "mi", "foot": "ft", "feet": "ft", "inch": "in",
    "inches": "in", "liter": "l", "litre": "l", "hour": "h", "hr": "h", "hrs": "h", "minute": "min", "mins": "min",
    "second": "s", "sec": "s", "secs": "s", "year": "yr", "yrs": "yr", "percent": "%", "pct": "%", "euro": "€",
    "eur": "€", "usd": "$", "us$": "$", "dollar": "$", "gbp": "£", "inr": "₹",
}  # fmt: skip
_NO_UNITS = frozenset("st nd rd th er ème eme º ª am pm a.m p.m".split())  # ordinal numbers and times of day
_UNIT = re.compile(r"[^\W\d_%‰]|[%‰°µ\"'+]")  # how a unit begins
_AFTER = re.compile(r"(\s*)(\S+?)(\s+\S.*|[^\w\s.]+|)")
_LONGEST_UNIT = 16


class Multiplier(NamedTuple):
    """What follows a number and multiplies it. text: as written, with the space before it. factor: 1,000 for K."""

    text: str
    factor: float


NO_MULTIPLIER = Multiplier("", 1.0)


def is_currency(text: str) -> bool:
    """Whether the text is a currency: its sign ($, R$, zł), abbreviation (Rs.) or code (EUR)."""
    if not text:
        return False
    if unicodedata.category(text[-1]) == "Sc" or unicodedata.category(text[0]) == "Sc":
        letters = text.strip("$€£¥₹₽₩₺₴₪₫฿₦") if len(text) > 1 else ""
        return len(letters) <= 3 and (not letters or letters.isalpha())
    return text.upper() in _CODES or text.lower().rstrip(".") in _NAMES


def unit_of(before: str, after: str) -> str | None:
    """One name for the unit of a number, however it is spelt: "$", "kg", "%", "month"; "" without one.

    Args:
      before, after: what stands on both sides of the number, without its sign and multiplier.
    Returns:
      None if this is not a number with a unit: a code (INV 12), an ordinal number (1st), a sentence.
    """
    before, after = before.strip(), after.strip()
    if before and not is_currency(before):
        return None
    if after and not is_currency(after) and not _is_unit(after):
        return None
    return " ".join(_one_spelling(part) for part in (before, after) if part)


def is_common_unit(unit: str) -> bool:
    """Whether people often leave out this unit, from `unit_of`: a currency or percent."""
    return is_currency(unit) or unit in ("%", "‰")


def multiplier_of(after: str, *, letters: bool) -> Multiplier:
    """The multiplier at the start of what follows a number; its text is "" if there is none.

    Args:
      letters: whether single letters that may also be units (m, B, T) multiply.

    Example:
      >>> multiplier_of(" Mio. €", letters=False), multiplier_of("m", letters=False).factor
      (Multiplier(text=' Mio.', factor=1000000.0), 1.0)
    """
    match = _AFTER.fullmatch(after)
    if match is None or (match[3].strip() and not is_currency(match[3].strip())):
        return NO_MULTIPLIER
    word = match[2]
    factor = 1e6 if word == "M" else _LETTERS.get(word) if letters and word in _LETTERS else None
    if factor is None and word != "m":
        factor = _SURE.get(word.lower().rstrip("."))
    return NO_MULTIPLIER if factor is None else Multiplier(match[1] + word, factor)


def _is_unit(text: str) -> bool:
    """Whether text after a number can be a unit."""
    short = len(text) <= _LONGEST_UNIT and len(text.split()) <= 2
    return short and bool(_UNIT.match(text)) and text.lower().rstrip(".") not in _NO_UNITS


def _one_spelling(part: str) -> str:
    """A unit without case, final point and plural; some under their common name."""
    part = part.lower().rstrip(".")
    part = _SAME.get(part, part)
    singular = part[:-1] if len(part) > 3 and part.endswith("s") else part
    return _SAME.get(singular, singular)
