"""The values of fields: without quotes, as Arrow columns or one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from demix_jax.data.sources.delimited.encodings import mend
from demix_jax.data.sources.delimited.tokens import Records


def column_texts(records: Records, rows: np.ndarray, columns: Sequence[int]) -> list[pa.Array]:
    """The cells of some records as one string column of n rows each; a record that is too short has empty cells.

    Args:
      rows: i64[n], numbers of records. columns: positions of fields.
    """
    starts, stops, drops = _value_spans(records)
    first, counts = records.first[rows], records.num_fields[rows]
    array = mend(records.data)
    if not len(rows):
        return [pa.array([], pa.string()) for _ in columns]
    places = np.asarray(columns, np.int64)[:, None]
    fields = np.minimum(first + places, len(starts) - 1)
    here = places < counts
    begins = np.where(here, starts[fields], 0).ravel()
    ends = np.where(here, stops[fields], 0).ravel()
    offsets, data = _gathered(array, begins, ends, drops)
    return [
        pa.StringArray.from_buffers(len(rows), pa.py_buffer(part), pa.py_buffer(data))
        for part in (offsets[q * len(rows) : (q + 1) * len(rows) + 1] for q in range(len(columns)))
    ]


def field_text(records: Records, field: int) -> str:
    """The value of one field."""
    start, stop = int(records.field_starts[field]), int(records.field_ends[field])
    return "".join(column_texts(_one_field(records, start, stop), np.zeros(1, np.int64), [0])[0].to_pylist())


def is_quoted(records: Records, field: int) -> bool:
    """Whether a field is written in quotes."""
    start, stop = records.field_starts[field], records.field_ends[field]
    place = np.searchsorted(records.quotes.opens, start)
    return bool(place < len(records.quotes.opens) and records.quotes.opens[place] < stop)


def _one_field(records: Records, start: int, stop: int) -> Records:
    """A field as a record of its own."""
    quotes = records.quotes
    low, high = np.searchsorted(quotes.opens, [start, stop])
    inner = quotes.drops[(quotes.drops >= start) & (quotes.drops < stop)]
    zero, end = np.zeros(1, np.int64), np.array([stop - start])
    return Records(
        data=records.data[start:stop],
        starts=zero,
        ends=end,
        stops=end,
        first=np.array([0, 1]),
        field_starts=zero,
        field_ends=end,
        quotes=quotes._replace(
            opens=quotes.opens[low:high] - start, closes=quotes.closes[low:high] - start, drops=inner - start
        ),
        line_ends=zero[:0],
    )


def _value_spans(records: Records) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """i64[F] starts and stops of the values, and i64[D] bytes within them that are no part of a value."""
    starts, stops, drops = records.field_starts, records.field_ends, records.quotes.drops
    opens, closes = records.quotes.opens, records.quotes.closes
    if not len(opens) or not len(starts):
        return starts, stops, drops
    number = np.minimum(np.searchsorted(opens, starts), len(opens) - 1)
    open_at, close_at = opens[number], closes[number]
    quoted = (open_at >= starts) & (open_at < stops)
    after = stops - close_at - 1
    for field in np.flatnonzero(quoted & (after > 0)):  # spaces or text after the closing quote
        if records.data[close_at[field] + 1 : stops[field]].strip(b" "):
            drops = np.append(drops, close_at[field])
            close_at[field] = stops[field]
    return np.where(quoted, open_at + 1, starts), np.where(quoted, close_at, stops), np.sort(drops)


def _gathered(
    array: np.ndarray, begins: np.ndarray, ends: np.ndarray, drops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """i32[K + 1], where each of K spans begins in the joined bytes, and these bytes, without those at `drops`."""
    lengths = ends - begins
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    index = np.repeat((begins - offsets[:-1]).astype(np.int32), lengths)
    index += np.arange(len(index), dtype=np.int32)
    data = array[index]
    if len(drops):
        is_dropped = np.zeros(len(array), bool)
        is_dropped[drops] = True
        lost = np.flatnonzero(is_dropped[index])
        data = np.delete(data, lost)
        offsets = offsets - np.searchsorted(lost, offsets)
    return offsets.astype(np.int32), data
