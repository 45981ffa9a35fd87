"""Training objectives of a preference model: Bradley-Terry reward model, or DPO.

Both score each answer and minimise −log σ(score of the chosen answer − score of the rejected answer).

Letters: T tokens of a sequence, R positions whose final states are read, H hidden width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.domains.preference.decoder.llama import log_likelihood
from demix_jax.domains.preference.decoder.tokens import Sequence

PyTree = Any


class Places(NamedTuple):
    """Positions to read in a sequence. read: i32[R]. used: bool[R], False for padding. targets: i32[R], next tokens."""

    read: np.ndarray
    used: np.ndarray
    targets: np.ndarray


class Objective(Protocol):
    """Interface of an objective. needs_vocabulary: whether scores need the decoder's output matrix."""

    needs_vocabulary: bool

    def num_places(self, longest_answer: int) -> int:
        """R, for answers of at most `longest_answer` tokens."""
        ...

    def places(self, sequence: Sequence, num: int) -> Places:
        """Positions to read in a sequence; `num` is R."""
        ...

    def init(self, width: int) -> PyTree:
        """Initial parameters of the objective, beside the adapters."""
        ...

    def scores(self, own: PyTree, vocabulary: jax.Array | None, states: jax.Array, example: PyTree) -> jax.Array:
        """Scores f32[2] of the two answers, from final states f32[2, R, H]; see `pair_loss`."""
        ...


def pair_loss(scores: jax.Array, preferred: jax.Array) -> jax.Array:
    """Loss −log σ(score of the preferred answer − score of the other answer).

    Args:
      scores: f32[2]. preferred: i32[], 0 or 1.
    Source: Bradley & Terry 1952 for rewards; Rafailov et al. 2023, "Direct Preference Optimization", eq. 7, for
      scores β log(π / π_ref).
    """
    return jax.nn.softplus(jnp.where(preferred == 1, scores[0] - scores[1], scores[1] - scores[0]))


@dataclasses.dataclass(frozen=True)
class BradleyTerry:
    """Reward model: a linear map of the answer's final states, averaged over `num_read` evenly spread positions.

    It needs no product with the vocabulary, and queries of the last layer at the read positions only. This makes it
    the choice for CPUs.
    """

    num_read: int = 32
    needs_vocabulary = False

    def num_places(self, longest_answer: int) -> int:
        return min(self.num_read, longest_answer)

    def places(self, sequence: Sequence, num: int) -> Places:
        last = len(sequence.tokens) - 1
        count = max(1, min(num, len(sequence.tokens) - sequence.start))
        spread = np.round(np.linspace(last, min(sequence.start, last), count)).astype(np.int32)
        return Places(np.resize(spread, num), np.arange(num) < count, np.zeros(num, np.int32))

    def init(self, width: int) -> PyTree:
        return {"reward": jnp.zeros((width, 1))}

    def scores(self, own: PyTree, vocabulary: jax.Array | None, states: jax.Array, example: PyTree) -> jax.Array:
        used = example["used"].astype(jnp.float32)
        mean = jnp.einsum("art,ar->at", states, used) / jnp.sum(used, axis=1, keepdims=True)
        return (mean @ own["reward"])[:, 0]


@dataclasses.dataclass(frozen=True)
class DPO:
    """Direct preference optimisation: the score is β log(π / π_ref) of the answer given the prompt.

    Every answer token is multiplied by the whole vocabulary, forward and backward. This suits accelerators and short
    answers. `beta` is β, the weight of the log-ratio.
    """

    beta: float = 0.1
    needs_vocabulary = True

    def num_places(self, longest_answer: int) -> int:
        return longest_answer

    def places(self, sequence: Sequence, num: int) -> Places:
        answer = np.asarray(sequence.tokens[sequence.start :], np.int32)
        count = len(answer)
        read = np.minimum(np.arange(num) + sequence.start - 1, len(sequence.tokens) - 1)
        return Places(np.maximum(read, 0).astype(np.int32), np.arange(num) < count, np.pad(answer, (0, num - count)))

    def init(self, width: int) -> PyTree:
        return {}

    def scores(self, own: PyTree, vocabulary: jax.Array | None, states: jax.Array, example: PyTree) -> jax.Array:
        assert vocabulary is not None
        log_p = log_likelihood(vocabulary, states.reshape(-1, states.shape[-1]), example["targets"].reshape(-1))
        log_p = jnp.sum(jnp.where(example["used"], log_p.reshape(example["used"].shape), 0.0), axis=1)
        return self.beta * (log_p - example["reference"])
