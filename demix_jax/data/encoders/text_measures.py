"""Measures of how a text is written, by which a damaged text differs from the others of its column.

They tell of texts in another language or script, garbled, cut short, repeating themselves, copied, with a sentence that
many texts share, or with left-over markup. What is usual is learned from the column, see `UsualText`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from demix_jax.data.encoders.characters import (
    CAPITAL,
    DIGIT,
    LETTER,
    MARK,
    SCRIPT_NAMES,
    SPACE,
    Characters,
    Units,
    garbled,
    mixed,
)

NUMBERS = (
    "length", "word length", "capitals", "digits", "punctuation", "foreign letters", "letter rarity", "repeated words",
    "garbled characters", "markup", "shared sentences", "copies",
)  # fmt: skip
SCRIPTS = (*SCRIPT_NAMES, "no letters")
BEGINNINGS = ("a letter that is no capital", "another character")
ENDINGS = ("a closing mark", "a word, number or comma", "an unknown word")
_AT_ONCE = 2_000  # texts, so that their characters fit into a processor's cache
_LONGEST = 4_000  # characters; of longer texts, the first three quarters and the last quarter of this are read
_MAX_FIT = 10_000  # texts from which letter patterns and words are learned
_BUCKET_BITS = 18  # of hashed letter patterns
_FEW = np.array([5, 20, 20, 20, 20, 20, 5])[:, None]  # usual words or characters added, so that short texts vary less
_MIN_SENTENCE = 15  # letters; shorter sentences are shared by chance
_CHANCE = 3  # so many texts with the same sentence, or copies of a text, say nothing
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|&?#x?[0-9a-fA-F]{2,6};|&[a-zA-Z]{2,8};|https?://|www\.\w")
_FACTORS = np.array([0xD6E8FEB86659FD93, 0xA5A3564E7B2F91C7, 0x9E6C63D0676A9A99], np.uint64)


class TextMeasures(NamedTuple):
    """Measures of T texts.

    numbers: f64[T, 12], in the order of `NUMBERS`: characters of the text; characters of a word; shares of letters that
      are capitals, of characters that are digits or marks, of letters in another script than most; mean −log share, in
      nats, of three letters in a row; share of words that repeat the word or the two words just before; counts of
      garbled characters and of markup; texts that have one of its sentences, and rows that have the same letters
      and digits, beyond the three that chance explains.
    script, beginning, ending: i64[T], places in `SCRIPTS`, `BEGINNINGS` and `ENDINGS`.
    """

    numbers: np.ndarray
    script: np.ndarray
    beginning: np.ndarray
    ending: np.ndarray


class HashCounts(NamedTuple):
    """Counts of what occurs more than once: hashes u64[S] in ascending order, and how often, i64[S]."""

    known: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, hashes: np.ndarray, times: np.ndarray) -> HashCounts:
        """Count hashes u64[n] that stand for `times` i64[n] occurrences each."""
        known, place = np.unique(hashes, return_inverse=True)
        counts = np.bincount(place, weights=times, minlength=len(known)).astype(np.int64)
        return cls(known[counts > 1], counts[counts > 1])

    @classmethod
    def in_texts(cls, units: Units) -> HashCounts:
        """Count the texts that have each word or sentence."""
        once = np.unique(mixed(units.hash) + units.text.astype(np.uint64) * _FACTORS[0], return_index=True)[1]
        return cls.of(units.hash[once], np.ones(len(once), np.int64))

    def times(self, hashes: np.ndarray) -> np.ndarray:
        """i64[n]: how often each of u64[n] occurs, at least 1."""
        if not len(self.known):
            return np.ones(len(hashes), np.int64)
        at = np.minimum(np.searchsorted(self.known, hashes), len(self.known) - 1)
        return np.where(self.known[at] == hashes, self.counts[at], 1)


@dataclass(frozen=True)
class UsualText:
    """What is usual in a column of texts.

    script: the commonest script, a place in `SCRIPTS`.
    cost: f32[2^18], −log share of each hashed pattern of three letters among the texts, in nats.
    words, sentences: those that at least two texts have. copies: texts of several rows.
    ratios: f64[7], median of each ratio from "word length" to "repeated words" over the texts.
    """

    script: int
    cost: np.ndarray
    words: HashCounts
    sentences: HashCounts
    copies: HashCounts
    ratios: np.ndarray

    @classmethod
    def fit(cls, texts: list[str], times: np.ndarray) -> UsualText:
        """Fit on T distinct texts that occur in `times` i64[T] rows each."""
        sample = _read(texts[:: max(1, -(-len(texts) // _MAX_FIT))])
        scripts, words, cost = _script_counts(sample), sample.units()[0], _pattern_cost(sample)
        script = int(np.argmax(scripts.sum(axis=0)))
        counts, among = _ratios(sample, words, scripts, main=script, cost=cost)
        sentences, copies = _all_units(texts)
        return cls(
            script=script,
            cost=cost,
            words=HashCounts.in_texts(words),
            sentences=HashCounts.in_texts(sentences),
            copies=HashCounts.of(copies.hash, times[copies.text]),
            ratios=np.median(counts / np.maximum(among, 1), axis=1),
        )

    def measure(self, texts: list[str]) -> TextMeasures:
        """Measure T texts, whether the column has them or not."""
        chunks = [self._measure(texts[i : i + _AT_ONCE]) for i in range(0, max(len(texts), 1), _AT_ONCE)]
        return TextMeasures(*(np.concatenate(of_all) for of_all in zip(*chunks, strict=True)))

    def _measure(self, texts: list[str]) -> TextMeasures:
        characters = _read(texts)
        words, sentences, whole = characters.units()
        scripts = _script_counts(characters)
        counts, among = _ratios(characters, words, scripts, main=self.script, cost=self.cost)
        sentences = _long(sentences)
        shared, copies = np.ones((2, len(texts)), np.int64)
        np.maximum.at(shared, sentences.text, self.sentences.times(sentences.hash))
        copies[whole.text] = self.copies.times(whole.hash)
        numbers = [
            [len(text) for text in texts],
            *((counts + _FEW * self.ratios[:, None]) / (among + _FEW)),
            np.bincount(characters.text[garbled(characters)], minlength=len(texts)),
            [_num_markup(text) for text in texts],
            np.maximum(shared - _CHANCE, 0),
            np.maximum(copies - _CHANCE, 0),
        ]
        return TextMeasures(
            numbers=np.array(numbers, np.float64).T.reshape(len(texts), len(NUMBERS)),
            script=np.where(scripts.any(axis=1), scripts.argmax(axis=1), SCRIPTS.index("no letters")),
            beginning=_beginnings(characters),
            ending=self._endings(characters, words),
        )

    def _endings(self, characters: Characters, words: Units) -> np.ndarray:
        """i64[T]: places in `ENDINGS`."""
        kind, is_open = characters.last()
        last = np.searchsorted(words.text, np.arange(characters.num_texts), "right") - 1
        unknown = self.words.times(np.append(words.hash, np.uint64(0))[last]) == 1
        is_letter = (kind == LETTER) | (kind == CAPITAL)
        return np.select([is_letter & unknown, is_letter | is_open | (kind == DIGIT)], [np.int64(2), np.int64(1)], 0)


def _read(texts: list[str]) -> Characters:
    head, tail = _LONGEST * 3 // 4, _LONGEST // 4
    return Characters.of([text if len(text) <= _LONGEST else f"{text[:head]} {text[-tail:]}" for text in texts])


def _all_units(texts: list[str]) -> tuple[Units, Units]:
    """The long sentences of T texts, and each text as one unit."""
    sentences, copies = [], []
    for start in range(0, max(len(texts), 1), _AT_ONCE):
        _, of_chunk, whole = _read(texts[start : start + _AT_ONCE]).units()
        sentences.append(_long(of_chunk)._replace(text=_long(of_chunk).text + start))
        copies.append(whole._replace(text=whole.text + start))
    return _concatenated(sentences), _concatenated(copies)


def _concatenated(units: list[Units]) -> Units:
    return Units(*(np.concatenate(arrays) for arrays in zip(*units, strict=True)))


def _long(sentences: Units) -> Units:
    long = sentences.size >= _MIN_SENTENCE
    return Units(*(of_sentence[long] for of_sentence in sentences))


def _script_counts(characters: Characters) -> np.ndarray:
    """i64[T, S]: number of letters of each script."""
    num, num_texts = len(SCRIPT_NAMES) + 1, characters.num_texts
    place = characters.text * num + characters.script + 1
    return np.bincount(place, minlength=num * num_texts).reshape(num_texts, num)[:, 1:]


def _ratios(
    characters: Characters, words: Units, scripts: np.ndarray, *, main: int, cost: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The counts f64[7, T] of the seven ratios, and what they are counted among.

    Args:
      words, scripts: of the characters. main, cost: script and cost of `UsualText`.
    """
    num_words = np.bincount(words.text, minlength=characters.num_texts)
    kinds = characters.count_kinds()
    text, pattern = _patterns(characters)
    letters, of_script = kinds[LETTER] + kinds[CAPITAL], scripts.sum(axis=1)
    visible = kinds.sum(axis=0) - kinds[SPACE]
    counts = [
        letters + kinds[DIGIT],
        kinds[CAPITAL],
        kinds[DIGIT],
        kinds[MARK],
        of_script - scripts[:, main],
        np.bincount(text, weights=cost[pattern], minlength=characters.num_texts),
        _num_repeats(words, characters.num_texts),
    ]
    num_patterns = np.bincount(text, minlength=characters.num_texts)
    among = [num_words, letters, visible, visible, of_script, num_patterns, num_words]
    return np.array(counts, np.float64), np.array(among, np.float64)


