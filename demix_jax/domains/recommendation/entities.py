"""Compare side features with the same user's or item's other features and other rows."""

from __future__ import annotations

import chex
import jax
import numpy as np

from demix_jax.data.folds.plan import make_folds
from demix_jax.evidence.column_model import cell_surprise, fit_column_models

_PRIOR_ROWS = 0.2  # weight of the column's overall shares, as a number of rows
_NUM_FOLDS = 5
_MIN_ENTITIES = 50  # fewer are too few to train a column model
_NUM_EPOCHS = 60


def side_surprise(
    key: jax.Array, codes: np.ndarray, num_codes: tuple[int, ...], entity: np.ndarray, *, seed: int
) -> np.ndarray | None:
    """Surprise of each side feature to a column model that was trained without the row's user or item.

    A column model trained on rows finds an entity consistent even if it is wrong in all its rows. Here each entity is a
    single training row of its most frequent values, and all its rows are in one fold.

    Args:
      key: typed key.
      codes: i32[N, Q], side features of one role.
      num_codes: number of codes per column.
      entity: i32[N], the user or item of each row.
      seed: of the folds.
    Returns:
      f32[N, Q], nats as in `CellEvidence`, plus `entity_contradiction`; None where there are too few entities.
    """
    chex.assert_shape(codes, (len(entity), len(num_codes)))
    known, which = np.unique(entity, return_inverse=True)
    if len(known) < _MIN_ENTITIES or codes.shape[1] < 2:
        return None
    modes = np.stack([_mode(codes[:, q], num_codes[q], which) for q in range(codes.shape[1])], axis=1)
    no_label = np.zeros(len(known), np.int32)
    folds = make_folds(np.random.default_rng(seed), no_label, num_folds=_NUM_FOLDS)
    models = fit_column_models(key, modes, num_codes, no_label, folds, num_epochs=_NUM_EPOCHS)
    row_folds = folds._replace(fold=folds.fold[which])
    surprise = cell_surprise(models, codes, np.zeros(len(codes), np.int32), row_folds)
    for q in range(codes.shape[1]):
        surprise[:, q] += entity_contradiction(codes[:, q], num_codes[q], which)
    return surprise


def _mode(codes: np.ndarray, num_codes: int, which: np.ndarray) -> np.ndarray:
    """i32[E]: most frequent code of each entity."""
    return _counts(codes, num_codes, which).argmax(axis=1).astype(np.int32)


def _counts(codes: np.ndarray, num_codes: int, which: np.ndarray) -> np.ndarray:
    """i64[E, num_codes]: number of rows of each entity with each code."""
    num_entities = int(which.max()) + 1
    flat = which.astype(np.int64) * num_codes + codes
    return np.bincount(flat, minlength=num_entities * num_codes).reshape(num_entities, num_codes)


def entity_contradiction(codes: np.ndarray, num_codes: int, entity: np.ndarray) -> np.ndarray:
    """Evidence against each cell of one column from the entity's other rows.

    Args:
      codes: i32[N], codes below `num_codes`. entity: i32[N], numbers from 0.
    Returns:
      f32[N], nats: log p(code) − log p(code | the entity's other rows), with smoothed shares. It is 0 for an entity's
      only row, and where the other rows support the code: a feature may be wrong in all rows, so agreement proves
      nothing.
    """
    chex.assert_equal_shape([codes, entity])
    counts = _counts(codes, num_codes, entity)
    share = (counts.sum(axis=0)[codes] + 0.5) / (len(codes) + 0.5 * num_codes)
    agreeing, others = counts[entity, codes] - 1, counts.sum(axis=1)[entity] - 1
    p = (agreeing + _PRIOR_ROWS * share) / (others + _PRIOR_ROWS)
    return np.maximum(np.log(share) - np.log(p), 0.0).astype(np.float32)
