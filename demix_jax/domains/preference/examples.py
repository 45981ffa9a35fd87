"""Turn pairs into the arrays that a preference model takes."""

from __future__ import annotations

from typing import Any

import chex
import numpy as np

from demix_jax.domains.preference.decoder.hidden_states import Reading
from demix_jax.domains.preference.decoder.tokens import TokenPair
from demix_jax.domains.preference.model import PreferenceModel

PyTree = Any


def make_examples(model: PreferenceModel, encoded: list[TokenPair], reading: Reading) -> PyTree:
    """Make N examples, see `PreferenceModel`; answer 0 is the chosen one, so y is 0.

    The model scores each answer independently, so their order reveals nothing.
    """
    chex.assert_shape(reading.hidden, (len(encoded), 2, None, model.config.width))
    sequences = [answer for pair in encoded for answer in (pair.chosen, pair.rejected)]
    longest = max(len(sequence.tokens) - sequence.start for sequence in sequences)
    num_places = model.objective.num_places(longest)
    places = [model.objective.places(sequence, num_places) for sequence in sequences]
    by_answer = {name: np.stack([getattr(place, name) for place in places]) for name in ("read", "used", "targets")}
    examples: PyTree = {name: leaf.reshape(-1, 2, num_places) for name, leaf in by_answer.items()}
    examples["hidden"] = reading.hidden
    examples["reference"] = np.array([[side.sum() for side in row] for row in reading.log_p], np.float32)
    examples["y"] = np.zeros(len(encoded), np.int32)
    return examples
