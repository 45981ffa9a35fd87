"""Pairs as a table of measures, so that everything that finds errors in tables finds them in pairs.

Each pair's two answers are put into an order that tells nothing, and the label is which of them was preferred: two
balanced classes. Habits of form are columns of differences, second minus first; traces of damage are columns of each
answer by itself, since damage shows without a comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.domains.preference.decoder.hidden_states import Reading
from demix_jax.domains.preference.decoder.tokens import Sequence, TokenPair, Tokens
from demix_jax.domains.preference.measures import common_words, damage, form, likelihood
from demix_jax.domains.preference.pairs import Pairs
from demix_jax.domains.preference.sides import SIDES, Order

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
    for name in of_damage[0][0]:
        values = order.arranged(*np.array([[side[name] for side in row] for row in of_damage]).T)
        for place, side in enumerate(SIDES):
            columns[f"{name}, {side}"] = values[:, place]
    columns[LABEL] = [SIDES[int(second)] for second in order.second]
    return pd.DataFrame(columns)


def sentence_starts(closing: frozenset[int], sequence: Sequence) -> np.ndarray:
    """bool[tokens of the answer]: whether the token comes right after one that ends a sentence or a line."""
    ends = [token in closing for token in sequence.tokens[sequence.start :]]
    return np.array([False, *ends[:-1]])
