"""Masked column networks: one per fold, each predicts the code of every column from the other columns."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.common.row_batches import map_parts
from demix_jax.data.folds.plan import Folds, fold_blocks

PyTree = Any
_ABSENT = -1e9  # logit of a code that the column does not have
_ROWS_IN_CACHE = 256
_ROWS_AT_ONCE = 8_192
_LEARNING_RATE = 4e-3
_MAX_LABELS = 32  # rarer classes share the last code


class ColumnNetwork(nn.Module):
    """Predicts the code of every column from the codes that are not masked.

    Attributes:
      num_columns, num_codes: Q columns of at most B codes each.
      width: hidden width H.
    """

    num_columns: int
    num_codes: int
    width: int = 128

    def setup(self):
        shape = (self.num_columns, self.num_codes + 1, self.width)
        self.embed = self.param("embed", nn.initializers.normal(0.3), shape)
        self.layers = [nn.Dense(self.width) for _ in range(2)]
        self.norms = [nn.LayerNorm() for _ in range(2)]
        shape = (self.num_columns, self.width, self.num_codes)
        self.kernel = self.param("kernel", nn.initializers.normal(0.05), shape)
        self.bias = self.param("bias", nn.initializers.zeros, (self.num_columns, self.num_codes))

    def trunk(self, embedded: jax.Array) -> jax.Array:
        """Maps sums of cell embeddings f32[..., H] to hidden states f32[..., H]."""
        hidden = embedded
        for norm, layer in zip(self.norms, self.layers, strict=True):
            hidden = hidden + layer(nn.relu(norm(hidden)))
        return nn.relu(hidden)

    def embeddings(self, codes: jax.Array) -> jax.Array:
        """f32[n, Q, H], cell embeddings of codes i32[n, Q]; code B means "masked"."""
        return jax.vmap(lambda table, code: table[code], in_axes=(0, 1), out_axes=1)(self.embed, codes)

    def log_probs(self, codes: jax.Array, masked: jax.Array, allowed: jax.Array) -> jax.Array:
        """Log probabilities of every code of every cell.

        Args:
          codes: i32[n, Q]. masked: bool[n, Q], cells that the model does not see.
          allowed: bool[Q, B], the codes of each column.
        Returns:
          f32[n, Q, B].
        """
        hidden = self.trunk(self.embeddings(jnp.where(masked, self.num_codes, codes)).sum(axis=1))
        logits = jnp.einsum("nh,qhb->nqb", hidden, self.kernel) + self.bias[None]
        return jax.nn.log_softmax(jnp.where(allowed[None], logits, _ABSENT))

    def leave_one_out(
        self, codes: jax.Array, hidden: jax.Array, allowed: jax.Array, common: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Predictive distribution of each cell with that cell masked.

        Args:
          codes: i32[n, Q]. hidden: bool[Q], columns that are masked for all cells.
          allowed: bool[Q, B], the codes of each column. common: i32[Q], one code of each column.
        Returns:
          3 × f32[n, Q] in nats: log probability of the cell's code, entropy, log probability of the code in `common`.
        """
        codes = jnp.asarray(codes)

        def summarise(log_p, code, common_code):
            entropy = -jnp.sum(jnp.where(log_p > _ABSENT / 2, jnp.exp(log_p) * log_p, 0.0), axis=-1)
            return jnp.take_along_axis(log_p, code[:, None], axis=1)[:, 0], entropy, log_p[:, common_code]

        every = jnp.arange(codes.shape[1])
        log_p, entropy, log_p_common = self._each_masked(codes, hidden, allowed, every, summarise, codes.T, common)
        return log_p.T, entropy.T, log_p_common.T

    def of_each_code(self, codes: jax.Array, hidden: jax.Array, allowed: jax.Array, columns: jax.Array) -> jax.Array:
        """f32[n, C, B], log probabilities of all codes of the cells in `columns` i32[C], each with that cell masked."""
        return self._each_masked(codes, hidden, allowed, columns, lambda log_p: log_p).swapaxes(0, 1)

    def _each_masked(self, codes, hidden, allowed, columns, function, *of_columns):
        """Applies `function` to log probabilities f32[n, B] of each of `columns`, and its part of `of_columns`."""
        most = self.num_codes
        seen = jnp.where(hidden[None], most, codes)
        total = self.embeddings(seen).sum(axis=1)

        def column(_, inputs):
            q, *own = inputs
            embed = self.embed[q]
            state = self.trunk(total - embed[seen[:, q]] + embed[most][None])
            log_p = jax.nn.log_softmax(
                jnp.where(allowed[q][None], state @ self.kernel[q] + self.bias[q][None], _ABSENT)
            )
            return None, function(log_p, *own)

        return jax.lax.scan(column, None, (columns, *of_columns))[1]