def _patterns(characters: Characters) -> tuple[np.ndarray, np.ndarray]:
    """Text i64[m] and hash i64[m] of each three letters in a row; what is no letter counts as one space."""
    is_letter = (characters.kind == LETTER) | (characters.kind == CAPITAL)
    kept = is_letter | np.concatenate([[True], is_letter[:-1]])
    points = np.where(is_letter, characters.lower, 32)[kept].astype(np.uint64)
    text = characters.text[kept]
    hashed = points[:-2] * _FACTORS[0] + points[1:-1] * _FACTORS[1] + points[2:] * _FACTORS[2]
    inside = text[:-2] == text[2:]
    return text[2:][inside], (mixed(hashed[inside]) >> np.uint64(64 - _BUCKET_BITS)).astype(np.int64)


def _pattern_cost(characters: Characters) -> np.ndarray:
    """f32[2^18]: −log share of each pattern, counted in other texts, so that a text does not explain itself."""
    text, pattern = _patterns(characters)
    once = np.unique((text << _BUCKET_BITS) | pattern)
    in_texts = np.bincount(once & ((1 << _BUCKET_BITS) - 1), minlength=1 << _BUCKET_BITS)
    elsewhere = np.maximum(in_texts - 1, 0) + 0.5
    return -np.log(elsewhere / (np.maximum(in_texts - 1, 0).sum() + 0.5 * max(np.sum(in_texts > 0), 1))).astype(
        np.float32
    )


def _num_repeats(words: Units, num_texts: int) -> np.ndarray:
    """i64[T]: words of each text that repeat the word before, or with the word before the two words before."""

    def same(back: int) -> np.ndarray:
        """bool[U]: whether a word equals the one `back` words before it in its text."""
        equal = (words.hash[back:] == words.hash[:-back]) & (words.text[back:] == words.text[:-back])
        return np.concatenate([np.zeros(min(back, len(words.hash)), bool), equal])

    second = same(2)
    repeats = same(1) | (second & np.concatenate([[False], second[:-1]])[: len(second)])
    return np.bincount(words.text[repeats], minlength=num_texts)


def _num_markup(text: str) -> int:
    may_have = "<" in text or ";" in text or "://" in text or "www." in text  # far quicker than the expression
    return len(_MARKUP.findall(text[:_LONGEST])) if may_have else 0


def _beginnings(characters: Characters) -> np.ndarray:
    """i64[T]: places in `BEGINNINGS`."""
    return np.where(characters.kind[characters.start[:-1]] == LETTER, 0, 1)
