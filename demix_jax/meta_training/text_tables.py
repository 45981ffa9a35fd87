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
_MOST_TRIES = 8  # to write a text that tells its class
_CLEARLY = 2.0  # nats by which the words of a text are likelier in its class than in any other


class _Language(NamedTuple):
    """words: object[V], from the most to the least frequent. frequency: f64[V], by Zipf's law. stem: i64[V]."""

    words: np.ndarray
    frequency: np.ndarray
    stem: np.ndarray


class _Subjects(NamedTuple):
    """What texts are about.

    usual: f64[V], how frequent each word is in every class. topics: per class f64[T, V], how frequent in the telling
      part of texts about each of its topics.
    """

    usual: np.ndarray
    topics: list[np.ndarray]


def synthetic_texts(seed: int, num_rows: int) -> pd.DataFrame:
    """Draw a table of texts with column `LABEL`, two to ten classes of uneven shares.

    A text mixes words that every class uses with words of one of the topics of its class, many of them rare. Its words
    tell its class, but for a few unclear texts; a model of few texts does not know all of these words. Lengths reach
    from titles to paragraphs, and words of a topic share stems. Some tables have a few further columns. Some texts
    occur twice. No label is wrong.

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
    written = _texts(rng, _subjects(rng, language, num_classes), label)
    as_sentence = rng.random() < 0.6
    texts = [_spelt(language.words[words], as_sentence) for words in written]
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


def _subjects(rng: np.random.Generator, language: _Language, num_classes: int) -> _Subjects:
    """A class has one to six topics. The words of a topic share stems, and one class's are partly another's."""
    sharpness = rng.uniform(1.5, 3.5)  # of the preference for some stems
    common = rng.normal(size=language.stem.max() + 1)
    alike = rng.uniform(0.0, 0.7)
    topics = []
    for _ in range(num_classes):
        own = rng.normal(size=(int(rng.integers(1, 7)), len(common)))
        preference = alike * common + np.sqrt(1 - alike**2) * own
        liked = np.exp(sharpness * preference[:, language.stem]) * language.frequency**0.7
        topics.append(liked / liked.sum(axis=1, keepdims=True))
    return _Subjects(language.frequency, topics)


def _texts(rng: np.random.Generator, subjects: _Subjects, label: np.ndarray) -> list[np.ndarray]:
    """Numbers of the words of N texts of classes i64[N]; most that do not tell their class are written again."""
    length = _lengths(rng, len(label))
    telling = rng.beta(4, 4 / rng.uniform(0.3, 0.9) - 4, len(label))  # share of words of the topic
    unclear = rng.random(len(label)) < rng.choice([0.0, 0.01, 0.03, 0.1])
    texts: list[np.ndarray] = [np.empty(0, np.int64)] * len(label)
    rows = np.arange(len(label))
    for _ in range(_MOST_TRIES):
        written = _words(rng, subjects, label[rows], length[rows], telling[rows])
        for row, words in zip(rows, written, strict=True):
            texts[row] = words
        rows = rows[~_tells(written, subjects, label[rows]) & ~unclear[rows]]
        telling = np.minimum(telling + 0.1, 1.0)
        if not len(rows):
            break
    return texts


def _words(
    rng: np.random.Generator, subjects: _Subjects, label: np.ndarray, length: np.ndarray, telling: np.ndarray
) -> list[np.ndarray]:
    """Numbers of the words of n texts of classes i64[n], of lengths i64[n], with shares f64[n] of telling words."""
    about = np.array([rng.integers(len(subjects.topics[k])) for k in label])
    row = np.repeat(np.arange(len(label)), length)
    chance = rng.random(len(row))
    tells = rng.random(len(row)) < telling[row]
    word = _drawn(subjects.usual, chance)
    for k, t in sorted({(int(k), int(t)) for k, t in zip(label, about, strict=True)}):
        at = tells & (label[row] == k) & (about[row] == t)
        word[at] = _drawn(subjects.topics[k][t], chance[at])
    return np.split(word, np.cumsum(length)[:-1])


def _drawn(frequency: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """i64[n]: numbers of words with frequencies f64[V], drawn by uniform numbers f64[n]."""
    return np.minimum(np.searchsorted(np.cumsum(frequency), chance), len(frequency) - 1)


def _tells(texts: list[np.ndarray], subjects: _Subjects, label: np.ndarray) -> np.ndarray:
    """bool[n]: whether the words of each text are several times likelier in its class i64[n] than in any other."""
    words, starts = np.concatenate(texts), np.cumsum([0, *map(len, texts[:-1])])

    def log_likelihood(topic: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.log(0.5 * (topic + subjects.usual))[words], starts)

    each = np.stack([np.max([log_likelihood(topic) for topic in own], axis=0) for own in subjects.topics], axis=1)
    rows = np.arange(len(label))
    of_label = each[rows, label]
    each[rows, label] = -np.inf
    return of_label - each.max(axis=1) > _CLEARLY


def _lengths(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    """i64[N]: words per text, with a median between that of a title and that of a paragraph."""
    median = np.exp(rng.uniform(np.log(6), np.log(60)))
    return np.clip(median * np.exp(rng.uniform(0.1, 0.6) * rng.normal(size=num_rows)), 2, 200).astype(np.int64)


def _spelt(words: np.ndarray, as_sentence: bool) -> str:
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
