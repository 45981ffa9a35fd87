"""Texts that mean that a value is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from demix_jax.common.wording import count
from demix_jax.data.written.shapes import texts_at

MISSING_TEXT = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>", "nat"})
_AMONG_VALUES = frozenset(  # among numbers or dates
    "? ?? ??? . .. ... … - -- --- – — * ** / // \\n #div/0! #value! #ref! #name? #num! #null! #error! none nil "
    "missing unknown unk undefined unavailable n.a. n.a n/d nd n.d. n/k nk tbd tba x (blank) (null) (none) "
    "(empty) [null] <null> blank empty void k.a. k.a k/a s/o s/d n/s".split()
) | {
    "not available", "not applicable", "not known", "not provided", "not reported", "not specified", "not given",
    "not recorded", "no data", "no value", "no answer", "does not apply", "keine angabe", "k. a.", "n. a.", "sin datos",
    "sans objet", "non disponible", "no disponible", "non disponibile",
}  # fmt: skip
_COUNTRIES = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY "
    "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH EL ER ES ET EU FI "
    "FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO "
    "IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG "
    "MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL "
    "PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD "
    "TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UK UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA "
    "ZM ZW".split()
)
_CONTINENTS = frozenset({"AF", "AN", "AS", "EU", "OC", "SA"})
_CODE_SHARE = 0.9  # share of the other texts that are country codes
_MOST_OWN_MARKERS = 3  # words in any language that a column of numbers may use for missing values
_WORDS = re.compile(r"[^\W\d_][^\W\d_ .'’-]*([ .'’-]+[^\W\d_]+)*\.?")
_LONGEST_WORDS = 30
_FEWEST_READ = 10  # distinct numbers or dates that make words beside them markers; fewer are codes, as the words are


class MissingFinding(NamedTuple):
    """Which of n distinct texts mean missing, bool[n], and notes for the user."""

    is_missing: np.ndarray
    notes: tuple[str, ...]


def find_always_missing(texts: Sequence[str], given: Sequence[str] = ()) -> MissingFinding:
    """Texts that mean missing in every column: empty ones, NA, null, in any case, and those that the user names.

    NA among codes of countries or continents is Namibia or North America.

    Args:
      texts: n distinct stripped texts. given: markers of the user.

    Example:
      >>> find_always_missing(["DE", "FR", "NA", ""]).is_missing.tolist()
      [False, False, False, True]
    """
    named = {marker.strip().lower() for marker in given}
    known = MISSING_TEXT | named
    longest = max(map(len, known))
    is_missing = np.array([len(text) <= longest and text.lower() in known for text in texts], dtype=bool)
    if "NA" not in texts or "na" in named:
        return MissingFinding(is_missing, ())
    others = {text for text, missing in zip(texts, is_missing.tolist(), strict=True) if not missing}
    if len(others) < 2 or not (others <= _CONTINENTS or len(others & _COUNTRIES) >= _CODE_SHARE * len(others)):
        return MissingFinding(is_missing, ())
    is_missing[[place for place, text in enumerate(texts) if text == "NA"]] = False
    code = "North America" if others <= _CONTINENTS else "Namibia"
    return MissingFinding(is_missing, (f"'NA' is a code like the others ({code}) and does not mean missing.",))


def find_markers(texts: Sequence[str], counts: np.ndarray, was_read: np.ndarray) -> MissingFinding:
    """Texts that mean missing among numbers or dates: ?, -, #DIV/0!, not available.

    Up to three further words, in any language, are markers if nothing else is no number, and half of the cells or more
    are numbers.

    Args:
      texts: n distinct stripped texts. counts: i64[n], cells with each. was_read: bool[n], number or date.
    """
    is_marker = np.zeros(len(texts), bool)
    is_marker[~was_read] = [text.lower() in _AMONG_VALUES for text in texts_at(texts, np.flatnonzero(~was_read))]
    others = np.flatnonzero(~was_read & ~is_marker)
    if not 0 < len(others) <= _MOST_OWN_MARKERS:
        return MissingFinding(is_marker, ())
    words = sorted(texts_at(texts, others))
    are_words = all(len(word) <= _LONGEST_WORDS and _WORDS.fullmatch(word) for word in words)
    enough = was_read.sum() >= _FEWEST_READ and counts[was_read].sum() >= counts[others].sum()
    if not (are_words and enough):
        return MissingFinding(is_marker, ())
    is_marker[others] = True
    shown = ", ".join(map(repr, words))
    cells = count(int(counts[others].sum()), "cell")
    return MissingFinding(is_marker, (f"Taken as missing, since all else is numbers or dates: {shown} ({cells}).",))
