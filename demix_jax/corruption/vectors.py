"""Columns of vectors for error injection, and the kinds of feature errors that suit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_FACTORS = (0.1, 10.0, 100.0)
_NOISE = 3.0  # standard deviations of each dimension


@dataclass(frozen=True)
class CleanVectors:
    """A column of vectors.

    Attributes:
      values: f32[N, d], clean; NaN in missing rows. std: f32[d].
    """

    values: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> CleanVectors:
        """Describe f32[N, d]."""
        return cls(values, np.nan_to_num(np.nanstd(values, axis=0, dtype=np.float64)).astype(np.float32))

    @property
    def missing(self) -> np.ndarray:
        """bool[N]: the rows without a vector."""
        return _is_missing(self.values)

    def differs(self, new: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """bool[n]: whether the vectors f32[n, d] differ from those in `rows` i64[n]."""
        old = self.values[rows]
        return np.asarray(~((new == old) | (np.isnan(new) & np.isnan(old))).all(axis=1))


def _is_missing(vectors: np.ndarray) -> np.ndarray:
    """bool[n]: the rows of f32[n, d] without any number."""
    return np.asarray(np.isnan(vectors).all(axis=1))


def cells_of(vectors: np.ndarray) -> np.ndarray:
    """object[n]: the vectors f32[n, d] as cells of a table; None where missing."""
    cells = np.empty(len(vectors), object)
    cells[:] = [None if gone else vector for vector, gone in zip(vectors, _is_missing(vectors), strict=True)]
    return cells


# Each kind returns the new vectors (f32[n, d]; NaN: missing) of the cells `rows` (i64[n]).


def _noise(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + _NOISE * column.std * rng.standard_normal((len(rows), len(column.std)))


def _scale(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] * rng.choice(_FACTORS, (len(rows), 1))


def _sign(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return -column.values[rows]


def _permute(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rng.choice(np.flatnonzero(~column.missing), len(rows))]


def _zero(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros((len(rows), len(column.std)))


def _missing(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full((len(rows), len(column.std)), np.nan)


def _previous(column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    before = column.values[rows - 1]
    return np.where(column.missing[rows - 1][:, None], column.values[rows], before)


VECTOR_KINDS = {
    "noise": _noise,
    "scale": _scale,
    "sign": _sign,
    "permute": _permute,
    "constant": _zero,
    "missing": _missing,
    "stale": _previous,
}
_VISIBLE = ("noise", "scale", "constant", "missing")


def suitable_vector_kinds(kinds: Sequence[str]) -> list[str]:
    """Those of `kinds` that suit vectors.

    A vector that was exchanged for another row's, or turned round, looks as right as before. If a kind that can be
    seen is among `kinds`, only such kinds are drawn: a probe of the others would say that ordinary vectors are wrong.
    """
    return [kind for kind in kinds if kind in _VISIBLE] or [kind for kind in kinds if kind in VECTOR_KINDS]


def new_vectors(kind: str, column: CleanVectors, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """f32[n, d]: new vectors of the cells `rows` (i64[n]) by one of VECTOR_KINDS."""
    with np.errstate(over="ignore"):
        return VECTOR_KINDS[kind](column, rows, rng).astype(np.float32)
