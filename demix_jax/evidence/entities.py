"""How a cell fits the other rows of the same user or item, where a column describes these and not the row."""

from __future__ import annotations

import numpy as np

_PRIOR_ROWS = 0.2  # what the column's own shares weigh beside an entity's other rows


def entity_contradiction(codes: np.ndarray, num_codes: int, entity: np.ndarray) -> np.ndarray:
    """How much the same entity's other rows speak against each cell of one column.

    Args:
      codes: i32[N], the column's codes below `num_codes`. entity: i32[N], numbers from 0.
    Returns:
      f32[N] nats, by how much the code is less probable among the entity's other rows than in the column, log p(code) −
      log p(code | other rows) with smoothed shares; 0 where they bear it out, and for a row that is its entity's only
      one. Other rows that agree are no proof, as a feature may be wrong in all of them.
    """
    num_entities = int(entity.max()) + 1
    flat = entity.astype(np.int64) * num_codes + codes
    counts = np.bincount(flat, minlength=num_entities * num_codes).reshape(num_entities, num_codes)
    share = (counts.sum(axis=0)[codes] + 0.5) / (len(codes) + 0.5 * num_codes)
    agreeing, others = counts[entity, codes] - 1, counts.sum(axis=1)[entity] - 1
    p = (agreeing + _PRIOR_ROWS * share) / (others + _PRIOR_ROWS)
    return np.maximum(np.log(share) - np.log(p), 0.0).astype(np.float32)
