"""Table of measures of pairs, in which the methods for tables find errors.

The two answers of each pair are put in random order, and the label tells which of them was preferred: two balanced
classes. Length and form enter as differences, second answer minus first. Traces of damage and log-likelihoods enter for
each answer, since damage shows without a comparison.
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
    """Table with one row of measures per pair, and the column LABEL with the preferred side, one of SIDES.

    Args:
      pairs: N pairs. encoded, reading, order: their tokens, the decoder's output and the order of their answers.
    """
    import pandas as pd

    common = common_words(pairs.pairs)
    form_measures: list[list[dict]] = []
    damage_measures: list[list[dict]] = []
    for row, pair in enumerate(pairs.pairs):
        both = zip((pair.chosen, pair.rejected), (encoded[row].chosen, encoded[row].rejected), strict=True)
        form_measures.append([])
        damage_measures.append([])
        for side, (text, sequence) in enumerate(both):
            log_p = reading.log_p[row][side]
            starts = sentence_starts(tokens.closing, sequence)[-len(log_p) :]
            likelihood_measures = likelihood(
                log_p,
                starts,
                opening=float(reading.opening[row, side]),
                alone=float(reading.alone[row, side]),
                cut=sequence.cut,
            )
            form_measures[-1].append(form(text))
            damage_measures[-1].append(damage(text, pair.prompt_text, common) | likelihood_measures)
    columns: dict[str, np.ndarray | list[str]] = {}
    for name in form_measures[0][0]:
        values = order.arranged(*np.array([[side[name] for side in row] for row in form_measures]).T)
        columns[f"{name} {DIFFERENCE}"] = values[:, 1] - values[:, 0]
    for name in damage_measures[0][0]:
        values = order.arranged(*np.array([[side[name] for side in row] for row in damage_measures]).T)
        for place, side in enumerate(SIDES):
            columns[f"{name}, {side}"] = values[:, place]
    columns[LABEL] = [SIDES[int(second)] for second in order.second]
    return pd.DataFrame(columns)


def sentence_starts(closing: frozenset[int], sequence: Sequence) -> np.ndarray:
    """bool[answer tokens]: whether the token follows one that ends a sentence or a line."""
    ends = [token in closing for token in sequence.tokens[sequence.start :]]
    return np.array([False, *ends[:-1]])
