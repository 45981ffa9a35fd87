"""Inject errors with known truth into preference pairs: swapped preferences, damaged texts, shortcuts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError, check_seed, lies_in
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.domains.preference.measures import form
from demix_jax.domains.preference.pairs import Pair, Pairs, make_pairs, notes

if TYPE_CHECKING:
    import pandas as pd

SHORTCUTS = {"longer": "length", "refusal": "refusal", "markup": "markup", "lists": "list_lines"}  # kind -> measure
_MIN_WORDS = 12  # shorter texts are not damaged, since the damage might not show
_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")
_FOREIGN = (
    "Les enfants jouaient dans le jardin pendant que leur grand-mère préparait le dîner. Il faisait encore chaud.",
    "Der Zug fährt heute leider mit einer Verspätung von zwanzig Minuten ab. Wir bitten um Ihr Verständnis.",
    "La biblioteca permanecerá cerrada durante todo el mes de agosto. Los libros pueden devolverse en la entrada.",
    "В субботу мы поехали за город и долго гуляли по лесу. К вечеру пошёл дождь, и пришлось вернуться домой.",
    "昨天下午我和朋友去了图书馆，借了几本关于历史的书。回家的路上我们又喝了一杯咖啡。",
    "Domani mattina il mercato aprirà più tardi del solito perché in piazza ci sarà una cerimonia.",
)


class InjectedPairs(NamedTuple):
    """pairs: with errors. truth: a row per pair; 0/1 columns ERROR_TYPES, then source_row, damage and damaged_text."""

    pairs: Pairs
    truth: pd.DataFrame


def truncated(rng: np.random.Generator, text: str) -> str:
    """Keep the first 25 to 70 % of the words."""
    found = text.split()
    return " ".join(found[: max(3, int(len(found) * rng.uniform(0.25, 0.7)))])


def shuffled(rng: np.random.Generator, text: str) -> str:
    """Shuffle the sentences, or the words of a text with fewer than four sentences."""
    parts = [part for part in _SENTENCE.split(text) if part.strip()]
    if len(parts) < 4:
        parts = text.split()
    order = rng.permutation(len(parts))
    if np.array_equal(order, np.arange(len(parts))):
        order = order[::-1]
    return " ".join(parts[i] for i in order)


def foreign(rng: np.random.Generator, text: str) -> str:
    """Replace a passage of 20 to 50 % of the words by sentences in another language."""
    found = text.split()
    length = max(3, int(len(found) * rng.uniform(0.2, 0.5)))
    start = int(rng.integers(0, len(found) - length + 1))
    return " ".join([*found[:start], _FOREIGN[rng.integers(len(_FOREIGN))], *found[start + length :]])


def repeated(rng: np.random.Generator, text: str) -> str:
    """Repeat a passage of 10 to 30 % of the words, three to six times in all."""
    found = text.split()
    length = max(4, int(len(found) * rng.uniform(0.1, 0.3)))
    start = int(rng.integers(0, len(found) - length + 1))
    passage = found[start : start + length]
    return " ".join([*found[:start], *passage * int(rng.integers(3, 7)), *found[start + length :]])


DAMAGES: dict[str, Callable[[np.random.Generator, str], str]] = {
    "truncated": truncated,
    "shuffled": shuffled,
    "foreign": foreign,
    "repeated": repeated,
}
WRONG_PROMPT = "wrong prompt"  # the only damage that needs another pair


def inject_errors(
    pairs: Pairs,
    *,
    label_errors: float = 0.15,
    feature_errors: float = 0.15,
    spurious: float = 0.15,
    shortcut: str = "longer",
    damages: tuple[str, ...] = (*DAMAGES, WRONG_PROMPT),
    seed: int = 0,
) -> InjectedPairs:
    """Inject errors of the three types into clean pairs.

    First, pairs are left out to make the shortcut, until the share `spurious` of the pairs that differ in its measure
    breaks it. Then preferences are swapped and texts damaged, in different pairs.

    Args:
      pairs: clean pairs; pairs with an empty answer or two equal answers are left out.
      label_errors, feature_errors: shares of the remaining pairs that are swapped and damaged.
      spurious: share of pairs that break the shortcut, among those that differ in its measure; in [0, 0.5]. 0: no
        shortcut is made.
      shortcut: "longer", "refusal", "markup" or "lists"; the answer with more of it is preferred.
      damages: kinds of damage, among "truncated", "shuffled", "foreign", "repeated" and "wrong prompt".
      seed: of all randomness.
    Returns:
      InjectedPairs.
    Raises:
      InputError: an option is out of range or unknown, or there are too few suitable pairs.
    """
    import pandas as pd

    _check(label_errors, feature_errors, spurious, shortcut, damages)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    usable = [row for row, pair in enumerate(pairs.pairs) if not notes(pair)]
    kept, breaks = np.array(usable, np.int64), np.zeros(len(usable), bool)
    if spurious:
        kept, breaks = _make_shortcut(pairs, kept, SHORTCUTS[shortcut], spurious, rng)
    made = [pairs.pairs[row] for row in kept]
    order = rng.permutation(len(made))
    swapped = order[: round(label_errors * len(made))]
    long_enough = [
        r for r in order[len(swapped) :] if min(map(_num_words, (made[r].chosen, made[r].rejected))) >= _MIN_WORDS
    ]
    count = round(feature_errors * len(made))
    if len(long_enough) < count:
        raise InputError(
            f"only {len(long_enough)} pairs have answers of {_MIN_WORDS} words or more, too few to damage {count}; "
            "lower feature_errors or give more pairs."
        )
    kind, side = np.full(len(made), "", object), np.full(len(made), "", object)
    originals = list(made)
    for row in swapped:
        made[row] = made[row].swapped()
    for place, row in enumerate(long_enough[:count]):
        name = damages[place % len(damages)]
        kind[row] = name
        made[row], side[row] = _damaged(rng, originals, int(row), name)
    flags = (np.isin(np.arange(len(made)), swapped), kind != "", breaks)
    truth = pd.DataFrame({name: flag.astype(np.int64) for name, flag in zip(ERROR_TYPES, flags, strict=True)})
    truth = truth.assign(source_row=kept, damage=kind, damaged_text=side)
    return InjectedPairs(make_pairs(made, pairs.source), truth)


def _damaged(rng: np.random.Generator, pairs: list[Pair], row: int, kind: str) -> tuple[Pair, str]:
    """A pair with damage of one kind, and the damaged text: "prompt", "chosen" or "rejected"."""
    pair = pairs[row]
    if kind == WRONG_PROMPT:
        others = [p.prompt for p in pairs if p.prompt != pair.prompt]
        if not others:
            raise InputError(f'all pairs have one prompt, so none can be wrong; leave "{WRONG_PROMPT}" out of damages.')
        return pair._replace(prompt=others[rng.integers(len(others))]), "prompt"
    side = ("chosen", "rejected")[rng.integers(2)]
    return pair._replace(**{side: DAMAGES[kind](rng, getattr(pair, side))}), side


def _make_shortcut(
    pairs: Pairs, rows: np.ndarray, measure: str, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to keep, and which of them break the rule "the answer with more of the measure is preferred"."""
    difference = np.array([form(pairs.pairs[r].chosen)[measure] - form(pairs.pairs[r].rejected)[measure] for r in rows])
    follow, broken = rng.permutation(rows[difference > 0]), rng.permutation(rows[difference < 0])
    if not len(follow) or not len(broken):
        raise InputError(f"no two pairs differ in {measure} in opposite ways; choose another shortcut.")
    num_broken = min(len(broken), round(share / (1 - share) * len(follow)))
    num_follow = min(len(follow), round((1 - share) / share * num_broken))
    kept = np.sort(np.concatenate([follow[:num_follow], broken[:num_broken], rows[difference == 0]]))
    return kept, np.isin(kept, broken[:num_broken])


def _num_words(text: str) -> int:
    return len(text.split())


def _check(
    label_errors: float, feature_errors: float, spurious: float, shortcut: str, damages: tuple[str, ...]
) -> None:
    rates = (label_errors, feature_errors)
    if not all(lies_in(rate, 0.0, 1.0) for rate in rates) or sum(rates) > 1:
        raise InputError(
            f"label_errors {label_errors} and feature_errors {feature_errors} are shares of different pairs; give "
            "numbers from 0 that add up to at most 1."
        )
    if not lies_in(spurious, 0.0, 0.5):
        raise InputError(f"spurious is the share of a minority and must lie in [0, 0.5], got {spurious}.")
    if shortcut not in SHORTCUTS:
        raise InputError(f"shortcut is {shortcut!r}; choose one of {', '.join(SHORTCUTS)}.")
    unknown = [kind for kind in damages if kind not in (*DAMAGES, WRONG_PROMPT)]
    if unknown or not damages:
        raise InputError(f"damages has {unknown or 'nothing'}; choose among {', '.join((*DAMAGES, WRONG_PROMPT))}.")
