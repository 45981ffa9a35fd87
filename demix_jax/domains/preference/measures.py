"""Measures of an answer: length and form, traces of damage, and its log-likelihood under a decoder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import chex
import numpy as np

from demix_jax.domains.preference.pairs import Pair

WINDOW = 16  # tokens or words of a passage
_NUM_COMMON = 400  # words that count as common in a data set
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LIST_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_MARKDOWN = re.compile(r"^#{1,6}\s|\*\*[^*\n]+\*\*|`[^`\n]+`|^```", re.MULTILINE)
_SENTENCE_END = re.compile(r"""(?:[.!?…:;。！？)\]}>"'”’*`|]|\d|^[-*•].*)\s*$""")
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|afraid|unable|not able)|i (?:can(?:no|')t|can’t|won't|will not|do(?:n't| not) "
    r"(?:feel|think|want|know))|as an ai\b|i apologi[sz]e|not (?:appropriate|comfortable)"
    r"|unable to (?:help|assist|provide))",
    re.IGNORECASE,
)


def common_words(pairs: Iterable[Pair]) -> frozenset[str]:
    """The words that occur in the most answers; they mark the language of the data set."""
    found: Counter[str] = Counter()
    for pair in pairs:
        for text in (pair.chosen, pair.rejected):
            found.update(set(words(text)))
    return frozenset(word for word, _ in found.most_common(_NUM_COMMON))


def words(text: str) -> list[str]:
    """The words of a text, in lower case and in order, without numbers and punctuation."""
    return [word.lower() for word in _WORD.findall(text)]


def form(text: str) -> dict[str, float]:
    """Length and form of a text, on which a shortcut may rest.

    length: logarithm of 1 + the number of words. markup: Markdown marks per word. list_lines: share of lines that are
    list items. refusal: 1 if the answer declines or apologises, else 0.
    """
    count = len(words(text))
    lines = max(1, sum(bool(line.strip()) for line in text.splitlines()))
    return {
        "length": float(np.log1p(count)),
        "markup": len(_MARKDOWN.findall(text)) / (count + 10),
        "list_lines": len(_LIST_LINE.findall(text)) / lines,
        "refusal": float(bool(_REFUSAL.search(text[:400]))),
    }


def damage(text: str, prompt: str, common: frozenset[str]) -> dict[str, float]:
    """Traces of damage in an answer.

    repetition: share of repeated word four-grams. strangeness: highest share of words outside `common` in any window of
    WINDOW words. other_letters: share of letters beyond ASCII. broken_end: 1 if the answer does not end like a
    sentence, a list or code, else 0. missed_prompt: share of the prompt's uncommon words that the answer lacks.
    """
    found = words(text)
    grams = list(zip(*(found[start:] for start in range(4)), strict=False))
    rare = np.array([word not in common for word in found], float)
    letters = [c for c in text if c.isalpha()]
    topics = {word for word in words(prompt) if word not in common}
    return {
        "repetition": 1 - len(set(grams)) / len(grams) if grams else 0.0,
        "strangeness": float(_windows(rare).max()) if len(rare) else 0.0,
        "other_letters": sum(not c.isascii() for c in letters) / max(1, len(letters)),
        "broken_end": float(not _SENTENCE_END.search(text.rstrip()[-80:])) if text.strip() else 1.0,
        "missed_prompt": 1 - len(topics & set(found)) / len(topics) if topics else 0.0,
    }


def likelihood(log_p: np.ndarray, starts: np.ndarray, *, opening: float, alone: float, cut: bool) -> dict[str, float]:
    """Summaries of a decoder's log-likelihoods of an answer's tokens, in nats per token.

    Args:
      log_p: f32[tokens], with the end token unless the answer was cut.
      starts: bool[tokens], whether the token begins a sentence.
      opening, alone: mean log-likelihood of the first tokens, with and without the prompt.
      cut: whether the answer was cut.
    Returns:
      log_p: mean. lowest: lowest mean over a window of WINDOW tokens. sentence_starts: mean over the first tokens of
      sentences minus the mean over all other tokens. end: log-likelihood of the end token, or the mean if the answer
      was cut. prompt_gain: gain in log-likelihood of the opening through the prompt.
    """
    chex.assert_equal_shape([log_p, starts])
    mean = float(log_p.mean())
    inner = starts.copy()
    inner[:1] = False
    has_both = inner.any() and not inner.all()
    return {
        "log_p": mean,
        "lowest": float(_windows(log_p).min()),
        "sentence_starts": float(log_p[inner].mean() - log_p[~inner].mean()) if has_both else 0.0,
        "end": mean if cut else float(log_p[-1]),
        "prompt_gain": opening - alone,
    }


def _windows(values: np.ndarray) -> np.ndarray:
    """Means over all windows of WINDOW values; the overall mean if there are fewer values."""
    size = min(WINDOW, len(values))
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return (total[size:] - total[:-size]) / size
