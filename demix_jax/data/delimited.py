"""Reading delimited text: which encoding, delimiter and decimal mark a file uses, and then its rows.

The header is read here and not by pandas, which renames repeated columns without a word.
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
from pathlib import Path

import pandas as pd

from demix_jax.checks import InputError

_DELIMITERS = (",", ";", "\t", "|")
_NA = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "<NA>"]  # "None", "?", "unknown" are values
_SAMPLE_BYTES = 1 << 18
_SAMPLE_RECORDS = 500


def read_delimited(path: Path) -> pd.DataFrame:
    """The rows of a delimited text file, gzipped or not.

    Columns whose numbers begin with 0 (postal codes) stay strings. A decimal comma is understood where the delimiter
    is not the comma.

    Raises:
      InputError: not text, a broken quote, two columns of one name, or a row with too many fields.
    """
    data = _bytes(path)
    encoding = _encoding(data, path)
    head = data[:_SAMPLE_BYTES].decode(encoding, errors="ignore")
    if not head.strip():
        raise InputError(f"{path} is empty; expected a header line and rows.")
    whole = len(data) <= _SAMPLE_BYTES
    delimiter, records = sniff_delimiter(head, whole=whole)
    if not records:
        raise InputError(f"{path} cannot be read as a table (its first line never ends a quote); check the quotes.")
    header, rows = [name.strip() for name in records[0]], records[1:]
    _check_header(header, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(data),
                sep=delimiter,
                encoding=encoding,
                decimal="," if delimiter != "," and _has_decimal_comma(rows) else ".",
                dtype={i: str for i in _zero_led(rows, len(header))},
                keep_default_na=False,
                na_values=_NA,
                index_col=False,
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, UnicodeDecodeError) as error:
        reason = str(error).replace("Error tokenizing data. C error: ", "").strip().rstrip(".")
        if isinstance(error, pd.errors.ParserWarning):  # pandas words it after its own arguments
            reason = "rows have more fields than the first line has names"
        raise InputError(
            f"{path} cannot be read as a table ({reason}); every row needs {len(header)} fields separated by "
            f"{delimiter!r}, with quotes around fields that contain it."
        ) from error


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is a damaged gzip file ({error}); compress it again.") from error


def _encoding(data: bytes, path: Path) -> str:
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\x00" in data[:_SAMPLE_BYTES] or data.startswith((b"PAR1", b"PK\x03\x04")):
        raise InputError(f"{path} is not a text file; expected CSV. If it is Parquet, name it .parquet.")
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return "latin-1"  # reads any bytes, and is what spreadsheets in Western Europe write


def sniff_delimiter(text: str, *, whole: bool = True) -> tuple[str, list[list[str]]]:
    """The delimiter under which the records agree best on a number of fields, and the records read with it.

    Args:
      text: the beginning of the file.
      whole: whether it is all of it; if not, the last record may be cut and is left out.
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
    records: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for record in reader:
            if record:
                records.append(record)
            if len(records) > _SAMPLE_RECORDS:
                return records
    except csv.Error:  # a field that never ends: this delimiter or the quoting is wrong
        return records
    return records if whole or len(records) < 2 else records[:-1]


def _check_header(header: list[str], path: Path) -> None:
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
    """Columns with a number such as 02139, which must not lose its zero."""
    zero_led = re.compile(r"\s*0\d+\s*")
    return [i for i in range(width) if any(len(r) > i and zero_led.fullmatch(r[i]) for r in rows)]
