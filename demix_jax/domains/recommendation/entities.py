"""How side features fit their user or item: its other features, and the same feature in its other rows."""

from __future__ import annotations

import jax
import numpy as np

from demix_jax.data.folds import make_folds
from demix_jax.evidence.column_model import cell_surprise, fit_column_models

_PRIOR_ROWS = 0.2  # what the column's own shares weigh beside an entity's other rows
_NUM_FOLDS = 5
_MIN_ENTITIES = 50  # fewer teach no column model anything
_NUM_EPOCHS = 60


def side_surprise(
    key: jax.Array, codes: np.ndarray, num_codes: tuple[int, ...], entity: np.ndarray, *, seed: int
) -> np.ndarray | None:
    """Surprise of each side feature, by a column model that never saw the row's user or item.

    Among rows, an entity whose features are wrong in all its rows bears itself out; here each entity is one row, of its
    most frequent values, and all of it is in one fold.

    Args:
      key: typed key.
      codes: i32[N, Q], the side features of one role. num_codes: codes per column. entity: i32[N].
      seed: of the folds.
    Returns:
      f32[N, Q] nats as in `CellEvidence`, with what `entity_contradiction` adds; None where entities are too few.
    """
    known, which = np.unique(entity, return_inverse=True)
    if len(known) < _MIN_ENTITIES or codes.shape[1] < 2:
        return None
    usual = np.stack([_mode(codes[:, q], num_codes[q], which) for q in range(codes.shape[1])], axis=1)
    none = np.zeros(len(known), np.int32)
    folds = make_folds(np.random.default_rng(seed), none, num_folds=_NUM_FOLDS)
    models = fit_column_models(key, usual, num_codes, none, folds, num_epochs=_NUM_EPOCHS)
    of_rows = folds._replace(fold=folds.fold[which])
    surprise = cell_surprise(models, codes, np.zeros(len(codes), np.int32), of_rows)
    for q in range(codes.shape[1]):
        surprise[:, q] += entity_contradiction(codes[:, q], num_codes[q], which)
    return surprise


def _mode(codes: np.ndarray, num_codes: int, which: np.ndarray) -> np.ndarray:
    """i32[E]: the most frequent code of each entity."""
    return _counts(codes, num_codes, which).argmax(axis=1).astype(np.int32)


def _counts(codes: np.ndarray, num_codes: int, which: np.ndarray) -> np.ndarray:
    """i64[E, num_codes]."""
    num_entities = int(which.max()) + 1
    flat = which.astype(np.int64) * num_codes + codes
    return np.bincount(flat, minlength=num_entities * num_codes).reshape(num_entities, num_codes)


def entity_contradiction(codes: np.ndarray, num_codes: int, entity: np.ndarray) -> np.ndarray:
    """How much the same entity's other rows speak against each cell of one column.

    Args:
      codes: i32[N], the column's codes below `num_codes`. entity: i32[N], numbers from 0.
    Returns:
      f32[N] nats, by how much the code is less probable among the entity's other rows than in the column, log p(code) −
      log p(code | other rows) with smoothed shares; 0 where they bear it out, and for a row that is its entity's only
      one. Other rows that agree are no proof, as a feature may be wrong in all of them.
    """
    counts = _counts(codes, num_codes, entity)
    share = (counts.sum(axis=0)[codes] + 0.5) / (len(codes) + 0.5 * num_codes)
    agreeing, others = counts[entity, codes] - 1, counts.sum(axis=1)[entity] - 1
    p = (agreeing + _PRIOR_ROWS * share) / (others + _PRIOR_ROWS)
    return np.maximum(np.log(share) - np.log(p), 0.0).astype(np.float32)
