"""What kind of values a column holds, and every pandas dtype in one of three plain forms.

The forms are numbers (f64), instants (DatetimeIndex) and levels (the text of each distinct value, and a code per row).
Only distinct values become Python strings, so that a column of 200,000 rows costs little. The caller's frame is never
modified. Kinds depend on the values alone, never on their order.
"""

from __future__ import annotations

import dataclasses
import heapq
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from demix_jax.data.written.missing import MISSING_TEXT

if TYPE_CHECKING:
    from demix_jax.data.written.dates import DateForm
    from demix_jax.data.written.numbers import NumberForm

MAX_INTEGER_LEVELS = 10  # integers with at most this many distinct values are codes (sex, education), not amounts
MAX_CATEGORIES = 60  # strings with more distinct values than this are text

_SMALLEST_KEY, _LARGEST_KEY = 1e15, 2.0**64  # whole numbers in between have the digits of orders or accounts
_IDENTIFIER_NAME = re.compile(r"(^|[ _.-])(id|uuid|guid|index|idx|instant|row)$|^unnamed: 0$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Column:
    """What was found in a column.

    Attributes:
      name: as in the table.
      kind: "number", "category", "date", "text", "vector", "set", "constant", "identifier" or "ignored".
      form: how texts of numbers or dates are written; None for other columns and for stored numbers and dates.
      missing: texts, in lower case, that mean missing.
      how: how the values were recognised, in a few words; "" where they are stored so.
      as_given: whether values of several types stay as they were given, such as classes 1 and "a".
      num_missing: number of cells without a value. num_unread: cells that are no number (date) in a column of such.
    """

    name: str
    kind: str
    form: NumberForm | DateForm | None = None
    missing: frozenset[str] = MISSING_TEXT
    how: str = ""
    as_given: bool = False
    num_missing: int = 0
    num_unread: int = 0

    @property
    def used(self) -> bool:
        """Whether task models and diagnosis use this column; constants and identifiers say nothing about the label."""
        return self.kind not in ("constant", "identifier", "ignored")

    @property
    def ordered(self) -> bool:
        """Whether its codes are ranges in ascending order, see `Bins`; so are those of the parts of a vector or set."""
        return self.kind in ("number", "date", "vector", "set")


def column_of(frame: pd.DataFrame, key: object) -> pd.Series:
    """The column of `frame` under `key`; names must be unique."""
    return cast(pd.Series, frame[key])


def value_text(value: object) -> str:
    """One value as text, without surrounding spaces; 3, 3.0 and "3" become the same text."""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, np.generic):
        value = value.item()
    return str(value).strip()


def levels(column: pd.Series, missing: Collection[str] = ()) -> tuple[np.ndarray, list[str]]:
    """Distinct values of a column as text.

    Args:
      missing: texts, in lower case, that mean missing.
    Returns:
      codes: i64[N], position of each row's value in the list, −1 where missing.
      names: the list of texts, in order of appearance.
    """
    try:
        codes, uniques = pd.factorize(column)
    except TypeError:  # lists or dicts cannot be hashed
        codes, uniques = pd.factorize(column.map(str, na_action="ignore"))
    texts = [v.strip() if type(v) is str else value_text(v) for v in uniques.tolist()]
    longest = max(map(len, missing), default=-1)
    place: dict[str, int] = {}
    moved = [-1 if len(t) <= longest and t.lower() in missing else place.setdefault(t, len(place)) for t in texts]
    return np.array([*moved, -1], dtype=np.int64)[codes], list(place)


def level_counts(codes: np.ndarray, names: list[str]) -> dict[str, int]:
    """Number of rows with each text, from the output of `levels`."""
    return dict(zip(names, np.bincount(codes[codes >= 0], minlength=len(names)).tolist(), strict=True))


def most_frequent(counts: dict[str, int], number: int) -> list[str]:
    """The `number` most frequent texts, or all if there are fewer; ties in alphabetical order."""
    return heapq.nsmallest(number, counts, key=lambda name: (-counts[name], name))


