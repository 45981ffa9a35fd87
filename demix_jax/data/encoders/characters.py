"""The characters of many texts as one array, with what Unicode says of each; words and sentences as hashes.

Everything is array arithmetic on code points: `unicodedata` is asked once for each distinct character.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import NamedTuple

import numpy as np

SCRIPTS = {
    "LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek", "ARABIC": "Arabic", "HEBREW": "Hebrew",
    "CJK": "Chinese or Japanese", "HIRAGANA": "Chinese or Japanese", "KATAKANA": "Chinese or Japanese",
    "HANGUL": "Korean", "DEVANAGARI": "Devanagari", "BENGALI": "Bengali", "GURMUKHI": "Gurmukhi",
    "GUJARATI": "Gujarati", "TAMIL": "Tamil", "TELUGU": "Telugu", "KANNADA": "Kannada", "MALAYALAM": "Malayalam",
    "SINHALA": "Sinhala", "THAI": "Thai", "LAO": "Lao", "KHMER": "Khmer", "MYANMAR": "Burmese", "TIBETAN": "Tibetan",
    "GEORGIAN": "Georgian", "ARMENIAN": "Armenian", "ETHIOPIC": "Ethiopic",
}  # fmt: skip
SCRIPT_NAMES = (*dict.fromkeys(SCRIPTS.values()), "another script")
SPACE, MARK, DIGIT, LETTER, CAPITAL, CONTROL = range(6)
_ENDERS, _WIDE_ENDERS, _CLOSERS, _OPEN = (
    np.array([ord(c) for c in characters], np.uint32) for characters in (".!?…؟।", "。！？", "\"'”’»)]", ",-–—(/&")
)
_FIRST_OF_TWO = (0xC2, 0xC3, 0xC4, 0xC5, 0xCE, 0xCF, 0xD0, 0xD1, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB)  # of UTF-8
_BASE, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class Units(NamedTuple):
    """Words or sentences of texts, in order.

    text: i64[U], the number of the text. hash: u64[U], of its letters and digits in lower case. size: i64[U], their
    count.
    """

    text: np.ndarray
    hash: np.ndarray
    size: np.ndarray


class Characters(NamedTuple):
    """The n characters of T texts, each text followed by a line end.

    points: u32[n], code points; lower: in lower case. text: i64[n], the number of the text.
    kind: u8[n], SPACE … CONTROL. script: i8[n], of letters as a place in `SCRIPT_NAMES`, −1 for other characters.
    start: i64[T + 1], where each text begins.
    """

    points: np.ndarray
    lower: np.ndarray
    text: np.ndarray
    kind: np.ndarray
    script: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, texts: list[str]) -> Characters:
        """Read T ≥ 0 texts."""
        lengths = np.array([len(text) + 1 for text in texts], np.int64)
        joined = "".join(f"{text}\n" for text in texts)
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        lower, kind, script = _properties(points)
        start = np.concatenate([[0], np.cumsum(lengths)])
        return cls(points, lower, np.repeat(np.arange(len(texts)), lengths), kind, script, start)

    @property
    def num_texts(self) -> int:
        return len(self.start) - 1

    def count_kinds(self) -> np.ndarray:
        """i64[6, T]: number of characters of each kind, SPACE … CONTROL, in each text; the line end is a space."""
        return np.bincount(self.text * 6 + self.kind, minlength=6 * self.num_texts).reshape(self.num_texts, 6).T

    def units(self) -> tuple[Units, Units, Units]:
        """The words, the sentences, and each text as a whole, without sentences and texts that have no word.

        A word is a run of letters and digits. A sentence ends with the line, or with a mark such as "." before a space,
        perhaps with a quote in between; "。" needs no space.
        """
        inside = (self.kind >= DIGIT) & (self.kind <= CAPITAL)
        begins = inside & ~np.concatenate([[False], inside[:-1]])
        points, text = self.lower[inside].astype(np.uint64), self.text[inside]
        words = _joined(Units(text, points, np.ones(len(text), np.int64)), np.cumsum(begins)[inside])
        return words, _joined(words, np.cumsum(self._sentence_ends())[begins]), _joined(words, words.text)

    def _sentence_ends(self) -> np.ndarray:
        """bool[n]: the characters that end a sentence."""
        ends, at = self.points == ord("\n"), np.flatnonzero(self.kind == MARK)
        marks = self.points[at]
        enders = np.isin(marks, _ENDERS)
        before = np.concatenate([[False], enders[:-1] & (np.diff(at) == 1)])
        enders |= before & np.isin(marks, _CLOSERS)
        ends[at] = np.isin(marks, _WIDE_ENDERS) | (enders & (self.kind[at + 1] == SPACE))
        return ends

    def last(self) -> tuple[np.ndarray, np.ndarray]:
        """Each text's last character: u8[T], its kind, and bool[T], whether it leaves a sentence open, as "," does."""
        last = np.maximum(self.start[1:] - 2, self.start[:-1])
        return self.kind[last], np.isin(self.points[last], _OPEN)


