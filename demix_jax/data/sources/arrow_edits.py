"""`Edits` applied to Arrow tables: types, metadata and every other cell stay as they are."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as types

from demix_jax.common.checks import InputError
from demix_jax.data.sources.source import Edits, NewCells


def added_arrays(edits: Edits, schema: pa.Schema, where: str) -> dict[str, pa.Array]:
    """The new columns, each of one type.

    Raises:
      InputError: the table has a column of this name already.
    """
    taken = [name for name in edits.added if name in schema.names]
    if taken:
        raise InputError(f"{where} has a column {taken[0]!r} already; rename it, so that a new one can be added.")
    return {name: pa.array(values, from_pandas=True) for name, values in edits.added.items()}


def edited_schema(schema: pa.Schema, added: Mapping[str, pa.Array]) -> pa.Schema:
    """`schema` with its metadata and the new columns."""
    fields = [*schema, *(pa.field(name, values.type) for name, values in added.items())]
    return pa.schema(fields, metadata=schema.metadata)


def edited_table(
    table: pa.Table, edits: Edits, paths: Mapping[str, tuple[str, ...]], added: Mapping[str, pa.Array]
) -> pa.Table:
    """`table`, or a part of it, with `edits`.

    Args:
      table: N rows, nested or not. edits: of these rows. paths: of `flat_paths`. added: name -> N values.
    Raises:
      InputError: a new value does not fit the type of its column.
    """
    schema = edited_schema(table.schema, added)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for name, new in edits.cells.items():
        top, *below = paths[name]
        columns[top] = _with_cells(columns[top], below, new, name)
    made = pa.Table.from_arrays([*columns.values(), *added.values()], schema=schema)
    return made if edits.dropped is None else _kept(made, ~np.asarray(edits.dropped))


def _kept(table: pa.Table, keep: np.ndarray) -> pa.Table:
    """The rows of a table that are kept, bool[N]."""
    try:
        return table.filter(pa.array(keep))
    except pa.ArrowNotImplementedError:  # views of texts can be sliced but not filtered
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8))).reshape(-1, 2)
        parts = [table.slice(start, stop - start) for start, stop in bounds.tolist()]
        return pa.concat_tables(parts).combine_chunks() if parts else table.slice(0, 0)


def _with_cells(column: pa.ChunkedArray, below: list[str], new: NewCells, name: str) -> pa.ChunkedArray:
    if not len(column):
        return column
    whole = pa.concat_arrays(column.chunks) if column.num_chunks > 1 else column.chunk(0)
    changed = np.zeros(len(whole), bool)
    changed[new.rows] = True
    return pa.chunked_array([_replaced(whole, below, changed, new.values, name)])


def _replaced(array: Any, below: list[str], changed: np.ndarray, values: Sequence[Any], name: str) -> pa.Array:
    """`array` with new values in the rows `changed`, bool[N]; `below` leads to the field of a struct."""
    if isinstance(array.type, pa.BaseExtensionType):
        stored = _replaced(array.storage, below, changed, values, name)
        return pa.ExtensionArray.from_storage(array.type, stored)
    if below:
        fields = list(cast(pa.StructType, array.type).fields)
        children = array.flatten()  # where a struct is missing, its fields are
        place = [field.name for field in fields].index(below[0])
        children[place] = _replaced(children[place], below[1:], changed, values, name)
        missing = np.asarray(array.is_null()) & ~changed
        return pa.StructArray.from_arrays(children, fields=fields, mask=pa.array(missing))
    if types.is_dictionary(array.type):
        return _replaced_levels(array, changed, values, name)
    new = values_of_type(values, array.type, name)
    places = np.arange(len(array))
    places[changed] = len(array) + np.arange(len(new))
    try:
        return pa.concat_arrays([array, new]).take(pa.array(places))
    except pa.ArrowNotImplementedError:  # views of texts have no look-up
        cells = array.to_pylist()
        for place, value in zip(np.flatnonzero(changed).tolist(), new.to_pylist(), strict=True):
            cells[place] = value
        return pa.array(cells, array.type)


def _replaced_levels(array: pa.DictionaryArray, changed: np.ndarray, values: Sequence[Any], name: str) -> pa.Array:
    """A dictionary array with new values; values that it lacks come last in its dictionary."""
    kind, levels = array.type, array.dictionary.to_pylist()
    new = values_of_type(values, kind.value_type, name).to_pylist()
    place = {level: code for code, level in enumerate(levels)}  # a dictionary has each value once
    for value in new:
        if value is not None:
            place.setdefault(value, len(place))
    codes = array.indices.to_pylist()
    for row, value in zip(np.flatnonzero(changed).tolist(), new, strict=True):
        codes[row] = None if value is None else place[value]
    try:
        indices = pa.array(codes, kind.index_type)
    except (pa.ArrowException, OverflowError) as error:
        raise InputError(f"The column {name!r} has no room for another category; store it as text.") from error
    unknown = list(place)[len(levels) :]
    dictionary = pa.concat_arrays([array.dictionary, pa.array(unknown, kind.value_type)])
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=kind.ordered)


def values_of_type(values: Sequence[Any], kind: pa.DataType, name: str) -> pa.Array:
    """New values of the column `name` as an array of its type; whole numbers and decimals are rounded.

    Raises:
      InputError: a value does not fit.
    """
    plain = [None if _is_missing(value) else value for value in values]
    try:
        return _converted(plain, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        example = next((value for value in plain if value is not None), None)
        raise InputError(
            f"The column {name!r} has the type {kind}, which cannot hold a new value such as {example!r}; leave this "
            "column as it is, or save the table with a wider type."
        ) from error


def _is_missing(value: Any) -> bool:
    return value is None or (not isinstance(value, str | list | tuple | np.ndarray) and bool(pd.isna(value)))


def _converted(values: list[Any], kind: pa.DataType) -> pa.Array:
    if types.is_integer(kind):
        values = [int(v) if isinstance(v, str | int) else None if v is None else round(float(v)) for v in values]
    elif types.is_decimal(kind):
        return _decimals(values, kind)
    elif types.is_duration(kind):
        seconds = pd.to_timedelta(pd.Series(values, dtype="float64"), unit="s")
        return pa.array(seconds, from_pandas=True).cast(kind, safe=False)
    elif types.is_timestamp(kind) or types.is_date(kind):
        return _instants(values, kind)
    elif types.is_time(kind):
        values = [None if v is None else cast(pd.Timestamp, pd.Timestamp(v)).time() for v in values]
    elif types.is_boolean(kind):
        values = [None if v is None else _as_bool(v) for v in values]
    elif types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        values = [None if v is None else str(v) for v in values]
    elif types.is_floating(kind):
        values = [None if v is None else float(v) for v in values]
    elif types.is_nested(kind):
        values = [None if v is None else json.loads(v) if isinstance(v, str) else list(v) for v in values]
        if types.is_map(kind):
            values = [None if v is None else list(v.items()) for v in values]
    elif any(isinstance(v, str) for v in values):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)


def _decimals(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Values rounded to the digits of a decimal type."""
    from decimal import ROUND_HALF_EVEN, Decimal, localcontext

    digit = Decimal(1).scaleb(-cast(Any, kind).scale)
    with localcontext(prec=80):
        exact = [None if v is None else Decimal(str(v)).quantize(digit, rounding=ROUND_HALF_EVEN) for v in values]
    return pa.array(exact, kind)


def _instants(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Times without a zone count as UTC."""
    stamps = pa.array([None if v is None else _as_datetime(v) for v in values])
    zone = getattr(kind, "tz", None)
    plain = stamps.cast(pa.timestamp("us"), safe=False)
    if zone is not None:
        return plain.cast(pa.timestamp("us", "UTC")).cast(kind, safe=False)
    return plain.cast(kind, safe=False)


def _as_datetime(value: Any) -> dt.datetime:
    return cast(Any, pd.Timestamp(value)).floor("us").to_pydatetime()


def _as_bool(value: Any) -> bool:
    if isinstance(value, str):
        if value.strip().lower() not in ("true", "false"):
            raise ValueError(value)
        return value.strip().lower() == "true"
    return bool(value)
