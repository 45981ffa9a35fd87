"""Finds the quotes of a block that open and close fields; all others are characters like any other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.data.sources.delimited.dialect import TextDialect

_LF, _CR, _SPACE, _BACKSLASH = 10, 13, 32, 92


class Quotes(NamedTuple):
    """Quotes of a block of n bytes.

    opens, closes: i64[Q], of each quoted field, in order; a field still open at the end of the block closes at n.
    drops: i64[D], ascending, bytes within quoted fields that only protect a quote and are no part of the value.
    num_irregular: quoted fields with text after the closing quote.
    suspect: the first quote whose field spans lines and has text after its closing quote, or -1; it was never closed.
    """

    opens: np.ndarray
    closes: np.ndarray
    drops: np.ndarray
    num_irregular: int = 0
    suspect: int = -1

    def cover(self, places: np.ndarray) -> np.ndarray:
        """bool[k], whether these places i64[k], ascending, lie within quotes."""
        if not len(self.opens):
            return np.zeros(len(places), bool)
        last = np.searchsorted(self.opens, places, side="right") - 1
        return (last >= 0) & (places < self.closes[last])


_NONE = np.zeros(0, np.int64)
NO_QUOTES = Quotes(_NONE, _NONE, _NONE)


def find_quotes(array: np.ndarray, dialect: TextDialect) -> Quotes:
    """The quotes of a block u8[n] that begins with a record."""
    if not dialect.quote:
        return NO_QUOTES
    places = np.flatnonzero(array == dialect.quote[0])
    if not len(places):
        return NO_QUOTES
    begins, ends = _begin_fields(array, places, dialect), _end_fields(array, places, dialect)
    if not dialect.has_backslash:
        found = _regular(places, begins, ends, len(array))
        if found is not None:
            return found
    return _one_by_one(array, places, (begins, ends), dialect)


def _regular(places: np.ndarray, begins: np.ndarray, ends: np.ndarray, size: int) -> Quotes | None:
    """The quotes if they open and close in turn, at the edges of fields; None if one is elsewhere."""
    even, odd = places[::2], places[1::2]
    doubled = even[1:] == odd[: len(even) - 1] + 1
    is_open = np.append(True, ~doubled)
    is_close = np.append(~doubled, np.ones(len(odd) - len(doubled), bool))
    if not (begins[::2][is_open].all() and ends[1::2][is_close].all()):
        return None
    opens, closes = even[is_open], odd[is_close]
    if len(closes) < len(opens):
        closes = np.append(closes, size)
    return Quotes(opens, closes, even[1:][doubled])


def _one_by_one(
    array: np.ndarray, places: np.ndarray, edges: tuple[np.ndarray, np.ndarray], dialect: TextDialect
) -> Quotes:
    """The quotes by the letter of the rules: a quote opens only at the start of a field, and others are literal."""
    begins, ends = (edge.tolist() for edge in edges)
    quotes = places.tolist()
    opens, closes, drops = [], [], []
    num_irregular, suspect, this = 0, -1, 0
    while this < len(quotes):
        if not begins[this]:
            this += 1
            continue
        close = _closing(array, quotes, this, drops, has_backslash=dialect.has_backslash)
        opens.append(quotes[this])
        closes.append(quotes[close] if close < len(quotes) else len(array))
        if close < len(quotes) and not ends[close]:
            num_irregular += 1
            if suspect < 0 and np.isin(array[opens[-1] : closes[-1]], (_LF, _CR)).any():
                suspect = opens[-1]
        this = close + 1
    return Quotes(
        opens=np.array(opens, np.int64),
        closes=np.array(closes, np.int64),
        drops=np.array(drops, np.int64),
        num_irregular=num_irregular,
        suspect=suspect,
    )


def _closing(array: np.ndarray, quotes: list[int], this: int, drops: list[int], *, has_backslash: bool) -> int:
    """The position in `quotes` of the one that closes the field opened by number `this`; len(quotes): none does.

    Appends to `drops` what protects quotes within the field.
    """
    close = this + 1
    while close < len(quotes):
        place = quotes[close]
        if has_backslash and _is_escaped(array, place, quotes[this]):
            drops.append(place - 1)
            close += 1
        elif close + 1 < len(quotes) and quotes[close + 1] == place + 1:
            drops.append(place + 1)
            close += 2
        else:
            break
    return close


def _is_escaped(array: np.ndarray, place: int, start: int) -> bool:
    """Whether an odd number of backslashes stands before a place, after the opening quote."""
    first = place
    while first - 1 > start and array[first - 1] == _BACKSLASH:
        first -= 1
    return (place - first) % 2 == 1


def _begin_fields(array: np.ndarray, places: np.ndarray, dialect: TextDialect) -> np.ndarray:
    """bool[k], whether a field starts at these places, or before the spaces in front of them if these are padding."""
    before = places.copy()
    if dialect.is_padded:
        is_space = array == _SPACE
        last_other = np.maximum.accumulate(np.where(is_space, -1, np.arange(len(array))))
        before = np.where(before > 0, last_other[np.maximum(before - 1, 0)] + 1, 0)
    previous = array[np.maximum(before - 1, 0)]
    found = (before == 0) | (previous == _LF) | (previous == _CR)
    width = len(dialect.delimiter)
    matches = (before >= width) & (width > 0)
    for offset, byte in enumerate(dialect.delimiter):
        matches &= array[np.maximum(before - width + offset, 0)] == byte
    return found | matches


def _end_fields(array: np.ndarray, places: np.ndarray, dialect: TextDialect) -> np.ndarray:
    """bool[k], whether a field ends after these places."""
    size = len(array)
    following = array[np.minimum(places + 1, size - 1)]
    found = (places == size - 1) | (following == _LF) | (following == _CR)
    width = len(dialect.delimiter)
    matches = (places + width < size) & (width > 0)
    for offset, byte in enumerate(dialect.delimiter):
        matches &= array[np.minimum(places + 1 + offset, size - 1)] == byte
    return found | matches
