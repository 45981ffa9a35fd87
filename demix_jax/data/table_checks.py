"""Refuses tables that cannot be diagnosed, and tells whether a label holds classes or amounts."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.wording import shortened
from demix_jax.data.inspected_table import Table, as_inspected
from demix_jax.data.kinds import as_numbers, column_of, levels, nature, raw_numbers
from demix_jax.data.lists import holds_lists

MAX_CLASSES = 100


def check_table(table: Table | pd.DataFrame, label: object = None, *, task: str = "auto", min_rows: int = 30) -> None:
    """Refuse a table that cannot be diagnosed.

    Args:
      table: what `inspect_table` found, or a DataFrame. label: name of the label column; a Table knows its own.
      task: "classification", "regression" or "auto".
    Raises:
      InputError: two columns of one name; no column `label`; fewer than `min_rows` rows; a label that is missing
        somewhere, constant or unfit for the task; a feature column without any value; infinite values; no feature
        column left once constant and identifier columns are set aside.
    """
    table = as_inspected(table, label)
    if len(table) < min_rows:
        raise InputError(f"The table has {len(table)} rows; at least {min_rows} are needed. Give a larger table.")
    if not table.columns:
        raise InputError(f"The table has no column besides the label {str(table.label)!r}; add feature columns.")
    check_label(table.target, task)
    constant = [(column.name, values) for _, column, values in table.features() if column.kind == "constant"]
    refuse_empty([name for name, values in constant if is_empty(values)])
    frame = table.frame
    refuse_infinite({str(c): count_infinite(column_of(frame, c)) for c in frame.columns})
    if not any(column.used for column in table.columns):
        raise InputError("No feature column is usable: each is constant or an identifier. Add informative columns.")


def refuse_infinite(counts: dict[str, int]) -> None:
    """Raise InputError if any column has infinite values; `counts` is their number by column."""
    found = ", ".join(f"{c!r} ({n})" for c, n in counts.items() if n)
    if found:
        raise InputError(f"The table has infinite values in {found}; replace them by numbers or leave them empty.")


def refuse_empty(names: list[str]) -> None:
    """Raise InputError if there are columns without any value; `names` are these columns."""
    if names:
        raise InputError(f"Every value is missing in {_columns(names)}; drop {'it' if len(names) == 1 else 'them'}.")


def is_empty(column: pd.Series) -> bool:
    """Whether no row has a value; blank strings count as missing."""
    if column.isna().all():
        return True
    if holds_lists(column):
        return False
    return nature(column) == "level" and not levels(column)[1]


def count_infinite(column: pd.Series) -> int:
    """Number of infinite values in a numeric column; 0 for any other column."""
    return int(np.isinf(raw_numbers(column)).sum()) if nature(column) == "number" else 0


def check_label(target: pd.Series, task: str) -> Literal["classification", "regression"]:
    """The task of a label column.

    Raises:
      InputError: the label is missing somewhere, constant, infinite or unfit for the task, or holds lists.
    """
    name = str(target.name)
    refuse_nested(target)
    refuse_missing_label(target)
    if count_infinite(target):
        raise InputError(
            f"The label {name!r} has {count_infinite(target)} infinite values; correct or drop these rows."
        )
    if distinct_count(target) < 2:
        value = target.iloc[0]
        raise InputError(f"The label {name!r} is constant ({value!r} in every row); choose a column with two values.")
    return settle_task(target, task)


def refuse_nested(target: pd.Series) -> None:
    """Raise InputError if the label holds lists."""
    if pd.api.types.is_object_dtype(target.dtype) and pd.api.types.infer_dtype(target, skipna=True) == "mixed":
        nested = [v for v in target if isinstance(v, list | tuple | dict | set | frozenset | np.ndarray)]
        if nested:
            raise InputError(f"The label {str(target.name)!r} holds lists; expected one class or number per row.")


def refuse_missing_label(target: pd.Series) -> None:
    """Raise InputError if the label is missing or blank anywhere; names the first such rows, counted from 1."""
    codes, values = pd.factorize(target)
    blank = [i for i, v in enumerate(values) if isinstance(v, str) and not v.strip()]
    missing = np.flatnonzero((codes < 0) | np.isin(codes, blank))
    if len(missing):
        first = ", ".join(str(i + 1) for i in missing[:5])
        raise InputError(
            f"The label {str(target.name)!r} is missing in {len(missing)} of {len(target)} rows (first: "
            f"{first}); drop these rows or fill in their labels."
        )


def distinct_count(column: pd.Series) -> int:
    """Number of distinct values; missing ones do not count."""
    return int(column.nunique())


def infer_task(target: pd.Series) -> Literal["classification", "regression"]:
    """Whether the label holds classes or amounts.

    Classes are strings, bools, integers with at most 20 distinct values and fractions with at most 10. Up to 100
    integers that run 0 … K−1 or 1 … K are classes too, if they have 20 rows each on average. Other numbers are amounts.

    Raises:
      InputError: strings with more than 100 distinct values or distinct in most rows; dates.
    """
    stored = nature(target)
    if stored == "date":
        raise InputError(f"The label {str(target.name)!r} holds dates; expected classes or numbers.")
    distinct = distinct_count(target)
    if stored == "number":
        values = np.unique(as_numbers(target))
        values = values[np.isfinite(values)]
        integers = bool(np.all(values == np.round(values)))
        if distinct <= (20 if integers else 10):
            return "classification"
        coded = integers and values[0] in (0, 1) and values[-1] - values[0] == distinct - 1
        return "classification" if coded and distinct <= min(MAX_CLASSES, len(target) // 20) else "regression"
    check_classes(target)
    return "classification"


def settle_task(target: pd.Series, task: str) -> Literal["classification", "regression"]:
    """The task, inferred if it is "auto", after checking that the label suits it.

    Raises:
      InputError: no such task; too many classes; or, for regression, a label that is not a number in every row.
    """
    if task not in ("auto", "classification", "regression"):
        raise InputError(f"The task must be auto, classification or regression, got {task!r}.")
    if task == "classification" or (task == "auto" and infer_task(target) == "classification"):
        check_classes(target)
        return "classification"
    if nature(target) == "date" or np.isnan(as_numbers(target)).any():
        raise InputError(f"The label {str(target.name)!r} is not a number in every row; regression needs numbers.")
    target_moments(target)
    return "regression"


def target_moments(target: pd.Series) -> tuple[float, float]:
    """Mean and standard deviation of a numeric label.

    Raises:
      InputError: the standard deviation is 0 or not finite.
    """
    values = as_numbers(target)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not 0 < scale < np.inf:
        raise InputError(
            f"The label {str(target.name)!r} varies {'too much' if scale else 'too little'} for arithmetic (standard "
            f"deviation {scale:g}); choose a column that varies, or rescale it."
        )
    return mean, scale


def check_classes(target: pd.Series) -> None:
    """Raise InputError if the label has too many distinct values to be classes."""
    distinct = distinct_count(target)
    if distinct > MAX_CLASSES:
        raise InputError(
            f"The label {str(target.name)!r} has {distinct} distinct values, more than {MAX_CLASSES} classes; "
            "choose another column, merge classes, or set the task to regression if they are numbers."
        )
    if distinct > max(2, len(target) // 2):
        raise InputError(
            f"The label {str(target.name)!r} has {distinct} distinct values in {len(target)} rows, so most occur once; "
            "choose a column of repeated classes."
        )


def _columns(names: list[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {shortened(names)}"
