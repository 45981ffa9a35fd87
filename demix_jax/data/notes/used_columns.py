"""Notes on classes of few rows and on columns that say little."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from demix_jax.common.wording import count, listed, shortened
from demix_jax.data.inspected_table import Table

_FEW = 10
_NEARLY_ALL = 0.99
_MOST_NAMED = 8


def class_size_note(target: pd.Series, spellings: Mapping[str, str]) -> str | None:
    """A sentence on the classes of fewer than ten rows, None if there are none.

    Args:
      target: N classes. spellings: from `label_spellings`; rows with a rarer spelling count for the commonest one.
    """
    sizes: dict[object, int] = {}
    for value, size in target.value_counts().items():
        meant = spellings.get(value, value) if isinstance(value, str) else value
        sizes[meant] = sizes.get(meant, 0) + int(size)
    few = sorted((str(value), size) for value, size in sizes.items() if 0 < size < _FEW)
    if not few:
        return None
    if len(few) == 1:
        return (
            f"Class {few[0][0]!r} has {count(few[0][1], 'row')}: too few to judge; give it more rows or leave it out."
        )
    shown = [f"{name!r} ({count(size, 'row')})" for name, size in few[:_MOST_NAMED]]
    shown += [f"{len(few) - _MOST_NAMED} more"] if len(few) > _MOST_NAMED else []
    return f"Classes {listed(shown)} have too few rows to judge; give them more rows or leave them out."


def column_notes(table: Table) -> list[str]:
    """Sentences on columns of one value, of nearly one value, and of a different value in every row."""
    notes = []
    for kind, why in (("constant", "the same value in every row"), ("identifier", "a different value in every row")):
        names = sorted(column.name for column in table.columns if column.kind == kind)
        if names:
            notes.append(f"Not used, because of {why}: {shortened(names)}.")
    nearly = sorted(column.name for _, column, values in table.features() if column.used and _is_nearly_one(values))
    if nearly:
        notes.append(
            f"One value in {100 * _NEARLY_ALL:.0f} % of the rows or more: {shortened(nearly)}; such columns say "
            "little: check that they were filled in, or leave them out with --ignore."
        )
    return notes


def _is_nearly_one(values: pd.Series) -> bool:
    """Whether one value, or none, is in nearly all rows; columns of arrays or tuples are not looked at."""
    try:
        codes = pd.factorize(values)[0]
    except TypeError:
        return False
    return bool(np.bincount(codes + 1).max() >= _NEARLY_ALL * len(values))
