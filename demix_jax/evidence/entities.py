"""How a cell fits the other rows of the same user or item, where a column describes these and not the row."""

from __future__ import annotations

import numpy as np

_PRIOR_ROWS = 0.5  # what the column's own shares weigh beside an entity's other rows


def entity_surprise(codes: np.ndarray, num_codes: int, entity: np.ndarray) -> np.ndarray:
    """Surprise of the cells of one column, given the cells of the same entity's other rows.

    Args:
      codes: i32[N], the column's codes below `num_codes`. entity: i32[N], numbers from 0.
    Returns:
      f32[N], −log p(code | other rows) minus the entropy of that distribution, as in `CellEvidence`; 0 for a row that
      is its entity's only one.
    """
    num_entities = int(entity.max()) + 1
    flat = entity.astype(np.int64) * num_codes + codes
    counts = np.bincount(flat, minlength=num_entities * num_codes).reshape(num_entities, num_codes).astype(np.float32)
    prior = (counts.sum(axis=0) + 0.5) / (len(codes) + 0.5 * num_codes)
    rows = np.arange(len(codes))
    others = counts[entity]
    others[rows, codes] -= 1
    p = (others + _PRIOR_ROWS * prior) / (others.sum(axis=1, keepdims=True) + _PRIOR_ROWS)
    surprise = -np.log(p[rows, codes]) + np.sum(p * np.log(p), axis=1)
    return np.where(others.sum(axis=1) > 0, surprise, 0.0).astype(np.float32)
