"""Which rows a diagnosis flags, after checking that it is a diagnosis of this table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data.fingerprint import fingerprint
from demix_jax.repairs.undo_mistakes import Mistaken, told_mistakes

if TYPE_CHECKING:
    import pandas as pd


_LIKELY = 0.5


class Flags(NamedTuple):
    """rows: bool[N, 3] to act on, in the order of ERROR_TYPES. task: the one that was diagnosed, "auto" if unknown.

    p_wrong, p_minority: f64[N], probability that the label is wrong, 0 where none is given, and that the row is of the
      minority, 1 where none is given.
    doubtful: how many rows flagged for a label error are not among `rows`, as their label is more likely right than
      wrong. A low probability can be worth a look, but no change: of rows that only perhaps have a wrong label, those
      that break a shortcut are many, and changing these makes the shortcut stronger.
    identifiers: columns that name the row and are no features.
    mistakes: what is told of rows with feature errors, by row number.
    """

    rows: np.ndarray
    p_wrong: np.ndarray
    p_minority: np.ndarray
    task: str
    doubtful: int
    identifiers: tuple[str, ...]
    mistakes: dict[int, Mistaken]

    def doubts(self, label: str, rows: str) -> str:
        """What is said of the doubtful ones; `label` and `rows` are what these are called."""
        return (
            f"Left the {label} of {self.doubtful:,} flagged {rows}: it is more likely right than wrong (p_label_error "
            f"is below one half), though worth a look. Empty p_label_error of {rows} to have their flag decide."
        )


def read_flags(frame: pd.DataFrame, diagnosis: Any, label: Any = None) -> Flags:
    """Flags of N rows by error type.

    Args:
      frame: the diagnosed table, N rows.
      diagnosis: a Diagnosis, a table with one 0/1 column per error type and perhaps p_label_error and
        p_spurious_correlation, or the path of such a table or of the directory that holds diagnosis.csv.
      label: the label column, to be the one that was diagnosed; None where there is none.
    Raises:
      InputError: no such file; columns absent or not 0/1; another number of rows, another index, or the
        fingerprint of another table, or another label.
    """
    import pandas as pd

    if isinstance(diagnosis, str | Path):
        path = Path(diagnosis)
        path = path / "diagnosis.csv" if path.is_dir() else path
        flags = _read(path)
        summary = _read_summary(path.with_name("summary.json"))
        _check_fingerprint(frame, summary, str(path))
    elif isinstance(diagnosis, pd.DataFrame):
        flags, summary = diagnosis, {}
    elif isinstance(getattr(diagnosis, "table", None), pd.DataFrame):
        flags, summary = diagnosis.table, diagnosis.summary.as_dict()
        _check_fingerprint(frame, summary, "The diagnosis")
    else:
        raise InputError(
            f"diagnosis must be a Diagnosis, a DataFrame or a path, got {type(diagnosis).__name__}; "
            "pass what diagnose returned or the diagnosis.csv that it saved."
        )
    _check_rows(frame, flags)
    diagnosed = summary.get("label")
    if None not in (label, diagnosed) and str(label) != str(diagnosed):
        raise InputError(
            f"The diagnosis is of the label '{diagnosed}', but label is '{label}'; pass the label that was diagnosed."
        )
    rows = np.stack([_as_bool(flags, name) for name in ERROR_TYPES], axis=1)
    p_wrong, p_minority = (_probability(flags, name) for name in ("p_label_error", "p_spurious_correlation"))
    doubtful = rows[:, 0] & (p_wrong < _LIKELY)
    rows[:, 0] &= ~doubtful
    task, identifiers = str(summary.get("task") or "auto"), tuple(summary.get("identifiers") or ())
    mistakes = told_mistakes(flags, rows[:, 1])
    p_wrong, p_minority = np.nan_to_num(p_wrong), np.nan_to_num(p_minority, nan=1.0)
    return Flags(rows, p_wrong, p_minority, task, int(doubtful.sum()), identifiers, mistakes)


def _probability(flags: pd.DataFrame, name: str) -> np.ndarray:
    """f64[N] in [0, 1] of column `name`; NaN where it is not given."""
    from demix_jax.data.kinds import as_numbers, column_of

    if name not in flags.columns:
        return np.full(len(flags), np.nan)
    return np.clip(as_numbers(column_of(flags, name)), 0.0, 1.0)


def _read(path: Path) -> pd.DataFrame:
    from demix_jax.data.table import read_table

    flags = read_table(path)
    absent = [name for name in ERROR_TYPES if name not in flags.columns]
    if absent:
        raise InputError(
            f"{path} has no column {', '.join(absent)}; expected a diagnosis.csv with the columns "
            f"{', '.join(ERROR_TYPES)}."
        )
    return flags


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a diagnosis without its summary is still usable
        return {}
    return saved if isinstance(saved, dict) else {}


def _check_fingerprint(frame: pd.DataFrame, summary: dict[str, Any], what: str) -> None:
    expected = summary.get("fingerprint")
    if expected is not None and expected != fingerprint(frame):
        raise InputError(
            f"{what} belongs to another table: the fingerprints differ. "
            "Pass the table that was diagnosed, unchanged, or diagnose this one."
        )


def _check_rows(frame: pd.DataFrame, flags: pd.DataFrame) -> None:
    if len(flags) != len(frame):
        raise InputError(
            f"The diagnosis has {len(flags)} rows but the table has {len(frame)}; pass the table that was diagnosed."
        )
    counted = [_counts_rows(f.index, len(f)) for f in (frame, flags)]
    if not any(counted) and not frame.index.equals(flags.index):
        raise InputError(
            "The diagnosis and the table have different indexes; pass the table that was diagnosed, "
            "or reset the index of both."
        )


def _counts_rows(index: pd.Index, num_rows: int) -> bool:
    return bool(np.array_equal(index.to_numpy(), np.arange(num_rows)))


def _as_bool(flags: pd.DataFrame, name: str) -> np.ndarray:
    import pandas as pd

    if name not in flags.columns:
        raise InputError(f"The diagnosis has no column {name}; expected 0/1 columns {', '.join(ERROR_TYPES)}.")
    given: Any = pd.to_numeric(flags[name], errors="coerce")
    values = given.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isin(values, (0.0, 1.0)).all():
        bad = flags[name].iloc[int(np.argmin(np.isin(values, (0.0, 1.0))))]
        raise InputError(f"Column {name} of the diagnosis must hold 0 or 1 in every row, found {bad!r}.")
    return values == 1.0
