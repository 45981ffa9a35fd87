"""Reads delimited text: detects encoding, delimiter and decimal mark of a file, then reads its rows.

The header is read here and not by pandas, which silently renames repeated columns.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd

from demix_jax.common.checks import InputError

_DELIMITERS = (",", ";", "\t", "|")
_NA = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "<NA>"]  # "None", "?", "unknown" are values
_SAMPLE_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 22
_SAMPLE_RECORDS = 500
_USUAL_PACKING = 4  # typical compression ratio of a gzipped table


@dataclass(frozen=True)
class Dialect:
    """How a delimited text file is written, as detected before its rows are read.

    header: the columns' names. zero_led: positions of columns with a number such as 02139.
    """

    encoding: str
    delimiter: str
    decimal: str
    header: tuple[str, ...]
    zero_led: tuple[int, ...]


def read_delimited(path: Path) -> pd.DataFrame:
    """The rows of a delimited text file, gzipped or not.

    Columns whose numbers begin with 0 (postal codes) stay strings. A decimal comma is recognised where the delimiter is
    another character.

    Raises:
      InputError: not text, a broken quote, two columns of one name, or a row with too many fields.
    """
    dialect = find_dialect(path)
    with _understood(path, dialect), _opened(path) as file:
        return pd.read_csv(file, **_options(dialect))


def delimited_chunks(
    path: Path, dialect: Dialect, num_rows: int, *, as_text: frozenset[str] = frozenset()
) -> Iterator[pd.DataFrame]:
    """The rows of a delimited text file, `num_rows` at a time; each chunk decides the types of its columns alone.

    Args:
      dialect: from `find_dialect`. as_text: columns to leave as strings.
    Raises:
      InputError: as `read_delimited`, when the chunk is reached.
    """
    text = [q for q, name in enumerate(dialect.header) if name in as_text]
    with _opened(path) as file:
        with _understood(path, dialect):
            reader = cast(Any, pd.read_csv(file, chunksize=num_rows, **_options(dialect, text)))
        with reader:
            while True:
                with _understood(path, dialect):
                    chunk = next(reader, None)
                if chunk is None:
                    return
                yield chunk


def find_dialect(path: Path) -> Dialect:
    """Detect how the file is written from its first lines; the whole file is read once for the encoding.

    Raises:
      InputError: not text, empty, a broken quote, or two columns of one name.
    """
    with _understood(path), _opened(path) as file:
        start = file.read(_SAMPLE_BYTES + 1)
        encoding = _encoding(start, file, path)
    head = start[:_SAMPLE_BYTES].decode(encoding, errors="ignore")
    if not head.strip():
        raise InputError(f"{path} is empty; expected a header line and rows.")
    delimiter, records = sniff_delimiter(head, whole=len(start) <= _SAMPLE_BYTES)
    if not records:
        raise InputError(f"{path} cannot be read as a table (its first line never ends a quote); check the quotes.")
    header, rows = tuple(name.strip() for name in records[0]), records[1:]
    _check_header(header, path)
    decimal = "," if delimiter != "," and _has_decimal_comma(rows) else "."
    return Dialect(
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        header=header,
        zero_led=tuple(_zero_led(rows, len(header))),
    )


def estimated_cells(path: Path) -> int:
    """Rows times columns, estimated from the length of the first lines and the uncompressed size of the file."""
    with _opened(path) as file:
        head = file.read(_SAMPLE_BYTES)
    size = path.stat().st_size
    whole = len(head) < _SAMPLE_BYTES
    if whole:
        size = len(head)
    elif _is_gzipped(path):
        size *= _USUAL_PACKING
    _, records = sniff_delimiter(head.decode("latin-1"), whole=whole)
    lines = max(1, head.count(b"\n"))
    return int(size / max(1.0, len(head) / lines)) * (len(records[0]) if records else 1)


def _options(dialect: Dialect, as_text: Iterable[int] = ()) -> dict[str, Any]:
    """Arguments of pandas.read_csv; `as_text` are positions of further columns to leave as strings."""
    return {
        "sep": dialect.delimiter,
        "encoding": dialect.encoding,
        "decimal": dialect.decimal,
        "dtype": {q: str for q in (*dialect.zero_led, *as_text)},
        "keep_default_na": False,
        "na_values": _NA,
        "index_col": False,
        "low_memory": False,
    }


def _opened(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed if it is gzipped."""
    return cast(IO[bytes], gzip.open(path)) if _is_gzipped(path) else path.open("rb")


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def _understood(path: Path, dialect: Dialect | None = None) -> Iterator[None]:
    """Turn errors of reading into an InputError that says what is wrong; with a dialect, errors in rows too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is a damaged gzip file ({error}); compress it again.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, UnicodeDecodeError) as error:
        if dialect is None:
            raise
        reason = str(error).replace("Error tokenizing data. C error: ", "").strip().rstrip(".")
        if isinstance(error, pd.errors.ParserWarning):  # its message speaks of arguments of pandas
            reason = "rows have more fields than the first line has names"
        raise InputError(
            f"{path} cannot be read as a table ({reason}); every row needs {len(dialect.header)} fields separated by "
            f"{dialect.delimiter!r}, with quotes around fields that contain it."
        ) from error


def _encoding(start: bytes, rest: IO[bytes], path: Path) -> str:
    """The encoding of a file with the first bytes `start`; `rest` has the bytes after them."""
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\x00" in start or start.startswith((b"PAR1", b"PK\x03\x04")):
        raise InputError(f"{path} is not a text file; expected CSV. If it is Parquet, name it .parquet.")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(start)
        while block := rest.read(_BLOCK_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
        return "utf-8"
    except UnicodeDecodeError:
        return "latin-1"  # decodes any bytes; spreadsheets in Western Europe write it


def sniff_delimiter(text: str, *, whole: bool = True) -> tuple[str, list[list[str]]]:
    """The delimiter with which most records have the same number of fields, and the records read with it.

    Args:
      text: the beginning of the file.
      whole: whether `text` is the whole file; if not, the last record may be cut short and is left out.
    """
    best: tuple[float, int, str, list[list[str]]] = (-1.0, 0, ",", [])
    for delimiter in _DELIMITERS:
        records = _records(text, delimiter, whole=whole)
        if not records:
            continue
        width = len(records[0])
        agreement = sum(len(r) in (width, width + 1) for r in records) / len(records) if width > 1 else 0.0
        candidate = (round(agreement, 2), width, delimiter, records)
        if candidate[:2] > best[:2]:
            best = candidate
    return best[2], best[3]


def _records(text: str, delimiter: str, *, whole: bool) -> list[list[str]]:
    """The first records of `text`, read with this delimiter."""
    records: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for record in reader:
            if record:
                records.append(record)
            if len(records) > _SAMPLE_RECORDS:
                return records
    except csv.Error:  # a quote is never closed: the delimiter or the quoting is wrong
        return records
    return records if whole or len(records) < 2 else records[:-1]


def _check_header(header: Sequence[str], path: Path) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        names = ", ".join(repr(n) for n in twice[:8])
        raise InputError(f"{path} has more than one column named {names}; rename or drop the copies.")


def _has_decimal_comma(rows: list[list[str]]) -> bool:
    fields = [field.strip() for row in rows for field in row]
    commas = [f for f in fields if re.fullmatch(r"[-+]?\d*,\d+", f)]
    points = [f for f in fields if re.fullmatch(r"[-+]?\d*\.\d+", f)]
    thousands = all(re.fullmatch(r"[-+]?\d{1,3},\d{3}", f) for f in commas)
    return len(commas) > len(points) and not thousands


def _zero_led(rows: list[list[str]], width: int) -> list[int]:
    """Positions of columns with a number such as 02139, which must keep its zero."""
    zero_led = re.compile(r"\s*0\d+\s*")
    return [i for i in range(width) if any(len(r) > i and zero_led.fullmatch(r[i]) for r in rows)]
