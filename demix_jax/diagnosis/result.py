"""What a diagnosis found, why, and how it is shown."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from demix_jax.classifier.decision import MOST_IN_DOUBT
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.target import Target
from demix_jax.common.wording import Html, Words

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Column


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A rule "group ⇔ side of the label" made by one column, or by two, and what it says of each of N rows.

    column: name. second: name of the other column, where two make the rule.
    strength: share of the label side's entropy that the rule explains, 0 to 1.
    values: object[N], the row's side of the rule in words ("sex = Male", "age ≤ 28").
    expected: object[N], the label that most such rows have. p_expected: f32[N], the share of them that have it.
    """

    column: str
    strength: float
    values: np.ndarray
    expected: np.ndarray
    p_expected: np.ndarray
    second: str | None = None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a diagnosis is explained with; N rows, Q columns.

    expected_label: object[N], out-of-fold prediction in original label values.
    p_given_label: f32[N], out-of-fold probability of the given label (regression: tail probability of the residual).
    cell_surprise: f32[N, Q], nats above what is usual in the cell's place, see `cell_doubt`.
    columns: the Q columns.
    shortcuts: likeliest first; may be empty.
    shortcut_broken: i32[N], index of the rule that the row breaks most, −1 if none.
    suspects: for each row flagged for a feature error, the names of the columns that stand out, most suspect first.
    mistakes: object[N], the known mistake behind a feature error, see `Diagnosis`; None where they are not looked for.
    original: i32[N], the row that this one may be a copy of, −1 if none; None where copies are not looked for.
    """

    expected_label: np.ndarray
    p_given_label: np.ndarray
    cell_surprise: np.ndarray
    columns: tuple[Column, ...]
    shortcuts: tuple[Shortcut, ...]
    shortcut_broken: np.ndarray
    suspects: Mapping[int, tuple[str, ...]]
    mistakes: np.ndarray | None = None
    original: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class UsedClassifier:
    """The error classifier behind a diagnosis: its name, the SHA-256 of its weights, and its training tables."""

    name: str
    sha256: str
    trained_on: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class NoisyGroupSummary:
    """A group of rows whose labels are often wrong.

    group: in words ("job = clerk or cook"). share: of all rows that are in it. rate: share of its labels that seem
    wrong.
    """

    group: str
    share: float
    rate: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts, settings and versions of a diagnosis; `as_dict` is what summary.json holds.

    Attributes:
      rows: of the whole table, also where only a sample of it was explained. wrong_rows: with a wrong label or feature.
      counts, rates, mean_probability: flagged rows by error type: how many, as a share, and their mean probability
        (None where there is none).
      valid_rows: of the validation table; 0 where the training rows were cross-fitted.
      label: name of the label column. task: "classification", "regression" or "preference".
      fingerprint: SHA-256 of the diagnosed data.
      thresholds: probability from which on a row is flagged, by error type.
      held_back: error types of which few rows were flagged, since the data may have no such error.
      validation: how well the task model predicts held-out rows, by metric.
      columns: name to kind.
      seconds: by step. versions: of Python and packages.
      model: task model. seed: as given. train: path of the diagnosed file, None if there is none.
      notes: sentences that a person should read.
      noisy_group: rows whose labels are often wrong, None if no such group was found.
      identifiers: columns that name a row and are no features.
      drawn_from, fitted_rows: of a table larger than memory: all its rows, and those that models were fitted on.
      settings: what else was set, by name.
    """

    rows: int
    wrong_rows: int
    counts: Mapping[str, int]
    rates: Mapping[str, float]
    mean_probability: Mapping[str, float | None]
    valid_rows: int
    label: str
    task: str
    classifier: UsedClassifier
    fingerprint: str
    thresholds: Mapping[str, float]
    held_back: tuple[str, ...]
    validation: Mapping[str, float]
    columns: Mapping[str, str]
    seconds: Mapping[str, float]
    versions: Mapping[str, str]
    model: str
    seed: int
    train: str | None
    notes: tuple[str, ...]
    noisy_group: NoisyGroupSummary | None = None
    identifiers: tuple[str, ...] = ()
    drawn_from: int | None = None
    fitted_rows: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON takes it; what does not apply to this kind of data is left out."""
        content = dataclasses.asdict(self)
        settings = content.pop("settings")
        absent = [name for name in ("identifiers", "drawn_from", "fitted_rows") if not content[name]]
        return {name: value for name, value in content.items() if name not in absent} | settings


class Presentation(Protocol):
    """How the diagnosis of one kind of data is shown.

    words: the terms for these samples. row_column: name of a first column of diagnosis.csv that numbers the rows from
    0; None for no such column.
    """

    @property
    def words(self) -> Words: ...

    @property
    def row_column(self) -> str | None: ...

    def table(self, diagnosis: Diagnosis) -> pd.DataFrame:
        """`Diagnosis.table` in the terms of these samples."""
        ...

    def show(self, diagnosis: Diagnosis, row: int, error_type: str, *, is_open: bool = True) -> Html:
        """One finding as an unfolding block, for report and notebook."""
        ...

    def page(self, diagnosis: Diagnosis, folder: Path) -> Html:
        """The report, one self-contained page; `folder` is where diagnosis.csv lies."""
        ...

    def repair_command(self, diagnosis: Diagnosis, folder: Path) -> str:
        """The command that repairs what was diagnosed."""
        ...


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Which samples are wrong, in which way, and why; N samples, M validation samples a fold.

    Attributes:
      flags: bool[N, 3] and probability: f32[N, 3], in the order of ERROR_TYPES.
      influence: f32[N, M], −cosine of the gradients of row i and validation sample j; negative: raising the row's
        weight lowers that sample's loss.
      signals: f32[N, F], what the error classifier saw of a row beside its vector;
        `demix_jax.classifier.schema.SIGNALS` names them.
      validation_rows: i32[folds, M], row numbers in `valid`. fold: i32[N], which of them a row is set against.
      evidence: what the report explains the diagnosis with.
      train, valid: the tables (of pairs, their measures); `valid` is `train` when it was cross-fitted.
      label: name of the label column. target: what the label is.
      summary: counts, rates, settings, versions, seconds per step.
      presentation: how it is shown.
    """

    flags: np.ndarray
    probability: np.ndarray
    influence: np.ndarray
    signals: np.ndarray
    validation_rows: np.ndarray
    fold: np.ndarray
    evidence: Evidence
    train: pd.DataFrame
    valid: pd.DataFrame
    label: str
    target: Target
    summary: Summary
    presentation: Presentation

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row per row of `train`, same index.

        For tables: label_error, feature_error, spurious_correlation (0 or 1); p_label_error, p_feature_error,
        p_spurious_correlation (probabilities); suggested_label (out-of-fold prediction for a label error, else
        missing); suspect_columns (what stands out in a feature error, joined by ";"); mistake (behind a feature error:
        "filled" with what is commonest, the first two suspect columns "exchanged", the first one "times 1000", 0.1, -1
        and the like, or with "stray decimals"; else ""). Interaction logs add user, item and timestamp in front.
        Preference pairs have margin, suggestion, damaged, suspect_measures and note in place of the last three.
        """
        return self.presentation.table(self)

    @property
    def most_in_doubt(self) -> float:
        """Share of the rows that is flagged at most for an error type in `Summary.held_back`."""
        return MOST_IN_DOUBT

    def flagged(self, error_type: str) -> np.ndarray:
        """bool[N]: the samples that were found to have the error."""
        return self.flags[:, ERROR_TYPES.index(error_type)]

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the report: one file that opens without a network."""
        from demix_jax.common.files import write_text

        write_text(path, self.presentation.page(self, Path(path).parent))

    def save(self, directory: str | os.PathLike) -> None:
        """Write diagnosis.csv, summary.json and report.html to a folder: all of them or none."""
        from demix_jax.common.files import DIAGNOSIS_FILES, atomic_paths, json_text

        folder, numbers = Path(directory), self.presentation.row_column
        with atomic_paths(*(folder / name for name in DIAGNOSIS_FILES)) as (table, summary, report):
            self.table.to_csv(table, index=numbers is not None, index_label=numbers)
            summary.write_text(json_text(self.summary.as_dict()), encoding="utf-8")
            report.write_text(self.presentation.page(self, folder), encoding="utf-8")
