"""Results of a diagnosis: findings, explanations and presentation."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from demix_jax.common.bands import Bands, bands_of
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.row_names import ROW
from demix_jax.common.target import Target
from demix_jax.common.wording import Html, Words

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Column


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A rule "group ⇔ side of the label" on one or two columns, and its prediction for each of N rows.

    column: name. second: name of the second column of a two-column rule.
    strength: share of the label side's entropy that the rule explains, 0 to 1.
    values: object[N], the row's side of the rule in words ("sex = Male", "age ≤ 28").
    expected: object[N], the label of most rows on that side. p_expected: f32[N], the share of them with that label.
    """

    column: str
    strength: float
    values: np.ndarray
    expected: np.ndarray
    p_expected: np.ndarray
    second: str | None = None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Evidence that explains a diagnosis; N rows, Q columns.

    expected_label: object[N], out-of-fold prediction in original label values.
    p_given_label: f32[N], out-of-fold probability of the given label (regression: tail probability of the residual).
    cell_surprise: f32[N, Q], nats above the usual surprise of the cell, see `cell_doubt`.
    columns: the Q columns.
    shortcuts: likeliest first; may be empty.
    shortcut_broken: i32[N], index of the rule that the row breaks most, −1 if none.
    suspects: for each row flagged for a feature error, the names of the columns that stand out, most suspect first.
    mistakes: object[N], the known mistake behind a feature error, see `Diagnosis`; None if none was looked for.
    original: i32[N], the row that this row may be a copy of, −1 if none; None if copies were not looked for.
    respelt: bool[N], rows whose label is a rarer spelling of its class; None if none is.
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
    respelt: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class UsedClassifier:
    """The error classifier of a diagnosis: its name, the SHA-256 of its weights, and its training tables."""

    name: str
    sha256: str
    trained_on: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class NoisyGroupSummary:
    """A group of rows whose labels are often wrong.

    group: in words ("job = clerk or cook"). share: its share of all rows. rate: share of its labels that seem wrong.
    """

    group: str
    share: float
    rate: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts, settings and versions of a diagnosis; summary.json holds `as_dict`.

    Attributes:
      rows: number of rows of the whole table, even if only a sample was explained.
      wrong_rows: number of rows whose label or features are likely wrong. look_rows: number of other rows whose label
        or features are worth a look.
      likely, look: number of likely rows and of rows worth a look by error type, see `Bands`.
      rates, mean_probability: share and mean probability of the likely rows by error type (the mean is None without
        any).
      valid_rows: number of rows of the validation table; 0 if the training rows were cross-fitted.
      label: name of the label column. task: "classification", "regression" or "preference".
      fingerprint: SHA-256 of the diagnosed data.
      thresholds: minimum probability of a flagged row, which is at least worth a look, by error type.
      validation: quality of the task model's predictions of held-out rows, by metric.
      columns: column name -> kind. written_as: column name -> how its texts were read, where they are not plain.
      missing: column name -> number of cells without a value, where there are any.
      seconds: duration by step. versions: of Python and packages.
      model: task model. seed: as given. train: path of the diagnosed file, None if there is none.
      notes: sentences for the user.
      label_doubt: why labels cannot be judged in this table; None if they can. Where models cannot predict them, no
        label is called likely wrong but for its spelling.
      noisy_group: rows whose labels are often wrong, None if no such group was found.
      identifiers: columns that identify a row and are not features.
      drawn_from, fitted_rows: for a table larger than memory, number of all rows and of rows used to fit models.
      settings: other settings by name.
    """

    rows: int
    wrong_rows: int
    look_rows: int
    likely: Mapping[str, int]
    look: Mapping[str, int]
    rates: Mapping[str, float]
    mean_probability: Mapping[str, float | None]
    valid_rows: int
    label: str
    task: str
    classifier: UsedClassifier
    fingerprint: str
    thresholds: Mapping[str, float]
    validation: Mapping[str, float]
    columns: Mapping[str, str]
    seconds: Mapping[str, float]
    versions: Mapping[str, str]
    model: str
    seed: int
    train: str | None
    notes: tuple[str, ...]
    noisy_group: NoisyGroupSummary | None = None
    label_doubt: str | None = None
    identifiers: tuple[str, ...] = ()
    written_as: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, int] = dataclasses.field(default_factory=dict)
    drawn_from: int | None = None
    fitted_rows: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The summary as a dict for JSON, without entries that do not apply to this kind of data."""
        content = dataclasses.asdict(self)
        settings = content.pop("settings")
        absent = [name for name in ("label_doubt", "identifiers", "drawn_from", "fitted_rows") if not content[name]]
        return {name: value for name, value in content.items() if name not in absent} | settings


