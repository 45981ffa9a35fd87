"""Work on a few rows at a time, so that what is made of them fits in a processor's cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

_FEWEST = 64  # rows at a time; from fewer on, starting costs more than the cache saves


def map_parts(function: Callable[[Any], jax.Array], arrays: Any, num_rows: int) -> jax.Array:
    """`function` of pytree `arrays` with leading axis n, on a CPU part by part; use it under jit.

    Args:
      function: maps a pytree with leading axis m to an array with leading axis m, row by row.
      num_rows: at a time; fewer if n is not a multiple, all where no part of at least 64 rows divides n.
    Returns:
      The results one after the other, leading axis n.
    """
    total = len(jax.tree.leaves(arrays)[0])
    size = math.gcd(total, num_rows)
    if jax.default_backend() != "cpu" or size < _FEWEST:
        return function(arrays)
    parts = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), arrays)
    results = jax.lax.map(function, parts)
    return results.reshape(total, *results.shape[2:])
