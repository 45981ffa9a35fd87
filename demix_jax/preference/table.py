"""Pairs as a table of measures, so that everything that finds errors in tables finds them in pairs.

Each pair's two answers are put into an order that tells nothing, and the label is which of them was preferred: two
balanced classes. Habits of form are columns of differences, second minus first, and so is the likelihood; traces of
damage are columns of each answer by itself, since damage shows without a comparison. Damage shows in one direction, so
these columns say how few answers of the data set are as bad, which no unusually good answer raises and which makes all
traces comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.preference.measures import LIKELIHOOD, WORSE, common_words, damage, form, likelihood
from demix_jax.preference.order import SIDES, Order
from demix_jax.preference.pairs import Pairs
from demix_jax.preference.reading import Reading
from demix_jax.preference.tokens import Sequence, TokenPair, Tokens

if TYPE_CHECKING:
    import pandas as pd

LABEL = "preferred"
DIFFERENCE = "difference"


def measured_table(
    pairs: Pairs, tokens: Tokens, encoded: list[TokenPair], reading: Reading, order: Order
) -> pd.DataFrame:
    """One row of measures per pair, and the column LABEL with one of SIDES."""
    import pandas as pd

    common = common_words(pairs.pairs)
    of_form: list[list[dict]] = []
    of_damage: list[list[dict]] = []
    for row, pair in enumerate(pairs.pairs):
        both = zip((pair.chosen, pair.rejected), (encoded[row].chosen, encoded[row].rejected), strict=True)
        of_form.append([])
        of_damage.append([])
        for side, (text, sequence) in enumerate(both):
            log_p = reading.log_p[row][side]
            starts = sentence_starts(tokens.closing, sequence)[-len(log_p) :]
            likely = likelihood(
                log_p, starts, float(reading.opening[row, side]), float(reading.alone[row, side]), sequence.cut
            )
            of_form[-1].append(form(text))
            of_damage[-1].append(damage(text, pair.prompt_text, common) | likely)
    columns: dict[str, np.ndarray | list[str]] = {}
    for name in of_form[0][0]:
        values = order.arranged(*np.array([[side[name] for side in row] for row in of_form]).T)
        columns[f"{name} {DIFFERENCE}"] = values[:, 1] - values[:, 0]
    for name, worse in WORSE.items():
        values = order.arranged(*np.array([[side[name] for side in row] for row in of_damage]).T)
        if name == LIKELIHOOD:
            columns[f"{name} {DIFFERENCE}"] = values[:, 1] - values[:, 0]
        for place, rarity in enumerate(rarities(worse * values).T):
            columns[f"{name}, {SIDES[place]}"] = rarity
    columns[LABEL] = [SIDES[int(second)] for second in order.second]
    return pd.DataFrame(columns)


def rarities(badness: np.ndarray) -> np.ndarray:
    """How few of all answers are at least as bad, in nats: −log of twice their share, 0 for the better half.

    Args:
      badness: f64[N, 2] of N pairs' answers.
    """
    ascending = np.sort(badness, axis=None)
    at_least = badness.size - np.searchsorted(ascending, badness, side="left")
    return np.maximum(0.0, np.log(badness.size / 2) - np.log(at_least))


def sentence_starts(closing: frozenset[int], sequence: Sequence) -> np.ndarray:
    """bool[tokens of the answer]: whether the token comes right after one that ends a sentence or a line."""
    ends = [token in closing for token in sequence.tokens[sequence.start :]]
    return np.array([False, *ends[:-1]])
