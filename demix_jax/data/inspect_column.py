"""Inspects one column: its kind, how its texts are written, and its parsed values."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.data.kinds import (
    MISSING_TEXT,
    Column,
    as_dates,
    as_numbers,
    kind_of_numbers,
    kind_of_strings,
    levels,
    nature,
)
from demix_jax.data.lists import holds_lists, kind_of_lists
from demix_jax.data.written.column import Recognised, recognise
from demix_jax.data.written.plain import PlainNumbers, plain_numbers
from demix_jax.data.written.vectors import find_vectors

_TEXTS = (pd.StringDtype, pd.ArrowDtype)
TEXT = pd.StringDtype(storage="pyarrow", na_value=np.nan)


class Inspected(NamedTuple):
    """An inspected column of N rows.

    values: parsed, with the index of the given ones: i64 or f64 numbers, datetimes, texts, vectors or sets.
    notes: sentences for the user.
    """

    column: Column
    values: pd.Series
    notes: tuple[str, ...] = ()


def inspect_column(
    name: object,
    values: pd.Series,
    *,
    kind: str | None = None,
    missing: Collection[str] = (),
    is_label: bool = False,
) -> Inspected:
    """The kind of a column, decided by all of its values, and the values parsed accordingly.

    * Category: bools; numbers with at most two distinct values; at most 10 distinct integers with at least five rows
      each on average; at most 60 distinct strings that are none of the below.
    * Number: other numbers; all durations, however few; strings of which 90 % parse as numbers.
    * Date: values stored as dates; strings of which 90 % parse as dates.
    * Vector: lists of numbers of one length. Set: lists of texts.
    * Text: strings with more than 60 distinct values.
    * Identifier: integers without gaps; integers named like an identifier and short strings that differ in nearly every
      row.
    * Constant: one value in all rows, or none.

    Args:
      name: as in the table. values: N rows, stored or as written.
      kind: what the user says that it is; None: decided by the values.
      missing: further texts that mean missing.
      is_label: whether written numbers are parsed even if they look like identifiers.
    """
    text_name = str(name)
    if holds_lists(values):
        return _counted(Column(text_name, kind or kind_of_lists(values)), values)
    stored = nature(values)
    if kind == "vector":
        return _counted(Column(text_name, kind), _written_vectors(values))
    if stored == "level" and kind in (None, "number", "date"):
        return _of_texts(text_name, values, kind, missing, keep_numbers=is_label)
    if kind in ("category", "text", "identifier") and (stored == "level" or kind != "identifier"):
        return _strings(text_name, values, kind, missing)
    if stored == "date" or kind == "date":
        dates = as_dates(values) if stored == "date" else _epoch_dates(as_numbers(values))
        parsed = pd.Series(dates, index=values.index, name=values.name)
        return _counted(Column(text_name, kind or ("constant" if _is_constant(parsed) else "date")), parsed)
    kind = kind or kind_of_numbers(text_name, as_numbers(values))
    is_amount = kind == "category" and pd.api.types.is_timedelta64_dtype(values.dtype)
    return _counted(Column(text_name, "number" if is_amount else kind), values)


def parse(column: Column, values: pd.Series) -> pd.Series:
    """The values of further rows, or of the inspected ones, parsed as the column was; parsed values stay as they are."""
    if column.kind == "vector" and not holds_lists(values):
        return _written_vectors(values)
    if column.kind in ("vector", "set", "ignored") or nature(values) != "level" or _keeps_levels(values):
        if nature(values) == "date":
            return pd.Series(as_dates(values), index=values.index, name=values.name)
        return values
    codes, names = levels(values, column.missing)
    if column.form is None:
        return _texts(values, codes, names)
    parsed = np.asarray(column.form.parse(names))
    nothing = np.array(["NaT"], parsed.dtype) if parsed.dtype.kind == "M" else np.array([np.nan])
    return _numbers_or_dates(values, np.concatenate([parsed, nothing])[codes])


def _of_texts(
    name: str, values: pd.Series, kind: str | None, missing: Collection[str], *, keep_numbers: bool
) -> Inspected:
    """A column of strings, bools or categories, which may be written numbers, dates or lists."""
    if kind is None and _keeps_levels(values):
        codes, names = levels(values)
        found = "constant" if len(names) + bool(np.any(codes < 0)) < 2 else "category"
        return _counted(Column(name, found), values)
    plain = None if missing or not isinstance(values.dtype, _TEXTS) else plain_numbers(_arrow(values))
    if plain is not None and kind != "date":
        return _of_plain_numbers(name, values, plain, kind, keep_numbers=keep_numbers)
    codes, names = levels(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    told = recognise(names, counts, as_kind=kind, missing=tuple(missing))
    markers = _markers(names, told, missing)
    absent = np.append(told.is_missing, True)[codes]
    if told.kind == "strings":
        vectors = (
            None
            if kind
            else find_vectors([text for text, gone in zip(names, told.is_missing, strict=True) if not gone])
        )
        if vectors is not None:
            return _counted(Column(name, "vector", missing=markers), _written_vectors(values))
        kept = np.where(np.append(told.is_missing, True), -1, np.arange(len(names) + 1))[codes]
        found = _of_strings(name, values, (kept, names), markers, told.notes)
        is_mixed = keep_numbers and pd.api.types.infer_dtype(values, skipna=True).startswith("mixed")
        return found._replace(values=values) if is_mixed else found  # classes come back as they were given
    parsed = np.append(told.values, np.array(["NaT"], told.values.dtype) if told.kind == "date" else [np.nan])[codes]
    series = _numbers_or_dates(values, parsed)
    unread = int(counts[told.unread].sum())
    column = Column(name, told.kind, form=told.form, missing=markers, how=told.how, num_unread=unread)
    if kind is None and told.kind == "number":
        column = dataclasses.replace(column, kind=kind_of_numbers(name, parsed))
        if column.kind == "identifier" and not keep_numbers:  # as written: a long number would lose digits
            column = dataclasses.replace(column, form=None, how="")
            series = _texts(values, np.where(absent, -1, codes), names)
    elif kind is None and _is_constant(series):
        column = dataclasses.replace(column, kind="constant")
    return _counted(column, series, told.notes)


def _arrow(values: pd.Series) -> Any:
    """The Arrow array, or chunked array, behind a column of texts."""
    array: Any = values.array
    return array.__arrow_array__()


def _of_plain_numbers(
    name: str, values: pd.Series, plain: PlainNumbers, kind: str | None, *, keep_numbers: bool
) -> Inspected:
    """`_of_texts` of a column in which every cell is empty or a plain number."""
    kind = kind or kind_of_numbers(name, plain.values)
    if kind == "identifier" and not keep_numbers:
        return _strings(name, values, kind, ())
    column = Column(name, kind, form=plain.form, how=plain.form.how)
    return _counted(column, _numbers_or_dates(values, plain.values))


def _strings(name: str, values: pd.Series, kind: str, missing: Collection[str]) -> Inspected:
    """A column that the user says holds categories, texts or identifiers."""
    codes, names = levels(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    told = recognise(names, counts, as_kind="strings", missing=tuple(missing))
    kept = np.where(np.append(told.is_missing, True), -1, np.arange(len(names) + 1))[codes]
    column = Column(name, kind, missing=_markers(names, told, missing))
    return _counted(column, _texts(values, kept, names))


def _of_strings(
    name: str, values: pd.Series, found: tuple[np.ndarray, list[str]], markers: frozenset[str], notes: tuple[str, ...]
) -> Inspected:
    codes, names = found
    present = codes[codes >= 0]
    distinct = [names[code] for code in np.unique(present)]
    if len(distinct) + (len(present) < len(codes)) < 2:
        kind = "constant"
    else:
        kind = kind_of_strings(distinct, len(present))
    return _counted(Column(name, kind, missing=markers), _texts(values, codes, names), notes)


def _written_vectors(values: pd.Series) -> pd.Series:
    """object[N]: arrays f32[d] of written lists of numbers of one length; None where a text is none."""
    codes, names = levels(values)
    lists = [find_vectors([name]) for name in names]
    arrays = np.empty(len(names) + 1, object)
    arrays[: len(names)] = [None if found is None else found[0] for found in lists]
    return pd.Series(arrays[codes], index=values.index, name=values.name)


def _keeps_levels(values: pd.Series) -> bool:
    """Whether strings need no parsing: bools and complex numbers."""
    dtype = values.dtype
    return bool(pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype))


def _markers(names: list[str], told: Recognised, missing: Collection[str]) -> frozenset[str]:
    """Texts that mean missing in this column, in lower case; one that is a value here (NA for Namibia) is none."""
    values = {name.lower() for name, gone in zip(names, told.is_missing, strict=True) if not gone}
    own = {name.lower() for name, gone in zip(names, told.is_missing, strict=True) if gone}
    return (MISSING_TEXT | {text.strip().lower() for text in missing} | own) - values


def _texts(values: pd.Series, codes: np.ndarray, names: list[str]) -> pd.Series:
    """Series of texts with the index of `values`, by position in `names`; NaN where the code is −1."""
    texts = pd.array([*names, None], dtype=TEXT)
    return pd.Series(texts.take(np.where(codes < 0, len(names), codes)), index=values.index, name=values.name)


def _numbers_or_dates(values: pd.Series, parsed: np.ndarray) -> pd.Series:
    """Series of parsed numbers or dates with the index of `values`; whole numbers become integers if none is missing."""
    if parsed.dtype.kind == "f" and len(parsed):
        whole = np.isfinite(parsed).all() and np.all(parsed == np.round(parsed)) and np.abs(parsed).max() < 2**53
        parsed = parsed.astype(np.int64) if whole else parsed
    return pd.Series(parsed, index=values.index, name=values.name)


def _epoch_dates(numbers: np.ndarray) -> pd.DatetimeIndex:
    """Instants of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    largest = np.nanmax(np.abs(numbers), initial=0.0)
    unit = next((unit for unit, limit in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if largest < limit), "ns")
    return pd.DatetimeIndex(pd.to_datetime(pd.Series(numbers), unit=unit, errors="coerce"))


def _is_constant(values: pd.Series) -> bool:
    return values.nunique(dropna=False) < 2


def _counted(column: Column, values: pd.Series, notes: tuple[str, ...] = ()) -> Inspected:
    """The result, with the number of missing cells."""
    gone = int(values.isna().sum())
    return Inspected(dataclasses.replace(column, num_missing=gone), values, notes)
