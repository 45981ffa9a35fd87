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
    """The values of any rows, parsed as the inspected column was; parsed values stay as they are."""
    if column.kind == "vector" and not holds_lists(values):
        return _written_vectors(values)
    stored = nature(values)
    if stored == "date" or (column.kind == "date" and stored == "number"):
        dates = as_dates(values) if stored == "date" else _epoch_dates(as_numbers(values))
        return pd.Series(dates, index=values.index, name=values.name)
    if column.as_given or column.kind in ("vector", "set", "ignored") or stored != "level" or _keeps_levels(values):
        return values
    codes, names = levels(values, column.missing)
    if column.form is None:
        texts = pd.array([*names, None], dtype=TEXT)
        return pd.Series(texts.take(np.where(codes < 0, len(names), codes)), index=values.index, name=values.name)
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
    texts = _DistinctTexts.of(values)
    as_kind: Any = kind
    told = recognise(texts.names, texts.counts, as_kind=as_kind, missing=tuple(missing))
    if told.kind == "strings" or (kind is None and not keep_numbers and _is_code(name, texts, told)):
        return _of_strings(name, values, texts, told, missing, as_given=keep_numbers)
    assert told.values is not None
    nothing = np.array(["NaT"], told.values.dtype) if told.kind == "date" else np.array([np.nan])
    parsed = np.concatenate([told.values, nothing])[texts.codes]
    series = _numbers_or_dates(values, parsed)
    column = Column(
        name,
        told.kind,
        form=told.form,
        missing=_markers(texts.names, told, missing),
        how=told.how,
        num_unread=int(texts.counts[told.unread].sum()),
    )
    if kind is None and told.kind == "number":
        column = dataclasses.replace(column, kind=kind_of_numbers(name, parsed))
        if column.kind == "identifier" and not keep_numbers:  # as written: a long number would lose digits
            column = dataclasses.replace(column, form=None, how="")
            series = texts.without(told.is_missing, values)
    elif kind is None and _is_constant(series):
        column = dataclasses.replace(column, kind="constant")
    return _counted(column, series, told.notes)


class _DistinctTexts(NamedTuple):
    """The distinct stripped texts of a column of N rows.

    codes: i64[N], position in `names`; −1 where nothing is stored. names: n texts. counts: i64[n].
    """

    codes: np.ndarray
    names: list[str]
    counts: np.ndarray

    @classmethod
    def of(cls, values: pd.Series) -> _DistinctTexts:
        codes, names = levels(values)
        return cls(codes, names, np.bincount(codes[codes >= 0], minlength=len(names)))

    def without(self, is_missing: np.ndarray, like: pd.Series) -> pd.Series:
        """The texts of all rows with the index of `like`; NaN where `is_missing` bool[n] says so."""
        kept = np.where(np.append(is_missing, True), len(self.names), np.arange(len(self.names) + 1))[self.codes]
        texts = pd.array([*self.names, None], dtype=TEXT)
        return pd.Series(texts.take(kept), index=like.index, name=like.name)


def _is_code(name: str, texts: _DistinctTexts, told: Recognised) -> bool:
    """Whether few numbers stand beside texts that are none, so that all are names of categories."""
    if told.values is None or told.kind != "number" or not told.unread.any():
        return False
    return kind_of_numbers(name, np.append(told.values, np.nan)[texts.codes]) == "category"


def _of_strings(
    name: str,
    values: pd.Series,
    texts: _DistinctTexts,
    told: Recognised,
    missing: Collection[str],
    *,
    as_given: bool,
) -> Inspected:
    """A column of strings; `as_given`: whether values of several types stay as they are."""
    markers, gone = _markers(texts.names, told, missing), told.is_missing
    present = [text for text, missed in zip(texts.names, gone, strict=True) if not missed]
    if find_vectors(present) is not None:
        return _counted(Column(name, "vector", missing=markers), _written_vectors(values))
    num_present = int(texts.counts[~gone].sum())
    if len(present) + (num_present < len(values)) < 2:
        kind = "constant"
    else:
        kind = kind_of_strings(present, num_present)
    if as_given and pd.api.types.infer_dtype(values, skipna=True).startswith("mixed"):
        return _counted(Column(name, kind, missing=markers, as_given=True), values, told.notes)
    notes = told.notes if told.kind == "strings" else ()
    return _counted(Column(name, kind, missing=markers), texts.without(gone, values), notes)


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
    texts = _DistinctTexts.of(values)
    told = recognise(texts.names, texts.counts, as_kind="strings", missing=tuple(missing))
    column = Column(name, kind, missing=_markers(texts.names, told, missing))
    return _counted(column, texts.without(told.is_missing, values))


def _written_vectors(values: pd.Series) -> pd.Series:
    """object[N]: arrays f32[d] of written lists of numbers of one length; None where a text is none."""
    codes, names = levels(values)
    lists = [find_vectors([name]) for name in names]
    arrays = np.empty(len(names) + 1, object)
    arrays[: len(names)] = [None if found is None else found[0] for found in lists]
    return pd.Series(arrays[codes], index=values.index, name=values.name)


def _keeps_levels(values: pd.Series) -> bool:
    """Whether values need no parsing: bools and complex numbers."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return True
    return bool(pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(values, skipna=True) == "boolean")


def _markers(names: list[str], told: Recognised, missing: Collection[str]) -> frozenset[str]:
    """Texts that mean missing in this column, in lower case; one that is a value here (NA for Namibia) is none."""
    values = {name.lower() for name, gone in zip(names, told.is_missing, strict=True) if not gone}
    own = {name.lower() for name, gone in zip(names, told.is_missing, strict=True) if gone}
    return (MISSING_TEXT | {text.strip().lower() for text in missing} | own) - values


def _numbers_or_dates(values: pd.Series, parsed: np.ndarray) -> pd.Series:
    """Parsed numbers or dates with the index of `values`; whole numbers become integers if none is missing."""
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
