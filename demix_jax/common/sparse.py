"""Sparse matrices, and what is done alike with them and with arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import issparse, vstack

Sparse: TypeAlias = Any  # scipy.sparse.csr_matrix, of whose attributes type checkers know only some


def stacked(*parts: Any) -> Any:
    """Arrays, or sparse matrices of equal width, one below the other.

    Example:
      >>> stacked(np.array([1, 2]), np.array([3])).tolist()
      [1, 2, 3]
    """
    return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)
