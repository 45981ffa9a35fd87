"""Notes after a diagnosis: a label that cannot be predicted, and so many flags that they cannot be right."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from demix_jax.common.wording import count, percent
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import as_numbers

_MOST_FLAGGED = 0.4
_FEW_ROWS = 200
_LOW_AUC, _LOW_R2 = 0.55, 0.02
_LOW_GAIN = 0.01  # accuracy above that of always predicting the commonest class
_LOW_BALANCED = 1.15  # times the balanced accuracy of guessing
_FEWEST_PIXELS = 50
_PIXEL_SHARE = 0.9


def unpredictable_label_note(validation: Mapping[str, float], target: pd.Series) -> str | None:
    """A sentence if held-out labels are predicted hardly better than by guessing, None otherwise.

    Args:
      validation: `Summary.validation`, with "auc", "r2", or "accuracy" and "balanced_accuracy". target: N labels.
    """
    if "auc" in validation:
        measured, is_low = f"AUC {validation['auc']:.2f}", validation["auc"] <= _LOW_AUC
    elif "r2" in validation:
        measured, is_low = f"R² {validation['r2']:.2f}", validation["r2"] <= _LOW_R2
    elif "accuracy" in validation and "balanced_accuracy" in validation:
        shares = target.value_counts(normalize=True)
        guessing = _LOW_BALANCED / max(1, int((shares > 0).sum()))
        gained = validation["accuracy"] - float(shares.iloc[0])
        is_low = gained <= _LOW_GAIN and validation["balanced_accuracy"] <= guessing
        measured = f"accuracy {percent(validation['accuracy'])}, commonest class {percent(float(shares.iloc[0]))}"
    else:
        return None
    if not is_low:
        return None
    return (
        f"The label can hardly be predicted from the other columns ({measured}), so labels cannot be judged here: that "
        "few are flagged does not mean that they are right. Add columns that bear on the label."
    )


def flag_share_note(share: float, table: Table, label_doubt: str | None = None) -> str | None:
    """A sentence if more than 40 % of the rows look wrong, with the likely reason; None otherwise.

    Args:
      share: of the rows with a wrong label or feature, 0 to 1. table: the N rows.
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
        f"{100 * share:.0f} % of the rows flagged, more than is plausible: {why}. Do not repair the table by these "
        "flags."
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
