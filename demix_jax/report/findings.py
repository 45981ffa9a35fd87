"""Facts about single findings: the most certain rows, suspect columns and influenced validation samples."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.bands import IN_LIKELY, IN_LOOK
from demix_jax.common.error_types import ERROR_TYPES

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.diagnosis.result import Diagnosis

MAX_SUSPECTS = 4


class Witness(NamedTuple):
    """A validation sample: row number, label, and the training row's influence on it."""

    row: int
    label: object
    influence: float


def column(frame: pd.DataFrame, name: object) -> pd.Series:
    """The column whose name as a string is `name`."""
    return frame.iloc[:, [str(key) for key in frame.columns].index(str(name))]


def row_number(diagnosis: Diagnosis, row: int) -> int:
    """The row's number in the file, counted from 0."""
    return row if diagnosis.summary.drawn_from is None else int(diagnosis.train.index[row])


def most_certain(diagnosis: Diagnosis, error_type: str, limit: int = 10, *, band: str | None = None) -> np.ndarray:
    """Positions of at most `limit` rows flagged for one error type, most probable first.

    Args:
      band: "likely" or "look": rows of this band only; None: of both.
    """
    bands = diagnosis.bands(error_type)
    chosen = {None: bands.likely | bands.look, IN_LIKELY: bands.likely, IN_LOOK: bands.look}[band]
    rows = np.flatnonzero(chosen)
    probability = diagnosis.probability[rows, ERROR_TYPES.index(error_type)]
    return rows[np.argsort(-probability, kind="stable")][:limit]


def suspects(diagnosis: Diagnosis, row: int) -> dict[str, float]:
    """Suspect columns of the row with their surprise in nats above the usual, most surprising first.

    These are the columns that the diagnosis names, or else at most four that are more than one nat above the usual.
    """
    evidence = diagnosis.evidence
    values = np.nan_to_num(evidence.cell_surprise[row].astype(float))
    surprise = {c.name: float(nats) for c, nats in zip(evidence.columns, values, strict=True)}
    named = set(evidence.suspects.get(row, ()))
    names = [name for name in surprise if name in named]
    names = names or [name for name, nats in surprise.items() if nats > 1.0][:MAX_SUSPECTS]
    return {name: surprise[name] for name in sorted(names, key=lambda name: -surprise[name])}


def times_suspect(diagnosis: Diagnosis) -> Counter[str]:
    """Number of rows flagged for feature errors in which each column is suspect."""
    return Counter(name for names in diagnosis.evidence.suspects.values() for name in names)


def witnesses(diagnosis: Diagnosis, row: int, limit: int = 3) -> tuple[list[Witness], list[Witness]]:
    """Validation samples that the row helps most (influence < 0) and harms most (influence > 0)."""
    influence = np.asarray(diagnosis.influence[row], dtype=float)
    places = np.asarray(diagnosis.validation_rows)[diagnosis.fold[row]]
    labels = column(diagnosis.valid, diagnosis.label)
    usable = np.flatnonzero(np.isfinite(influence) & (places >= 0))
    order = usable[np.argsort(influence[usable], kind="stable")]
    helped = [m for m in order[:limit] if influence[m] < 0]
    harmed = [m for m in order[::-1][:limit] if influence[m] > 0]

    def witness(m: int) -> Witness:
        place = int(places[m])
        number = row_number(diagnosis, place) if diagnosis.valid is diagnosis.train else place
        return Witness(number, labels.iloc[place], float(influence[m]))

    return [witness(m) for m in helped], [witness(m) for m in harmed]
