"""Kinds of feature errors for columns of free text: cut short, wrongly decoded, another row's text, a standard text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_STANDARD_SENTENCES = (
    "No description available.",
    "This text has been removed at the request of the author.",
    "Please see the attached document for details.",
    "Click here to read the full article.",
    "All rights reserved.",
    "Your browser does not support this content.",
    "Keine Beschreibung vorhanden.",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
)
_TYPOGRAPHIC = str.maketrans({"'": "’", '"': "”", "-": "–"})
_KEPT_SHARES = (0.1, 0.6)  # of a text that is cut short


def cut(texts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep the first tenth to six tenths of the characters of each text, in mid-word where it falls so."""
    shares = rng.uniform(*_KEPT_SHARES, len(texts))
    return _objects(text[: max(1, int(share * len(text)))] for text, share in zip(texts, shares, strict=True))


def mojibake(texts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Read the UTF-8 bytes of each text as Latin-1, as Windows extends it (code page 1252).

    Plain letters look the same in both. A text of such letters alone gets typographic quotes, apostrophes and dashes
    beforehand, or else spaces that do not break, as word processors set them.
    """
    del rng
    return _objects(_wrongly_decoded(text) for text in texts)


def _wrongly_decoded(text: str) -> str:
    for written in (text, text.translate(_TYPOGRAPHIC), text.replace(" ", "\u00a0")):
        if not written.isascii():
            return written.encode("utf-8", "replace").decode("cp1252", "replace")
    return text


def boilerplate(texts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One standard sentence in place of all texts, or before or after each."""
    sentence = _STANDARD_SENTENCES[int(rng.integers(len(_STANDARD_SENTENCES)))]
    way = int(rng.integers(3))
    return _objects((sentence, f"{sentence} {text}", f"{text} {sentence}")[way] for text in texts)


def _objects(texts) -> np.ndarray:
    """object[n] of an iterable of n texts."""
    texts = list(texts)
    new = np.empty(len(texts), dtype=object)
    new[:] = texts
    return new


# Each returns the new texts (object[n]) of the texts object[n]. "other_text" needs the whole column: feature_kinds.py.
TEXT_KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "cut": cut,
    "mojibake": mojibake,
    "boilerplate": boilerplate,
}
