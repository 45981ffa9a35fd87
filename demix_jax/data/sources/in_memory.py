"""Tables in memory as pandas frames, and frames back as the type that was given.

Other libraries are recognised by the Arrow PyCapsule interface or by narwhals, not by importing each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from demix_jax.common.checks import InputError
from demix_jax.data.kinds import column_of
from demix_jax.data.sources.arrow_edits import added_arrays, edited_table
from demix_jax.data.sources.arrow_frame import arrow_frame, arrow_series
from demix_jax.data.sources.nested import flat_paths
from demix_jax.data.sources.source import Edits, NewCells

_EXPECTED = (
    "give a path, a pandas or polars DataFrame, an Arrow table, a Hugging Face Dataset, a dict of arrays, a list of "
    "dicts or a NumPy array"
)


def frame_of(table: Any, what: str = "The table") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A table in memory as a pandas frame, and notes for the user.

    Args:
      table: pandas or polars frame (also lazy), Arrow table or batch, Hugging Face Dataset, dict of N-long arrays or
        lists, list of N dicts, NumPy array (structured or N × D), or what exports Arrow or narwhals takes.
      what: names the table in messages.
    Returns:
      Frame of N rows and notes. A pandas frame keeps its index. Lists of numbers and 2-D arrays are columns of f32[D];
      see `arrow_frame` for the other types.
    Raises:
      InputError: it is nothing of these; the message says what to give.
    """
    if isinstance(table, pd.DataFrame):
        return _plain_pandas(table), ()
    arrow = _as_arrow(table, what)
    if arrow is not None:
        return arrow_frame(arrow, what)
    if isinstance(table, np.ndarray):
        return _from_array(table, what), ()
    if isinstance(table, Mapping):
        return _from_columns(table, what), ()
    if isinstance(table, Sequence) and not isinstance(table, str | bytes) and table:
        if all(isinstance(record, Mapping) for record in table):
            return _from_records(table), ()
    raise InputError(f"{what} is a {type(table).__name__}; {_EXPECTED}.")


def like_given(frame: pd.DataFrame, given: Any) -> Any:
    """A repaired frame as the type of table that was given.

    Polars, Arrow and Hugging Face tables keep the types of their columns; every cell that does not differ from
    `frame_of(given)` is taken from `given`. All other tables become the pandas frame.

    Args:
      frame: rows of `frame_of(given)` in order, some changed or left out, with new columns last; its index has their
        numbers.
      given: as for `frame_of`.
    """
    arrow = None if isinstance(given, pd.DataFrame) else _as_arrow(given, "The table")
    if arrow is None:
        return frame
    return _as_native(_with_changes(arrow, frame), given)


