"""Run the frozen decoder once over every answer: hidden states for the adapters, log-likelihood of each token."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.domains.preference.decoder.llama import LlamaConfig, LlamaWeights, first_layers, log_likelihood
from demix_jax.domains.preference.decoder.tokens import Sequence, TokenPair, Tokens
from demix_jax.domains.preference.decoder.weights import Decoder
from demix_jax.domains.preference.model import PreferenceModel, last_layers

PyTree = Any

_LENGTHS = (32, 64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536, 2048)  # one compiled program each
_TOKENS_PER_BATCH = 4096
OPENING = 32  # first tokens of an answer, which are also read without the prompt


class Reading(NamedTuple):
    """Output of the decoder for N pairs; answer 0 is the chosen one, answer 1 the rejected one.

    hidden: bf16[N, 2, T, H], hidden states before the adapted layers.
    log_p: N × 2 arrays f32[tokens of the answer], log-likelihood of each token given the tokens before it.
    opening: f32[N, 2], mean log-likelihood of the first OPENING tokens. alone: f32[N, 2], the same without the prompt.
    """

    hidden: np.ndarray
    log_p: list[tuple[np.ndarray, np.ndarray]]
    opening: np.ndarray
    alone: np.ndarray

    def take(self, rows: np.ndarray) -> Reading:
        """Output for the pairs at positions `rows`."""
        log_p = [self.log_p[row] for row in rows]
        return Reading(self.hidden[rows], log_p, self.opening[rows], self.alone[rows])


def read_answers(
    decoder: Decoder,
    model: PreferenceModel,
    pairs: list[TokenPair],
    *,
    on_answer: Callable[[int], None] = lambda count: None,
) -> Reading:
    """Run the decoder over the answers of N pairs: each answer after its prompt, its opening also without the prompt.

    Args:
      model: tells how many layers are adapted.
      on_answer: called with the number of answers just read.
    """
    sequences = [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
    length = padded_length(max(len(sequence.tokens) for sequence in sequences))
    hidden = np.zeros((len(sequences), length, decoder.config.width), jnp.bfloat16)
    log_p: list[Any] = [None] * len(sequences)
    for rows, states, likelihoods in _forward_passes(decoder, model, sequences):
        for row, state, likelihood in zip(rows, states, likelihoods, strict=True):
            num_tokens = len(sequences[row].tokens)
            hidden[row, :num_tokens] = state[:num_tokens]
            log_p[row] = likelihood
        on_answer(len(rows))
    alone = np.zeros(len(sequences), np.float32)
    openings = [_opening(decoder.tokens, sequence) for sequence in sequences]
    for rows, _, likelihoods in _forward_passes(decoder, model, openings):
        for row, likelihood in zip(rows, likelihoods, strict=True):
            alone[row] = likelihood.mean()
    opening = np.array([likelihood[:OPENING].mean() for likelihood in log_p], np.float32)
    by_pair = list(zip(log_p[::2], log_p[1::2], strict=True))
    shape = (len(pairs), 2)
    return Reading(hidden.reshape(*shape, *hidden.shape[1:]), by_pair, opening.reshape(shape), alone.reshape(shape))


def padded_length(length: int) -> int:
    """Number of tokens to which a sequence is padded."""
    return next((size for size in _LENGTHS if size >= length), -(-length // 1024) * 1024)


def _opening(tokens: Tokens, sequence: Sequence) -> Sequence:
    """First tokens of an answer after an empty prompt."""
    prompt = tokens.prompt(())
    answer = sequence.tokens[sequence.start :][:OPENING]
    return Sequence([*prompt, *answer], len(prompt), True)


def _forward_passes(
    decoder: Decoder, model: PreferenceModel, sequences: list[Sequence]
) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    """Yield (rows i[n], hidden states bf16[n, T, H], n arrays f32[answer tokens]) until all sequences are read."""
    frozen = model.frozen(decoder.weights)
    lengths = np.array([padded_length(len(sequence.tokens)) for sequence in sequences])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        num_batches = -(-len(rows) * int(length) // _TOKENS_PER_BATCH)
        size = -(-len(rows) // num_batches)  # batches of equal size, so that the last one needs little padding
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            batch, counts = _make_batch([sequences[row] for row in part], int(length), size)
            states, log_p = _run_decoder(decoder.config, model.num_adapted, decoder.weights, frozen, batch)
            answers = np.split(np.asarray(log_p)[: sum(counts)], np.cumsum(counts)[:-1])
            yield part, np.asarray(states)[: len(part)], answers


class _Batch(NamedTuple):
    """tokens: i32[n, T], padded. targets: i32[m], answer tokens. places: i32[m], flat position before each target."""

    tokens: jax.Array
    places: jax.Array
    targets: jax.Array


def _make_batch(sequences: list[Sequence], length: int, size: int) -> tuple[_Batch, list[int]]:
    """Pad sequences to a batch of shape [size, length]; also returns the number of answer tokens of each."""
    tokens = np.zeros((size, length), np.int32)
    places, targets, counts = [], [], []
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence.tokens)] = sequence.tokens
        first = max(sequence.start, 1)  # the very first token has no position before it
        places.append(row * length + np.arange(first - 1, len(sequence.tokens) - 1))
        targets.append(np.asarray(sequence.tokens[first:], np.int32))
        counts.append(len(sequence.tokens) - first)
    total = size * length
    used = next(total // part for part in (4, 2, 1) if total // part >= sum(counts))
    return _Batch(jnp.asarray(tokens), _joined(places, used), _joined(targets, used)), counts


def _joined(parts: list[np.ndarray], length: int) -> jax.Array:
    """i32[length]: the parts one after the other, then zeros."""
    flat = np.concatenate(parts).astype(np.int32)
    return jnp.asarray(np.pad(flat, (0, length - len(flat))))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run_decoder(
    config: LlamaConfig, num_adapted: int, weights: LlamaWeights, frozen: PyTree, batch: _Batch
) -> tuple[jax.Array, jax.Array]:
    """Hidden states bf16[n, T, H] before the adapted layers, and log-likelihoods f32[m] of the targets."""
    num, length = batch.tokens.shape
    hidden = first_layers(config, weights, batch.tokens, config.num_layers - num_adapted).astype(jnp.bfloat16)
    everywhere = jnp.broadcast_to(jnp.arange(length)[None], (num, length))
    final = last_layers(config, frozen, None, hidden, everywhere)
    states = final.reshape(num * length, -1)[batch.places]
    return hidden, log_likelihood(weights.head, states, batch.targets)
