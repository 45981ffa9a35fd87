"""Columns of lists: vectors of numbers and sets of texts."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

from demix_jax.data.kinds import value_text

PARSED_SHARE = 0.9  # share of a column's values that must be lists (of numbers of one length)

_LISTS = (list, tuple, set, frozenset, np.ndarray)  # types of cells that hold several values


def holds_lists(column: pd.Series) -> bool:
    """Whether at least 90 % of a column's values are lists, tuples, sets or arrays."""
    if not (pd.api.types.is_object_dtype(column.dtype) or isinstance(column.dtype, pd.ArrowDtype)):
        return False
    cells = column.to_numpy(dtype=object)
    if not any(issubclass(of, _LISTS) for of in set(map(type, cells))):
        return False
    num_lists = sum(isinstance(cell, _LISTS) for cell in cells)
    return num_lists >= PARSED_SHARE * int(column.notna().sum())


def as_vectors(column: pd.Series, length: int | None = None) -> np.ndarray:
    """f32[N, d]: a column of lists of numbers; nested lists are flattened.

    A row is NaN where it is missing, has another length, or holds anything but numbers. Missing and infinite numbers
    are NaN.

    Args:
      length: d; None: the commonest length, of equally common ones the largest.
    """
    cells = column.to_numpy(dtype=object)
    lists = {row: flat for row, cell in enumerate(cells) if (flat := flat_numbers(cell)) is not None and len(flat)}
    if length is None:
        counts = Counter(map(len, lists.values()))
        length = max(counts, key=lambda n: (counts[n], n), default=0)
    vectors = np.full((len(cells), length), np.nan, np.float32)
    rows = [row for row, flat in lists.items() if len(flat) == length]
    if rows:
        vectors[rows] = np.stack([lists[row] for row in rows])
    vectors[~np.isfinite(vectors)] = np.nan
    return vectors


def is_missing(vectors: np.ndarray) -> np.ndarray:
    """bool[N]: the rows of `as_vectors` f32[N, d] without any number."""
    return np.asarray(np.isnan(vectors).all(axis=1))


def as_sets(column: pd.Series) -> list[tuple[str, ...] | None]:
    """For each of N rows the distinct texts of its list, in alphabetical order; None where the list is missing."""
    return [_texts_of(cell) if isinstance(cell, _LISTS) else None for cell in column.to_numpy(dtype=object)]


def flat_numbers(cell: object) -> np.ndarray | None:
    """f32[d]: the numbers of a list or of equally long lists in it; None if `cell` is anything else."""
    if not isinstance(cell, list | tuple | np.ndarray):
        return None
    try:
        values = np.asarray(cell).ravel()
    except ValueError:  # lists of several lengths
        return None
    if values.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
    if values.dtype.kind != "O":
        return None
    parts = [flat_numbers(part) if isinstance(part, _LISTS) else _one_number(part) for part in values]
    if any(part is None for part in parts) or len({len(part) for part in parts if part is not None}) > 1:
        return None
    return np.concatenate([part for part in parts if part is not None])


def _one_number(value: object) -> np.ndarray | None:
    """f32[1]: a number, NaN if it is missing; None if `value` is no number."""
    if value is None or value is pd.NA:
        return np.full(1, np.nan, np.float32)
    if not isinstance(value, Real | Decimal | np.bool_):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    with np.errstate(over="ignore"):
        return np.array([number]).astype(np.float32)


def _texts_of(cell: list | tuple | set | frozenset | np.ndarray) -> tuple[str, ...]:
    elements = cell.ravel().tolist() if isinstance(cell, np.ndarray) else cell
    present = (v for v in elements if isinstance(v, _LISTS) or not (v is None or v is pd.NA or v != v))
    return tuple(sorted({value_text(value) for value in present}))


def kind_of_lists(column: pd.Series) -> str:
    """The kind of a column that `holds_lists`.

    A vector: at least 90 % of the lists hold numbers and have one length in common. A set: any other lists; numbers in
    lists of several lengths, such as the articles of an order, are its elements. Constant: all lists are equal.
    """
    vectors = as_vectors(column)
    is_vector = ~is_missing(vectors)
    num_lists = sum(isinstance(cell, _LISTS) and len(cell) > 0 for cell in column.to_numpy(dtype=object))
    if is_vector.any() and is_vector.sum() >= PARSED_SHARE * num_lists:
        first = vectors[np.argmax(is_vector)]
        return (
            "constant" if np.array_equal(vectors, np.broadcast_to(first, vectors.shape), equal_nan=True) else "vector"
        )
    return "constant" if len(set(as_sets(column))) < 2 else "set"
