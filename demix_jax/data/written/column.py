"""Recognises whether the texts of a column are numbers, dates or strings."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from demix_jax.common.wording import count, percent
from demix_jax.data.written.date_form import DateForm
from demix_jax.data.written.dates import DateFinding, find_date_form
from demix_jax.data.written.missing import find_always_missing, find_markers
from demix_jax.data.written.number_form import NumberForm
from demix_jax.data.written.numbers import NumberFinding, find_number_form
from demix_jax.data.written.shapes import shapes_of, texts_at

READ_SHARE = 0.9  # share of the present cells that must be numbers (dates) in a column of numbers (dates)
_MOST_MARKERS, _FEWEST_BESIDE = 0.95, 10  # share of cells with markers such as ?, if at least ten cells were read
_ALMOST, _MANY = 0.5, 20  # numbers among many strings that are worth a note
_FIRST_COMPACT, _LAST_COMPACT = 19_000_101, 21_001_231  # 20190403 may be a date
_LONGEST_EXAMPLE = 40
_ISO = "{Y4}-{m2}-{d2}"
Kind = Literal["number", "date", "strings"]


@dataclass(frozen=True)
class Recognised:
    """What the n distinct texts of a column mean.

    Attributes:
      kind: "number", "date" or "strings".
      values: f64[n] (NaN) or datetime64[ns][n] (NaT, in UTC); None for strings.
      is_missing: bool[n]. unread: bool[n], neither missing nor of that kind.
      form: how numbers or dates are written; None for strings.
      notes: sentences for the user. how: a short phrase for people: "decimal comma, thousands by point".
    """

    kind: Kind
    values: np.ndarray | None
    is_missing: np.ndarray
    unread: np.ndarray
    form: NumberForm | DateForm | None
    notes: tuple[str, ...]
    how: str


def recognise(
    texts: Sequence[str], counts: np.ndarray, *, as_kind: Kind | None = None, missing: Sequence[str] = ()
) -> Recognised:
    """What the texts of a column mean, decided by all of them; their order does not matter.

    A column is numbers (dates) if at least 90 % of its cells, without those that mean missing, are.

    Args:
      texts: n distinct stripped texts. counts: i64[n], cells with each text.
      as_kind: the kind, if the user gave it. missing: texts that mean missing, in any case, by the user.

    Example:
      >>> found = recognise(["1.234,50", "7,00", "?"], np.array([1, 1, 1]))
      >>> found.kind, found.values.tolist(), found.is_missing.tolist(), found.how
      ('number', [1234.5, 7.0, nan], [False, False, True], 'decimal comma, thousands by point')
    """
    missed = find_always_missing(texts, missing)
    present = np.flatnonzero(~missed.is_missing)
    others, cells = [texts[place] for place in present.tolist()], np.asarray(counts)[present]
    found = _recognise_present(others, cells, as_kind)

    def spread(part: np.ndarray, fill: object) -> np.ndarray:
        whole = np.full(len(texts), fill, dtype=part.dtype)
        whole[present] = part
        return whole

    values = None
    if found.values is not None:
        values = spread(found.values, np.nan if found.kind == "number" else np.datetime64("NaT", "ns"))
    return replace(
        found,
        values=values,
        is_missing=spread(found.is_missing, True),
        unread=spread(found.unread, False),
        notes=(*missed.notes, *found.notes),
    )


def _recognise_present(texts: Sequence[str], counts: np.ndarray, as_kind: Kind | None) -> Recognised:
    """As `recognise`, for texts that may be present."""
    if as_kind == "date":
        nothing = DateFinding(np.full(len(texts), np.datetime64("NaT", "ns")), DateForm(_ISO), ())
        return _as_kind("date", find_date_form(texts, counts) or nothing, texts, counts)
    shapes = [] if as_kind == "strings" else shapes_of(texts)
    numbers = find_number_form(texts, counts, shapes)
    if as_kind == "number":
        nothing = NumberFinding(np.full(len(texts), np.nan), NumberForm(), "", ())
        return _as_kind("number", numbers or nothing, texts, counts)
    found = [] if numbers is None or numbers.objection else [_as_kind("number", numbers, texts, counts)]
    if as_kind is None and not (found and _is_enough(found[0], counts) and not _may_be_compact(found[0])):
        dates = find_date_form(texts, counts, shapes)
        found = [_as_kind("date", dates, texts, counts), *found] if dates is not None else found
    return next((one for one in found if _is_enough(one, counts)), _as_strings(texts, counts, numbers))


def _may_be_compact(numbers: Recognised) -> bool:
    """Whether all numbers could be dates in digits alone; `find_date_form` looks closer."""
    values = np.asarray(numbers.values)
    finite = values[np.isfinite(values)]
    scales = (1, 10**4, 10**6)  # without time, with minutes, with seconds
    return numbers.how == "plain" and any(
        bool(np.all((finite >= _FIRST_COMPACT * scale) & (finite < (_LAST_COMPACT + 1) * scale))) for scale in scales
    )


def _as_kind(kind: Kind, finding: NumberFinding | DateFinding, texts: Sequence[str], counts: np.ndarray) -> Recognised:
    """The column as numbers or dates, however few of its texts are."""
    was_read = ~(np.isnan(finding.values) if kind == "number" else np.isnat(finding.values))
    markers = find_markers(texts, counts, was_read)
    unread = ~was_read & ~markers.is_missing
    notes = (*finding.notes, *markers.notes)
    if unread.any():
        cells, failed = count(int(counts[~markers.is_missing].sum()), "value"), int(counts[unread].sum())
        notes = (*notes, f"{failed:,} of {cells} could not be read as a {kind}: {_examples(texts, counts, unread)}.")
    return Recognised(
        kind=kind,
        values=finding.values,
        is_missing=markers.is_missing,
        unread=unread,
        form=finding.form,
        notes=notes,
        how=finding.form.how,
    )


def _is_enough(found: Recognised, counts: np.ndarray) -> bool:
    """Whether enough cells were read for a column of numbers or dates."""
    marked, failed = int(counts[found.is_missing].sum()), int(counts[found.unread].sum())
    read = int(counts.sum()) - marked - failed
    few_markers = marked <= read or (read >= _FEWEST_BESIDE and marked <= _MOST_MARKERS * (read + marked))
    return read > 0 and few_markers and read >= READ_SHARE * (read + failed)


def _as_strings(texts: Sequence[str], counts: np.ndarray, numbers: NumberFinding | None) -> Recognised:
    """The column as strings, with a note if many of them are numbers."""
    none = np.zeros(len(texts), bool)
    notes: tuple[str, ...] = ()
    if numbers is not None:
        was_read = np.isfinite(numbers.values)
        share = counts[was_read].sum() / counts.sum()
        if numbers.objection:
            notes = (numbers.objection,) * bool(share >= _ALMOST)
        elif share >= _ALMOST and len(texts) >= _MANY:
            notes = (
                f"{percent(share)} of the values are numbers, but not the others, such as "
                f"{_examples(texts, counts, ~was_read)}; the column is read as strings. If it holds numbers, give its "
                "kind or name the texts that mean missing.",
            )
    return Recognised("strings", values=None, is_missing=none, unread=none, form=None, notes=notes, how="as written")


def _examples(texts: Sequence[str], counts: np.ndarray, chosen: np.ndarray) -> str:
    """Up to three of the chosen texts, the most frequent first."""
    rows = np.flatnonzero(chosen)
    most = heapq.nsmallest(3, zip((-counts[rows]).tolist(), texts_at(texts, rows), strict=True))
    shown = ", ".join(repr(text[:_LONGEST_EXAMPLE]) for _, text in most)
    return shown if len(rows) <= 3 else f"{shown}, …"
