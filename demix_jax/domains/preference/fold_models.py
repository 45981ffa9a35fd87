"""Preference models of all folds: adapter training, and scores and influence of pairs they were not trained on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.data.folds.plan import Folds
from demix_jax.domains.preference.model import ADAPTER, PreferenceModel
from demix_jax.domains.preference.sides import Order
from demix_jax.influence.matrix import cosine_influence

PyTree = Any

_STATES = 256  # the number of states per example is rounded up to a multiple of it
_NEIGHBOURS = 8  # number of batches whose pairs are sorted by length together


@dataclasses.dataclass(frozen=True)
class AdapterTraining:
    """Options of adapter training by AdamW.

    max_epochs: passes over the training pairs at most. patience: passes without a better validation loss before it
    stops. batch_size: pairs per step. learning_rate, weight_decay: of AdamW.
    """

    max_epochs: int = 6
    patience: int = 2
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


@dataclasses.dataclass(frozen=True)
class PairFolds:
    """The `FoldModels` of preference pairs, made by `train_pair_folds`.

    adapters: one pytree per fold. frozen: the weights that they adapt. examples: N pairs, see `PreferenceModel`.
    order: of the two answers of each pair. valid_loss: f32[folds], lowest validation loss.
    """

    model: PreferenceModel
    adapters: tuple[PyTree, ...]
    frozen: PyTree
    examples: PyTree
    order: Order
    valid_loss: np.ndarray

    def outputs(self, fold: int, rows: np.ndarray) -> np.ndarray:
        """Scores f32[n, 2] of the first and the second answer; their softmax is the probability of being preferred."""
        return self.order.take(rows).arranged(*self.scores(fold, rows).T)

    def scores(self, fold: int, rows: np.ndarray) -> np.ndarray:
        """Scores f32[n, 2] of the chosen and the rejected answer."""
        return pair_scores(self.model, self._params(fold), self.examples, rows)

    def influence(self, fold: int, rows: np.ndarray, valid_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Influence f32[n, S] (−cosine of adapter gradients), and the gradient norms f32[n] of `rows`."""
        samples = take(self.examples, rows), take(self.examples, valid_rows)
        return cosine_influence(_loss_of(self.model), self._params(fold), *samples, select=ADAPTER)

    def _params(self, fold: int) -> PyTree:
        return {"frozen": self.frozen, "adapter": self.adapters[fold]}


@functools.cache
def _loss_of(model: PreferenceModel) -> Callable[[PyTree, PyTree], jax.Array]:
    """The model's loss; equal models share one function, so that it is compiled once."""
    return model.loss


def pair_scores(model: PreferenceModel, params: PyTree, examples: PyTree, rows: np.ndarray) -> np.ndarray:
    """Scores f32[n, 2] of the two answers of the examples at `rows`."""
    return _map_in_batches(functools.partial(_scores, model, params), examples, rows)


def take(examples: PyTree, rows: np.ndarray) -> PyTree:
    """The examples at positions `rows`."""
    return jax.tree.map(lambda leaf: leaf[rows], examples)


