"""Reads which rows a diagnosis flags, after checking that it belongs to the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import DIAGNOSIS_FILES
from demix_jax.data.kinds import as_numbers, column_of
from demix_jax.data.read import read_table
from demix_jax.repairs.match_rows import match_rows
from demix_jax.repairs.undo_mistakes import Mistaken, told_mistakes

_LIKELY = 0.5  # probability from which a flagged label is more likely wrong than right


class Flags(NamedTuple):
    """What a diagnosis says of N rows.

    label_error, feature_error, minority: bool[N], rows to act on. The minority are the rows flagged for a spurious
      correlation.
    p_wrong: f64[N], probability that the label is wrong; 0 where the diagnosis gives none.
    p_minority: f64[N], probability that the row is of the minority; 1 where the diagnosis gives none.
    task: the diagnosed one, "auto" if unknown.
    doubtful: number of rows that were flagged for a label error but are not in `label_error`, because their label is
      more likely right than wrong. Such a row is worth a look but should not be changed. Rows that break a shortcut are
      frequent among them, and changing these makes the shortcut stronger.
    identifiers: columns that name the row and are not features.
    mistakes: known mistakes of rows with feature errors, by row number.
    sentences: what of table and diagnosis does not match.
    """

    label_error: np.ndarray
    feature_error: np.ndarray
    minority: np.ndarray
    p_wrong: np.ndarray
    p_minority: np.ndarray
    task: str
    doubtful: int
    identifiers: tuple[str, ...]
    mistakes: dict[int, Mistaken]
    sentences: list[str]

    def doubts(self, label: str, rows: str) -> str:
        """A sentence about the doubtful rows; `label` and `rows` are the words for a label and for rows."""
        return (
            f"Left the {label} of {self.doubtful:,} flagged {rows}: it is more likely right than wrong (p_label_error "
            f"is below one half), though worth a look. Empty p_label_error of {rows} to have their flag decide."
        )


def read_flags(frame: pd.DataFrame, diagnosis: Any, label: Any = None, *, whole: bool = False) -> Flags:
    """Flags of N rows by error type.

    Args:
      frame: the diagnosed table, N rows.
      diagnosis: as `saved_diagnosis` takes it; a table has one 0/1 column per error type and optionally p_label_error,
        p_spurious_correlation, row and row_fingerprint.
      label: the label column, which must be the diagnosed one; None where there is none.
      whole: see `match_rows`.
    Raises:
      InputError: no such file, or absent columns, or values other than 0 and 1; or the diagnosis is of another table or
        another label, see `match_rows`.
    """
    flags, summary, what = saved_diagnosis(diagnosis)
    matched = match_rows(frame, flags, summary, what, whole=whole)
    diagnosed = summary.get("label")
    if None not in (label, diagnosed) and str(label) != str(diagnosed):
        raise InputError(
            f"The diagnosis is of the label '{diagnosed}', but label is '{label}'; pass the label that was diagnosed."
        )
    known = matched.line >= 0
    flags = flags.reset_index(drop=True).reindex(np.where(known, matched.line, -1))  # rows without a line become empty
    flagged = {name: _as_bool(flags, name, known) for name in ERROR_TYPES}
    p_wrong, p_minority = (_probability(flags, name) for name in ("p_label_error", "p_spurious_correlation"))
    doubtful = flagged["label_error"] & (p_wrong < _LIKELY)
    return Flags(
        label_error=flagged["label_error"] & ~doubtful,
        feature_error=flagged["feature_error"],
        minority=flagged["spurious_correlation"],
        p_wrong=np.nan_to_num(p_wrong),
        p_minority=np.nan_to_num(p_minority, nan=1.0),
        task=str(summary.get("task") or "auto"),
        doubtful=int(doubtful.sum()),
        identifiers=tuple(summary.get("identifiers") or ()),
        mistakes=told_mistakes(flags, flagged["feature_error"]),
        sentences=matched.sentences,
    )


class SavedDiagnosis(NamedTuple):
    """lines: the table of a diagnosis. summary: {} if it has none. what: its name in messages."""

    lines: pd.DataFrame
    summary: dict[str, Any]
    what: str


def saved_diagnosis(diagnosis: Any) -> SavedDiagnosis:
    """A diagnosis as a repair takes it: a Diagnosis, its table, or the path of diagnosis.csv or of its folder.

    Raises:
      InputError: it is none of these, or cannot be read.
    """
    if isinstance(diagnosis, SavedDiagnosis):
        return diagnosis
    if isinstance(diagnosis, str | Path):
        path = Path(diagnosis)
        path = path / DIAGNOSIS_FILES[0] if path.is_dir() else path
        return SavedDiagnosis(_read(path), _read_summary(path.with_name(DIAGNOSIS_FILES[1])), str(path))
    if isinstance(diagnosis, pd.DataFrame):
        return SavedDiagnosis(diagnosis, {}, "The diagnosis")
    if isinstance(getattr(diagnosis, "table", None), pd.DataFrame):
        return SavedDiagnosis(diagnosis.table, diagnosis.summary.as_dict(), "The diagnosis")
    raise InputError(
        f"diagnosis must be a Diagnosis, a DataFrame or a path, got {type(diagnosis).__name__}; "
        "pass what diagnose returned or the diagnosis.csv that it saved."
    )


def _probability(flags: pd.DataFrame, name: str) -> np.ndarray:
    """f64[N] in [0, 1]: column `name`; NaN where it is not given."""
    if name not in flags.columns:
        return np.full(len(flags), np.nan)
    return np.clip(as_numbers(column_of(flags, name)), 0.0, 1.0)


def _read(path: Path) -> pd.DataFrame:
    flags = read_table(path)
    absent = [name for name in ERROR_TYPES if name not in flags.columns]
    if absent:
        raise InputError(
            f"{path} has no column {', '.join(absent)}; expected a diagnosis.csv with the columns "
            f"{', '.join(ERROR_TYPES)}."
        )
    return flags


def _read_summary(path: Path) -> dict[str, Any]:
    """The summary beside a diagnosis; {} if there is none, so that only fingerprints of rows are left to check."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); restore it, remove it, or diagnose the table again."
        ) from error
    if not isinstance(saved, dict):
        raise InputError(f"{path} holds no summary of a diagnosis; restore it, remove it, or diagnose the table again.")
    return saved


def _as_bool(flags: pd.DataFrame, name: str, known: np.ndarray) -> np.ndarray:
    """bool[N]: column `name`, which must hold 0 or 1 in every row that is `known` bool[N]; False elsewhere."""
    if name not in flags.columns:
        raise InputError(f"The diagnosis has no column {name}; expected 0/1 columns {', '.join(ERROR_TYPES)}.")
    given: Any = pd.to_numeric(flags[name], errors="coerce")
    values = np.where(known, given.to_numpy(dtype=np.float64, na_value=np.nan), 0.0)
    if not np.isin(values, (0.0, 1.0)).all():
        bad = flags[name].iloc[int(np.argmin(np.isin(values, (0.0, 1.0))))]
        raise InputError(f"Column {name} of the diagnosis must hold 0 or 1 in every row, found {bad!r}.")
    return values == 1.0
