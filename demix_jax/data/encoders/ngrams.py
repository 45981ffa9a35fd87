"""Counts the words, pairs of words and character n-grams of texts in any script.

Texts become one array of code points, and every n-gram is hashed with array arithmetic, several times faster than a
Python loop over strings. Character n-grams lie within a word and the space at either end, like those of the analyzer
"char_wb" of scikit-learn. They also serve scripts that are written without spaces.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, vstack

from demix_jax.common.sparse import Sparse

NUM_BUCKETS = 1 << 20  # of hashes: words in the lower half, character n-grams in the upper half
_CHARACTERS = range(2, 5)  # lengths of character n-grams; with 5 they find no more wrong labels and cost a quarter more
_CHUNK = 500_000  # characters at a time
_SPACE = 32
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2⁶⁴
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIXER = 0xBF58476D1CE4E5B9  # of splitmix64
_HALF_BITS = NUM_BUCKETS.bit_length() - 2


class Vocabulary(NamedTuple):
    """V terms: hashed words, pairs of words and character n-grams, in this order.

    column: i32[2²⁰], number of the term in each bucket of hashes, −1 for none.
    share: f64[V], share of the fitted texts that hold each term. num_words: how many terms are words or pairs of them.
    """

    column: np.ndarray
    share: np.ndarray
    num_words: int

    @classmethod
    def fit(cls, texts: list[str], *, least: int, largest_share: float, most: int) -> Vocabulary:
        """Chooses terms by the number of texts that hold them.

        Args:
          texts: distinct ones. least: number of texts that hold a term at least. largest_share: of the texts, at most.
          most: number of words and of character n-grams, each, that are kept at most; the frequent ones are.
        """
        holding = np.zeros(NUM_BUCKETS, np.int64)
        for chunk in _chunks(texts):
            rows, buckets = _hashed_ngrams(chunk)
            each = csr_matrix((np.ones(len(rows), np.int8), (rows, buckets)), shape=(len(chunk), NUM_BUCKETS))
            holding += np.bincount(each.indices, minlength=NUM_BUCKETS)  # equal entries were summed
        usable = np.where((holding >= least) & (holding <= max(largest_share * len(texts), least)), holding, 0)
        words, characters = (_frequent(half, most) for half in np.split(usable, 2))
        terms = np.concatenate([words, characters + NUM_BUCKETS // 2])
        column = np.full(NUM_BUCKETS, -1, np.int32)
        column[terms] = np.arange(len(terms))
        return cls(column, holding[terms] / max(len(texts), 1), len(words))

    def counts(self, texts: list[str]) -> Sparse:
        """Sparse f32[T, V]: how often each of T texts holds each term."""
        parts = [csr_matrix((0, len(self.share)), dtype=np.float32)]
        for chunk in _chunks(texts):
            rows, buckets = _hashed_ngrams(chunk)
            columns = self.column[buckets]
            known = columns >= 0
            ones = np.ones(int(known.sum()), np.float32)
            shape = (len(chunk), len(self.share))
            parts.append(csr_matrix((ones, (rows[known], columns[known])), shape=shape))
        return vstack(parts, format="csr")


def _frequent(holding: np.ndarray, most: int) -> np.ndarray:
    """i64[k]: the at most `most` places where i64[B] `holding` is largest and not 0, in ascending order."""
    order = np.argsort(-holding, kind="stable")[:most]
    return np.sort(order[holding[order] > 0])


def _chunks(texts: list[str]) -> Iterator[list[str]]:
    """The texts in parts of about 500,000 characters."""
    start, size = 0, 0
    for at, text in enumerate(texts):
        size += len(text)
        if size >= _CHUNK:
            yield texts[start : at + 1]
            start, size = at + 1, 0
    if start < len(texts):
        yield texts[start:]


def _hashed_ngrams(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The text i32[n] and the bucket i32[n] of every occurrence of an n-gram."""
    padded = [f" {text.lower()} " for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    row = np.repeat(np.arange(len(texts), dtype=np.int32), [len(text) for text in padded])
    is_space, is_word = _kinds_of_characters(codes)
    values = _mixed(np.where(is_space, _SPACE, codes).astype(np.uint64))
    words, word_starts = _hashed_words(values, is_word)
    word_row = row[word_starts]
    pairs = words[:-1] * np.uint64(_BASE) + words[1:]
    same = word_row[:-1] == word_row[1:]
    found = [(word_row, _bucket(words)), (word_row[:-1][same], _bucket(pairs[same]))]
    for at, hashed in _hashed_characters(values, is_space):
        found.append((row[at], _bucket(hashed) + np.int32(NUM_BUCKETS // 2)))
    rows, buckets = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(buckets)


def _hashed_words(values: np.ndarray, is_word: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hash u64[w] of each run of word characters, and where it starts i64[w].

    The hash is Σ v[s + k] Bᵏ modulo 2⁶⁴, from differences of cumulative sums of v[i] Bⁱ and the inverse of Bˢ.
    """
    edges = np.diff(is_word.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values * _powers(_BASE, len(values)), dtype=np.uint64)])
    return (sums[stops] - sums[starts]) * _powers(_INVERSE, len(values))[starts], starts


def _hashed_characters(values: np.ndarray, is_space: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each length, where n-grams start i64[n] and their hashes u64[n]; a space is only their first or last."""
    hashed, inner_free = values, np.ones(len(values), bool)
    for length in range(2, _CHARACTERS.stop):
        count = len(values) - length + 1
        hashed = hashed[:count] * np.uint64(_BASE) + values[length - 1 :]
        if length > 2:
            inner_free = inner_free[:count] & ~is_space[length - 2 : length - 2 + count]
        both = is_space[:count] & is_space[length - 1 :]
        at = np.flatnonzero(inner_free[:count] & (~both if length == 2 else True))
        if length in _CHARACTERS:
            yield at, hashed[at]


def _kinds_of_characters(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool[n], bool[n]: code points that are white space, and those of words: letters, marks and digits."""
    seen = np.flatnonzero(np.bincount(codes))
    characters = [chr(code) for code in seen]
    tables = np.zeros((2, int(seen.max(initial=0)) + 1), bool)
    tables[0, seen] = [character.isspace() for character in characters]
    tables[1, seen] = [unicodedata.category(character)[0] in "LMN" for character in characters]
    return tables[0][codes], tables[1][codes]


def _powers(base: int, count: int) -> np.ndarray:
    """u64[count]: base⁰, base¹, … modulo 2⁶⁴."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _mixed(values: np.ndarray) -> np.ndarray:
    """u64[n]: a hash of each of u64[n]."""
    values = (values + np.uint64(1)) * np.uint64(_BASE)
    values = (values ^ (values >> np.uint64(29))) * np.uint64(_MIXER)
    return values ^ (values >> np.uint64(32))


def _bucket(hashed: np.ndarray) -> np.ndarray:
    """i32[n] below 2¹⁹, by the top bits of each mixed hash."""
    return (_mixed(hashed) >> np.uint64(64 - _HALF_BITS)).astype(np.int32)
