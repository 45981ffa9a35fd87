"""Trains a task model on several folds at once, with early stopping, in one compiled loop."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.common.shared_sizes import rows_of_shared_size, shared_batch, shared_size, with_length
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
    train_index: np.ndarray | jax.Array,
    valid_index: np.ndarray | jax.Array,
    *,
    weights: np.ndarray | jax.Array | None = None,
    stop_by: Criterion = mean_loss,
    max_epochs: int = 40,
    patience: int = 4,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-4,
) -> TrainedModel:
    """Train one model per fold with AdamW, all folds in one vectorised loop.

    Small data are padded to few sizes, see `shared_size`. Their real sizes are not compiled into the program, so that
    tables of similar size share it.

    Args:
      key: one typed key, split over folds, or F keys. Folds with equal keys share initial parameters and row order if
        the keys' numbers do not depend on `vmap` (those of `training_key` do).
      samples: {"x": features, "y": labels} with leading axis N, shared by all folds; features are a pytree (for a table
        f32[N, D]).
      train_index, valid_index: i32[F, n] and i32[F, m], samples for training and for early stopping of each fold.
      weights: f32[N] weights of training and validation losses, or None for equal weights.
      stop_by: criterion to minimise on the validation samples: `mean_loss`, or `ranking_error` for two classes.
      max_epochs, patience: maximum number of epochs, and number of epochs without improvement before training stops.
      batch_size: at most an eighth of a fold's training rows is used, see `shared_batch`.
    Returns:
      TrainedModel with a leading axis F.
    """
    num_samples, (num_folds, num_train), num_valid = len(samples["y"]), train_index.shape, valid_index.shape[1]
    if weights is None:
        weights = np.ones(num_samples, np.float32)
    chex.assert_tree_shape_prefix((samples, weights), (num_samples,))
    chex.assert_shape(valid_index, (num_folds, None))
    batch = shared_batch(num_train, batch_size)
    options = _Options(stop_by, batch.width, learning_rate, weight_decay)
    keys = key if key.ndim else jax.random.split(key, num_folds)
    chex.assert_shape(keys, (num_folds,))
    limits = _Limits(*map(np.int32, (max_epochs, patience, num_train, num_valid, batch.size)))
    data = _Data(*rows_of_shared_size((samples, weights)))
    train = rows_of_shared_size(train_index, axis=1)
    valid = with_length(np.asarray(valid_index), shared_size(num_valid), axis=1)
    return _train_folds(_Program(model, options), limits, keys, data, _Index(train, valid))


class _Options(NamedTuple):
    """Training options that are compiled into a program."""

    stop_by: Criterion
    batch_width: int
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
    """train, valid: i32[n] and i32[m], sample positions and padding; with a leading axis F for folds."""

    train: np.ndarray | jax.Array
    valid: np.ndarray | jax.Array


class _Limits(NamedTuple):
    """Length of training, and how many samples are no padding; not compiled into the program.

    num_train, num_valid: training and validation samples. batch_size: of a batch's rows, at least 1.
    """

    max_epochs: np.int32
    patience: np.int32
    num_train: np.int32
    num_valid: np.int32
    batch_size: np.int32


@functools.partial(jax.jit, static_argnums=0)
def _train_folds(program: _Program, limits: _Limits, keys: jax.Array, data: _Data, index: _Index) -> TrainedModel:
    example = jax.tree.map(lambda leaf: leaf[0], data.samples)
    start = jax.vmap(functools.partial(_start, program.model, _optimizer(program.options), example))(keys)
    # The whole state has the fold axis from the start; otherwise tracing searches step by step for what needs it.
    return jax.vmap(functools.partial(_train_fold, program, limits), in_axes=(0, None, 0))(start, data, index)


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


def _train_fold(program: _Program, limits: _Limits, start: _Progress, data: _Data, index: _Index) -> TrainedModel:
    model, options = program
    optimizer = _optimizer(options)
    batch_loss = jax.vmap(model.loss, in_axes=(None, 0))
    in_batch = jnp.arange(options.batch_width) < limits.batch_size

    def weighted_loss(params, rows):
        batch = data.take(rows)
        weights = jnp.where(in_batch, batch.weights + 1e-12, 0.0)
        return jnp.average(batch_loss(params, batch.samples), weights=weights)

    def judge(params, row):
        example = data.take(row).samples
        return model.apply(params, example["x"]), model.loss(params, example)

    def epoch(state: _Progress) -> _Progress:
        key, key_order = jax.random.split(state.key)
        order = _shuffled(key_order, jnp.asarray(index.train), limits.num_train)
        order = jnp.concatenate([order, order[: options.batch_width]])  # so that no slice is moved back

        def step(number, carry):
            params, opt_state = carry
            rows = jax.lax.dynamic_slice_in_dim(order, number * limits.batch_size, options.batch_width)
            updates, opt_state = optimizer.update(jax.grad(weighted_loss)(params, rows), opt_state, params)
            return optax.apply_updates(params, updates), opt_state

        params, opt_state = jax.lax.fori_loop(
            0, limits.num_train // limits.batch_size, step, (state.params, state.opt_state)
        )
        outputs, losses = jax.lax.map(functools.partial(judge, params), index.valid, batch_size=_VALID_AT_ONCE)
        is_real = jnp.arange(len(index.valid)) < limits.num_valid
        y, weights = data.samples["y"][index.valid], jnp.where(is_real, data.weights[index.valid], 0.0)
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
        return (state.epoch < limits.max_epochs) & (state.since_best < limits.patience)

    end = jax.lax.while_loop(unfinished, epoch, start)
    return TrainedModel(end.best_params, end.best_loss, end.epoch)


def _shuffled(key: jax.Array, rows: jax.Array, count: np.int32 | jax.Array) -> jax.Array:
    """The first `count` of the rows i32[n] in random order, then the others."""
    draws = jnp.where(jnp.arange(len(rows)) < count, jax.random.uniform(key, rows.shape), 2.0)
    return rows[jnp.argsort(draws)]
