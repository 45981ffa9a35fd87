"""Rows that belong together: those of one person, patient or session, and copies of each other."""

from __future__ import annotations

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.wording import percent
from demix_jax.data.row_hashes import cell_hashes

_LARGE = 0.5  # share of the rows in one group from which on a note says so


def group_numbers(column: pd.Series) -> np.ndarray:
    """i64[N]: number of the group of each row; equal values are one group, a row without a value is its own.

    Args:
      column: N values of the column that the user names, such as a person.
    Raises:
      InputError: fewer than two groups, or every row is a group of its own.
    """
    missing = column.isna().to_numpy()
    _, numbers = np.unique(cell_hashes(column), return_inverse=True)
    numbers = np.where(missing, numbers.max() + 1 + np.arange(len(column)), numbers).astype(np.int64)
    num_groups = len(np.unique(numbers))
    if num_groups < 2:
        raise InputError(
            f"The column of groups, {str(column.name)!r}, has one value in every row; expected at least two groups. "
            "Choose a column that tells persons, sessions or the like apart, or none."
        )
    if num_groups == len(column):
        raise InputError(
            f"The column of groups, {str(column.name)!r}, has another value in every row, so no rows belong together; "
            "choose a column whose values repeat, or none."
        )
    return numbers


def joined_groups(*groups: np.ndarray) -> np.ndarray:
    """i64[N]: the finest groups that keep together what any of `groups`, each i64[N], keeps together.

    Example:
      >>> joined_groups(np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8]))
      array([0, 0, 0, 1, 2])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num_rows = len(groups[0])
    places, start = [], num_rows
    for one in groups:
        _, numbers = np.unique(one, return_inverse=True)
        places.append(start + numbers)
        start += int(numbers.max()) + 1
    ends = np.tile(np.arange(num_rows), len(groups)), np.concatenate(places)
    links = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(start, start))
    _, component = connected_components(links, directed=False)
    _, numbers = np.unique(component[:num_rows], return_inverse=True)
    return numbers.astype(np.int64)


def large_group_note(groups: np.ndarray) -> str | None:
    """A sentence if one group of i64[N] has most of the rows: the models that judge it are trained on few rows."""
    share = float(np.unique(groups, return_counts=True)[1].max() / len(groups))
    if share <= _LARGE:
        return None
    return (
        f"One group has {percent(share)} of the rows: the models that judge it are trained on the others alone, so "
        "its findings are less reliable."
    )


def row_times(column: pd.Series) -> np.ndarray:
    """f64[N]: the time of each row, in any unit; NaN where it is missing.

    Args:
      column: N dates or numbers of the column that the user names.
    Raises:
      InputError: the column holds neither dates nor numbers.
    """
    dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        times = column.astype("int64").to_numpy(dtype=np.float64)
    elif pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype) and dtype.kind != "c":
        times = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        raise InputError(
            f"The column of times, {str(column.name)!r}, holds neither dates nor numbers; choose a column of dates or "
            "of numbers that grow with time."
        )
    return np.where(column.isna().to_numpy(), np.nan, times)
