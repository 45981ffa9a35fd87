"""The frozen decoder's one pass over every answer: states for the adapters, and how likely each token was."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.domains.preference.decoder.llama import LlamaConfig, LlamaWeights, first_layers, log_likelihood
from demix_jax.domains.preference.decoder.tokens import Sequence, TokenPair, Tokens
from demix_jax.domains.preference.decoder.weights import Decoder
from demix_jax.domains.preference.model import PreferenceModel, last_layers

PyTree = Any

_LENGTHS = (32, 64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536, 2048)  # each compiles a program
_TOKENS_AT_ONCE = 4096
OPENING = 32  # tokens of an answer that are also read without the prompt


class Reading(NamedTuple):
    """What the decoder makes of N pairs; answer 0 is the chosen one, 1 the rejected one.

    hidden: bf16[N, 2, T, H], states before the adapted layers.
    log_p: N × 2 arrays f32[tokens of the answer], log-likelihood of each token given what comes before it.
    opening: f32[N, 2], mean of that over the first OPENING tokens. alone: f32[N, 2], the same without the prompt.
    """

    hidden: np.ndarray
    log_p: list[tuple[np.ndarray, np.ndarray]]
    opening: np.ndarray
    alone: np.ndarray

    def take(self, rows: np.ndarray) -> Reading:
        """The reading of the pairs at positions `rows`."""
        log_p = [self.log_p[row] for row in rows]
        return Reading(self.hidden[rows], log_p, self.opening[rows], self.alone[rows])


def read_answers(
    decoder: Decoder,
    model: PreferenceModel,
    pairs: list[TokenPair],
    *,
    on_answer: Callable[[int], None] = lambda count: None,
) -> Reading:
    """Run the decoder over the answers of N pairs, each once after its prompt, its opening once without.

    Args:
      model: says how many layers are adapted. on_answer: called with the number of answers read.
    """
    sequences = [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
    longest = max(len(sequence.tokens) for sequence in sequences)
    length = padded_length(longest)
    hidden = np.zeros((len(sequences), length, decoder.config.width), jnp.bfloat16)
    log_p: list[Any] = [None] * len(sequences)
    for rows, states, likelihoods in _pass(decoder, model, sequences):
        for row, state, likelihood in zip(rows, states, likelihoods, strict=True):
            used = len(sequences[row].tokens)
            hidden[row, :used] = state[:used]
            log_p[row] = likelihood
        on_answer(len(rows))
    alone = np.zeros(len(sequences), np.float32)
    openings = [_opening(decoder.tokens, sequence) for sequence in sequences]
    for rows, _, likelihoods in _pass(decoder, model, openings):
        for row, likelihood in zip(rows, likelihoods, strict=True):
            alone[row] = likelihood.mean()
    opening = np.array([likelihood[:OPENING].mean() for likelihood in log_p], np.float32)
    by_pair = list(zip(log_p[::2], log_p[1::2], strict=True))
    shape = (len(pairs), 2)
    return Reading(hidden.reshape(*shape, *hidden.shape[1:]), by_pair, opening.reshape(shape), alone.reshape(shape))


def padded_length(length: int) -> int:
    """The length that a sequence is padded to."""
    return next((size for size in _LENGTHS if size >= length), -(-length // 1024) * 1024)


def _opening(tokens: Tokens, sequence: Sequence) -> Sequence:
    """The first tokens of an answer after a prompt that says nothing."""
    prompt = tokens.prompt(())
    answer = sequence.tokens[sequence.start :][:OPENING]
    return Sequence([*prompt, *answer], len(prompt), True)


def _pass(decoder: Decoder, model: PreferenceModel, sequences: list[Sequence]):
    """Yields (rows, hidden states bf16[n, T, H], n arrays f32[answer's tokens]) until every sequence was read once."""
    frozen = model.frozen(decoder.weights)
    lengths = np.array([padded_length(len(sequence.tokens)) for sequence in sequences])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        num_batches = -(-len(rows) * int(length) // _TOKENS_AT_ONCE)
        size = -(-len(rows) // num_batches)  # of equal size, so that the last one is hardly filled up
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            batch = [sequences[row] for row in part]
            tokens, places, targets, counts = _arrange(batch, int(length), size)
            states, log_p = _read(decoder.config, model.num_adapted, decoder.weights, frozen, tokens, places, targets)
            answers = np.split(np.asarray(log_p)[: sum(counts)], np.cumsum(counts)[:-1])
            yield part, np.asarray(states)[: len(part)], answers


def _arrange(batch: list[Sequence], length: int, size: int):
    """Tokens i32[size, length]; for each token of an answer the flat place before it and itself; tokens per answer."""
    tokens = np.zeros((size, length), np.int32)
    places, targets, counts = [], [], []
    for row, sequence in enumerate(batch):
        tokens[row, : len(sequence.tokens)] = sequence.tokens
        first = max(sequence.start, 1)  # nothing comes before the very first token
        places.append(row * length + np.arange(first - 1, len(sequence.tokens) - 1))
        targets.append(np.asarray(sequence.tokens[first:], np.int32))
        counts.append(len(sequence.tokens) - first)
    total = size * length
    used = next(total // part for part in (4, 2, 1) if total // part >= sum(counts))
    return tokens, _padded(places, used), _padded(targets, used), counts


def _padded(parts: list[np.ndarray], length: int) -> np.ndarray:
    flat = np.concatenate(parts).astype(np.int32)
    return np.pad(flat, (0, length - len(flat)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(config: LlamaConfig, num_adapted: int, weights: LlamaWeights, frozen, tokens, places, targets):
    num, length = tokens.shape
    hidden = first_layers(config, weights, tokens, config.num_layers - num_adapted).astype(jnp.bfloat16)
    everywhere = jnp.broadcast_to(jnp.arange(length)[None], (num, length))
    final = last_layers(config, frozen, None, hidden, everywhere)
    states = final.reshape(num * length, -1)[places]
    return hidden, log_likelihood(weights.head, states, targets)
