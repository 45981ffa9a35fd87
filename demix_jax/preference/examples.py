"""Pairs as the arrays that a preference model takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from demix_jax.preference.model import PreferenceModel
from demix_jax.preference.reading import Reading
from demix_jax.preference.table import Order
from demix_jax.preference.tokens import TokenPair

PyTree = Any


def make_examples(model: PreferenceModel, encoded: list[TokenPair], reading: Reading, order: Order) -> PyTree:
    """N examples, see `PreferenceModel`, each with its answers in the given order."""
    sequences = [answer for pair in encoded for answer in (pair.chosen, pair.rejected)]
    longest = max(len(sequence.tokens) - sequence.start for sequence in sequences)
    num_places = model.objective.num_places(longest)
    places = [model.objective.places(sequence, num_places) for sequence in sequences]
    reference = np.array([[float(side.sum()) for side in row] for row in reading.log_p], np.float32)
    by_answer = {name: np.stack([getattr(place, name) for place in places]) for name in ("read", "used", "targets")}
    examples = {name: order.arranged(leaf[::2], leaf[1::2]) for name, leaf in by_answer.items()}
    examples["reference"] = order.arranged(*reference.T)
    hidden = reading.hidden  # large: reordered in place
    hidden[order.second] = hidden[order.second][:, ::-1]
    examples["hidden"] = hidden
    examples["y"] = order.second.astype(np.int32)
    return examples
