"""Reads which rows a repair acts on, after checking that the diagnosis belongs to the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.bands import IN_LIKELY, IN_LOOK, LIKELY
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import DIAGNOSIS_FILES
from demix_jax.common.wording import count, listed
from demix_jax.data.kinds import as_numbers, column_of
from demix_jax.data.read import read_table
from demix_jax.repairs.match_rows import match_rows
from demix_jax.repairs.undo_mistakes import Mistaken, told_mistakes


class Flags(NamedTuple):
    """What a diagnosis says of N rows.

    label_error, feature_error, minority: bool[N], rows to act on. The minority are the rows with a spurious
      correlation.
    p_wrong: f64[N], probability that the label is wrong; 0 where the diagnosis gives none.
    p_minority: f64[N], probability that the row is of the minority; 1 where the diagnosis gives none, or no band for a
      flag, which was then set by hand.
    task: the diagnosed one, "auto" if unknown.
    left: error type -> number of flagged rows that are not acted on, because they are only worth a look. Rows that
      break a shortcut are frequent among doubtful labels, and changing these makes the shortcut stronger.
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
    left: dict[str, int]
    identifiers: tuple[str, ...]
    mistakes: dict[int, Mistaken]
    sentences: list[str]

    def left_sentences(self, choices: Mapping[str, str], noun: str) -> list[str]:
        """A sentence about the flagged rows that are left; none if there are no such rows.

        Args:
          choices: error type -> what was chosen for it; nothing is said of types to "keep". noun: for one row.
        """
        counts = {name: number for name, number in self.left.items() if number and choices[name] != "keep"}
        if not counts:
            return []
        told = listed([f"{name.replace('_', ' ')}s in {count(number, noun)}" for name, number in counts.items()])
        return [
            f"Left what is only worth a look, since it is less likely than not: {told}. To include it, say "
            '--also look, or also="look" in Python.'
        ]


def read_flags(
    frame: pd.DataFrame, diagnosis: Any, label: Any = None, *, also: str | None = None, whole: bool = False
) -> Flags:
    """Flags of N rows by error type; a row is acted on if its flag is 1 and it is not only worth a look.

    It is worth a look only if its band says so, or, in a table without a column of bands, if its probability is below
    one half. So who sets a flag to 1 or 0 decides, as long as the band of a new flag is left empty.

    Args:
      frame: the diagnosed table, N rows.
      diagnosis: as `saved_diagnosis` takes it; a table has one 0/1 column per error type and optionally columns of
        probabilities (p_label_error) and bands (band_label_error), row and row_fingerprint.
      label: the label column, which must be the diagnosed one; None where there is none.
      also: "look" to act on rows that are worth a look, too.
      whole: see `match_rows`.
    Raises:
      InputError: no such file, or absent columns, or values other than 0 and 1, or unknown bands; or the diagnosis is
        of another table or another label, see `match_rows`.
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
    looks = {name: flagged[name] & _only_look(flags, name) for name in ERROR_TYPES}
    acted = flagged if also == IN_LOOK else {name: flagged[name] & ~looks[name] for name in ERROR_TYPES}
    p_minority = _probability(flags, "spurious_correlation")
    p_minority[flagged["spurious_correlation"] & _without_band(flags, "spurious_correlation")] = 1.0
    return Flags(
        label_error=acted["label_error"],
        feature_error=acted["feature_error"],
        minority=acted["spurious_correlation"],
        p_wrong=np.nan_to_num(_probability(flags, "label_error")),
        p_minority=np.nan_to_num(p_minority, nan=1.0),
        task=str(summary.get("task") or "auto"),
        left={name: int((flagged[name] & ~acted[name]).sum()) for name in ERROR_TYPES},
        identifiers=tuple(summary.get("identifiers") or ()),
        mistakes=told_mistakes(flags, acted["feature_error"]),
        sentences=matched.sentences,
    )


def check_also(also: str | None) -> None:
    """Raise InputError unless `also` names what a repair may act on beside likely rows."""
    if also not in (None, IN_LOOK):
        raise InputError(f"also must be {IN_LOOK!r} or None, got {also!r}.")


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


def _probability(flags: pd.DataFrame, error_type: str) -> np.ndarray:
    """f64[N] in [0, 1]: probability of an error type; NaN where it is not given."""
    name = f"p_{error_type}"
    if name not in flags.columns:
        return np.full(len(flags), np.nan)
    return np.clip(as_numbers(column_of(flags, name)), 0.0, 1.0)


def _only_look(flags: pd.DataFrame, error_type: str) -> np.ndarray:
    """bool[N]: rows that are worth a look only, if they are flagged."""
    bands = _bands(flags, error_type)
    return _probability(flags, error_type) < LIKELY if bands is None else bands == IN_LOOK


def _without_band(flags: pd.DataFrame, error_type: str) -> np.ndarray:
    """bool[N]: rows whose band is given as empty."""
    bands = _bands(flags, error_type)
    return np.zeros(len(flags), bool) if bands is None else bands == ""


def _bands(flags: pd.DataFrame, error_type: str) -> np.ndarray | None:
    """object[N]: "likely", "look" or ""; None without a column of bands."""
    name = f"band_{error_type}"
    if name not in flags.columns:
        return None
    given = column_of(flags, name)
    bands = given.astype(object).where(given.notna(), "").astype(str).str.strip().str.lower().to_numpy(dtype=object)
    unknown = ~np.isin(bands.astype(str), (IN_LIKELY, IN_LOOK, ""))
    if unknown.any():
        raise InputError(
            f"Column {name} of the diagnosis has {bands[np.argmax(unknown)]!r}; expected {IN_LIKELY}, {IN_LOOK} or "
            "nothing. Restore it, or remove the column to have probabilities decide."
        )
    return bands


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