def take_short(examples: PyTree, rows: np.ndarray) -> PyTree:
    """The examples at positions `rows`, with trailing states cut off that none of them reads.

    The number of states is rounded up, so that only a few shapes are compiled.
    """
    length = -(-int(_lengths(examples)[rows].max()) // _STATES) * _STATES
    return take(examples | {"hidden": examples["hidden"][:, :, :length]}, rows)


def _lengths(examples: PyTree) -> np.ndarray:
    """i[N]: number of states that each example needs, up to the last position read."""
    return examples["read"].max(axis=(1, 2)) + 1


def train_pair_folds(
    key: jax.Array,
    model: PreferenceModel,
    frozen: PyTree,
    examples: PyTree,
    *,
    order: Order,
    folds: Folds,
    options: AdapterTraining,
    on_fold: Callable[[int], None] = lambda count: None,
) -> PairFolds:
    """Train the adapters of each fold on its training pairs, with early stopping on its validation pairs.

    Args:
      frozen: see `PreferenceModel.frozen`. examples: N pairs. order: of the N pairs.
      on_fold: called with 1 after each fold.
    """
    trained = []
    for number, key_fold in enumerate(jax.random.split(key, len(folds.train))):
        rows = {"train_rows": folds.train[number], "valid_rows": folds.valid[number]}
        trained.append(train_adapters(key_fold, model, frozen, examples, **rows, options=options))
        on_fold(1)
    adapters, losses = zip(*trained, strict=True)
    return PairFolds(
        model=model,
        adapters=adapters,
        frozen=frozen,
        examples=examples,
        order=order,
        valid_loss=np.array(losses, np.float32),
    )


def train_adapters(
    key: jax.Array,
    model: PreferenceModel,
    frozen: PyTree,
    examples: PyTree,
    *,
    train_rows: np.ndarray,
    valid_rows: np.ndarray,
    options: AdapterTraining,
    weights: np.ndarray | None = None,
) -> tuple[PyTree, float]:
    """Train adapters; returns those with the lowest mean loss on `valid_rows`, and that loss.

    Args:
      frozen: see `PreferenceModel.frozen`. examples: N pairs.
      train_rows, valid_rows: i[n], i[m], positions among the N pairs.
      weights: f[N], sample weights; None for equal weights.
    """
    num = len(examples["y"])
    weights = np.ones(num, np.float32) if weights is None else np.asarray(weights, np.float32)
    chex.assert_shape(weights, (num,))
    key_init, key_order = jax.random.split(key)
    adapter = model.init(key_init)
    optimizer = _optimizer(options)
    state = optimizer.init(adapter)
    best, best_loss, since_best = adapter, np.inf, 0
    size, lengths = min(options.batch_size, len(train_rows)), _lengths(examples)
    for key_epoch in jax.random.split(key_order, options.max_epochs):
        for rows in _batches(key_epoch, np.asarray(train_rows), lengths, size):
            batch = take_short(examples, rows)
            adapter, state = _step(model, options, frozen, adapter, state, batch=batch, weights=weights[rows])
        params = {"frozen": frozen, "adapter": adapter}
        losses = _map_in_batches(functools.partial(_losses, model, params), examples, np.asarray(valid_rows))
        loss = float(np.average(losses, weights=weights[valid_rows] + 1e-12))
        since_best += 1
        if loss < best_loss:
            best, best_loss, since_best = adapter, loss, 0
        if since_best >= options.patience:
            break
    return best, best_loss


def _optimizer(options: AdapterTraining) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(options.learning_rate, weight_decay=options.weight_decay)
    )


def _map_in_batches(
    function: Callable[[PyTree], jax.Array], examples: PyTree, rows: np.ndarray, size: int = 16
) -> np.ndarray:
    """Apply `function` to the examples at `rows`, in batches of `size` with similar lengths; the last one is padded."""
    places = np.argsort(_lengths(examples)[rows], kind="stable")
    parts = [rows[places[start : start + size]] for start in range(0, len(rows), size)]
    found = np.concatenate([np.asarray(function(take_short(examples, np.resize(p, size))))[: len(p)] for p in parts])
    return found[np.argsort(places)]


def _batches(key: jax.Array, rows: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """Random batches of pairs of similar length: pairs are sorted by length within _NEIGHBOURS batches at a time."""
    key_rows, key_batches = jax.random.split(key)
    order = np.asarray(jax.random.permutation(key_rows, rows))[: len(rows) // size * size]
    near = [order[start : start + size * _NEIGHBOURS] for start in range(0, len(order), size * _NEIGHBOURS)]
    order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in near])
    batches = np.split(order, len(order) // size)
    return [batches[n] for n in np.asarray(jax.random.permutation(key_batches, len(batches)))]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(
    model: PreferenceModel,
    options: AdapterTraining,
    frozen: PyTree,
    adapter: PyTree,
    state: PyTree,
    *,
    batch: PyTree,
    weights: np.ndarray,
) -> tuple[PyTree, PyTree]:
    """One optimizer step on a batch; returns the adapters and the optimizer's state."""

    def mean_loss(adapter):
        losses = jax.vmap(model.loss, in_axes=(None, 0))({"frozen": frozen, "adapter": adapter}, batch)
        return jnp.average(losses, weights=weights + 1e-12)

    updates, state = _optimizer(options).update(jax.grad(mean_loss)(adapter), state, adapter)
    return optax.apply_updates(adapter, updates), state


@functools.partial(jax.jit, static_argnums=0)
def _scores(model: PreferenceModel, params: PyTree, batch: PyTree) -> jax.Array:
    return jax.vmap(model.scores, in_axes=(None, 0))(params, batch)


@functools.partial(jax.jit, static_argnums=0)
def _losses(model: PreferenceModel, params: PyTree, batch: PyTree) -> jax.Array:
    return jax.vmap(model.loss, in_axes=(None, 0))(params, batch)
