"""Fits the calibration on held-out worlds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.classifier.calibration import Calibration, identity_calibration, table_coefficients, weighted_sum
from demix_jax.classifier.table_level import NUM_TABLE_INPUTS
from demix_jax.common.error_types import ERROR_TYPES

if TYPE_CHECKING:
    from demix_jax.classifier.classifier import ErrorClassifier
    from demix_jax.classifier.examples import World

_NUM_ROWS = 512  # of each world
_NUM_STEPS = 600
_LEARNING_RATE = 0.02
_DECAY = 0.5  # of how far coefficients may depend on the table, against the loss of one world


def calibrate(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]], *, seed: int = 0) -> Calibration:
    """Fits the calibration on worlds that the networks were not trained on.

    Worlds differ in how many of their rows are wrong, from none to most, and in whether one type of error occurs or
    several. So what is fitted has to read off a table how common its errors are. All worlds have equal weight: a weight
    that depended on their rates would change what tables look like that have few errors. Every world is shown with its
    probes and without.

    Args:
      held_out: classifiers of one network each, with worlds that this network has not seen.
      seed: of the initial weights.
    """
    worlds = _held_out_worlds(held_out)
    if not worlds:
        return identity_calibration()
    return _fit(_stacked(worlds), seed)


class _Rows(NamedTuple):
    """Rows of one world, or of W worlds with a leading axis.

    table: f32[3, J]. rows: f32[n, 3, K]. truth: f32[n, 3]. present: f32[n], 0 for rows that are padding.
    """

    table: np.ndarray
    rows: np.ndarray
    truth: np.ndarray
    present: np.ndarray


def _held_out_worlds(held_out: Sequence[tuple[ErrorClassifier, Sequence[World]]]) -> list[_Rows]:
    found = []
    for member, worlds in held_out:
        for world in worlds:
            vectors, signals, probes = world.views[0]
            for shown in (None,) if probes is None else (None, probes):
                table = member.of_table(signals, world.facts, shown)
                logits, levels = table.read(vectors, signals, shown)
                rows = np.linspace(0, len(signals) - 1, min(len(signals), _NUM_ROWS)).astype(int)
                of_rows = levels[0].of_rows(logits[0], signals)[rows]
                found.append(_Rows(levels[0].inputs, of_rows, world.truth[rows], np.ones(len(rows))))
    return found


def _stacked(worlds: list[_Rows]) -> _Rows:
    """Worlds with a leading axis; those with fewer rows are padded."""

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1)).astype(np.float32)

    size = max(len(world.rows) for world in worlds)
    table = np.stack([world.table for world in worlds]).astype(np.float32)
    each = ([padded(getattr(world, name)) for world in worlds] for name in ("rows", "truth", "present"))
    return _Rows(table, *map(np.stack, each))


def _fit(worlds: _Rows, seed: int) -> Calibration:
    start = identity_calibration()
    rng = np.random.default_rng(seed)
    into = rng.normal(0, 1 / np.sqrt(NUM_TABLE_INPUTS), start.into.shape).astype(np.float32)
    start = start._replace(mean=worlds.table.mean(axis=0), scale=worlds.table.std(axis=0) + 1e-3, into=into)
    fitted = _descend(start, jax.tree.map(jnp.asarray, worlds))
    return Calibration(*map(np.asarray, fitted))


@jax.jit
def _descend(start: Calibration, worlds: _Rows) -> Calibration:
    """The calibration with the lowest loss, found by Adam with a cosine schedule."""
    free = ("into", "bias", "out", "usual")
    optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, _NUM_STEPS))
    loss = functools.partial(_loss, start, worlds)

    def step(_, state):
        changed, optimizer_state = state
        updates, optimizer_state = optimizer.update(jax.grad(loss)(changed), optimizer_state)
        return optax.apply_updates(changed, updates), optimizer_state

    changed = {name: jnp.asarray(getattr(start, name)) for name in free}
    changed, _ = jax.lax.fori_loop(0, _NUM_STEPS, step, (changed, optimizer.init(changed)))
    return start._replace(**changed)


def _loss(start: Calibration, worlds: _Rows, changed: dict[str, jax.Array]) -> jax.Array:
    """f32[]: mean over worlds and types of the cross-entropy, and the decay."""
    calibration = start._replace(**changed)

    def of_world(world: _Rows) -> jax.Array:
        log_odds = weighted_sum(world.rows, table_coefficients(calibration, world.table, jnp), jnp)
        of_rows = optax.sigmoid_binary_cross_entropy(log_odds, world.truth)
        return world.present @ of_rows / world.present.sum()

    of_worlds = jax.vmap(of_world)(worlds)
    decay = _DECAY * sum(jnp.square(changed[name]).sum() for name in ("into", "out"))
    return of_worlds.mean() + decay / (len(worlds.truth) * len(ERROR_TYPES))