class ColumnNetworks(NamedTuple):
    """Networks of F folds, for Q columns and the label.

    network: their architecture. params: parameters with a leading axis F. allowed: bool[Q + 1, B], codes in use.
    """

    network: ColumnNetwork
    params: PyTree
    allowed: np.ndarray

    def scores(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, *, common: np.ndarray | None, block: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `ColumnModels`."""
        num_columns = codes.shape[1]
        common = None if common is None else np.append(common, 0).astype(np.int32)
        codes, _ = _with_label(codes, labels)
        is_label = np.arange(num_columns + 1) == num_columns
        of_columns = {"is_label": is_label, "allowed": self.allowed, "common": common}
        for f, rows, padded in fold_blocks(folds.fold, len(folds.train), block):
            scores = np.asarray(_score(self.network, self._of_fold(f), codes[padded], **of_columns))
            yield rows, scores[:, : len(rows), :num_columns]

    def code_log_probs(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, columns: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `ColumnModels`."""
        codes, _ = _with_label(codes, labels)
        is_label = np.arange(codes.shape[1]) == codes.shape[1] - 1
        of_columns = {"hidden": is_label, "allowed": self.allowed, "columns": np.asarray(columns, np.int32)}
        for f, rows, padded in fold_blocks(folds.fold, len(folds.train), _ROWS_AT_ONCE):
            log_p = _log_probs(self.network, self._of_fold(f), codes[padded], **of_columns)
            yield rows, np.asarray(log_p)[: len(rows)]

    def _of_fold(self, fold: int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[fold], self.params)


def fit_column_networks(
    key: jax.Array,
    codes: np.ndarray,
    num_codes: tuple[int, ...],
    labels: np.ndarray,
    folds: Folds,
    *,
    leave_out: np.ndarray | None,
    doubtful: np.ndarray | None,
    num_epochs: int,
    max_steps: int,
) -> ColumnNetworks:
    """Trains a network per fold, with the label as one more column; arguments as for `fit_column_models`.

    Source: masked modelling (Devlin et al. 2019) over columns; pseudo-likelihood (Besag 1975).
    """
    codes, num_labels = _with_label(codes, labels)
    most = -(-max(*num_codes, num_labels) // 8) * 8  # rounded up, so that similar tables share compiled code
    allowed = np.arange(most) < np.array([*num_codes, num_labels])[:, None]
    network = ColumnNetwork(codes.shape[1], most)
    train = np.concatenate([folds.train, folds.valid], axis=1)
    batch_size = max(8, min(256, train.shape[1] // 8))
    left = np.zeros(train.shape, bool) if leave_out is None else leave_out[train]
    train = np.take_along_axis(train, np.argsort(left, axis=1, kind="stable"), axis=1)  # training rows come first
    num_train = np.maximum((~left).sum(axis=1), 1)
    num_steps = np.int32(min(max_steps, max(1, num_epochs * int(num_train.min()) // batch_size)))
    keys = jax.random.split(key, len(train))
    known = np.ones(len(codes), bool) if doubtful is None else ~doubtful
    data = _TrainingData(
        codes=jnp.asarray(codes),
        known=jnp.asarray(known),
        train=jnp.asarray(train),
        num_train=jnp.asarray(num_train),
        allowed=allowed,
        num_steps=num_steps,
    )
    params = _fit(network, batch_size, keys, data)
    return ColumnNetworks(network, jax.block_until_ready(params), allowed)


def _with_label(codes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """i32[N, Q + 1], codes with the label as last column, and the number of codes of the label."""
    num_labels = min(int(labels.max()) + 1, _MAX_LABELS)
    label_code = np.minimum(labels, _MAX_LABELS - 1)[:, None]
    return np.concatenate([codes, label_code], axis=1).astype(np.int32), num_labels


class _TrainingData(NamedTuple):
    """Training data of the column models.

    codes: i32[N, Q + 1]. known: bool[N], rows whose label may be learned.
    train: i32[F, n], rows of each fold; the first num_train i32[F] of them are used.
    allowed: bool[Q + 1, B], codes of each column.
    num_steps: i32[]; not static, so that each table compiles only once.
    """

    codes: jax.Array
    known: jax.Array
    train: jax.Array
    num_train: jax.Array
    allowed: np.ndarray
    num_steps: np.int32


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fit(model, batch_size, keys, data: _TrainingData):
    """Trains a model per fold; parameters with a leading axis F."""
    codes, allowed, num_steps = data.codes, data.allowed, data.num_steps
    num_columns = codes.shape[1]

    def learning_rate(step):
        return 0.5 * _LEARNING_RATE * (1 + jnp.cos(jnp.pi * step / num_steps))

    optimizer = optax.adamw(learning_rate, weight_decay=1e-2)

    def loss(params, key, batch, known):
        key_rate, key_mask = jax.random.split(key)
        rate = jax.random.uniform(key_rate, (len(batch), 1), minval=0.5 / num_columns, maxval=0.5)
        is_label = jnp.arange(num_columns)[None] == num_columns - 1
        rate = jnp.where(is_label, 0.5, rate)  # the label is often hidden
        masked = jax.random.uniform(key_mask, batch.shape) < rate
        unknown = is_label & ~known[:, None]
        log_p = model.apply(params, batch, masked | unknown, allowed, method=ColumnNetwork.log_probs)
        picked = jnp.take_along_axis(log_p, batch[..., None], axis=2)[..., 0]
        learned = masked & ~unknown
        return -jnp.sum(picked * learned) / jnp.maximum(jnp.sum(learned), 1)

    def fit_fold(key, train_rows, count):
        key_init, key_loop = jax.random.split(key)
        nothing = jnp.zeros((1, num_columns), bool)
        params = model.init(key_init, codes[:1], nothing, allowed, method=ColumnNetwork.log_probs)

        def step(i, carry):
            params, opt_state = carry
            key_batch, key_loss = jax.random.split(jax.random.fold_in(key_loop, i))
            picked = train_rows[jax.random.randint(key_batch, (batch_size,), 0, count)]
            gradient = jax.grad(loss)(params, key_loss, codes[picked], data.known[picked])
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return optax.apply_updates(params, updates), opt_state

        return jax.lax.fori_loop(0, num_steps, step, (params, optimizer.init(params)))[0]

    return jax.vmap(fit_fold)(keys, data.train, data.num_train)


@functools.partial(jax.jit, static_argnums=0)
def _score(model, params, codes, *, is_label, allowed, common):
    def score(codes):
        def leave_one_out(hidden):
            sought = jnp.zeros(len(is_label), jnp.int32) if common is None else common
            return model.apply(params, codes, hidden, allowed, sought, method=ColumnNetwork.leave_one_out)

        log_p, entropy, log_p_common = leave_one_out(is_label)
        surprise = -log_p - entropy
        if common is None:
            return surprise[:, None]
        log_p_with_label = leave_one_out(jnp.zeros_like(is_label))[0]
        return jnp.stack([surprise, log_p_with_label - log_p, log_p_common], axis=1)

    return map_parts(score, codes, _ROWS_IN_CACHE).swapaxes(0, 1)


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(model, params, codes, *, hidden, allowed, columns):
    def of_rows(codes):
        return model.apply(params, codes, hidden, allowed, columns, method=ColumnNetwork.of_each_code)

    return map_parts(of_rows, codes, _ROWS_IN_CACHE)