def nature(column: pd.Series) -> str:
    """How the values are stored: "number", "date" or "level" (strings, bools, categories and everything else)."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        wide = len(dtype.categories) > MAX_CATEGORIES
        return nature(dtype.categories.to_series()) if wide else "level"
    if isinstance(dtype, pd.PeriodDtype) or pd.api.types.is_datetime64_any_dtype(dtype):
        return "date"
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return "level"
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return "number"
    if pd.api.types.is_object_dtype(dtype):
        inferred = pd.api.types.infer_dtype(column, skipna=True)
        if inferred in ("date", "datetime", "datetime64"):
            return "date"
        return "number" if inferred in ("integer", "floating", "mixed-integer-float", "decimal") else "level"
    return "level"


def raw_numbers(column: pd.Series) -> np.ndarray:
    """f64[N]: the column's numbers, infinite ones included, durations in seconds; NaN where missing or no number."""
    dtype = column.dtype
    if pd.api.types.is_timedelta64_dtype(dtype):
        return np.asarray(column.dt.total_seconds(), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    codes, names = levels(column)
    return np.append(numbers_of(names), np.nan)[codes]


def numbers_of(names: list[str]) -> np.ndarray:
    """f64[n]: n texts as numbers; NaN for a text that is no plain number."""
    return np.array(pd.to_numeric(pd.Series(names, dtype=object), errors="coerce"), dtype=np.float64)


def as_numbers(column: pd.Series) -> np.ndarray:
    """f64[N]: the column's numbers; NaN where they are infinite, missing or not a number."""
    values = raw_numbers(column)
    return np.where(np.isfinite(values), values, np.nan)


def as_dates(column: pd.Series) -> pd.DatetimeIndex:
    """N instants of a column stored as dates, without time zone, converted to UTC if it has one; NaT where missing."""
    if isinstance(column.dtype, pd.PeriodDtype):
        return pd.DatetimeIndex(column.dt.to_timestamp())
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = pd.to_datetime(column, errors="coerce", utc=True)
    stamps = pd.DatetimeIndex(column)
    return stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)


def kind_of_numbers(name: str, values: np.ndarray) -> str:
    """The kind of a column of numbers f64[N], NaN where missing.

    * Constant: one value in all rows, or none.
    * Category: at most two distinct values, or at most 10 distinct integers with at least five rows each on average.
    * Identifier: integers that number the rows without gaps, or that differ in nearly every row and have more than 15
      digits or the name of an identifier.
    * Number: the others.
    """
    present = values[np.isfinite(values)]
    distinct = np.unique(present)
    if len(distinct) + (len(present) < len(values)) < 2:
        return "constant"
    integers = bool(np.all(distinct == np.round(distinct)))
    if len(distinct) <= 2 or (integers and len(distinct) <= min(MAX_INTEGER_LEVELS, len(present) // 5)):
        return "category"
    if integers and len(distinct) >= 0.95 * len(present):  # a few may repeat: copied rows keep their number
        is_key = distinct[0] >= _SMALLEST_KEY and distinct[-1] < _LARGEST_KEY
        if is_key or counts_rows(distinct) or _IDENTIFIER_NAME.search(name):
            return "identifier"
    return "number"


def counts_rows(distinct: np.ndarray) -> bool:
    """Whether ascending integers f64[n] run on nearly without gaps, as row numbers do."""
    return len(distinct) > 1 and bool(np.mean(np.diff(distinct) == 1) > 0.9)


def kind_of_strings(names: list[str], num_present: int) -> str:
    """The kind of a column of strings, from its distinct texts and the number of rows with a value.

    Identifier: short strings that differ in nearly every row. Category: at most 60 distinct strings. Text: the others.
    """
    short = np.mean([len(n) for n in names]) <= 40 and np.mean([n.count(" ") for n in names]) < 2
    if len(names) >= max(0.98 * num_present, 10):
        return "identifier" if short else "text"
    return "category" if len(names) <= MAX_CATEGORIES else "text"
