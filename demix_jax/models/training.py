"""Trains a task model on several folds at once, with early stopping, in one compiled loop."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.models.task_model import TaskModelLike

PyTree = Any
_VALID_AT_ONCE = 4_096


class Criterion(Protocol):
    """Early-stopping criterion on m validation samples, lower is better; a function, compared by identity."""

    def __call__(self, outputs: jax.Array, losses: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
        """f32[] from outputs f32[m, K] and from losses, labels and weights [m]."""
        ...


def mean_loss(outputs: jax.Array, losses: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted mean of the losses."""
    del outputs, y
    return jnp.average(losses, weights=weights + 1e-12)


def ranking_error(outputs: jax.Array, losses: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
    """1 − AUC of class 1 against class 0: the probability that a sample of each is ranked in the wrong order."""
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
    """Parameters after the best epoch, and the course of training; leading axis F if folds are trained.

    params: pytree. valid_loss: f32[], their mean loss on the validation samples. epochs: i32[], epochs run.
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
    samples: PyTree,
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
      key: one typed key, split over folds, or F keys. Folds with equal keys share initial parameters and row order if
        the keys' numbers do not depend on `vmap` (those of `training_key` do).
      samples: {"x": features, "y": labels} with leading axis N, shared by all folds; features are a pytree (for a table
        f32[N, D]).
      train_index, valid_index: i32[F, n] and i32[F, m], samples for training and for early stopping of each fold.
      weights: f32[N] weights of training and validation losses, or None for equal weights.
      stop_by: criterion to minimise on the validation samples: `mean_loss`, or `ranking_error` for two classes.
      max_epochs, patience: maximum number of epochs, and number of epochs without improvement before training stops.
      batch_size: at most an eighth of a fold's training rows is used.
    Returns:
      TrainedModel with a leading axis F.
    """
    num_folds, num_train = train_index.shape
    if weights is None:
        weights = jnp.ones(len(samples["y"]), dtype=jnp.float32)
    chex.assert_tree_shape_prefix((samples, weights), (len(samples["y"]),))
    chex.assert_shape(valid_index, (num_folds, None))
    batch_size = max(1, min(batch_size, num_train // 8))
    options = _Options(stop_by, batch_size, learning_rate, weight_decay)
    keys = key if key.ndim else jax.random.split(key, num_folds)
    chex.assert_shape(keys, (num_folds,))
    until = _Until(np.int32(max_epochs), np.int32(patience))
    program = _Program(model, options)
    return _train_folds(program, until, keys, _Data(samples, weights), _Index(train_index, valid_index))


class _Options(NamedTuple):
    """Training options that are compiled into a program."""

    stop_by: Criterion
    batch_size: int
    learning_rate: float
    weight_decay: float


class _Program(NamedTuple):
    """Everything that is compiled into a program: the model and its training options."""

    model: TaskModelLike
    options: _Options


class _Data(NamedTuple):
    """samples: pytree with leading axis N. weights: f32[N]."""

    samples: PyTree
    weights: jax.Array

    def take(self, index: jax.Array) -> _Data:
        """The samples at positions `index`."""
        return jax.tree.map(lambda leaf: leaf[index], self)


class _Index(NamedTuple):
    """train, valid: i32[n] and i32[m], sample positions; with a leading axis F for folds."""

    train: jax.Array
    valid: jax.Array


class _Until(NamedTuple):
    """Limits of the length of training; not compiled into the program."""

    max_epochs: np.int32
    patience: np.int32


@functools.partial(jax.jit, static_argnums=0)
def _train_folds(program: _Program, until: _Until, keys: jax.Array, data: _Data, index: _Index) -> TrainedModel:
    example = jax.tree.map(lambda leaf: leaf[0], data.samples)
    start = jax.vmap(functools.partial(_start, program.model, _optimizer(program.options), example))(keys)
    # The whole state has the fold axis from the start; otherwise tracing searches step by step for what needs it.
    return jax.vmap(functools.partial(_train_fold, program, until), in_axes=(0, None, 0))(start, data, index)


def _optimizer(options: _Options) -> optax.GradientTransformation:
    return optax.adamw(options.learning_rate, weight_decay=options.weight_decay)


def _start(model, optimizer, example, key) -> _Progress:
    key_init, key_loop = jax.random.split(key)
    params = model.init(key_init, example)
    never = jnp.float32(jnp.inf)
    return _Progress(
        params=params,
        opt_state=optimizer.init(params),
        key=key_loop,
        epoch=jnp.int32(0),
        since_best=jnp.int32(0),
        best=never,
        best_loss=never,
        best_params=params,
    )


def _train_fold(program: _Program, until: _Until, start: _Progress, data: _Data, index: _Index) -> TrainedModel:
    model, options = program
    optimizer, batch_size = _optimizer(options), options.batch_size
    batch_loss = jax.vmap(model.loss, in_axes=(None, 0))

    def weighted_loss(params, rows):
        batch = data.take(rows)
        return jnp.average(batch_loss(params, batch.samples), weights=batch.weights + 1e-12)

    def judge(params, row):
        example = data.take(row).samples
        return model.apply(params, example["x"]), model.loss(params, example)

    def step(carry, rows):
        params, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(weighted_loss)(params, rows), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def epoch(state: _Progress) -> _Progress:
        key, key_order = jax.random.split(state.key)
        num_steps = len(index.train) // batch_size
        order = jax.random.permutation(key_order, index.train)[: num_steps * batch_size]
        (params, opt_state), _ = jax.lax.scan(
            step, (state.params, state.opt_state), order.reshape(num_steps, batch_size)
        )
        outputs, losses = jax.lax.map(functools.partial(judge, params), index.valid, batch_size=_VALID_AT_ONCE)
        y, weights = data.samples["y"][index.valid], data.weights[index.valid]
        chex.assert_shape([losses, y, weights], (len(index.valid),))
        loss, value = mean_loss(outputs, losses, y, weights), options.stop_by(outputs, losses, y, weights)
        better = value < state.best
        return _Progress(
            params=params,
            opt_state=opt_state,
            key=key,
            epoch=state.epoch + 1,
            since_best=jnp.where(better, 0, state.since_best + 1),
            best=jnp.where(better, value, state.best),
            best_loss=jnp.where(better, loss, state.best_loss),
            best_params=jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best_params),
        )

    def unfinished(state: _Progress) -> jax.Array:
        return (state.epoch < until.max_epochs) & (state.since_best < until.patience)

    end = jax.lax.while_loop(unfinished, epoch, start)
    return TrainedModel(end.best_params, end.best_loss, end.epoch)
