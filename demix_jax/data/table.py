"""Reads tables from files and refuses those that cannot be diagnosed."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.files import PARQUET_SUFFIXES
from demix_jax.data.delimited import delimited_chunks, estimated_cells, find_dialect, read_delimited
from demix_jax.data.inspected_table import Table, as_inspected, refuse_duplicate_names, shortened
from demix_jax.data.kinds import as_numbers, column_of, levels, nature, raw_numbers

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MAX_CLASSES = 100
_DELIMITED = (".csv", ".tsv", ".tab", ".psv", ".txt")


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """A table from a CSV file (comma, semicolon, tab or pipe; may be gzipped) or a Parquet file.

    Empty fields and NA, NaN, N/A and null count as missing; other strings stay unchanged.

    Raises:
      InputError: no such file, a folder, an empty or unreadable file, no data rows, an unknown suffix,
        or two columns of one name.
    """
    path = Path(path).expanduser()
    with _readable(path):
        frame = _read_parquet(path) if is_parquet(path) else read_delimited(path)
    refuse_duplicate_names(frame, str(path))
    if len(frame) == 0:
        raise InputError(f"{path} has a header but no rows; expected at least one row of data.")
    return frame


def as_table(table: pd.DataFrame | str | os.PathLike, what: str = "The table") -> pd.DataFrame:
    """`table` with sparse columns made dense, or the table at this path.

    Args:
      table: DataFrame or path. what: names the table in the message.
    Raises:
      InputError: `table` is neither, or `read_table` refuses it.
    """
    if isinstance(table, pd.DataFrame):
        return dense(table)
    if isinstance(table, (str, os.PathLike)):
        return read_table(table)
    raise InputError(f"{what} is a {type(table).__name__}; give a pandas DataFrame or the path of a file.")


def dense(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` itself, or a copy with its sparse columns made dense, so that cells can be written."""
    plain = {key: of.subtype for key, of in frame.dtypes.items() if isinstance(of, pd.SparseDtype)}
    return frame.astype(plain) if plain else frame


def table_chunks(
    path: str | os.PathLike, num_rows: int, *, as_text: frozenset[str] = frozenset()
) -> Iterator[pd.DataFrame]:
    """The table of `read_table`, `num_rows` rows at a time, so that it need not fit into memory.

    Args:
      as_text: columns of a CSV file to leave as strings; each chunk decides the types of the others alone.
    Yields:
      Tables with the same columns; row numbers continue from chunk to chunk.
    Raises:
      InputError: as `read_table`, when the chunk is reached.
    """
    path = Path(path).expanduser()
    with _readable(path):
        chunks = iter(
            _parquet_chunks(path, num_rows)
            if is_parquet(path)
            else delimited_chunks(path, find_dialect(path), num_rows, as_text=as_text)
        )
    start = 0
    while True:
        with _readable(path):
            chunk = next(chunks, None)
        if chunk is None:
            break
        if start == 0:
            refuse_duplicate_names(chunk, str(path))
        chunk.index = pd.RangeIndex(start, start + len(chunk))
        start += len(chunk)
        if len(chunk):
            yield chunk
    if start == 0:
        raise InputError(f"{path} has a header but no rows; expected at least one row of data.")


def num_cells(path: str | os.PathLike) -> int:
    """Rows times columns of a table on disk, without reading it; for a CSV file an estimate from its first lines.

    Raises:
      InputError: as `read_table`.
    """
    path = Path(path).expanduser()
    with _readable(path):
        if is_parquet(path):
            with _is_intact(path):
                metadata = _parquet_file(path).metadata
            return metadata.num_rows * metadata.num_columns
        return estimated_cells(path)


def is_parquet(path: Path) -> bool:
    """Whether the file is Parquet and not delimited text, by its suffix.

    Raises:
      InputError: no such file, a folder, an empty file or an unknown suffix.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a table; give a CSV or Parquet file.")
    if not path.exists():
        raise InputError(_missing_file(path))
    suffixes = [s.lower() for s in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if kind not in _DELIMITED + PARQUET_SUFFIXES or (kind in PARQUET_SUFFIXES and suffixes[-1] == ".gz"):
        raise InputError(
            f"{path} has the suffix {''.join(suffixes[-2:]) or '(none)'}; expected a table as .csv, .tsv, .txt "
            "(also .gz) or .parquet. Save it in one of these formats."
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected a header line and rows.")
    return kind in PARQUET_SUFFIXES


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn errors of the file system into an InputError that says why the file cannot be read."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be read ({reason}); check its permissions and contents.") from error


@contextmanager
def _is_intact(path: Path) -> Iterator[None]:
    """Turn errors of pyarrow into an InputError that says that the file is not readable Parquet."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a readable Parquet file ({reason}); write it again or give a CSV.") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    with _is_intact(path):
        return pd.read_parquet(path)


