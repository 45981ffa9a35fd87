"""Per-example gradients of any JAX loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

PyTree = Any
Loss = Callable[[PyTree, PyTree], jax.Array]


def per_example_gradients(loss: Loss, params: PyTree, batch: PyTree) -> PyTree:
    """Gradient of each example's loss, formed in full.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `batch`.
      params: pytree of P floating-point entries in all.
      batch: pytree whose leaves share a leading axis N.
    Returns:
      Pytree like `params`, each leaf with a leading axis N.
    """
    return jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)
