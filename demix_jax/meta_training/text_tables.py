"""Random training tables of texts, from topic models over made-up words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.meta_training.synthetic import LABEL

if TYPE_CHECKING:
    import pandas as pd

# (consonants, vowels) of the alphabets that words are made of
_ALPHABETS = (
    ("b c d f g h k l m n p r s t v w ch st tr pl", "a e i o u ee ai ou"),
    ("b d f g h k l m n r s t w sch ß z", "a e i o u ä ö ü ie"),
    ("b ɓ d ɗ g k ƙ l m n r s sh t ts w y", "a e i o u aa"),
    ("б в г д ж з к л м н п р с т ч ш", "а е и о у я ю ы"),
    ("β γ δ θ κ λ μ ν π ρ σ τ φ χ", "α ε η ι ο υ ω ά έ"),
)
_SUFFIXES = 6  # endings that words of all topics share
_EXTRA_COLUMNS = 0.35  # share of the tables with columns beside the text


class _Language(NamedTuple):
    """words: object[V], from the most to the least frequent. frequency: f64[V], by Zipf's law. stem: i64[V]."""

    words: np.ndarray
    frequency: np.ndarray
    stem: np.ndarray


def synthetic_texts(seed: int, num_rows: int) -> pd.DataFrame:
    """Draw a table of texts with column `LABEL`, two to ten classes of uneven shares.

    A text mixes words that every class uses with words of the topics of its class. Some texts are about two classes,
    and some have hardly a telling word. Lengths reach from titles to paragraphs, and words of a topic share stems. Some
    tables have a few further columns. Some texts occur twice. No label is wrong.

    Args:
      seed: determines the whole table; equal seeds give equal tables.
      num_rows: N.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 3])
    language = _language(rng)
    num_classes = int(rng.choice([2, 2, 2, 3, 4, 4, 5, 6, 8, 10]))
    shares = rng.dirichlet(np.full(num_classes, rng.choice([1.5, 5.0, 50.0])))
    label = rng.choice(num_classes, num_rows, p=0.95 * shares + 0.05 / num_classes)
    topics = _topics(rng, language, num_classes)
    texts = _texts(rng, language, topics, label)
    copied = rng.random(num_rows) < rng.choice([0.0, 0.0, 0.02])
    source = np.where(copied, rng.integers(num_rows, size=num_rows), np.arange(num_rows))
    label, texts = label[source], [texts[i] for i in source]
    columns: dict[str, object] = {"text": texts}
    if rng.random() < _EXTRA_COLUMNS:
        columns |= _extra_columns(rng, label, num_classes)
    names = np.array([f"k{k}" for k in range(num_classes)], dtype=object)
    return pd.DataFrame({**columns, LABEL: names[label]})


def _language(rng: np.random.Generator) -> _Language:
    """Draw words: a stem of one to three syllables, and an ending in about half of them."""
    consonants, vowels = (part.split() for part in _ALPHABETS[int(rng.integers(len(_ALPHABETS)))])
    num_stems = int(rng.integers(300, 2_500))

    def syllable() -> str:
        return str(rng.choice(consonants)) + str(rng.choice(vowels))

    stems = ["".join(syllable() for _ in range(int(rng.integers(1, 4)))) for _ in range(num_stems)]
    endings = ["", *(str(rng.choice(vowels)) + str(rng.choice(consonants)) for _ in range(_SUFFIXES))]
    stem = np.concatenate([np.arange(num_stems), rng.integers(num_stems, size=num_stems)])
    ending = np.concatenate([np.zeros(num_stems, int), rng.integers(1, len(endings), num_stems)])
    order = rng.permutation(len(stem))
    stem, ending = stem[order], ending[order]
    words = np.array([stems[s] + endings[e] for s, e in zip(stem, ending, strict=True)], dtype=object)
    frequency = 1.0 / (np.arange(len(words)) + 2.7) ** rng.uniform(0.9, 1.2)
    return _Language(words, frequency / frequency.sum(), stem)


def _topics(rng: np.random.Generator, language: _Language, num_classes: int) -> np.ndarray:
    """f64[K, V]: how frequent each word is in the telling part of texts of each class.

    A class has one to three topics. The words of a topic share stems, and one class's are partly another's.
    """
    topics = np.empty((num_classes, len(language.words)))
    sharpness = rng.uniform(1.5, 3.5)  # of the preference for some stems
    common = rng.normal(size=language.stem.max() + 1)
    alike = rng.uniform(0.0, 0.7)
    for k in range(num_classes):
        parts = []
        for _ in range(int(rng.integers(1, 4))):
            preference = alike * common + np.sqrt(1 - alike**2) * rng.normal(size=len(common))
            liked = np.exp(sharpness * preference[language.stem]) * language.frequency**0.7
            parts.append(liked / liked.sum())
        topics[k] = np.mean(parts, axis=0)
    return topics


def _texts(rng: np.random.Generator, language: _Language, topics: np.ndarray, label: np.ndarray) -> list[str]:
    """N texts of the classes `label` i64[N]."""
    num_rows, num_classes = len(label), len(topics)
    length = _lengths(rng, num_rows)
    telling = rng.beta(4, 4 / rng.uniform(0.3, 0.9) - 4, num_rows)  # share of words of the topic
    mixed = rng.random(num_rows) < rng.uniform(0.0, 0.25)
    other = np.where(mixed, rng.integers(num_classes, size=num_rows), label)
    share_of_other = rng.uniform(0.2, 0.5, num_rows)
    row = np.repeat(np.arange(num_rows), length)
    about = np.where(rng.random(len(row)) < share_of_other[row], other[row], label[row])
    about = np.where(rng.random(len(row)) < telling[row], about, num_classes)  # K: words of every class
    word = np.empty(len(row), dtype=np.int64)
    for k, frequency in enumerate([*topics, language.frequency]):
        at = about == k
        word[at] = rng.choice(len(frequency), int(at.sum()), p=frequency / frequency.sum())
    ends = np.cumsum(length)
    as_sentence = rng.random() < 0.6
    return [_written(language.words[word[e - n : e]], as_sentence) for n, e in zip(length, ends, strict=True)]


def _lengths(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    """i64[N]: words per text, with a median between that of a title and that of a paragraph."""
    median = np.exp(rng.uniform(np.log(6), np.log(60)))
    return np.clip(median * np.exp(rng.uniform(0.1, 0.6) * rng.normal(size=num_rows)), 2, 200).astype(np.int64)


def _written(words: np.ndarray, as_sentence: bool) -> str:
    text = " ".join(words)
    return f"{text[:1].upper()}{text[1:]}." if as_sentence else text


def _extra_columns(rng: np.random.Generator, label: np.ndarray, num_classes: int) -> dict[str, np.ndarray]:
    """A source, a rating and a number of readers; each tells something of the class i64[N], or nothing."""
    columns = {}
    tells = rng.uniform(0.0, 0.6)
    known = np.where(rng.random(len(label)) < tells, label, rng.integers(num_classes, size=len(label)))
    if rng.random() < 0.7:
        columns["source"] = np.array(
            [f"s{(k * 7) % 5}" for k in known + rng.integers(3, size=len(label))], dtype=object
        )
    if rng.random() < 0.5:
        columns["rating"] = np.clip(known % 3 + rng.integers(1, 4, len(label)), 1, 5)
    columns["readers"] = np.round(np.exp(rng.normal(4 + 0.5 * (known % 2), 1.0))).astype(int)
    return columns