def _plain_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, or a copy with sparse columns made dense and Arrow columns as `arrow_frame` has them."""
    if not frame.columns.is_unique:
        return frame
    sparse = {key: kind.subtype for key, kind in frame.dtypes.items() if isinstance(kind, pd.SparseDtype)}
    frame = frame.astype(sparse) if sparse else frame
    arrow = [key for key, kind in frame.dtypes.items() if isinstance(kind, pd.ArrowDtype)]
    new = {key: arrow_frame(pa.table({"x": pa.array(frame[key])}))[0] for key in arrow}
    flat = {key: part["x"].set_axis(frame.index) for key, part in new.items() if list(part.columns) == ["x"]}
    return frame.assign(**flat) if flat else frame


def _as_arrow(table: Any, what: str) -> pa.Table | None:
    """The Arrow table that a table of another library exports; None if it does not."""
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        if isinstance(table, pa.Array | pa.ChunkedArray | pa.Scalar):
            raise InputError(f"{what} is a single Arrow column; {_EXPECTED}.")
        try:
            return pa.table(table)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(f"{what} exports no Arrow table ({error}); {_EXPECTED}.") from error
    if isinstance(table, Mapping) and table and all(hasattr(part, "with_format") for part in table.values()):
        raise InputError(f"{what} has the splits {', '.join(map(str, table))}; give one of them.")
    if hasattr(table, "with_format"):
        return _from_dataset(table, what)
    native = nw.from_native(table, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        return native.collect().to_arrow()
    return native.to_arrow() if isinstance(native, nw.DataFrame) else None


def _from_dataset(dataset: Any, what: str) -> pa.Table:
    """A Hugging Face Dataset; one that is streamed cannot be diagnosed."""
    if not hasattr(dataset, "__len__"):
        raise InputError(f"{what} is a stream of rows; load it as a whole, without streaming.")
    rows = dataset.with_format("arrow")[:]
    if not isinstance(rows, pa.Table):
        raise InputError(f"{what} is a {type(dataset).__name__}; {_EXPECTED}.")
    return rows


def _from_array(array: np.ndarray, what: str) -> pd.DataFrame:
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan)
    if array.dtype.names is not None and array.ndim == 1:
        return _from_columns({name: array[name] for name in array.dtype.names}, what)
    if array.ndim != 2:
        raise InputError(f"{what} is an array of shape {array.shape}; expected rows × columns, or a structured array.")
    return pd.DataFrame(array, columns=pd.Index([f"column_{place}" for place in range(array.shape[1])]))


def _from_columns(columns: Mapping[Any, Any], what: str) -> pd.DataFrame:
    made = {
        name: _series(values, f"The column {name!r} of {what[0].lower()}{what[1:]}") for name, values in columns.items()
    }
    lengths = {name: len(values) for name, values in made.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} {number:,}" for name, number in list(lengths.items())[:4])
        raise InputError(f"{what} has columns of different lengths ({shown}); give one value per row in each.")
    return pd.DataFrame(made)


def _series(values: Any, what: str) -> pd.Series:
    """One column: an array, a list, or N arrays of one length."""
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return column_of(arrow_frame(pa.table({"x": values}), what)[0], "x")
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise InputError(f"{what} is a {type(values).__name__}; expected an array or a list with one value per row.")
    if hasattr(values, "__array__"):
        values = np.asarray(values)
        if values.ndim == 0:
            raise InputError(f"{what} is a single value; expected an array or a list with one value per row.")
        return pd.Series(values) if values.ndim == 1 else _vectors(values.reshape(len(values), -1))
    if any(isinstance(value, list | tuple | set | frozenset | np.ndarray | Mapping) for value in values):
        return _nested_series(list(values))
    return pd.Series(list(values))


def _nested_series(values: list[Any]) -> pd.Series:
    """Lists of numbers as arrays, of texts as tuples; anything else as JSON text."""
    plain = [sorted(v) if isinstance(v, set | frozenset) else v.tolist() if hasattr(v, "tolist") else v for v in values]
    try:
        column = pa.array(plain, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        return pd.Series([None if value is None else str(value) for value in plain], dtype="str")
    flat, _ = arrow_frame(pa.table({"x": column}))
    return column_of(flat, "x") if list(flat.columns) == ["x"] else pd.Series(plain, dtype=object)


def _vectors(rows: np.ndarray) -> pd.Series:
    return arrow_series(pa.chunked_array([_large_lists(rows.astype(np.float64))]))


def _large_lists(rows: np.ndarray) -> pa.Array:
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))


def _from_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Records as columns; a record may lack keys, and nested ones become columns such as `address.city`."""
    flat = [_flat_record(record) for record in records]
    names = dict.fromkeys(name for record in flat for name, value in record.items() if value is not None)
    names |= {name: None for record in flat for name in record if not any(n.startswith(f"{name}.") for n in names)}
    return pd.DataFrame({name: _series([record.get(name) for record in flat], repr(name)) for name in names})


def _flat_record(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": inner for name, inner in _flat_record(value).items()}
        else:
            found[str(key)] = value
    return found


def _with_changes(arrow: pa.Table, frame: pd.DataFrame) -> pa.Table:
    """The Arrow table with the cells of `frame` that differ, its rows and its new columns."""
    before, _ = arrow_frame(arrow)
    rows = frame.index.to_numpy()
    cells = {}
    for name in before.columns:
        changed = np.flatnonzero(_differ(column_of(before, name).iloc[rows], column_of(frame, name)))
        if len(changed):
            cells[name] = NewCells(rows[changed], frame[name].iloc[changed].tolist())
    dropped = np.ones(len(before), bool)
    dropped[rows] = False
    new = {str(name): frame[name].to_numpy() for name in frame.columns if name not in before.columns}
    added = added_arrays(Edits(added=new), arrow.schema, "The table")
    paths = flat_paths(arrow.schema, "The table")
    made = edited_table(arrow, Edits(cells=cells, dropped=dropped if dropped.any() else None), paths, {})
    for name, values in added.items():
        made = made.append_column(name, values)
    return made


def _differ(before: pd.Series, after: pd.Series) -> np.ndarray:
    """bool[n]: whether cells differ; missing ones are equal."""
    first, second = before.to_numpy(dtype=object), after.to_numpy(dtype=object)
    nested = [
        isinstance(a, np.ndarray | tuple) or isinstance(b, np.ndarray | tuple)
        for a, b in zip(first, second, strict=True)
    ]
    if any(nested):
        return np.array([a is not b and not np.array_equal(a, b) for a, b in zip(first, second, strict=True)])
    missing = pd.isna(first) & pd.isna(second)
    return np.asarray(first != second, dtype=bool) & ~missing


def _as_native(table: pa.Table, given: Any) -> Any:
    """An Arrow table as the type of `given`."""
    if isinstance(given, pa.Table | pa.RecordBatch):
        return table
    if hasattr(given, "with_format"):
        from datasets import Dataset
        from datasets.table import InMemoryTable

        return Dataset(InMemoryTable(table))
    native = nw.from_native(given, pass_through=True)
    if isinstance(native, nw.DataFrame):
        return nw.DataFrame.from_arrow(table, backend=native.implementation).to_native()
    if isinstance(native, nw.LazyFrame) and native.implementation is nw.Implementation.POLARS:
        return nw.DataFrame.from_arrow(table, backend=native.implementation).lazy().to_native()
    return table
