"""The note after a diagnosis that calls more rows wrong than is plausible."""

from __future__ import annotations

import numpy as np

from demix_jax.common.wording import count
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import as_numbers

_MOST_FLAGGED = 0.4
_FEW_ROWS = 200
_FEWEST_PIXELS = 50
_PIXEL_SHARE = 0.9


def flag_share_note(share: float, table: Table, label_doubt: str | None = None) -> str | None:
    """A sentence if more than 40 % of the rows are called likely wrong, with the probable reason; None otherwise.

    Args:
      share: of the rows whose label or features are likely wrong, 0 to 1. table: the N rows.
      label_doubt: why labels cannot be judged, if so.
    """
    if share <= _MOST_FLAGGED:
        return None
    pixels = _num_pixels(table)
    if pixels:
        why = f"{pixels:,} number columns have one range, so this tool may not suit them if they are pixels or a signal"
    elif label_doubt is not None:
        why = "the label can hardly be judged from the other columns"
    elif len(table) < _FEW_ROWS:
        why = f"{count(len(table), 'row')} are few to learn from"
    else:
        why = "see whether the label is the right column and whether the columns were read as what they are"
    return (
        f"{100 * share:.0f} % of the rows called likely wrong, more than is plausible: {why}. Do not repair the "
        "table by this diagnosis."
    )


def _num_pixels(table: Table) -> int:
    """Number of the columns that share one range from 0, if they are 50 or more and nearly all of the columns."""
    largest: list[float] = []
    others = 0
    for _, column, values in table.features():
        numbers = as_numbers(values) if column.kind in ("number", "category") else np.full(1, np.nan)
        if column.kind == "constant":
            continue
        is_amount = np.isfinite(numbers).all() and numbers.min() >= 0 and (numbers == np.round(numbers)).all()
        if is_amount:
            largest.append(float(numbers.max()))
        else:
            others += 1
    if len(largest) < max(_FEWEST_PIXELS, _PIXEL_SHARE * (len(largest) + others)):
        return 0
    return len(largest) if np.median(largest) >= 0.9 * max(largest) else 0
