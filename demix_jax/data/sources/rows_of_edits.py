"""The part of `Edits` that falls on a range of rows, for sources that are written part by part."""

from __future__ import annotations

import numpy as np

from demix_jax.data.sources.source import Edits, NewCells


def edits_between(edits: Edits, start: int, stop: int) -> Edits:
    """Edits of the rows from `start` up to `stop`, which count from 0 again.

    Example:
      >>> edits = Edits(cells={"a": NewCells(np.array([2, 7]), ["x", "y"])})
      >>> edits_between(edits, 5, 10).cells["a"].rows
      array([2])
    """
    cells = {}
    for name, new in edits.cells.items():
        low, high = np.searchsorted(new.rows, [start, stop])
        if high > low:
            cells[name] = NewCells(np.asarray(new.rows[low:high]) - start, new.values[low:high])
    dropped = None if edits.dropped is None else edits.dropped[start:stop]
    return Edits(cells=cells, dropped=dropped, added={name: values[start:stop] for name, values in edits.added.items()})
