"""The table of a diagnosis: flags, probabilities, bands and suspect columns; and the counts of its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import chex
import numpy as np

from demix_jax.common.bands import BAND_COLUMNS, bands_of
from demix_jax.common.error_types import ERROR_TYPES, FEATURE_ERROR, LABEL_ERROR
from demix_jax.common.row_names import ROW_FINGERPRINT, fingerprint_texts

if TYPE_CHECKING:
    import pandas as pd

SUSPECT_NATS = 2.0  # a cell this much less probable than usual stands out


def suspect_columns(flagged: np.ndarray, cell_surprise: np.ndarray, names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Find the columns that stand out in each flagged row, most surprising first.

    The most surprising column is always included.

    Args:
      flagged: bool[N]. cell_surprise: f32[N, Q], nats above the usual. names: of the Q columns.
    Returns:
      Row number -> column names.
    """
    found = {}
    for row in np.flatnonzero(flagged).tolist():
        surprise = cell_surprise[row]
        stands_out = np.flatnonzero(surprise >= min(SUSPECT_NATS, surprise.max()))
        found[row] = tuple(names[q] for q in stands_out[np.argsort(-surprise[stands_out])])
    return found


def with_fingerprints(table: pd.DataFrame, fingerprints: np.ndarray) -> pd.DataFrame:
    """A table of N rows with their fingerprints u64[N] as last column."""
    return table.assign(**{ROW_FINGERPRINT: fingerprint_texts(fingerprints)})


def flags_table(index: pd.Index, flags: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """Columns shared by all kinds of data, from flags bool[N, 3] and probabilities f32[N, 3]."""
    import pandas as pd

    columns: dict[str, Any] = {name: flags[:, t].astype(np.int64) for t, name in enumerate(ERROR_TYPES)}
    columns |= {f"p_{name}": probability[:, t] for t, name in enumerate(ERROR_TYPES)}
    columns |= dict(zip(BAND_COLUMNS, bands_of(flags, probability).named().T, strict=True))
    return pd.DataFrame(columns, index=index)


def row_table(
    index: pd.Index,
    flags: np.ndarray,
    probability: np.ndarray,
    *,
    expected_label: np.ndarray,
    suspects: Mapping[int, tuple[str, ...]],
    mistakes: np.ndarray | None,
) -> pd.DataFrame:
    """`Diagnosis.table` of table rows; see `Diagnosis` and `Evidence` for the arguments."""
    table = flags_table(index, flags, probability)
    suggested = expected_label.copy()
    suggested[~flags[:, ERROR_TYPES.index("label_error")]] = None
    table["suggested_label"] = suggested
    table["suspect_columns"] = [json.dumps(suspects.get(row, ()), ensure_ascii=False) for row in range(len(index))]
    if mistakes is not None:
        table["mistake"] = mistakes
    return table


class FlagCounts(NamedTuple):
    """rows: number of rows. Others as in `Summary`."""

    rows: int
    wrong_rows: int
    look_rows: int
    likely: dict[str, int]
    look: dict[str, int]
    rates: dict[str, float]
    mean_probability: dict[str, float | None]


class Tally:
    """Counts likely rows and rows worth a look batch by batch."""

    def __init__(self) -> None:
        self._num_rows, self._wrong, self._look_only = 0, 0, 0
        self._likely, self._look = np.zeros((2, len(ERROR_TYPES)), np.int64)
        self._probability = np.zeros(len(ERROR_TYPES))

    def add(self, flags: np.ndarray, probability: np.ndarray) -> None:
        """Count flags bool[n, 3] and probabilities f32[n, 3]."""
        chex.assert_shape([flags, probability], (len(flags), len(ERROR_TYPES)))
        of_wrong = [LABEL_ERROR.column, FEATURE_ERROR.column]
        likely, look = bands_of(flags, probability)
        wrong = likely[:, of_wrong].any(axis=1)
        self._num_rows += len(flags)
        self._wrong += int(wrong.sum())
        self._look_only += int((look[:, of_wrong].any(axis=1) & ~wrong).sum())
        self._likely += likely.sum(axis=0)
        self._look += look.sum(axis=0)
        self._probability += (likely * probability).sum(axis=0, dtype=np.float64)

    def counted(self) -> FlagCounts:
        """Counts of all rows added so far."""
        sums = zip(self._probability, self._likely, strict=True)
        return FlagCounts(
            rows=self._num_rows,
            wrong_rows=self._wrong,
            look_rows=self._look_only,
            likely=dict(zip(ERROR_TYPES, self._likely.tolist(), strict=True)),
            look=dict(zip(ERROR_TYPES, self._look.tolist(), strict=True)),
            rates=dict(zip(ERROR_TYPES, (self._likely / self._num_rows).tolist(), strict=True)),
            mean_probability=dict(zip(ERROR_TYPES, (float(p / n) if n else None for p, n in sums), strict=True)),
        )
