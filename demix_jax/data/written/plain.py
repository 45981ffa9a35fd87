"""Numbers as programs write them, read without a Python string per cell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from demix_jax.data.written.number_form import NumberForm
from demix_jax.data.written.numbers import find_number_form

_pc: Any = compute  # its functions are made at run time, so that type checkers do not know them
_PLAIN = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_MAY_BE_DATE = r"^([0-9]{8}|[0-9]{12}|[0-9]{14})$"
_LARGEST_EXACT = 2.0**53
_NUM_SHOWN = 2_000


class PlainNumbers(NamedTuple):
    """values: f64[N], NaN where a cell is empty. form: how they are written."""

    values: np.ndarray
    form: NumberForm


def plain_numbers(texts: Any) -> PlainNumbers | None:
    """The numbers of a column, if each of its cells is empty or a plain number such as -12.50.

    Args:
      texts: Arrow array or chunked array of N strings.
    Returns:
      None if any cell is anything else, or if all may be dates such as 20190403; see `recognise` for those.
    """
    trimmed = _pc.utf8_trim_whitespace(texts)
    is_empty = _pc.equal(trimmed, "")
    is_plain = _pc.match_substring_regex(trimmed, _PLAIN)
    if not _pc.all(_pc.or_(is_empty, is_plain), min_count=0).as_py() or not _pc.any(is_plain).as_py():
        return None
    if _pc.all(_pc.or_(is_empty, _pc.match_substring_regex(trimmed, _MAY_BE_DATE))).as_py():
        return None
    numbers = _pc.cast(_pc.if_else(is_empty, pa.scalar(None, trimmed.type), trimmed), pa.float64())
    values = np.array(numbers.to_numpy(), dtype=np.float64)  # a copy that can be written to
    if np.nanmax(np.abs(values)) >= _LARGEST_EXACT:
        return None
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(values[present], kind="stable")]
    shown = sorted(set(trimmed.take(pa.array(order[:: max(1, len(order) // _NUM_SHOWN)])).to_pylist()))
    found = find_number_form(shown, np.ones(len(shown), np.int64))
    return None if found is None else PlainNumbers(values, found.form)
