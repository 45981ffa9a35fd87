"""`Domain`, the interface that a kind of data implements to be diagnosed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from demix_jax.common.progress import StepTimer
from demix_jax.data.folds.plan import Folds
from demix_jax.diagnosis.fold_models import FoldModels
from demix_jax.diagnosis.probes import AlteredRows
from demix_jax.diagnosis.result import Presentation
from demix_jax.evidence.row_evidence import RowEvidence

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Dataset, Table

Encode = Callable[["pd.DataFrame"], "Dataset"]


@dataclasses.dataclass(frozen=True)
class Rows:
    """N samples as rows of evidence, one row per sample.

    Attributes:
      table: the N rows with their label, inspected. task: "classification" or "regression".
      fingerprint: SHA-256 of the samples as the user gave them. row_fingerprints: u64[N], see `row_fingerprints`.
      model: name of the task model.
      valid: trusted rows with the same columns, parsed; None: cross-fit the N rows.
      named: the N rows with additional identifier columns, which are not features; None if there are none.
      identifiers: names of the identifier columns.
      roles: names of the columns that describe either party of a sample, such as user and item. Shortcuts are then
        sought in each of these columns and in pairs with one column per role. None: no such roles.
      shared_width: whether encoded features are zero-padded to a power of two, so that tables of similar width share
        compiled programs.
      groups: i64[N], rows that belong together, such as copies or rows of one person, have the same number: no model
        that judges a row is trained on its group. None: no row belongs to another.
      times: f64[N], the time of each row, NaN where missing: a row is judged by models of earlier rows. None: time
        plays no part.
      notes: sentences for the user. label_doubt: see `Summary`. source: path of the file, None if there is none.
      task_name: name of the task in the summary; None: the name of the encoded task.
      settings: further entries of the summary.
    """

    table: Table
    task: str
    fingerprint: str
    row_fingerprints: np.ndarray
    model: str
    valid: pd.DataFrame | None = None
    named: pd.DataFrame | None = None
    identifiers: tuple[str, ...] = ()
    roles: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    shared_width: bool = False
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    label_doubt: str | None = None
    source: str | None = None
    task_name: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def frame(self) -> pd.DataFrame:
        """The N rows for display, as they were given."""
        return self.table.written if self.named is None else self.named


class Domain(Protocol):
    """Samples of one kind for a diagnosis: rows of evidence, and task models that give their influence.

    known_mistakes: whether people entered the cells, so that known mistakes are looked for.
    """

    @property
    def known_mistakes(self) -> bool: ...

    def rows(self, steps: StepTimer) -> Rows:
        """One row per sample."""
        ...

    def check(self, dataset: Dataset) -> None:
        """Raise InputError if the task model does not suit the encoded rows; called before any work is done."""
        ...

    def refine(self, evidence: RowEvidence, dataset: Dataset, *, seed: int, steps: StepTimer) -> RowEvidence:
        """Add evidence that only this kind of data offers, such as the features of a user's other samples."""
        ...

    def task_models(self, dataset: Dataset, folds: Folds, *, seed: int, on_fold: Callable[[int], None]) -> FoldModels:
        """Train one task model per fold; `on_fold` is called with the number of folds done."""
        ...

    def altered(self, encode: Encode, evidence: RowEvidence, *, seed: int, steps: StepTimer) -> AlteredRows | None:
        """Samples with injected errors for probes; None: the classifier works without probes.

        Args:
          encode: encodes rows like the dataset that `evidence` describes. steps: times and reports the work.
        """
        ...

    def presentation(self, models: FoldModels, evidence: RowEvidence) -> Presentation:
        """Presentation of a diagnosis by these task models; it must not keep a reference to the models."""
        ...
