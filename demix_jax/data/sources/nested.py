"""Maps Arrow tables with structs, maps and lists to flat ones of numbers, dates, texts and lists of numbers or texts.

* A struct becomes one column per field: `address.city`. Where the struct is missing, its fields are.
* Lists of numbers stay lists; a list of lists of numbers (an image) becomes one list. Lists of texts stay lists.
* Maps, lists of structs and unions become JSON texts.
* Dictionaries, views and extension types become the plain type that they stand for; bytes become UTF-8 texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.types as types

from demix_jax.common.checks import InputError

pc: Any = pyarrow.compute  # its functions are made at run time, unknown to type checkers
_SHOWN = 4  # names in a note


class _Place(NamedTuple):
    """Where a column stands, for messages: its table, its name, and the number of its first row, None in lists."""

    where: str
    name: str
    first_row: int | None


def flat_paths(schema: pa.Schema, where: str) -> dict[str, tuple[str, ...]]:
    """Flat name -> path of field names in `schema`, in order.

    Args:
      schema: of a table, nested or not. where: names the table in messages.
    Raises:
      InputError: two columns, or a column and a field of a struct, get one name; or there is no column.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for field in schema:
        for path in _leaves(field, ()):
            name = ".".join(path)
            if name in paths:
                raise InputError(_collision(name, path, paths[name], where))
            paths[name] = path
    if not paths:
        raise InputError(f"{where} has no columns; expected a label and features.")
    return paths


def flat_table(table: pa.Table, where: str, *, first_row: int = 0) -> pa.Table:
    """The flat table that the module's text describes, with the columns of `flat_paths`.

    Args:
      table: a table or a part of it. where: names the whole table in messages. first_row: number of its first row.
    Raises:
      InputError: as `flat_paths`; or a column holds bytes that are not UTF-8.
    """
    columns = {name: _column_at(table, path) for name, path in flat_paths(table.schema, where).items()}
    return pa.table({name: _plain(column, _Place(where, name, first_row)) for name, column in columns.items()})


def flat_notes(schema: pa.Schema) -> tuple[str, ...]:
    """Sentences on columns that are read otherwise than they are stored."""
    notes = []
    for field in schema:
        leaves = [".".join(path) for path in _leaves(field, ())]
        if types.is_struct(_storage(field.type)):
            notes.append(f"The records in {field.name!r} are read as columns, one per field: {few_of(leaves)}.")
    paths = (path for field in schema for path in _leaves(field, ()))
    as_json = [".".join(path) for path in paths if _becomes_json(_type_at(schema, path))]
    if as_json:
        notes.append(f"Lists of records and maps are read as JSON text: {few_of(as_json)}.")
    return tuple(notes)


def json_text(value: Any) -> str:
    """JSON of a nested value; a map is an object, and what JSON lacks is written as text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def few_of(names: list[str]) -> str:
    """The first names, and the number of the others."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"


def is_utf8_error(error: pa.ArrowInvalid) -> bool:
    """Whether Arrow complains of bytes in a text, and not of the structure of an array."""
    return "utf8" in str(error).lower()


def is_number_list(kind: pa.DataType) -> bool:
    """Whether a plain type is a list of numbers."""
    return types.is_large_list(kind) and _is_numeric(kind.value_type)


def is_text_list(kind: pa.DataType) -> bool:
    """Whether a plain type is a list of texts."""
    return types.is_large_list(kind) and types.is_large_string(kind.value_type)


