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

from demix_jax.common.pytrees import entry
from demix_jax.common.row_batches import map_parts
from demix_jax.common.shared_sizes import SMALL, rows_of_shared_size, shared_batch, with_length
from demix_jax.data.folds.plan import Folds, fold_blocks

PyTree = Any
_ABSENT = -1e9  # logit of a code that the column does not have
_ROWS_IN_CACHE = 256
_ROWS_AT_ONCE = 8_192
_LEARNING_RATE = 4e-3
_MOST_IN_BATCH = 256
_MAX_LABELS = 32  # rarer classes share the last code


class ColumnNetwork(nn.Module):
    """Predicts the code of every column from the codes that are not masked.

    Some columns may be padding: none of their codes is allowed, and no prediction depends on them.

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

    def embeddings(self, codes: jax.Array, allowed: jax.Array) -> jax.Array:
        """f32[n, Q, H], cell embeddings of codes i32[n, Q]; code B means "masked". 0 for padding."""
        tables = jnp.where(allowed.any(axis=1)[:, None, None], self.embed, 0.0)
        return jax.vmap(lambda table, code: table[code], in_axes=(0, 1), out_axes=1)(tables, codes)

    def log_probs(self, codes: jax.Array, masked: jax.Array, allowed: jax.Array) -> jax.Array:
        """Log probabilities of every code of every cell.

        Args:
          codes: i32[n, Q]. masked: bool[n, Q], cells that the model does not see.
          allowed: bool[Q, B], the codes of each column.
        Returns:
          f32[n, Q, B].
        """
        hidden = self.trunk(self.embeddings(jnp.where(masked, self.num_codes, codes), allowed).sum(axis=1))
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
        total = self.embeddings(seen, allowed).sum(axis=1)

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

    network: their architecture, of R ≥ Q + 1 columns: the columns, padding, and the label as the last one.
    params: parameters with a leading axis F. allowed: bool[R, B], codes in use.
    """

    network: ColumnNetwork
    params: PyTree
    allowed: np.ndarray

    def scores(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, *, common: np.ndarray | None, block: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `ColumnModels`."""
        num_columns = codes.shape[1]
        width = self.network.num_columns
        common = None if common is None else with_length(np.asarray(common, np.int32), width)
        codes, _ = _with_label(codes, labels, width)
        is_label = np.arange(width) == width - 1
        of_columns = {"is_label": is_label, "allowed": self.allowed, "common": common}
        for f, rows, padded in fold_blocks(folds.fold, len(folds.train), block):
            scores = np.asarray(_score(self.network, self._of_fold(f), codes[padded], **of_columns))
            yield rows, scores[:, : len(rows), :num_columns]

    def code_log_probs(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, columns: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `ColumnModels`."""
        codes, _ = _with_label(codes, labels, self.network.num_columns)
        is_label = np.arange(codes.shape[1]) == codes.shape[1] - 1
        of_columns = {"hidden": is_label, "allowed": self.allowed, "columns": np.asarray(columns, np.int32)}
        for f, rows, padded in fold_blocks(folds.fold, len(folds.train), _ROWS_AT_ONCE):
            log_p = _log_probs(self.network, self._of_fold(f), codes[padded], **of_columns)
            yield rows, np.asarray(log_p)[: len(rows)]

    def _of_fold(self, fold: int) -> PyTree:
        return entry(self.params, fold)


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
    num_rows, width = len(codes), _shared_width(codes.shape[1] + 1, len(codes))
    codes, num_labels = _with_label(codes, labels, width)
    allowed = _allowed(num_codes, num_labels, width)
    network = ColumnNetwork(width, allowed.shape[1])
    train = np.concatenate([folds.train, folds.valid], axis=1)
    batch = shared_batch(max(64, train.shape[1]), _MOST_IN_BATCH)
    left = np.zeros(train.shape, bool) if leave_out is None else leave_out[train]
    train = np.take_along_axis(train, np.argsort(left, axis=1, kind="stable"), axis=1)  # training rows come first
    num_train = np.maximum((~left).sum(axis=1), 1)
    # As many steps as with batches of an eighth of the rows, or of 256; more of them overfit small tables.
    per_epoch = int(num_train.min()) / max(8, min(_MOST_IN_BATCH, train.shape[1] // 8))
    num_steps = np.int32(min(max_steps, max(1, int(num_epochs * per_epoch))))
    keys = jax.random.split(key, len(train))
    known = np.ones(num_rows, bool) if doubtful is None else ~doubtful
    codes, known = rows_of_shared_size((codes, known))
    data = _TrainingData(
        codes=jnp.asarray(codes),
        known=jnp.asarray(known),
        train=jnp.asarray(rows_of_shared_size(train, axis=1)),
        num_train=jnp.asarray(num_train),
        allowed=allowed,
        num_steps=num_steps,
        batch_size=batch.size,
    )
    params = _fit(network, batch.width, keys, data)
    return ColumnNetworks(network, jax.block_until_ready(params), allowed)


def _shared_width(num_columns: int, num_rows: int) -> int:
    """Number of columns R with padding; small tables of similar width share compiled programs."""
    if num_rows > SMALL:
        return num_columns
    return next((width for width in (8, 16, 32) if num_columns <= width), -(-num_columns // 32) * 32)


def _allowed(num_codes: tuple[int, ...], num_labels: int, width: int) -> np.ndarray:
    """bool[R, B], codes of each column, none of padding; B is rounded up, so that tables share compiled programs."""
    of_columns = np.zeros(width, int)
    of_columns[: len(num_codes)], of_columns[-1] = num_codes, num_labels
    return np.arange(max(16, -(-of_columns.max() // 16) * 16)) < of_columns[:, None]


def _with_label(codes: np.ndarray, labels: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """i32[N, R], codes i32[N, Q], then zeros, and the label as last column; and the number of codes of the label."""
    num_labels = min(int(labels.max()) + 1, _MAX_LABELS)
    columns = np.zeros((len(codes), width), np.int32)
    columns[:, : codes.shape[1]], columns[:, -1] = codes, np.minimum(labels, _MAX_LABELS - 1)
    return columns, num_labels


class _TrainingData(NamedTuple):
    """Training data of the column models.

    codes: i32[N, R]. known: bool[N], rows whose label may be learned.
    train: i32[F, n], rows of each fold; the first num_train i32[F] of them are used.
    allowed: bool[R, B], codes of each column.
    num_steps: i32[]. batch_size: i32[], rows of a batch that count. Neither is static, so that tables share programs.
    """

    codes: jax.Array
    known: jax.Array
    train: jax.Array
    num_train: jax.Array
    allowed: np.ndarray
    num_steps: np.int32
    batch_size: np.int32


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fit(model, batch_width, keys, data: _TrainingData):
    """Trains a model per fold; parameters with a leading axis F."""
    codes, allowed, num_steps = data.codes, data.allowed, data.num_steps
    is_column = jnp.asarray(allowed).any(axis=1)
    is_label = jnp.arange(codes.shape[1])[None] == codes.shape[1] - 1
    in_batch = jnp.arange(batch_width)[:, None] < data.batch_size

    def learning_rate(step):
        return 0.5 * _LEARNING_RATE * (1 + jnp.cos(jnp.pi * step / num_steps))

    optimizer = optax.adamw(learning_rate, weight_decay=1e-2)

    def loss(params, key, batch, known):
        key_rate, key_mask = jax.random.split(key)
        rate = jax.random.uniform(key_rate, (len(batch), 1), minval=0.5 / is_column.sum(), maxval=0.5)
        rate = jnp.where(is_label, 0.5, rate)  # the label is often hidden
        masked = jax.random.uniform(key_mask, batch.shape) < rate
        unknown = is_label & ~known[:, None]
        log_p = model.apply(params, batch, masked | unknown, allowed, method=ColumnNetwork.log_probs)
        picked = jnp.take_along_axis(log_p, batch[..., None], axis=2)[..., 0]
        learned = masked & ~unknown & is_column[None] & in_batch
        return -jnp.sum(picked * learned) / jnp.maximum(jnp.sum(learned), 1)

    def fit_fold(key, train_rows, count):
        key_init, key_loop = jax.random.split(key)
        nothing = jnp.zeros((1, codes.shape[1]), bool)
        params = model.init(key_init, codes[:1], nothing, allowed, method=ColumnNetwork.log_probs)

        def step(i, carry):
            params, opt_state = carry
            key_batch, key_loss = jax.random.split(jax.random.fold_in(key_loop, i))
            picked = train_rows[jax.random.randint(key_batch, (batch_width,), 0, count)]
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
