"""Fits the calibration on held-out worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.classifier.calibration import Calibration, identity_calibration, table_coefficients, weighted_sum
from demix_jax.common.error_types import ERROR_TYPES

if TYPE_CHECKING:
    from demix_jax.classifier.classifier import ErrorClassifier
    from demix_jax.classifier.examples import World

_NUM_ROWS = 512  # of each world
_NUM_STEPS = 600
_LEARNING_RATE = 0.02
_FIRST_SLOPE = 0.2  # of inputs beside the logit
_DECAY = 3.0  # of how far slopes and constants may depend on the table, against the loss of one world
_CLEAN_WEIGHT = 0.3  # of the worlds without a type, together, against those with it
_COMMON_WEIGHT = 0.5  # exponent of its rate in the weight of a world
_LEAST_RATE = 0.005  # worlds with fewer wrong rows weigh as much as with so many


def calibrate(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]]) -> Calibration:
    """Fits the calibration on worlds that the networks were not trained on.

    Worlds differ in how many of their rows are wrong, from none to most, and in whether one type of error occurs or
    several. So what is fitted has to read off a table how common its errors are. Their rates are drawn log-uniformly,
    so that most are low; real tables that anybody doubts have higher ones. Worlds therefore weigh as much as the root
    of their rate, and all worlds without a type have a fixed weight together. Every world is shown with its probes and
    without.

    Args:
      held_out: classifiers of one network each, with worlds that this network has not seen.
    """
    worlds = _held_out_worlds(held_out)
    if not worlds:
        return identity_calibration()
    return _fit(_stacked(worlds))


class _Rows(NamedTuple):
    """Rows of one world, or of W worlds with a leading axis.

    table: f32[3, J]. rows: f32[n, 3, K]. truth: f32[n, 3]. present: f32[n], 0 for rows that are padding.
    """

    table: np.ndarray
    rows: np.ndarray
    truth: np.ndarray
    present: np.ndarray


def _weights(worlds: _Rows) -> np.ndarray:
    """f32[W, 3] with mean 1 per type: how much each world counts."""
    rate = worlds.truth.sum(axis=1) / worlds.present.sum(axis=1)[:, None]
    with_type, without = np.maximum(rate, _LEAST_RATE) ** _COMMON_WEIGHT * (rate > 0), (rate == 0).astype(float)
    some, none = with_type.sum(axis=0), without.sum(axis=0)
    share = np.where(some == 0, 1.0, np.where(none == 0, 0.0, _CLEAN_WEIGHT))
    weight = (1 - share) * with_type / np.maximum(some, 1e-9) + share * without / np.maximum(none, 1)
    return (weight * len(rate)).astype(np.float32)


def _held_out_worlds(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]]) -> list[_Rows]:
    found = []
    for member, worlds in held_out:
        for world in worlds:
            vectors, signals, probes = world.views[0]
            some = np.linspace(0, len(signals) - 1, min(len(signals), _NUM_ROWS)).astype(int)
            vectors, signals = vectors[some], signals[some]
            for shown in (None,) if probes is None else (None, probes):
                table = member.of_table(signals, world.facts, shown)
                logits, levels = table.read(vectors, signals, shown)
                of_rows = levels[0].of_rows(logits[0], signals)
                found.append(_Rows(levels[0].inputs, of_rows, world.truth[some], np.ones(len(some))))
    return found


def _stacked(worlds: list[_Rows]) -> _Rows:
    """Worlds with a leading axis; those with fewer rows are padded."""

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1)).astype(np.float32)

    size = max(len(world.rows) for world in worlds)
    table = np.stack([world.table for world in worlds]).astype(np.float32)
    each = ([padded(getattr(world, name)) for world in worlds] for name in ("rows", "truth", "present"))
    return _Rows(table, *map(np.stack, each))


def _fit(worlds: _Rows) -> Calibration:
    start = identity_calibration()
    start = start._replace(mean=worlds.table.mean(axis=0), scale=worlds.table.std(axis=0) + 1e-3)
    return Calibration(*map(np.asarray, _descend(start, jax.tree.map(jnp.asarray, worlds), _weights(worlds))))


@jax.jit
def _descend(start: Calibration, worlds: _Rows, weights: jax.Array) -> Calibration:
    """The calibration with the lowest loss, found by Adam with a cosine schedule over the logarithm of the slopes."""
    optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, _NUM_STEPS))

    def calibration_of(free: dict[str, jax.Array]) -> Calibration:
        return start._replace(**(free | {"slopes": jnp.exp(free["slopes"])}))

    def loss(free: dict[str, jax.Array]) -> jax.Array:
        return _loss(calibration_of(free), worlds, weights)

    def step(_, state):
        free, optimizer_state = state
        updates, optimizer_state = optimizer.update(jax.grad(loss)(free), optimizer_state)
        return optax.apply_updates(free, updates), optimizer_state

    first = {"slopes": jnp.log(jnp.maximum(start.slopes, _FIRST_SLOPE))}
    first |= {name: jnp.asarray(getattr(start, name)) for name in ("steepness", "constant")}
    free, _ = jax.lax.fori_loop(0, _NUM_STEPS, step, (first, optimizer.init(first)))
    return calibration_of(free)


def _loss(calibration: Calibration, worlds: _Rows, weights: jax.Array) -> jax.Array:
    """f32[]: weighted mean over worlds and types of the cross-entropy, and the decay."""

    def of_world(world: _Rows, weight: jax.Array) -> jax.Array:
        log_odds = weighted_sum(world.rows, table_coefficients(calibration, world.table, jnp), jnp)
        of_rows = optax.sigmoid_binary_cross_entropy(log_odds, world.truth)
        return weight * (world.present @ of_rows / world.present.sum())

    depends = jnp.square(calibration.steepness).sum() + jnp.square(calibration.constant[:, 1:]).sum()
    return jax.vmap(of_world)(worlds, weights).mean() + _DECAY * depends / (len(worlds.truth) * len(ERROR_TYPES))
