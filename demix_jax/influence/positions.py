"""Influence split over the positions of a training sample: tokens, time steps, pixels of a feature map."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.curvature import Curvature, Directions
from demix_jax.gradients.factored import Dense, FactoredGradients, Outer
from demix_jax.gradients.per_example import Loss, PyTree
from demix_jax.gradients.stream import block_length, spans
from demix_jax.influence.blocks import IDENTITY, InfluenceBlocks


class PositionInfluence(NamedTuple):
    """positions: f[N, T, M], the part of I(i, j) that comes through position t. rest: f[N, M], what has no position.

    `positions.sum(axis=1) + rest` is the influence matrix.
    """

    positions: jax.Array
    rest: jax.Array


def position_influence(
    loss: Loss,
    params: PyTree,
    train: PyTree,
    valid: PyTree,
    *,
    curvature: Curvature = IDENTITY,
    select: str | None = None,
    memory: int | None = None,
) -> PositionInfluence:
    """Influence of each training sample, split over the positions at which its weights are used.

    The gradient of a weight is Σ_t a_t δ_tᵀ; term t is what position t contributes. T is the number of positions at
    which most parameters are used; those used otherwise (biases formed in full, scales, a weight used twice, a final
    layer on one position) go to `rest`.

    Args:
      loss, params, train, valid, curvature, select, memory: as in `influence_matrix`.
    Returns:
      PositionInfluence. Negative: raising the weight of this position's term lowers that loss.
    Raises:
      InputError: as `influence_matrix`, or no parameter is used at more than one position.
    """
    blocks = InfluenceBlocks.make(
        loss, params, train, valid, curvature, select=select, memory=memory, factors_only=True
    )
    shape = blocks.train_gradients.shape()
    counts: Counter[int] = Counter()
    for block in shape.blocks:
        if not isinstance(block, Dense) and block.positions > 1:
            counts[block.positions] += block.layout.size
    if not counts:
        raise InputError("no parameter is used at more than one position of a sample; use influence_matrix instead.")
    [(positions, _)] = counts.most_common(1)
    split = tuple(not isinstance(block, Dense) and block.positions == positions for block in shape.blocks)
    parts = []
    for columns in blocks.columns():
        directions, rows = blocks.directions(columns), []
        each = 4 * positions * directions.own.losses.shape[0]
        length = block_length(each, blocks.length, blocks.train_gradients.memory // 8)
        for span in spans(blocks.num_train, length):
            gradients = blocks.train_gradients.of(blocks.train, span, length, "train")
            part = _split_products(split, positions, gradients, directions)
            rows.append(jax.tree.map(lambda leaf: leaf[span.seen :], part))  # noqa: B023
        parts.append(jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *rows))
    return PositionInfluence(
        jnp.concatenate([part.positions for part in parts], axis=2),
        jnp.concatenate([part.rest for part in parts], axis=1),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _split_products(
    split: tuple[bool, ...], positions: int, gradients: FactoredGradients, directions: Directions
) -> PositionInfluence:
    num = gradients.losses.shape[0]
    by_position = _only(gradients, split)
    by_position = replace(
        by_position,
        blocks=tuple(_one_per_position(block) for block in by_position.blocks),
        losses=jnp.repeat(gradients.losses, positions),
    )
    products = _only_directions(directions, split).products(by_position)
    others = tuple(not chosen for chosen in split)
    rest = _only_directions(directions, others).products(_only(gradients, others))
    return PositionInfluence(-products.reshape(num, positions, -1), -rest)


def _one_per_position(block: Any) -> Any:
    """The block's N · T terms as so many gradients of one position."""
    if isinstance(block, Outer):
        a, delta = (
            leaf.transpose(0, 2, 1, 3).reshape(-1, leaf.shape[1], 1, leaf.shape[3]) for leaf in (block.a, block.delta)
        )
        return replace(block, a=a, delta=delta)
    return replace(block, ids=block.ids.reshape(-1, 1), rows=block.rows.reshape(-1, 1, block.rows.shape[2]))


def _only(gradients: FactoredGradients, which: tuple[bool, ...]) -> FactoredGradients:
    chosen = [block for block, kept in zip(gradients.blocks, which, strict=True) if kept]
    return replace(gradients, blocks=tuple(chosen))


def _only_directions(directions: Directions, which: tuple[bool, ...]) -> Directions:
    basis = None if directions.basis is None else _only(directions.basis, which)
    return Directions(_only(directions.own, which), basis, directions.weights)
