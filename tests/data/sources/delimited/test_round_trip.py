"""Random files of every style: without edits no byte changes, with edits exactly the edited cells do.

What the files mean is told by Python's csv module, which shares no code with the package.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demix_jax.data.sources.delimited import open_delimited, rows
from demix_jax.data.sources.source import Edits, NewCells

BOMS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-32-le": b"\xff\xfe\0\0"}
LETTERS = {"utf-8": "äß€字😀", "utf-16-le": "ä字😀", "utf-16-be": "ä字", "utf-32-le": "ä字", "cp1252": "äöüß"}
WORDS = ["north", "south", "red", "blue", "clerk", "nurse"]
TITLES = ["Report of the year", "# made by a program", "", "// exported"]


@dataclasses.dataclass(frozen=True)
class File:
    """A file of N rows and W columns: its text, how it is written, and its cells as the csv module reads them."""

    text: str
    preamble: str
    delimiter: str
    encoding: str
    bom: bytes

    @property
    def data(self) -> bytes:
        return self.bom + (self.preamble + self.text).encode(self.encoding)

    def records(self, data: bytes) -> list[list[str]]:
        """All records of a version of the file, without what stands above the header."""
        text = data.removeprefix(self.bom).decode(self.encoding)
        assert text.startswith(self.preamble)
        rest = io.StringIO(text.removeprefix(self.preamble), newline="")
        return [record for record in csv.reader(rest, delimiter=self.delimiter) if record]


@pytest.fixture(autouse=True, scope="module")
def quick_disk():
    """Thousands of small files need not be safe from power cuts; they are read in many blocks all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(rows, "_BLOCK_BYTES", 64)
        yield


@st.composite
def files(draw: st.DrawFn) -> File:
    delimiter = draw(st.sampled_from(",;\t|^"))
    encoding = draw(st.sampled_from(sorted(LETTERS)))
    width, num_rows = draw(st.integers(3, 6)), draw(st.integers(2, 12))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quote_all, is_mixed, is_ragged = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    inner = [delimiter, '"', line_end, " ", *LETTERS[encoding]]

    def cell(column: int) -> str:
        if column % 2 == 0:
            return draw(st.sampled_from(["", "1", "-2.5", "03", "1e5", "7.10"]))
        return draw(st.sampled_from(WORDS)) + draw(st.sampled_from(["", "", *inner])) + draw(st.sampled_from(WORDS))

    def written(text: str) -> str:
        if quote_all or any(one in text for one in (delimiter, '"', "\n", "\r")) or (is_mixed and draw(st.booleans())):
            return '"' + text.replace('"', '""') + '"'
        return text

    lines = [delimiter.join(written(f"name {q}{LETTERS[encoding][0]}") for q in range(width))]
    for row in range(num_rows):
        cells = [written(cell(column)) for column in range(width)]
        if is_ragged and row % 5 == 4:
            cells = cells[:-1]
        lines.append(delimiter.join(cells))
        if draw(st.integers(0, 9)) == 0:
            lines.append("")
    text = line_end.join(lines) + (line_end if draw(st.booleans()) else "")
    titles = draw(st.lists(st.sampled_from(TITLES), max_size=2)) if encoding != "cp1252" else []
    bom = BOMS.get(encoding, b"") if encoding.startswith("utf-") and draw(st.booleans()) else b""
    bom = BOMS[encoding] if encoding.startswith(("utf-16", "utf-32")) else bom
    return File(text, "".join(title + line_end for title in titles), delimiter, encoding, bom)


def check(file: File) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "in.csv", Path(folder) / "out.csv"
        path.write_bytes(file.data)
        source = open_delimited(path)
        header, *records = file.records(file.data)
        got = [list(row.values()) for batch in source.batches(5) for row in batch.to_pylist()]
        padded = [row + [""] * (len(header) - len(row)) for row in records]
        assert list(source.names) == header and got == padded

        source.write_edited(out, Edits())
        assert out.read_bytes() == file.data

        weights = np.linspace(0, 1, len(records))
        source.write_edited(out, Edits(added={"weight": weights, "note": ["a b"] * len(records)}))
        added = file.records(out.read_bytes())
        assert [record[:-2] for record in added] == [header, *padded]
        assert added[0][-2:] == ["weight", "note"]
        assert [float(record[-2]) for record in added[1:]] == weights.tolist()

        new = NewCells(np.array([0, len(records) - 1]), [f'x{file.delimiter}"y"', "z"])
        source.write_edited(out, Edits(cells={header[1]: new}, dropped=np.arange(len(records)) == 1))
        want = [list(row) for row in records]
        want[0][1], want[-1][1] = new.values
        assert file.records(out.read_bytes()) == [header, *want[:1], *want[2:]]
        untouched = NewCells(np.arange(len(records)), [row[1] for row in records])
        source.write_edited(out, Edits(cells={header[1]: untouched}))
        assert out.read_bytes() == file.data


SLOW_IO = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=SLOW_IO)
@given(files())
def test_random_files(file: File):
    check(file)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=SLOW_IO)
@given(files())
def test_many_random_files(file: File):
    check(file)
