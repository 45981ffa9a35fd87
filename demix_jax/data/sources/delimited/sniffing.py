"""Chooses the `TextDialect` of a text: the one that gives most lines equally many fields, which look like cells."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from demix_jax.data.sources.delimited.cells import column_texts
from demix_jax.data.sources.delimited.dialect import TextDialect
from demix_jax.data.sources.delimited.scan import Scan
from demix_jax.data.sources.delimited.tokens import Records, split_records

COMMENTS = (b"#", b"//", b"%")
NUMBER = re.compile(
    r"\s*[-+(]?\s*[€$£¥]?\s*(\d{1,3}([., ’'\u00a0]\d{3})+|\d+)?([.,]\d*)?([eE][-+]?\d+)?\s*[%€$£¥)]?\s*"
)
_USUAL = (b",", b";", b"\t", b"|")
_UNUSUAL = tuple(one.encode() for one in ("\x01", "\x02", "\x1e", "\x1f", "^", "~", "§", "¦", "¬", "!", "*", "@"))
_LAST_RESORT = (b":", b"/", b" ")  # stand within times, dates and texts
_CONVINCING = 0.6
_ACCEPTABLE = 0.3
_NUM_CELLS, _NUM_ROWS = 1500, 5  # of which texts are judged
_DATE = re.compile(r"\d[\d\s./:T+Z-]*(\s?[AaPp][Mm])?")
_SEP_LINE = re.compile(rb'"?sep=(\\t|[^\r\n"])"?[\r\n]', re.IGNORECASE)
_MANY_LITERAL = 3  # fields with an opening quote only, from which quotes are taken for text


@dataclass(frozen=True)
class DialectFit:
    """How well a dialect fits: share of lines of the usual width, share of cells that look like cells, odd quotes."""

    share: float
    likeness: float
    width: int
    num_irregular: int

    @property
    def score(self) -> float:
        return self.share * (0.3 + 0.7 * self.likeness) if self.width > 1 else 0.0


def sample_records(scan: Scan, dialect: TextDialect) -> list[Records]:
    """The records of the head and of every other piece of the file."""
    head = split_records(scan.head, dialect, is_last=scan.has_all)
    return [head, *(split_records(piece, dialect) for piece in scan.pieces)]


def usual_width(parts: list[Records]) -> tuple[int, float]:
    """The most common number of fields of lines that are neither blank nor comments, and the share of these lines."""
    counts = Counter(np.concatenate([_widths(part) for part in parts]).tolist())
    if not counts:
        return 1, 0.0
    width, number = max(counts.items(), key=lambda item: (item[1], item[0]))
    return width, number / sum(counts.values())


def choose_dialect(scan: Scan) -> TextDialect:
    """The dialect that fits the pieces of a file best; with an empty delimiter if no line can be split."""
    if given := _SEP_LINE.match(scan.head):
        return _with_quotes(scan, TextDialect(given[1].replace(b"\\t", b"\t")))
    best: tuple[float, int, TextDialect] = (0.0, 0, TextDialect(b""))
    for group in (_USUAL, _UNUSUAL, _LAST_RESORT):
        for delimiter in group:
            if delimiter in scan.head:
                dialect = _doubled(scan, delimiter)
                fit = _fit(scan, dialect)
                if (round(fit.score, 2), fit.width) > best[:2]:
                    best = (round(fit.score, 2), fit.width, dialect)
        if best[0] >= _CONVINCING:
            break
    return _with_quotes(scan, best[2] if best[0] > _ACCEPTABLE else TextDialect(b""))


def _doubled(scan: Scan, delimiter: bytes) -> TextDialect:
    """The dialect of a delimiter that may be written twice, as in 1::2, or as runs of spaces."""
    if delimiter == b" ":
        return TextDialect(b" ", has_runs=True)
    twice = 2 * delimiter
    if delimiter != b"\t" and scan.head.count(twice) * 2 == scan.head.count(delimiter):
        return TextDialect(twice)
    return TextDialect(delimiter)


def _with_quotes(scan: Scan, dialect: TextDialect) -> TextDialect:
    """The dialect with the way of quoting that leaves the fewest odd lines."""
    plain = replace(dialect, quote=b"")
    if not dialect.delimiter or not (b'"' in scan.head or b"'" in scan.head or scan.pieces):
        return dialect
    written = [text for text in _raw_cells(scan, plain) if text]
    if _is_quote(written, "'") and not any(text.startswith('"') for text in written):
        return replace(dialect, quote=b"'")
    if _is_literal(written) and _fit(scan, plain).share > 0.95:
        return plain
    sample = b"\n".join([scan.head, *scan.pieces])
    choices = [dialect]
    if re.search(re.escape(dialect.delimiter) + b' +"', sample) and not dialect.has_runs:
        choices.insert(0, replace(dialect, is_padded=True))
    if b'\\"' in sample:
        choices.append(replace(dialect, has_backslash=True))
    fits = [_fit(scan, choice) for choice in choices]
    keys = [(round(fit.share, 3), -fit.num_irregular) for fit in fits]
    return choices[keys.index(max(keys))]


def _fit(scan: Scan, dialect: TextDialect) -> DialectFit:
    parts = sample_records(scan, dialect)
    width, share = usual_width(parts)
    cells = _cells(parts, width)
    delimiter = dialect.delimiter.decode()
    alike = sum(delimiter in cell or _is_like_cell(cell) for cell in cells) / max(len(cells), 1)  # in: it is quoted
    return DialectFit(share, alike, width, sum(part.quotes.num_irregular for part in parts))


def _widths(records: Records) -> np.ndarray:
    """i64[...], the numbers of fields of lines that are neither blank nor comments."""
    counts = records.num_fields
    keep = np.array(
        [start < end and not records.data.startswith(COMMENTS, start) for start, end in _spans(records)], bool
    )
    return counts[keep]


def _spans(records: Records) -> list[tuple[int, int]]:
    return list(zip(records.starts.tolist(), records.ends.tolist(), strict=True))


def _cells(parts: list[Records], width: int) -> list[str]:
    """Values of some lines of the usual width, from all parts; of a wide table, of some columns."""
    cells: list[str] = []
    columns = range(0, width, max(1, width * _NUM_ROWS // _NUM_CELLS))
    per_part = max(_NUM_ROWS, _NUM_CELLS // (width * len(parts)))
    for part in parts:
        rows = np.flatnonzero(part.num_fields == width)
        rows = rows[:: max(1, len(rows) // per_part)]
        for column in column_texts(part, rows, columns):
            cells += column.to_pylist()
    return cells


def _is_like_cell(text: str) -> bool:
    """Whether a text looks like one cell: empty, a number, a date, or words without a usual delimiter."""
    if not text or NUMBER.fullmatch(text) or _DATE.fullmatch(text):
        return True
    return any(one.isalpha() for one in text) and not any(one in text for one in ",;\t|")


def _raw_cells(scan: Scan, plain: TextDialect) -> list[str]:
    parts = sample_records(scan, plain)
    return [cell.strip(" ") for cell in _cells(parts, usual_width(parts)[0])]


def _is_quote(written: list[str], quote: str) -> bool:
    """Whether fields that begin with a character nearly always end with it."""
    opened = [text for text in written if text.startswith(quote)]
    closed = sum(len(text) > 1 and text.endswith(quote) for text in opened)
    return closed >= 3 and closed >= 0.9 * len(opened)


def _is_literal(written: list[str]) -> bool:
    """Whether fields that begin with a quote mostly do not end with one: inches, or quotations in a text."""
    opened = [text for text in written if text.startswith('"')]
    closed = sum(len(text) > 1 and text.endswith('"') for text in opened)
    return len(opened) - closed >= _MANY_LITERAL and closed < 0.5 * len(opened)
