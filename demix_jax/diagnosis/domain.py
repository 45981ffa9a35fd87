"""What a kind of data must offer to be diagnosed: the interface `Domain`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from demix_jax.common.progress import StepTimer
from demix_jax.data.folds import Folds
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
    """Samples as rows of evidence, one for each; N samples.

    Attributes:
      table: N rows with the label, inspected. task: "classification" or "regression".
      fingerprint: SHA-256 of the samples as the user gave them.
      model: name of the task model.
      valid: trusted rows with the same columns; None to cross-fit the N rows.
      named: the N rows with columns that name a sample and are no features; None where there are none.
      identifiers: those columns.
      roles: names of the columns that describe the one and the other party of a sample, such as user and item; the
        likeliest shortcut is then sought among these, one by one and one of each role together. None: no such roles.
      width_multiple: encoded features are padded with zeros to a multiple of it, so that tables of like width share
        compiled programs.
      notes: sentences that a person should read. source: path of the file, None if there is none.
      task_name: what the summary calls the task; None for the name of the encoded one.
      settings: what else the summary is to hold.
    """

    table: Table
    task: str
    fingerprint: str
    model: str
    valid: pd.DataFrame | None = None
    named: pd.DataFrame | None = None
    identifiers: tuple[str, ...] = ()
    roles: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    width_multiple: int = 1
    notes: tuple[str, ...] = ()
    source: str | None = None
    task_name: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def frame(self) -> pd.DataFrame:
        """The N rows as they are shown."""
        return self.table.frame if self.named is None else self.named


class Domain(Protocol):
    """Samples of one kind as a diagnosis sees them: rows of evidence, and task models whose influence is compared.

    known_mistakes: whether people entered the cells, so that known mistakes are looked for.
    """

    @property
    def known_mistakes(self) -> bool: ...

    def rows(self, steps: StepTimer) -> Rows:
        """One row per sample."""
        ...

    def check(self, dataset: Dataset) -> None:
        """InputError where the task model does not suit the encoded rows; called before any work is done."""
        ...

    def refine(self, evidence: RowEvidence, dataset: Dataset, *, seed: int, steps: StepTimer) -> RowEvidence:
        """`evidence` with what only this kind of data can tell, such as the features of a user's other samples."""
        ...

    def task_models(self, dataset: Dataset, folds: Folds, *, seed: int, on_fold: Callable[[int], None]) -> FoldModels:
        """A task model per fold; `on_fold` is called with the number of folds done."""
        ...

    def altered(self, encode: Encode, evidence: RowEvidence, *, seed: int, steps: StepTimer) -> AlteredRows | None:
        """Samples with errors put in on purpose, for probes; None: the classifier does without.

        Args:
          encode: turns rows into the kind of dataset that `evidence` is of.
        """
        ...

    def presentation(self, models: FoldModels, evidence: RowEvidence) -> Presentation:
        """How a diagnosis by these task models is shown; it must not hold on to the models."""
        ...
