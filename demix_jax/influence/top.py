"""The training samples that matter most to each validation sample, without the whole influence matrix."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.curvature import Curvature
from demix_jax.gradients.per_example import Loss, PyTree
from demix_jax.influence.blocks import IDENTITY, InfluenceBlocks, fill_block


class TopInfluences(NamedTuple):
    """The k training samples that matter most to each of M validation samples, strongest first.

    helpful: i32[M, k], numbers of the training samples whose influence, helpful_influence f32[M, k], is most negative.
    harmful: i32[M, k], those whose influence, harmful_influence f32[M, k], is most positive.
    """

    helpful: jax.Array
    helpful_influence: jax.Array
    harmful: jax.Array
    harmful_influence: jax.Array


def top_influences(
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    k: int,
    curvature: Curvature = IDENTITY,
    normalize: str | None = None,
    select: str | None = None,
    memory: int | None = None,
) -> TopInfluences:
    """The k most helpful and most harmful training samples for each validation sample, without the whole matrix.

    Args:
      k: how many of each, at most N.
      loss, params, train, valid, curvature, normalize, select, memory: as in `influence_matrix`.
    Returns:
      TopInfluences, equal to sorting the columns of `influence_matrix`.
    Raises:
      InputError: as `influence_matrix`, or k outside [1, N].
    """
    blocks_of = InfluenceBlocks.make(
        loss, params, train, valid, curvature, normalize=normalize, select=select, memory=memory
    )
    if not isinstance(k, Integral) or not 1 <= k <= blocks_of.num_train:
        raise InputError(f"k is {k!r}; pass a whole number from 1 to the {blocks_of.num_train} training samples.")
    parts = []
    for columns in blocks_of.columns():
        directions, best = blocks_of.normalized_directions(columns), None
        for span, gradients in blocks_of.row_blocks():
            shape = (gradients.losses.shape[0], directions.own.losses.shape[0])
            block = fill_block(jnp.zeros(shape, blocks_of.dtype), gradients, directions, 0, 0)
            if best is None:
                empty = jnp.zeros((block.shape[1], k), jnp.int32)
                worst = jnp.full((block.shape[1], k), jnp.inf, block.dtype)
                best = TopInfluences(empty, worst, empty, -worst)
            best = _keep_best(best, block, span.start, span.seen)
        parts.append(best)
    return jax.tree.map(lambda *each: jnp.concatenate(each), *parts)


@jax.jit
def _keep_best(best: TopInfluences, block: jax.Array, start: Any, seen: Any) -> TopInfluences:
    rows = jnp.arange(block.shape[0], dtype=jnp.int32)
    k = best.helpful.shape[1]

    def merged(numbers, influence, sign):
        candidates = jnp.where(rows[None, :] >= seen, sign * block.T, -jnp.inf)
        candidates, chosen = jax.lax.top_k(candidates, min(k, candidates.shape[1]))
        all_values = jnp.concatenate([sign * influence, candidates], axis=1)
        all_numbers = jnp.concatenate([numbers, chosen.astype(jnp.int32) + start], axis=1)
        values, order = jax.lax.top_k(all_values, k)
        return jnp.take_along_axis(all_numbers, order, axis=1), sign * values

    return TopInfluences(
        *merged(best.helpful, best.helpful_influence, -1.0), *merged(best.harmful, best.harmful_influence, 1.0)
    )
