"""What a diagnosis found, and why."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Column


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A rule "group ⇔ side of the label" that one column makes, or two together, and what it says of each of N rows.

    column: name. second: that of the other column, where two make the rule.
    strength: share of the label side's entropy that it explains, 0 to 1.
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
    original: i32[N], the row whose copy this one may be, −1 if none; None where copies are not looked for.
    """

    expected_label: np.ndarray
    p_given_label: np.ndarray
    cell_surprise: np.ndarray
    columns: tuple[Column, ...]
    shortcuts: tuple[Shortcut, ...]
    shortcut_broken: np.ndarray
    original: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Which rows of a table are wrong, in which way, and why; N rows, M validation samples a fold.

    Attributes:
      table: one row per row of `train`, same index: label_error, feature_error, spurious_correlation (0 or 1);
        p_label_error, p_feature_error, p_spurious_correlation (probabilities); suggested_label (out-of-fold prediction
        for a label error, else missing); suspect_columns (what stands out in a feature error, joined by ";"); mistake
        (of a feature error that is likely one: "filled" with what is commonest, the first two suspect columns
        "exchanged", the first one "times 1000", 0.1, -1 and the like, or with "stray decimals"; else "").
      influence: f32[N, M], −cosine of the gradients of row i and validation sample j; negative: raising the row's
        weight lowers that sample's loss.
      signals: f32[N, F], what the error classifier saw of a row beside its vector; `demix_jax.evidence.signals.SIGNALS`
        names them.
      validation_rows: i32[folds, M], row numbers in `valid`. fold: i32[N], which of them a row is set against.
      evidence: what the report explains the diagnosis with.
      train, valid: the tables; `valid` is `train` when it was cross-fitted.
      label: name of the label column.
      summary: counts, rates, settings, versions, seconds per step.
    """

    table: pd.DataFrame
    influence: np.ndarray
    signals: np.ndarray
    validation_rows: np.ndarray
    fold: np.ndarray
    evidence: Evidence
    train: pd.DataFrame
    valid: pd.DataFrame
    label: str
    summary: dict[str, Any]

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the report: one file that opens without a network."""
        from demix_jax.domains.tables.page import write_html

        write_html(self, path)

    def save(self, directory: str | os.PathLike) -> None:
        """Write diagnosis.csv, summary.json and report.html to a folder: all of them or none."""
        from demix_jax.common.files import DIAGNOSIS_FILES, atomic_paths, json_text
        from demix_jax.domains.tables.page import render

        folder = Path(directory)
        with atomic_paths(*(folder / name for name in DIAGNOSIS_FILES)) as (table, summary, report):
            self.table.to_csv(table, index=False)
            summary.write_text(json_text(self.summary), encoding="utf-8")
            report.write_text(render(self, folder=folder), encoding="utf-8")
