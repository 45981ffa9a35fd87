"""Preference models of all folds: trained adapters, and what they say of pairs that they never saw."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.data.folds import Folds
from demix_jax.domains.preference.model import ADAPTER, PreferenceModel
from demix_jax.domains.preference.sides import Order
from demix_jax.influence.matrix import cosine_influence

PyTree = Any

_STATES = 256  # the states of an example are cut at a multiple of it
_NEIGHBOURS = 8  # batches whose pairs are sorted by length


@dataclasses.dataclass(frozen=True)
class AdapterTraining:
    """Adam over the adapters: passes at most, passes without a better validation loss, pairs at once, step size."""

    max_epochs: int = 6
    patience: int = 2
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


@dataclasses.dataclass(frozen=True)
class PairFolds:
    """The `FoldModels` of preference pairs, made by `train_pair_folds`.

    adapters: one pytree per fold. frozen: what they adapt. examples: N pairs as `PreferenceModel` takes them.
    order: which answer of each pair is called the second one outside.
    """

    model: PreferenceModel
    adapters: tuple[PyTree, ...]
    frozen: PyTree
    examples: PyTree
    order: Order
    valid_loss: np.ndarray

    def outputs(self, fold: int, rows: np.ndarray) -> np.ndarray:
        """Scores f32[n, 2] of the first and the second answer; their softmax is the chance that each is preferred."""
        return self.order.take(rows).arranged(*self.scores(fold, rows).T)

    def scores(self, fold: int, rows: np.ndarray) -> np.ndarray:
        """Scores f32[n, 2] of the chosen and the rejected answer."""
        return pair_scores(self.model, self._params(fold), self.examples, rows)

    def influence(self, fold: int, rows: np.ndarray, valid_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """−cosine of the adapters' gradients f32[n, S], and the lengths of those of `rows` f32[n]."""
        samples = take(self.examples, rows), take(self.examples, valid_rows)
        return cosine_influence(_loss_of(self.model), self._params(fold), *samples, select=ADAPTER)

    def _params(self, fold: int) -> PyTree:
        return {"frozen": self.frozen, "adapter": self.adapters[fold]}


@functools.cache
def _loss_of(model: PreferenceModel) -> Callable[[PyTree, PyTree], jax.Array]:
    """The model's loss, one function for all equal models, so that programs are compiled once for them."""
    return model.loss


def pair_scores(model: PreferenceModel, params: PyTree, examples: PyTree, rows: np.ndarray) -> np.ndarray:
    """Scores f32[n, 2] of the answers of the examples at `rows`, in the examples' own order."""
    return _in_parts(functools.partial(_scores, model, params), examples, rows)


def take(examples: PyTree, rows: np.ndarray) -> PyTree:
    """The examples at positions `rows`."""
    return jax.tree.map(lambda leaf: leaf[rows], examples)


def take_short(examples: PyTree, rows: np.ndarray) -> PyTree:
    """The examples at positions `rows`, without the states after the last one that any of them reads.

    The number of states is rounded up, so that few different shapes are compiled.
    """
    length = -(-int(_lengths(examples)[rows].max()) // _STATES) * _STATES
    return take(examples | {"hidden": examples["hidden"][:, :, :length]}, rows)


def _lengths(examples: PyTree) -> np.ndarray:
    """i[N]: states of each example that count: all up to the last one that is read."""
    return examples["read"].max(axis=(1, 2)) + 1


def train_pair_folds(
    key: jax.Array,
    model: PreferenceModel,
    frozen: PyTree,
    examples: PyTree,
    order: Order,
    folds: Folds,
    *,
    options: AdapterTraining,
    on_fold: Callable[[int], None] = lambda count: None,
) -> PairFolds:
    """Train the adapters of each fold on its training pairs, up to its best loss on its validation pairs."""
    trained = []
    for number, key_fold in enumerate(jax.random.split(key, len(folds.train))):
        rows = folds.train[number], folds.valid[number]
        trained.append(train_adapters(key_fold, model, frozen, examples, *rows, options=options))
        on_fold(1)
    adapters, losses = zip(*trained, strict=True)
    return PairFolds(model, adapters, frozen, examples, order, np.array(losses, np.float32))


def train_adapters(
    key: jax.Array,
    model: PreferenceModel,
    frozen: PyTree,
    examples: PyTree,
    train_rows: np.ndarray,
    valid_rows: np.ndarray,
    *,
    options: AdapterTraining,
    weights: np.ndarray | None = None,
) -> tuple[PyTree, float]:
    """Adapters at their best mean loss on `valid_rows`, and that loss.

    Args:
      examples: N pairs. train_rows, valid_rows: i[n], i[m]. weights: f[N] sample weights, or None for equal ones.
    """
    weights = np.ones(len(examples["y"]), np.float32) if weights is None else np.asarray(weights, np.float32)
    key_init, key_order = jax.random.split(key)
    adapter = model.init(key_init)
    optimizer = _optimizer(options)
    state = optimizer.init(adapter)
    best, best_loss, since_best = adapter, np.inf, 0
    size, lengths = min(options.batch_size, len(train_rows)), _lengths(examples)
    for key_epoch in jax.random.split(key_order, options.max_epochs):
        for rows in _batches(key_epoch, np.asarray(train_rows), lengths, size):
            adapter, state = _step(model, options, frozen, adapter, state, take_short(examples, rows), weights[rows])
        params = {"frozen": frozen, "adapter": adapter}
        losses = _in_parts(functools.partial(_losses, model, params), examples, np.asarray(valid_rows))
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


def _in_parts(function: Callable[[PyTree], jax.Array], examples: PyTree, rows: np.ndarray, size: int = 16):
    """`function` of the examples at `rows`, `size` of like length at a time; the last part is filled up."""
    places = np.argsort(_lengths(examples)[rows], kind="stable")
    parts = [rows[places[start : start + size]] for start in range(0, len(rows), size)]
    found = np.concatenate([np.asarray(function(take_short(examples, np.resize(p, size))))[: len(p)] for p in parts])
    return found[np.argsort(places)]


def _batches(key: jax.Array, rows: np.ndarray, lengths: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches in random order, each of pairs of like length among _NEIGHBOURS batches drawn at random."""
    key_rows, key_batches = jax.random.split(key)
    order = np.asarray(jax.random.permutation(key_rows, rows))[: len(rows) // size * size]
    near = [order[start : start + size * _NEIGHBOURS] for start in range(0, len(order), size * _NEIGHBOURS)]
    order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in near])
    batches = np.split(order, len(order) // size)
    return [batches[n] for n in np.asarray(jax.random.permutation(key_batches, len(batches)))]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(model: PreferenceModel, options: AdapterTraining, frozen, adapter, state, batch, weights):
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
