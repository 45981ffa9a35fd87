"""Classes of a label that are one class, spelled in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal

import pandas as pd

from demix_jax.common.wording import count, shortened
from demix_jax.data.spelling import is_misspelling

_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?")
_QUOTES = " .,;:!'\"“”„‘’«»()[]{}_"  # no part of a class's name at its ends; "+", "-", "#", "*", "?" are
_DOT = re.compile(r"(?<=[^\W\d])\.|(?<=\W)\.(?=\D|$)")
_DASH = re.compile(r"(?<=[^\W\d])[-_](?=[^\W\d])")
_CODE_LENGTH = 2  # up to this length, m and M may be two classes
_TIMES_COMMONER = 4  # unless one of them is this many times as common
_TIMES_ABBREVIATED = 10
_TIMES_MISSPELT = 100
_LEAST_LETTERS = 6  # of a misspelt class
_MOST_MISSPELT = 2  # rows with one misspelling
_ROMAN = frozenset("ivx")
_MOST_NAMED = 6


def label_spellings(target: pd.Series) -> dict[str, str]:
    """Rarer spellings of a class, and the commonest spelling of each.

    Spellings of one class differ in case, spaces, marks at the ends, dots, dashes or the way a number is written (1.0).
    Rare classes that abbreviate one common class (y, neg.) or misspell it by one letter belong to it too.

    Args:
      target: N labels; only texts are compared.
    Returns:
      Rarer spelling -> commonest spelling, as they stand in `target`.

    Example:
      >>> label_spellings(pd.Series(["yes"] * 30 + ["no"] * 30 + ["Yes", "no."]))
      {'Yes': 'yes', 'no.': 'no'}
    """
    counts = {text: int(n) for text, n in target.value_counts().items() if isinstance(text, str) and n > 0}
    groups = _groups(counts)
    meant = {text: group[0] for group in groups for text in group[1:]}
    sizes = {group[0]: sum(counts[text] for text in group) for group in groups}
    for other in (_abbreviated(sizes), _misspelt(sizes)):
        merged = {text: common for text, common in other.items() if text not in meant and common not in meant}
        meant = {text: merged.get(common, common) for text, common in (meant | merged).items()}
    return dict(sorted(meant.items()))


def spelling_note(target: pd.Series, spellings: Mapping[str, str]) -> str | None:
    """The result of `label_spellings` as a sentence; None if it is empty."""
    if not spellings:
        return None
    parts = []
    for common in sorted(set(spellings.values())):
        rarer = sorted(text for text, meant in spellings.items() if meant == common)
        num_rows = int(target.isin(rarer).sum())
        parts.append(f"{common!r} also as {shortened(rarer, _MOST_NAMED)} ({count(num_rows, 'row')})")
    more = f"; and {len(parts) - _MOST_NAMED} more classes" if len(parts) > _MOST_NAMED else ""
    return (
        f"The label is spelled in several ways: {'; '.join(parts[:_MOST_NAMED])}{more}. These rows are proposed as "
        "label errors, with the commonest spelling as the suggestion."
    )


def _plain(text: str) -> str:
    """What spellings of one class have in common."""
    text = unicodedata.normalize("NFKC", text).strip().casefold()
    if _NUMBER.fullmatch(text):
        return format(Decimal(text).normalize() + 0, "f")
    text = _DASH.sub(" ", _DOT.sub("", text.strip(_QUOTES)))
    return re.sub(r"(?<=\D)\s+|\s+(?=\D)", "", text)


def _groups(counts: Mapping[str, int]) -> list[list[str]]:
    """The spellings of each class, the commonest first."""
    by_plain: dict[str, list[str]] = {}
    for text in sorted(counts, key=lambda text: (-counts[text], text)):
        by_plain.setdefault(_plain(text) or text, []).append(text)
    groups = []
    for plain, texts in by_plain.items():
        apart = [text for text in texts[1:] if len(plain) <= _CODE_LENGTH and _may_be_code(text, texts[0], counts)]
        groups += [[text for text in texts if text not in apart], *([text] for text in apart)]
    return groups


def _may_be_code(text: str, common: str, counts: Mapping[str, int]) -> bool:
    """Whether a short text differs in case from a class that is not much commoner."""
    own, other = counts[text], counts[common]
    text, common = text.strip(), common.strip()
    return text != common and text.casefold() == common.casefold() and _TIMES_COMMONER * own > other


def _abbreviated(sizes: Mapping[str, int]) -> dict[str, str]:
    """Rare classes -> the common class that they abbreviate.

    An abbreviation is the initial, or a beginning with a dot, or one of several beginnings of one length (pos, neg).
    So are initials of classes of two letters (n for no, if there is y for yes).
    Where letters are names of classes (A, B, AB), or numerals (i, ii), initials are no abbreviations.
    """
    total = sum(sizes.values())
    initials_count = not any(len(_plain(text)) == 1 and 20 * size > total for text, size in sizes.items())
    found = {text: common for text in sizes if (common := _extended(text, sizes)) is not None}
    lengths = {text: len(_plain(text)) for text in found}
    of_length = {n: len({found[text] for text in found if lengths[text] == n}) for n in set(lengths.values())}

    def is_short_for(text: str, common: str) -> bool:
        several = of_length[lengths[text]] > 1
        if lengths[text] == 1:
            return initials_count and (several or len(_plain(common)) > _CODE_LENGTH)
        return several or text.endswith(".")

    return {text: common for text, common in found.items() if is_short_for(text, common)}


def _extended(text: str, sizes: Mapping[str, int]) -> str | None:
    """The only commoner class that begins with a text, if that class is much commoner and a longer word."""
    plain = _plain(text)
    longer = [other for other in sizes if sizes[other] > sizes[text] and _plain(other).startswith(plain)]
    if not plain.isalpha() or len(longer) != 1 or sizes[longer[0]] < _TIMES_ABBREVIATED * sizes[text]:
        return None
    word = _plain(longer[0])
    is_word = word.isalpha() and len(word) >= 2 * len(plain) and not _ROMAN.issuperset(word)
    return longer[0] if is_word else None


def _misspelt(sizes: Mapping[str, int]) -> dict[str, str]:
    """Classes of one or two rows -> the common class that they misspell by one letter."""
    found = {}
    for text, size in sizes.items():
        common = [other for other in sizes if size <= _MOST_MISSPELT and sizes[other] >= _TIMES_MISSPELT * size]
        close = _one_letter_off(_plain(text), [(other, _plain(other)) for other in common])
        if len(close) == 1:
            found[text] = close[0]
    return found


def _one_letter_off(plain: str, others: Sequence[tuple[str, str]]) -> list[str]:
    """Those of the classes (text, plain text) that are words of six letters or more, and begin alike."""
    return [
        text
        for text, word in others
        if len(word) >= _LEAST_LETTERS
        and abs(len(word) - len(plain)) <= 1
        and word.isalpha()
        and plain.isalpha()
        and word[0] == plain[0]
        and is_misspelling(plain, word)
    ]