def _joined(parts: Units, unit: np.ndarray) -> Units:
    """Units of consecutive parts with the same number in ascending i64[U]."""
    begins = np.flatnonzero(np.diff(unit, prepend=-1))
    num = np.diff(begins, append=len(unit))
    place = np.arange(len(unit)) - np.repeat(begins, num)
    powers = np.cumprod(np.full(int(num.max(initial=0)) + 1, _BASE))
    if not len(begins):
        return parts
    total, size = np.add.reduceat(parts.hash * powers[place], begins), np.add.reduceat(parts.size, begins)
    return Units(parts.text[begins], mixed(total), size)


def mixed(values: np.ndarray) -> np.ndarray:
    """u64[n]: values u64[n] with their bits stirred."""
    values = (values ^ (values >> np.uint64(31))) * _MIX
    return values ^ (values >> np.uint64(29))


def garbled(characters: Characters) -> np.ndarray:
    """bool[n]: control characters, and where UTF-8 was read as Windows-1252, as in "Ã©" or "â€™".

    Only the first bytes of characters in common use count, so that "Spaß“" is not taken for one.
    """
    num = len(characters.points)
    known = _byte_of_points()
    byte = np.append(known[np.minimum(characters.points, len(known) - 1)], np.zeros(3, np.uint8))
    follows = (byte >= 0x80) & (byte <= 0xBF)
    first, (second, third, fourth) = byte[:num], (follows[i : num + i] for i in (1, 2, 3))
    two = np.isin(first, _FIRST_OF_TWO)
    three = (first >= 0xE1) & (first <= 0xEF) & third
    four = (first >= 0xF0) & (first <= 0xF4) & third & fourth
    quote = (first == 0xE2) & (byte[1 : num + 1] == 0x80)  # the third byte of a quote is often lost
    return ((two | three | four) & second) | quote | (characters.kind == CONTROL)


@functools.cache
def _byte_of_points() -> np.ndarray:
    """u8[0x2124]: the byte that stands for each code point in Windows-1252 or Latin-1; 0 for none."""
    table = np.zeros(0x2124, np.uint8)
    table[0x80:0x100] = np.arange(0x80, 0x100)
    for byte in range(0x80, 0xA0):
        for character in bytes([byte]).decode("cp1252", "ignore"):
            table[ord(character)] = byte
    return table


def _properties(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower case u32[n], kind u8[n] and script i8[n] of code points u32[n]."""
    seen = np.flatnonzero(np.bincount(points, minlength=1))
    lower = np.zeros(int(seen.max(initial=0)) + 1, np.uint32)
    kind, script = np.zeros(len(lower), np.uint8), np.full(len(lower), -1, np.int8)
    for point in seen.tolist():
        character = chr(point)
        lower[point] = ord(character.lower()) if len(character.lower()) == 1 else point
        kind[point] = _kind(character)
        if kind[point] in (LETTER, CAPITAL):
            script[point] = _script(character)
    return lower[points], kind[points], script[points]


def _kind(character: str) -> int:
    """SPACE, MARK, DIGIT, LETTER, CAPITAL or CONTROL; combining marks count as letters."""
    category = unicodedata.category(character)
    if character.isspace():
        return SPACE
    if category in ("Cc", "Cn", "Co", "Cs") or character == "\ufffd":
        return CONTROL
    if category[0] in "LM":
        return CAPITAL if category in ("Lu", "Lt") else LETTER
    return DIGIT if category[0] == "N" else MARK


def _script(character: str) -> int:
    """Place of a letter's script in `SCRIPT_NAMES`, by the first word of its Unicode name; −1 for combining marks."""
    words = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split(" ")
    if words[0] == "COMBINING" or not unicodedata.category(character).startswith("L"):
        return -1
    return SCRIPT_NAMES.index(SCRIPTS.get(words[0], SCRIPT_NAMES[-1]))
