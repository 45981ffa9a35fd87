"""Records and fields against Python's csv module, on every kind of quotes and line ends."""

from __future__ import annotations

import csv
import io
import random

import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.delimited.cells import column_texts, field_text
from demix_jax.data.sources.delimited.dialect import TextDialect
from demix_jax.data.sources.delimited.tokens import Records, split_records, stream_records


def values(records: Records) -> list[list[str]]:
    """Cells of all records that are not blank."""
    rows = [row for row in range(len(records)) if records.starts[row] < records.ends[row]]
    return [
        [column[0].as_py() for column in column_texts(records, np.array([row]), range(int(records.num_fields[row])))]
        for row in rows
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_random_texts_are_split_like_the_csv_module_does(delimiter):
    draw = random.Random(1)
    characters = ["a", "b", '"', '"', '"', delimiter, delimiter, "\n", "\r\n", "\r", "é"]
    for _ in range(1500):
        text = "".join(draw.choice(characters) for _ in range(draw.randrange(1, 30)))
        records = split_records(text.encode(), TextDialect(delimiter.encode()))
        if len(records.quotes.closes) and records.quotes.closes[-1] == len(records.data):
            continue  # the last quote never ends
        want = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        assert values(records) == want, text
        fields = [field_text(records, field) for field in range(len(records.field_starts))]
        assert [cell for cell in fields if cell] == [cell for row in want for cell in row if cell]


def test_blocks_of_any_size_give_the_same_records(tmp_path):
    text = 'a,"b ""c""",d\r\n\r\n"1\r\n2",x,\r3,"",é\n4,5,6'.encode()
    whole = values(split_records(text, TextDialect(b",")))
    assert whole == [["a", 'b "c"', "d"], ["1\r\n2", "x", ""], ["3", "", "é"], ["4", "5", "6"]]
    for size in range(1, len(text)):
        blocks = [text[start : start + size] for start in range(0, len(text), size)]
        parts = list(stream_records(tmp_path, blocks, TextDialect(b","), 1))
        assert b"".join(part.data[: part.num_bytes] for part in parts) == text
        assert [row for part in parts for row in values(part)] == whole
        assert [part.line_of(int(start)) for part in parts for start in part.starts] == [1, 2, 3, 5, 6]


def test_a_quote_that_never_ends_is_told_with_its_line(tmp_path):
    text = b'a,b\n"1\n2",x\n3,"y\n' + b"4,z\n" * 1000
    blocks = [text[start : start + 100] for start in range(0, len(text), 100)]
    with pytest.raises(InputError, match="opens a quote in line 4 that never ends"):
        list(stream_records(tmp_path, blocks, TextDialect(b","), 1))


def test_backslashes_protect_quotes():
    records = split_records(rb'1,"a \"b, c\"","d\\"' + b"\n", TextDialect(b",", has_backslash=True))
    assert values(records) == [["1", 'a "b, c"', r"d\\"]]


def test_text_after_a_closing_quote_belongs_to_the_cell_but_spaces_do_not():
    assert values(split_records(b'"a"b,"c" ,"d"e"f"\n', TextDialect(b","))) == [["ab", "c", 'de"f"']]


def test_runs_of_spaces():
    records = split_records(b'  a   "b c"  1\n2 x \n\n  \n', TextDialect(b" ", has_runs=True))
    assert values(records) == [["a", "b c", "1"], ["2", "x"], []]