def _parquet_chunks(path: Path, num_rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow

    with _is_intact(path):
        for batch in _parquet_file(path).iter_batches(num_rows):
            yield pyarrow.Table.from_batches([batch]).to_pandas()


def _parquet_file(path: Path) -> ParquetFile:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, pre_buffer=False)


def _missing_file(path: Path) -> str:
    """The complaint about a file that does not exist, with similar names in its folder."""
    if not path.parent.is_dir():
        return f"{path} does not exist, nor does the folder {path.parent}; check the path."
    names = [p.name for p in path.parent.iterdir() if p.is_file()]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "check the path."
    return f"{path} does not exist; {hint}"


def check_table(table: Table | pd.DataFrame, label: object = None, *, task: str = "auto", min_rows: int = 30) -> None:
    """Refuse a table that cannot be diagnosed.

    Args:
      table: what `inspect_table` found, or a DataFrame. label: name of the label column; a Table knows its own.
      task: "classification", "regression" or "auto".
    Raises:
      InputError: two columns of one name; no column `label`; fewer than `min_rows` rows; a label that is missing
        somewhere, constant or unfit for the task; a feature column without any value; infinite values; no feature
        column left once constant and identifier columns are set aside.
    """
    table = as_inspected(table, label)
    if len(table) < min_rows:
        raise InputError(f"The table has {len(table)} rows; at least {min_rows} are needed. Give a larger table.")
    if not table.columns:
        raise InputError(f"The table has no column besides the label {str(table.label)!r}; add feature columns.")
    check_label(table.target, task)
    constant = [(column.name, values) for _, column, values in table.features() if column.kind == "constant"]
    refuse_empty([name for name, values in constant if is_empty(values)])
    frame = table.frame
    refuse_infinite({str(c): count_infinite(column_of(frame, c)) for c in frame.columns})
    if not any(column.used for column in table.columns):
        raise InputError("No feature column is usable: each is constant or an identifier. Add informative columns.")


def refuse_infinite(counts: dict[str, int]) -> None:
    """Raise InputError if any column has infinite values; `counts` is their number by column."""
    found = ", ".join(f"{c!r} ({n})" for c, n in counts.items() if n)
    if found:
        raise InputError(f"The table has infinite values in {found}; replace them by numbers or leave them empty.")


def refuse_empty(names: list[str]) -> None:
    """Raise InputError if there are columns without any value; `names` are these columns."""
    if names:
        raise InputError(f"Every value is missing in {_columns(names)}; drop {'it' if len(names) == 1 else 'them'}.")


def is_empty(column: pd.Series) -> bool:
    """Whether no row has a value; blank strings count as missing."""
    if column.isna().all():
        return True
    return nature(column) == "level" and not levels(column)[1]


def count_infinite(column: pd.Series) -> int:
    """Number of infinite values in a numeric column; 0 for any other column."""
    return int(np.isinf(raw_numbers(column)).sum()) if nature(column) == "number" else 0


def check_label(target: pd.Series, task: str) -> Literal["classification", "regression"]:
    """The task of a label column.

    Raises:
      InputError: the label is missing somewhere, constant, infinite or unfit for the task, or holds lists.
    """
    name = str(target.name)
    refuse_nested(target)
    refuse_missing_label(target)
    if count_infinite(target):
        raise InputError(
            f"The label {name!r} has {count_infinite(target)} infinite values; correct or drop these rows."
        )
    if distinct_count(target) < 2:
        value = target.iloc[0]
        raise InputError(f"The label {name!r} is constant ({value!r} in every row); choose a column with two values.")
    return settle_task(target, task)


def refuse_nested(target: pd.Series) -> None:
    """Raise InputError if the label holds lists."""
    if pd.api.types.is_object_dtype(target.dtype) and pd.api.types.infer_dtype(target, skipna=True) == "mixed":
        nested = [v for v in target if isinstance(v, list | dict | set | np.ndarray)]
        if nested:
            raise InputError(f"The label {str(target.name)!r} holds lists; expected one class or number per row.")


