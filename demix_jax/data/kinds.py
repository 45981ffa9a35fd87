"""Infers what kind of values a column holds, and converts every pandas dtype to one of three plain forms.

The forms are numbers (f64), instants (DatetimeIndex) and levels (the text of each distinct value, and a code per row).
Only distinct values become Python strings, so that a column of 200,000 rows costs little. The caller's frame is never
modified.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from demix_jax.data.written_numbers import read_number

MAX_INTEGER_LEVELS = 10  # integers with at most this many distinct values are codes (sex, education), not amounts
MAX_CATEGORIES = 60  # strings with more distinct values than this are text
PARSED_SHARE = 0.9  # share of a string column that must parse as numbers (dates) for the column to be one of numbers
MISSING_TEXT = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>", "nat"})  # "?" and "unknown" are values
_LONGEST_MISSING = max(len(t) for t in MISSING_TEXT)

_DATES = (
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y-%m-%d", "%d/%m/%y", "%m/%d/%y",
    "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
_DATE_FORMATS = ("ISO8601", *(date + time for time in ("", " %H:%M", " %H:%M:%S") for date in _DATES))
_LOOKS_LIKE_DATE = re.compile(
    r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4})(\D|$)"
)
_LEADING_ZERO = re.compile(r"^[-+]?0\d")
_IDENTIFIER_NAME = re.compile(r"(^|[ _.-])(id|uuid|guid|index|idx|instant|row)$|^unnamed: 0$", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """What was found in a column.

    name: as in the table. kind: "number", "category", "date", "text", "constant" or "identifier".
    date_format: how the strings of a date column are parsed; None for other columns and for stored dates.
    """

    name: str
    kind: str
    date_format: str | None = None

    @property
    def used(self) -> bool:
        """Whether task models and diagnosis use this column; constants and identifiers say nothing about the label."""
        return self.kind not in ("constant", "identifier")


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


def levels(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Distinct values of a column as text.

    Returns:
      codes: i64[N], position of each row's value in the list, −1 where missing.
      names: the list of texts, in order of appearance.
    """
    try:
        codes, uniques = pd.factorize(column)
    except TypeError:  # lists or dicts from a nested Parquet column cannot be hashed
        codes, uniques = pd.factorize(column.map(str, na_action="ignore"))
    texts = [v.strip() if type(v) is str else value_text(v) for v in uniques.tolist()]
    place: dict[str, int] = {}
    moved = [
        -1 if len(t) <= _LONGEST_MISSING and t.lower() in MISSING_TEXT else place.setdefault(t, len(place))
        for t in texts
    ]
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
    return np.append(text_numbers(names), np.nan)[codes]


def text_numbers(names: list[str]) -> np.ndarray:
    """f64[n]: the n texts parsed as numbers, such as 1,234.5 or $12 or 45 %; NaN for any other text."""
    numbers = np.array(pd.to_numeric(pd.Series(names, dtype=object), errors="coerce"), dtype=np.float64)
    for i in np.flatnonzero(np.isnan(numbers)):
        numbers[i] = read_number(names[i])
    return numbers


def as_numbers(column: pd.Series) -> np.ndarray:
    """f64[N]: the column's numbers; NaN where they are infinite, missing or not a number."""
    values = raw_numbers(column)
    return np.where(np.isfinite(values), values, np.nan)


def date_format(names: list[str]) -> str | None:
    """The known date format that parses most of these strings, if it parses at least 90 % of them, else None.

    Where both orders fit, the day comes before the month. About 1,000 of the strings are tried.
    """
    sample = names[:: max(1, len(names) // 1000)]
    if not sample or np.mean([bool(_LOOKS_LIKE_DATE.match(name)) for name in sample]) < PARSED_SHARE:
        return None
    shares = {f: float(pd.to_datetime(sample, format=f, errors="coerce", utc=True).notna().mean())
              for f in _DATE_FORMATS}  # fmt: skip
    best = max(shares, key=lambda f: shares[f])  # the earlier format wins a tie
    return best if shares[best] >= PARSED_SHARE else None


def as_dates(column: pd.Series, text_format: str | None) -> pd.DatetimeIndex:
    """N instants without time zone, converted to UTC if the column has one; NaT where missing or unreadable.

    Args:
      text_format: format of strings, see `date_format`; not used for columns stored as dates.
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        return pd.DatetimeIndex(column.dt.to_timestamp())
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        stamps = pd.DatetimeIndex(column)
        return stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)
    codes, names = levels(column)
    parsed = pd.to_datetime([*names, None], format=text_format or "ISO8601", errors="coerce", utc=True)
    return pd.DatetimeIndex(parsed).tz_localize(None)[codes]


def infer_column(name: object, column: pd.Series) -> Column:
    """The kind of a column, inferred from its values.

    * Category: bools; numbers with at most two distinct values; at most 10 distinct integers with at least five rows
      each on average; strings that are none of the below.
    * Number: other numbers; all durations, however few; strings of which 90 % parse as numbers.
    * Date: values stored as dates; strings of which 90 % parse as dates.
    * Text: strings with more than 60 distinct values.
    * Identifier: integers that count rows; short strings that differ in nearly every row.
    * Constant: one value in all rows, or none.
    """
    text_name = str(name)
    stored = nature(column)
    if stored == "date":
        return Column(text_name, "constant" if column.nunique(dropna=False) < 2 else "date")
    if stored == "number":
        kind = _kind_of_numbers(text_name, as_numbers(column))
        is_amount = kind == "category" and pd.api.types.is_timedelta64_dtype(column.dtype)
        return Column(text_name, "number" if is_amount else kind)
    codes, names = levels(column)
    present = codes[codes >= 0]
    if len(names) + (len(present) < len(codes)) < 2:
        return Column(text_name, "constant")
    text_format = date_format(names) if len(names) > 1 else None
    if text_format is not None:
        return Column(text_name, "date", text_format)
    if len(names) > MAX_INTEGER_LEVELS and not any(_LEADING_ZERO.match(n) for n in names):
        numbers = as_numbers(column)
        if np.isfinite(numbers).sum() >= PARSED_SHARE * len(present):
            return Column(text_name, _kind_of_numbers(text_name, numbers))
    return Column(text_name, _kind_of_strings(names, len(present)))


def _kind_of_numbers(name: str, values: np.ndarray) -> str:
    """The kind of a column of numbers f64[N], NaN where missing."""
    present = values[np.isfinite(values)]
    distinct = np.unique(present)
    if len(distinct) + (len(present) < len(values)) < 2:
        return "constant"
    integers = bool(np.all(distinct == np.round(distinct)))
    if len(distinct) <= 2 or (integers and len(distinct) <= min(MAX_INTEGER_LEVELS, len(present) // 5)):
        return "category"
    if integers and len(distinct) >= 0.95 * len(present):  # a few may repeat: copied rows keep their number
        counts_rows = np.mean(np.diff(distinct) == 1) > 0.9 or bool(np.all(np.diff(present) > 0))
        if counts_rows or _IDENTIFIER_NAME.search(name):
            return "identifier"
    return "number"


def _kind_of_strings(names: list[str], num_present: int) -> str:
    """The kind of a column of strings, from its distinct texts and the number of rows with a value."""
    short = np.mean([len(n) for n in names]) <= 40 and np.mean([n.count(" ") for n in names]) < 2
    if len(names) >= max(0.98 * num_present, 10):
        return "identifier" if short else "text"
    return "category" if len(names) <= MAX_CATEGORIES else "text"