class Presentation(Protocol):
    """Presentation of a diagnosis of one kind of data.

    words: terms for these samples.
    """

    @property
    def words(self) -> Words: ...

    def table(self, diagnosis: Diagnosis) -> pd.DataFrame:
        """`Diagnosis.table` in the terms of this kind of data."""
        ...

    def show(self, diagnosis: Diagnosis, row: int, error_type: str, *, is_open: bool = True) -> Html:
        """One finding as a collapsible block for report and notebook."""
        ...

    def page(self, diagnosis: Diagnosis, folder: Path) -> Html:
        """The report as one self-contained page; `folder` holds diagnosis.csv."""
        ...

    def repair_command(self, diagnosis: Diagnosis, folder: Path) -> str:
        """The command that repairs the diagnosed data."""
        ...


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Which samples are wrong, in which way, and why; N samples, M validation samples per fold.

    Attributes:
      flags: bool[N, 3] and probability: f32[N, 3], in the order of ERROR_TYPES.
      influence: f32[N, M], −cosine of the gradients of row i and validation sample j; negative: raising the row's
        weight lowers that sample's loss.
      signals: f32[N, F], the error classifier's inputs other than the influence vectors;
        `demix_jax.classifier.schema.SIGNALS` names them.
      validation_rows: i32[folds, M], row numbers in `valid`. fold: i32[N], each sample's row of `validation_rows`.
      evidence: the evidence that explains the diagnosis.
      train, valid: the tables (for pairs, their measures); `valid` is `train` if it was cross-fitted.
      label: name of the label column. target: classes or numbers.
      row_fingerprints: u64[N], by which a repair finds the samples again, see `row_fingerprints`.
      summary: counts, rates, settings, versions, seconds per step.
      presentation: terms, table and report for this kind of data.
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
    row_fingerprints: np.ndarray
    summary: Summary
    presentation: Presentation

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """Findings with one row per row of `train` and the same index.

        Columns for tables:
          label_error, feature_error, spurious_correlation: 1 if the row is in either band, else 0.
          p_label_error, p_feature_error, p_spurious_correlation: probabilities.
          band_label_error, band_feature_error, band_spurious_correlation: "likely" from a probability of one half,
            "look" for other flagged rows, which are worth a look; else "".
          suggested_label: out-of-fold prediction for a flagged label, else missing.
          suspect_columns: names of the columns that stand out in a feature error, as a JSON list.
          mistake: likely cause of a feature error, else "". "filled": with the commonest values. "exchanged": the first
            two suspect columns. "times 1000", 0.1, -1 and the like, or "stray decimals": the first suspect column.
          row_fingerprint: of the diagnosed cells, by which a repair finds the row again.
        Columns that name the rows come first, see `ReadOptions.id`. Interaction logs have user, item and timestamp in
        front. Preference pairs have margin, suggestion, damaged, suspect_measures and note in place of suggested_label,
        suspect_columns and mistake.
        """
        return self.presentation.table(self)

    def flagged(self, error_type: str) -> np.ndarray:
        """bool[N], samples flagged for `error_type`, in either band."""
        return self.flags[:, ERROR_TYPES.index(error_type)]

    def bands(self, error_type: str) -> Bands:
        """Samples flagged for `error_type`, by band: bool[N] each."""
        column = ERROR_TYPES.index(error_type)
        return bands_of(self.flags[:, column], self.probability[:, column])

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the report as one file that opens without a network."""
        from demix_jax.common.files import write_text

        write_text(path, self.presentation.page(self, Path(path).parent))

    def save(self, directory: str | os.PathLike) -> None:
        """Write diagnosis.csv, summary.json and report.html to a folder, either all or none.

        The first column of diagnosis.csv, row, numbers the samples from 0."""
        from demix_jax.common.files import DIAGNOSIS_FILES, atomic_paths, json_text

        folder = Path(directory)
        with atomic_paths(*(folder / name for name in DIAGNOSIS_FILES)) as (table, summary, report):
            self.table.reset_index(drop=True).to_csv(table, index_label=ROW)
            summary.write_text(json_text(self.summary.as_dict()), encoding="utf-8")
            report.write_text(self.presentation.page(self, folder), encoding="utf-8")
