"""Guesses the code page of text that is not UTF-8, from the words that have bytes over 127.

A word is plausible in a code page if its letters belong to one alphabet, capitals start it and symbols do not stand
within it. General detectors fail on the few and short words of tables, so they are asked only where no alphabet fits.
"""

from __future__ import annotations

import re
from collections import Counter

from charset_normalizer import from_bytes

_WESTERN = (
    "äöüß", "éèêëàâçîïôûùüœæÿ", "áéíóúñü", "ãõáâàçéêíóôú", "àèéìíòóùú", "åäöé", "æøåéö", "áðéíóúýþæö", "éëïóöüèáä",
)  # fmt: skip
_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîșțşţ", "čćđšž", "äöüß")
_TURKISH = ("çğıİöşüâ",)
_BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž")
_CYRILLIC = ("абвгдежзийклмнопрстуфхцчшщъыьэюяё", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", "абвгдђежзијклљмнњопрстћуфхцчџш")
_GREEK = ("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ",)
_CANDIDATES = (  # in order of preference among equals
    ("cp1252", _WESTERN),
    ("cp1251", _CYRILLIC),
    ("cp1250", _CENTRAL),
    ("cp1253", _GREEK),
    ("cp1254", _TURKISH),
    ("cp1257", _BALTIC),
    ("iso8859_2", _CENTRAL),
    ("koi8_r", _CYRILLIC),
    ("cp866", _CYRILLIC),
    ("iso8859_7", _GREEK),
    ("iso8859_5", _CYRILLIC),
    ("mac_roman", _WESTERN),
    ("mac_cyrillic", _CYRILLIC),
    ("iso8859_15", _WESTERN),
    ("cp850", _WESTERN),
    ("cp852", _CENTRAL),
)
_OTHERS = [
    "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1255", "cp1256", "cp874", "iso8859_8", "iso8859_6",
]  # fmt: skip
_COMMON = frozenset("оеаинтсрвлкм" + "αοιετσνηυρπκμλςάίόέ")
_SIGNS = frozenset("£§°²³½¼©®™±×µªº")  # stand alone, or beside digits and ASCII
_SYMBOLS = _SIGNS | frozenset("€«»„“”‘’‚–—…•·¿¡´\xa0")
_WITHIN_WORDS = frozenset("’–·\xa0´")
_ONE_ALPHABET, _MIXED = 1.0, 0.9  # a mixture of languages of one code page is likelier than one in another page
_PLAUSIBLE = 0.8
_NUM_WORDS = 3000
_WORD = re.compile(rb"[^\s\d,;|\"()/=:]*[\x80-\xff][^\s\d,;|\"()/=:]*")


def detect_code_page(sample: bytes) -> str:
    """The likeliest encoding of text that is not UTF-8.

    Args:
      sample: lines of the file that have bytes over 127.
    Returns:
      Name of a codec; "cp1252" if nothing speaks for another one.
    """
    words = Counter(_WORD.findall(sample)).most_common(_NUM_WORDS)
    scores = [(_score(words, name, alphabets), -rank) for rank, (name, alphabets) in enumerate(_CANDIDATES)]
    best, place = max(scores)
    if best >= _PLAUSIBLE:
        return _CANDIDATES[-place][0]
    guess = from_bytes(sample, cp_isolation=_OTHERS).best()
    if guess is not None and _is_strict(sample, guess.encoding):
        return guess.encoding
    return _CANDIDATES[-place][0] if best > 0.3 else "cp1252"


def _is_strict(sample: bytes, name: str) -> bool:
    try:
        sample.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _score(words: list[tuple[bytes, int]], name: str, alphabets: tuple[str, ...]) -> float:
    """Mean plausibility of the characters over 127, at most 1, under the alphabet that fits best."""
    union = frozenset("".join(alphabets))
    total = 0
    scores = [0.0] * (len(alphabets) + 1)
    for word, count in words:
        weight = min(count, 10)
        text = word.decode(name, "surrogateescape")
        for place, character in enumerate(text):
            if character.isascii():
                continue
            total += weight
            forms, credit = {character, character.lower()}, _credit(text, place)
            for rank, alphabet in enumerate((*alphabets, union)):
                if not forms.isdisjoint(alphabet) or (credit and character in _SYMBOLS):
                    scores[rank] += weight * credit
                elif forms.isdisjoint(union):
                    scores[rank] -= weight * 0.5
    if not total:
        return 0.0
    return max(_ONE_ALPHABET * max(scores[:-1]), _MIXED * scores[-1]) / total


def _credit(text: str, place: int) -> float:
    """How plausible a character over 127 is where it stands, if it belongs to the alphabet."""
    character = text[place]
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if character in _SIGNS and not (before.isascii() and after.isascii()):
        return 0.2
    if character in _SYMBOLS:
        return 0.95 if character in _WITHIN_WORDS or not (before.isalpha() and after.isalpha()) else 0.0
    if (before.islower() and character.isupper()) or (character.islower() and after.isupper()):
        return 0.0
    if character.lower() >= "\u0370":  # Greek, Cyrillic: a word has no Latin letters
        latin = (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha())
        shouted = 0.9 if text.isupper() and len(text) > 1 else 1.0
        return 0.0 if latin else shouted * (1.0 if character.lower() in _COMMON else 0.85)
    letters = [one for one in text if one.isalpha()]
    foreign = sum(not one.isascii() for one in letters)
    return 0.3 if len(letters) > 2 and foreign > 0.75 * len(letters) else 1.0
