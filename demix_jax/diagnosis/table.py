"""The table of a diagnosis: flags, probabilities, and what to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.evidence.mistakes.model import Mistakes

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Column

SUSPECT_NATS = 2.0  # a cell this much less probable than usual stands out


def diagnosis_table(
    index: pd.Index,
    flags: np.ndarray,
    probability: np.ndarray,
    expected_label: np.ndarray,
    cell_surprise: np.ndarray,
    columns: tuple[Column, ...],
    mistakes: Mistakes | None,
) -> pd.DataFrame:
    """The table of a `Diagnosis`: flags bool[N, 3] and probabilities f32[N, 3], and what to look at; see `Evidence`."""
    import pandas as pd

    table: dict[str, Any] = {name: flags[:, t].astype(np.int64) for t, name in enumerate(ERROR_TYPES)}
    table |= {f"p_{name}": probability[:, t] for t, name in enumerate(ERROR_TYPES)}
    suggested = expected_label.copy()
    suggested[~flags[:, 0]] = None
    table["suggested_label"] = suggested
    names = np.array([str(column.name) for column in columns], dtype=object)
    suspect = np.full(len(index), "", dtype=object)
    for row in np.flatnonzero(flags[:, 1]):
        surprise = cell_surprise[row]
        stands_out = np.flatnonzero(surprise >= min(SUSPECT_NATS, surprise.max()))
        suspect[row] = ";".join(names[stands_out[np.argsort(-surprise[stands_out])]])
    table["suspect_columns"] = suspect
    if mistakes is not None:
        table["mistake"] = np.where(flags[:, 1], mistakes.names(probability[:, 1]), "")
    return pd.DataFrame(table, index=index)


class Tally:
    """Counts flagged rows, a few at a time."""

    def __init__(self) -> None:
        self._num_rows, self._wrong = 0, 0
        self._flagged, self._probability = np.zeros(len(ERROR_TYPES), np.int64), np.zeros(len(ERROR_TYPES))

    def add(self, flags: np.ndarray, probability: np.ndarray) -> None:
        """Count flags bool[n, 3] and probabilities f32[n, 3]."""
        self._num_rows += len(flags)
        self._wrong += int(flags[:, :2].any(axis=1).sum())
        self._flagged += flags.sum(axis=0)
        self._probability += (flags * probability).sum(axis=0, dtype=np.float64)

    def summary(self) -> dict[str, Any]:
        """rows; wrong_rows, with an error of the label or of features; counts, rates and the mean probability of those
        flagged (None if there is none), by type."""
        counts = dict(zip(ERROR_TYPES, self._flagged.tolist(), strict=True))
        sums = zip(self._probability, self._flagged, strict=True)
        return {
            "rows": self._num_rows,
            "wrong_rows": self._wrong,
            "counts": counts,
            "rates": {name: count / self._num_rows for name, count in counts.items()},
            "mean_probability": dict(zip(ERROR_TYPES, (p / n if n else None for p, n in sums), strict=True)),
        }