def refuse_missing_label(target: pd.Series) -> None:
    """Raise InputError if the label is missing or blank anywhere; names the first such rows, counted from 1."""
    codes, values = pd.factorize(target)
    blank = [i for i, v in enumerate(values) if isinstance(v, str) and not v.strip()]
    missing = np.flatnonzero((codes < 0) | np.isin(codes, blank))
    if len(missing):
        first = ", ".join(str(i + 1) for i in missing[:5])
        raise InputError(
            f"The label {str(target.name)!r} is missing in {len(missing)} of {len(target)} rows (first: "
            f"{first}); drop these rows or fill in their labels."
        )


def distinct_count(column: pd.Series) -> int:
    """Number of distinct values; missing ones do not count."""
    return int(column.nunique())


def infer_task(target: pd.Series) -> Literal["classification", "regression"]:
    """Whether the label holds classes or amounts.

    Classes are strings, bools, integers with at most 20 distinct values and fractions with at most 10. Up to 100
    integers that run 0 … K−1 or 1 … K are classes too, if they have 20 rows each on average. Other numbers are amounts.

    Raises:
      InputError: strings with more than 100 distinct values or distinct in most rows; dates.
    """
    stored = nature(target)
    if stored == "date":
        raise InputError(f"The label {str(target.name)!r} holds dates; expected classes or numbers.")
    distinct = distinct_count(target)
    if stored == "number":
        values = np.unique(as_numbers(target))
        values = values[np.isfinite(values)]
        integers = bool(np.all(values == np.round(values)))
        if distinct <= (20 if integers else 10):
            return "classification"
        coded = integers and values[0] in (0, 1) and values[-1] - values[0] == distinct - 1
        return "classification" if coded and distinct <= min(MAX_CLASSES, len(target) // 20) else "regression"
    check_classes(target)
    return "classification"


def settle_task(target: pd.Series, task: str) -> Literal["classification", "regression"]:
    """The task, inferred if it is "auto", after checking that the label suits it.

    Raises:
      InputError: no such task; too many classes; or, for regression, a label that is not a number in every row.
    """
    if task not in ("auto", "classification", "regression"):
        raise InputError(f"The task must be auto, classification or regression, got {task!r}.")
    if task == "classification" or (task == "auto" and infer_task(target) == "classification"):
        check_classes(target)
        return "classification"
    if nature(target) == "date" or np.isnan(as_numbers(target)).any():
        raise InputError(f"The label {str(target.name)!r} is not a number in every row; regression needs numbers.")
    target_moments(target)
    return "regression"


def target_moments(target: pd.Series) -> tuple[float, float]:
    """Mean and standard deviation of a numeric label.

    Raises:
      InputError: the standard deviation is 0 or not finite.
    """
    values = as_numbers(target)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not 0 < scale < np.inf:
        raise InputError(
            f"The label {str(target.name)!r} varies {'too much' if scale else 'too little'} for arithmetic (standard "
            f"deviation {scale:g}); choose a column that varies, or rescale it."
        )
    return mean, scale


def check_classes(target: pd.Series) -> None:
    """Raise InputError if the label has too many distinct values to be classes."""
    distinct = distinct_count(target)
    if distinct > MAX_CLASSES:
        raise InputError(
            f"The label {str(target.name)!r} has {distinct} distinct values, more than {MAX_CLASSES} classes; "
            "choose another column, merge classes, or set the task to regression if they are numbers."
        )
    if distinct > max(2, len(target) // 2):
        raise InputError(
            f"The label {str(target.name)!r} has {distinct} distinct values in {len(target)} rows, so most occur once; "
            "choose a column of repeated classes."
        )


def table_notes(table: Table | pd.DataFrame, label: object = None, *, task: str) -> list[str]:
    """Notes on a table that passed `check_table`: classes of one row, and columns that are not used.

    Args:
      table, label: as for `check_table`. task: "classification" or "regression".
    """
    table = as_inspected(table, label)
    notes = []
    if task == "classification":
        rare = [str(v) for v, n in table.target.value_counts().items() if n == 1]
        if rare:
            notes.append(f"Only one row has the label {shortened(rare)}: too few to learn this class.")
    for kind, why in (("constant", "the same value in every row"), ("identifier", "a different value in every row")):
        names = [column.name for column in table.columns if column.kind == kind]
        if names:
            notes.append(f"Not used, because of {why}: {shortened(names)}.")
    return notes


def _columns(names: list[str]) -> str:
    return f"the column{'s' if len(names) > 1 else ''} {shortened(names)}"