def _leaves(field: pa.Field, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    path, kind = (*above, field.name), _storage(field.type)
    if not types.is_struct(kind):
        yield path
        return
    for child in cast(pa.StructType, kind).fields:
        yield from _leaves(child, path)


def _collision(name: str, path: tuple[str, ...], other: tuple[str, ...], where: str) -> str:
    if path == other and len(path) == 1:
        return f"{where} has more than one column named {name!r}; rename or drop the copies."
    return f"{where} has more than one column or field that is read as {name!r}; rename one of them."


def _storage(kind: pa.DataType) -> pa.DataType:
    """The type itself, or what an extension type stores."""
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind


def _type_at(schema: pa.Schema, path: tuple[str, ...]) -> pa.DataType:
    kind = _storage(schema.field(path[0]).type)
    for name in path[1:]:
        kind = _storage(cast(pa.StructType, kind).field(name).type)
    return kind


def _column_at(table: pa.Table, path: tuple[str, ...]) -> pa.ChunkedArray:
    column = _stored(table.column(path[0]))
    for name in path[1:]:
        place = cast(pa.StructType, column.type).get_field_index(name)
        column = _stored(cast(pa.ChunkedArray, pc.struct_field(column, [place])))
    return column


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`column` without extension types."""
    while isinstance(column.type, pa.BaseExtensionType):
        chunks = [cast(pa.ExtensionArray, chunk).storage for chunk in column.chunks]
        column = pa.chunked_array(chunks, type=column.type.storage_type)
    return column


def _is_numeric(kind: pa.DataType) -> bool:
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_bytes(kind: pa.DataType) -> bool:
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _element(kind: pa.DataType) -> pa.DataType:
    """The type of the elements of a list, or of lists of lists, as deep as they go."""
    while _is_list(kind):
        kind = _storage(kind.value_type)
    return kind


def _becomes_json(kind: pa.DataType) -> bool:
    if types.is_map(kind) or types.is_union(kind):
        return True
    if not _is_list(kind):
        return False
    element = _element(kind)
    if _is_numeric(element):
        return False
    return _is_list(_storage(kind.value_type)) or not _reads_as_text(element)


def _reads_as_text(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_bytes(kind) or types.is_null(kind) or _is_text_dictionary(kind)


def _is_text_dictionary(kind: pa.DataType) -> bool:
    return types.is_dictionary(kind) and _is_text(kind.value_type)


def _plain(column: pa.ChunkedArray, place: _Place) -> pa.ChunkedArray:
    kind = column.type
    if types.is_dictionary(kind):
        parts = [_levels(chunk.dictionary).take(chunk.indices) for chunk in cast(Any, column.chunks)]
        return _plain(pa.chunked_array(parts, type=_levels(pa.array([], kind.value_type)).type), place)
    if types.is_run_end_encoded(kind):
        return _plain(pa.chunked_array([pc.run_end_decode(c) for c in column.chunks], kind.value_type), place)
    if _becomes_json(kind):
        return _as_json(column)
    if _is_list(kind):
        return _plain_lists(column, place)
    if _is_text(kind) or _is_bytes(kind):
        return _as_text(column, place)
    if types.is_null(kind):
        return column.cast(pa.large_string())
    return column


def _levels(values: pa.Array) -> pa.Array:
    """Values of a dictionary in a type that supports look-ups."""
    return values.cast(pa.large_string()) if types.is_string_view(values.type) else values


def _as_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_map = types.is_map(column.type)
    values = column.to_pylist()
    texts = [None if value is None else json_text(dict(value) if is_map else value) for value in values]
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def _as_text(column: pa.ChunkedArray, place: _Place) -> pa.ChunkedArray:
    """The column as large_string; its bytes are checked to be UTF-8."""
    if types.is_fixed_size_binary(column.type):
        column = column.cast(pa.binary())
    try:
        column.validate(full=True)
        return column.cast(pa.large_string())
    except pa.ArrowInvalid as error:
        if not is_utf8_error(error):
            raise
        row = next(i for i, cell in enumerate(column.cast(pa.large_binary())) if not _is_utf8(cell.as_py()))
        first = "" if place.first_row is None else f" (first: row {place.first_row + row:,})"
        raise InputError(
            f"{place.where} has bytes in the column {place.name!r} that are not UTF-8 text{first}; write the column as "
            "text, or drop it if it holds images or other files."
        ) from error


def _is_utf8(value: bytes | None) -> bool:
    try:
        return value is None or value.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


def _plain_lists(column: pa.ChunkedArray, place: _Place) -> pa.ChunkedArray:
    """Lists of numbers as large_list<double>, lists of texts as large_list<large_string>."""
    chunks = [_joined(chunk) for chunk in column.chunks]
    element = pa.float64() if _is_numeric(_element(column.type)) else pa.large_string()
    made = []
    for lists in chunks:
        values = pa.chunked_array([lists.values])
        if types.is_decimal(values.type) or types.is_float16(values.type) or types.is_boolean(values.type):
            values = _cast_numbers(values)
        elif element == pa.large_string():
            values = _plain(values, place._replace(first_row=None))
        values = values.cast(element, safe=False).combine_chunks()
        made.append(pa.LargeListArray.from_arrays(lists.offsets, values, mask=lists.is_null()))
    return pa.chunked_array(made, type=pa.large_list(element))


def _cast_numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers of types that have no direct way to double."""
    if types.is_boolean(values.type):
        return values.cast(pa.uint8())
    return values.cast(pa.float32()) if types.is_float16(values.type) else values.cast(pa.float64())


def _joined(lists: Any) -> pa.LargeListArray:
    """Lists, and lists of lists as deep as they go, as one list per row."""
    lists = _as_large_lists(lists)
    offsets, values, missing = lists.offsets, lists.values, lists.is_null()
    while isinstance(values, pa.ExtensionArray) or _is_list(values.type):
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
            continue
        inner = _as_large_lists(values)
        offsets, values = inner.offsets.take(offsets), inner.values
    return pa.LargeListArray.from_arrays(pa.concat_arrays([offsets]), values, mask=missing)


def _as_large_lists(lists: Any) -> Any:
    """Lists of any layout as large_list; views are put in order, which a cast does not do in every version of Arrow."""
    if not (types.is_list_view(lists.type) or types.is_large_list_view(lists.type)):
        return lists.cast(pa.large_list(lists.type.value_type))
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    return pa.LargeListArray.from_arrays(offsets, lists.flatten(), mask=lists.is_null())
