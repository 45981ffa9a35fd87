"""Maps functions over batches of rows whose intermediate results fit in a processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

_FEWEST = 64  # rows per batch; below this, the overhead exceeds the gain from the cache


def map_parts(function: Callable[[Any], jax.Array], arrays: Any, num_rows: int) -> jax.Array:
    """Apply `function` to pytree `arrays` with leading axis n, in batches on a CPU; call it under jit.

    Args:
      function: maps a pytree with leading axis m to an array with leading axis m, row by row.
      num_rows: a batch has gcd(n, num_rows) rows; below 64, all n rows are mapped at once.
    Returns:
      Concatenated results with leading axis n.
    """
    total = len(jax.tree.leaves(arrays)[0])
    size = math.gcd(total, num_rows)
    if jax.default_backend() != "cpu" or size < _FEWEST:
        return function(arrays)
    parts = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), arrays)
    results = jax.lax.map(function, parts)
    return results.reshape(total, *results.shape[2:])
