"""Columns that repeat another column, as it is or with other names for its values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.wording import shortened
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import Column, as_dates, as_numbers, levels

_ROWS_PER_NAME = 5  # columns of fewer rows per value may match by chance under other names
_MOST_GROUPS = 5


class Repeated(NamedTuple):
    """Columns with the same values. names: sorted. renamed: whether some have other names for the values."""

    names: tuple[str, ...]
    renamed: bool


def repeated_columns(table: Table) -> list[Repeated]:
    """Groups of used columns that repeat each other in all rows, sorted by name."""
    groups: dict[bytes, list[tuple[str, bytes]]] = {}
    for _, column, values in table.features():
        if column.used and column.kind not in ("vector", "set"):
            same, renamed = _signatures(column, values)
            groups.setdefault(renamed, []).append((column.name, same))
    repeated = [sorted(group) for group in groups.values() if len(group) > 1]
    found = [Repeated(tuple(name for name, _ in group), len({same for _, same in group}) > 1) for group in repeated]
    return sorted(found)


def _signatures(column: Column, values: pd.Series) -> tuple[bytes, bytes]:
    """Digests of a column's values, and of its values whatever their names, if these are few."""
    if column.kind == "number":
        numbers = as_numbers(values) + 0.0  # −0 becomes 0
        codes, distinct = pd.factorize(numbers)
        content = numbers.tobytes()
    elif column.kind == "date":
        codes, distinct = pd.factorize(as_dates(values))
        content = np.asarray(distinct).tobytes() + codes.tobytes()
    else:
        codes, distinct = levels(values)
        content = "\0".join(distinct).encode("utf-8", "surrogatepass") + codes.tobytes()
    same = hashlib.sha256(content).digest()
    return same, hashlib.sha256(codes.tobytes()).digest() if _ROWS_PER_NAME * len(distinct) <= len(codes) else same


def repeat_notes(repeated: Sequence[Repeated]) -> list[str]:
    """A sentence for each group of `repeated_columns`; at most five."""
    sentences = []
    for group in repeated[:_MOST_GROUPS]:
        how = "up to the names of the values" if group.renamed else "in every row"
        sentences.append(
            f"The same is in {shortened(list(group.names))} {how}: a shortcut or a wrong cell in one is also seen in "
            "the other; keep one and leave out the rest with --ignore."
        )
    return sentences
