"""Training a task model on several folds at once, with early stopping, in one compiled loop."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.models.task_model import TaskModelLike

PyTree = Any
_VALID_AT_ONCE = 4_096


class Criterion(Protocol):
    """What training stops by, of m validation samples: the lower, the better. A function, compared by identity."""

    def __call__(self, outputs: jax.Array, losses: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        """f32[] from outputs f32[m, K], losses, labels and weights [m]."""
        ...


def mean_loss(outputs: jax.Array, losses: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted mean of the losses."""
    del outputs, y
    return jnp.average(losses, weights=weights + 1e-12)


def ranking_error(outputs: jax.Array, losses: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
    """1 − AUC of class 1 against class 0: the chance that the network ranks a sample of each the wrong way round."""
    del losses
    margin = outputs[:, 1] - outputs[:, 0]
    order = jnp.argsort(margin)
    margin, is_one, weights = margin[order], y[order] == 1, weights[order]
    ones, zeros = jnp.where(is_one, weights, 0.0), jnp.where(is_one, 0.0, weights)
    below = jnp.concatenate([jnp.zeros(1), jnp.cumsum(zeros)])
    lower, upper = (below[jnp.searchsorted(margin, margin, side=side)] for side in ("left", "right"))  # ties count half
    pairs = ones.sum() * zeros.sum()
    return jnp.where(pairs > 0, 1.0 - jnp.sum(ones * (lower + upper) / 2) / jnp.maximum(pairs, 1e-30), 0.5)


class TrainedModel(NamedTuple):
    """Parameters after the best epoch, and how training went; leading axis F when folds are trained.

    params: pytree. valid_loss: f32[], their mean loss over the validation samples. epochs: i32[], passes made.
    """

    params: PyTree
    valid_loss: jax.Array
    epochs: jax.Array


class _Progress(NamedTuple):
    params: PyTree
    opt_state: PyTree
    key: jax.Array
    epoch: jax.Array
    since_best: jax.Array
    best: jax.Array
    best_loss: jax.Array
    best_params: PyTree


def train_task_model(
    key: jax.Array,
    model: TaskModelLike,
    x: PyTree,
    y: jax.Array,
    train_index: jax.Array,
    valid_index: jax.Array,
    *,
    weights: jax.Array | None = None,
    stop_by: Criterion = mean_loss,
    max_epochs: int = 40,
    patience: int = 4,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-4,
) -> TrainedModel:
    """Train one model per fold with AdamW, all folds in one vectorised loop.

    Args:
      key: one typed key, split over folds; or F of them: folds with equal ones start and go through rows alike, if the
        keys' numbers do not depend on `vmap` (those of `training_key` do).
      x, y: features, a pytree with leading axis N (a table: f32[N, D]), and labels [N], shared by all folds.
      train_index, valid_index: i32[F, n] and i32[F, m], samples that each fold trains on and stops by.
      weights: f32[N] sample weights, or None for equal ones; they weigh training and validation losses.
      stop_by: what is to be low on the validation samples: `mean_loss`, or `ranking_error` for two classes.
      max_epochs, patience: passes over the training rows, and how many of them may pass without a better epoch.
      batch_size: lowered for folds with fewer training rows.
    Returns:
      TrainedModel with a leading axis F.
    """
    num_folds, num_train = train_index.shape
    if weights is None:
        weights = jnp.ones(len(y), dtype=jnp.float32)
    batch_size = max(1, min(batch_size, num_train // 8))
    options = _Options(stop_by, batch_size, learning_rate, weight_decay)
    keys = key if key.ndim else jax.random.split(key, num_folds)
    until = _Until(np.int32(max_epochs), np.int32(patience))
    return _train_folds(model, options, until, keys, x, y, weights, train_index, valid_index)


class _Options(NamedTuple):
    """What a program is compiled for."""

    stop_by: Criterion
    batch_size: int
    learning_rate: float
    weight_decay: float


class _Until(NamedTuple):
    """How long to train; no part of the program."""

    max_epochs: np.int32
    patience: np.int32


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train_folds(model, options, until, keys, x, y, weights, train_index, valid_index):
    optimizer = optax.adamw(options.learning_rate, weight_decay=options.weight_decay)
    example = jax.tree.map(lambda leaf: leaf[0], {"x": x, "y": y})
    start = jax.vmap(functools.partial(_start, model, optimizer, example))(keys)
    # All of the state has the axis of folds from the start: else tracing looks step by step for what gets it.
    run = functools.partial(_train_fold, model, optimizer, options, until)
    return jax.vmap(run, in_axes=(0, None, None, None, 0, 0))(start, x, y, weights, train_index, valid_index)


def _start(model, optimizer, example, key) -> _Progress:
    key_init, key_loop = jax.random.split(key)
    params = model.init(key_init, example)
    never = jnp.float32(jnp.inf)
    return _Progress(
        params,
        optimizer.init(params),
        key_loop,
        jnp.int32(0),
        jnp.int32(0),
        best=never,
        best_loss=never,
        best_params=params,
    )


def _train_fold(model, optimizer, options, until, start, x, y, weights, train_index, valid_index):
    batch_size = options.batch_size
    batch_loss = jax.vmap(model.loss, in_axes=(None, 0))

    def examples(index):
        return jax.tree.map(lambda leaf: leaf[index], {"x": x, "y": y})

    def weighted_loss(params, index):
        return jnp.average(batch_loss(params, examples(index)), weights=weights[index] + 1e-12)

    def judge(params, index):
        example = examples(index)
        return model.apply(params, example["x"]), model.loss(params, example)

    def step(carry, index):
        params, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(weighted_loss)(params, index), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def epoch(state: _Progress) -> _Progress:
        key, key_order = jax.random.split(state.key)
        num_steps = len(train_index) // batch_size
        order = jax.random.permutation(key_order, train_index)[: num_steps * batch_size]
        (params, opt_state), _ = jax.lax.scan(
            step, (state.params, state.opt_state), order.reshape(num_steps, batch_size)
        )
        outputs, losses = jax.lax.map(functools.partial(judge, params), valid_index, batch_size=_VALID_AT_ONCE)
        loss = mean_loss(outputs, losses, y[valid_index], weights[valid_index])
        value = options.stop_by(outputs, losses, y[valid_index], weights[valid_index])
        better = value < state.best
        return _Progress(
            params,
            opt_state,
            key,
            state.epoch + 1,
            jnp.where(better, 0, state.since_best + 1),
            jnp.where(better, value, state.best),
            jnp.where(better, loss, state.best_loss),
            jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best_params),
        )

    def unfinished(state: _Progress) -> jax.Array:
        return (state.epoch < until.max_epochs) & (state.since_best < until.patience)

    end = jax.lax.while_loop(unfinished, epoch, start)
    return TrainedModel(end.best_params, end.best_loss, end.epoch)
