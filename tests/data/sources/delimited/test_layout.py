"""Texts as programs and people write them: what the table in each is."""

from __future__ import annotations

import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.delimited import open_delimited
from demix_jax.data.sources.delimited import rows as rows_module
from demix_jax.data.sources.source import Edits

RED = "1,red,2\n2,blue,3\n"
# name -> text, columns, rows, part of a note or nothing
TABLES = {
    "comma": ("a,b\n1,x\n2,y\n", "a b", ["1 x", "2 y"], ""),
    "semicolon, decimal comma": ("a;b;c\n1,5;2,5;x\n3,5;4,5;y\n", "a b c", ["1,5 2,5 x", "3,5 4,5 y"], ""),
    "semicolon, no header": ("1,5;2,5\n3,5;4,5\n", "column_1 column_2", ["1,5 2,5", "3,5 4,5"], "no header line"),
    "tab, commas in texts": ("id\tt\n1\ta,b,c\n2\td,e\n", "id t", ["1 a,b,c", "2 d,e"], ""),
    "pipe": ("a|b\n1|x\n2|y\n", "a b", ["1 x", "2 y"], ""),
    "caret": ("a^b^c\n1^x,y^3\n2^z^4\n", "a b c", ["1 x,y 3", "2 z 4"], ""),
    "tilde": ("a~b\n1~x\n2~y\n", "a b", ["1 x", "2 y"], ""),
    "colon": ("a:b:c\n1:2:x\n3:4:y\n", "a b c", ["1 2 x", "3 4 y"], ""),
    "control character": ("a\x01b\n1\x01x\n2\x01y\n", "a b", ["1 x", "2 y"], ""),
    "paragraph sign": ("a§b\n1§x\n2§y\n", "a b", ["1 x", "2 y"], ""),
    "times hold colons": ("a,t\n1,12:30:00\n3,13:30:00\n", "a t", ["1 12:30:00", "3 13:30:00"], ""),
    "double colon": ("a::b\n1::12\n2::15\n", "a b", ["1 12", "2 15"], ""),
    "double pipe": ("a||b||c\n1||x||2\n3||y||4\n", "a b c", ["1 x 2", "3 y 4"], ""),
    "aligned with spaces": ("  id  name\n   1    ab\n  20     c \n", "id name", ["1 ab", "20 c"], ""),
    "sep line": ("sep=;\na;b\n1,0;x\n2,0;y\n", "a b", ["1,0 x", "2,0 y"], "1 line above the table"),
    "sep line, tab": ("sep=\\t\na\tb\n1\tx\n2\ty\n", "a b", ["1 x", "2 y"], "1 line above the table"),
    "title": ("Sales 2024\n\nid,c,p\n" + RED, "id c p", ["1 red 2", "2 blue 3"], "1 line above the table"),
    "title with commas": ("Sales 2024,,\n,,\nid,c,p\n" + RED, "id c p", ["1 red 2", "2 blue 3"], "2 lines above"),
    "title of two fields": ("Sales, 2024\na,b,c,d\n1,x,2,2\n2,y,3,3\n", "a b c d", ["1 x 2 2", "2 y 3 3"], "1 line"),
    "comments": ("# me\n# a, b, c\ni,c,p\n1,r,2\n# later\n2,b,3\n", "i c p", ["1 r 2", "2 b 3"], "1 comment line"),
    "comments with slashes": ("// c\nid|name\n1|a\n2|b\n", "id name", ["1 a", "2 b"], "1 line above"),
    "comments with percent": ("% c\nid|name\n1|a\n2|b\n", "id name", ["1 a", "2 b"], "1 line above"),
    "cells with #": ("id,c\n#1,red\n#2,blue\n", "id c", ["#1 red", "#2 blue"], ""),
    "header with #": ("#id,c,p\n" + RED, "id c p", ["1 red 2", "2 blue 3"], ""),
    "header as a comment": ("# x,y\n1,2\n4,5\n7,8\n", "x y", ["1 2", "4 5", "7 8"], ""),
    "index without name": (",a,b\n0,1,x\n1,2,y\n", "column_1 a b", ["0 1 x", "1 2 y"], "is called column_1"),
    "index without field": ("a,b\n0,1,x\n1,2,y\n", "column_1 a b", ["0 1 x", "1 2 y"], "called column_1"),
    "trailing delimiter": ("a,b,\n1,2,\n3,4,\n", "a b", ["1 2", "3 4"], "1 column at the end without name and values"),
    "trailing delimiter of rows": ("a,b,c\n1,2,x,\n3,4,y,\n", "a b c", ["1 2 x", "3 4 y"], ""),
    "trailing delimiters": ("a,b,,,\n1,2,,,\n3,4,,,\n", "a b", ["1 2", "3 4"], "3 columns at the end"),
    "last name missing": ("a,b,\n1,2,\n3,4,y\n", "a b column_3", ["1 2 ", "3 4 y"], "called column_3"),
    "repeated header": ("a,b\n1,x\na,b\n3,z\n", "a b", ["1 x", "3 z"], "1 line repeats the header"),
    "total": ("s,n,m\nA,1,2\nB,3,4\nTotal,4,6\n", "s n m", ["A 1 2", "B 3 4"], "rows, beginning with 'Total', is"),
    "total and source": ("s;n;m\nA;1;2\nB;3;4\n;;\nSumme;4;\nQuelle: X\n", "s n m", ["A 1 2", "B 3 4"], "3 lines"),
    "total is a value": ("c,n,m\nTotal,1,2\nB,3,4\nTotal,4,6\n", "c n m", ["Total 1 2", "B 3 4", "Total 4 6"], ""),
    "empty last rows": ("a,b\n1,2\n,\n3,4\n,\n,\n", "a b", ["1 2", " ", "3 4"], "2 lines below the rows"),
    "numbers only": ("5,3.5\n4,3.0\n", "column_1 column_2", ["5 3.5", "4 3.0"], "The file has no header line"),
    "no header, a class": ("5,x\n4,x\n7,y\n", "column_1 column_2", ["5 x", "4 x", "7 y"], "no header line"),
    "years as names": ("state,2019,2020\nA,1,2\nB,2,3\n", "state 2019 2020", ["A 1 2", "B 2 3"], ""),
    "short lines": ("a,b,c\n1,2,3\n1,2\n1\n3,4,5\n", "a b c", ["1 2 3", "1 2 ", "1  ", "3 4 5"], "2 lines have fewer"),
    "long empty lines": ("a,b\n1,2\n1,2,\n4,5\n", "a b", ["1 2", "1 2", "4 5"], "1 line has more fields"),
    "blank lines": ("\n\na,b\n\n1,2\n  \n3,4\n\n", "a b", ["1 2", "3 4"], ""),
    "old Mac": ("a,b\r1,x\r2,y\r", "a b", ["1 x", "2 y"], ""),
    "mixed line ends": ("a,b\r\n1,x\n2,y\r3,z", "a b", ["1 x", "2 y", "3 z"], ""),
    "single quotes": ("i,n\n1,'a,b'\n2,'c'\n3,'it''s'\n4,'d'\n", "i n", ["1 a,b", "2 c", "3 it's", "4 d"], ""),
    "apostrophes": ("i,n\n1,'tis\n2,rock'n'roll\n", "i n", ["1 'tis", "2 rock'n'roll"], ""),
    "backslashes": ('i,n\n1,"say \\"a,b\\""\n2,"b"\n', "i n", ['1 say "a,b"', "2 b"], ""),
    "inches": ('i,n\n1,5" pipe\n2,6" pipe\n', "i n", ['1 5" pipe', '2 6" pipe'], ""),
    "quotations never closed": ('i\tn\n1\t"a\n2\t"b\n3\t"c\n4\td\n', "i n", ['1 "a', '2 "b', '3 "c', "4 d"], ""),
    "space before quotes": ('i, n\n1, "a,b"\n2, "c"\n', "i n", ["1 a,b", "2 c"], ""),
    "quoted header": ('"a,b","c""d"\n1,2\n3,4\n', 'a,b c"d', ["1 2", "3 4"], ""),
    "cells of several lines": ('i,t\n1,"x\ny"\n2,"z\n\nz"\n', "i t", ["1 x\ny", "2 z\n\nz"], ""),
    "empty cells first": ("a\tb\tc\n\t\t1\n\t\t2\n", "a b c", ["  1", "  2"], ""),
}  # fmt: skip


@pytest.mark.parametrize("block_bytes", [1 << 22, 7])
@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, monkeypatch, name, block_bytes):
    monkeypatch.setattr(rows_module, "_BLOCK_BYTES", block_bytes)
    text, names, rows, note = TABLES[name]
    path = tmp_path / "in.csv"
    path.write_text(text, encoding="utf-8", newline="")
    source = open_delimited(path)
    got = [" ".join(row.values()) for batch in source.batches(100) for row in batch.to_pylist()]
    assert " ".join(source.names) == names
    assert got == rows
    assert note in " ".join(source.notes) and bool(note) == bool(source.notes)
    source.write_edited(tmp_path / "out.csv", Edits())
    assert (tmp_path / "out.csv").read_bytes() == path.read_bytes()


def test_short_and_long_lines_are_told_with_number_and_place(tmp_path):
    (tmp_path / "in.csv").write_text("a,b,c\n" + "1,2,3\n" * 9 + "1,2\n1\n" + "1,2,3,\n" + "1,2,3\n" * 3)
    source = open_delimited(tmp_path / "in.csv")
    list(source.batches(4))
    assert source.notes == (
        "2 lines have fewer fields than the header (first: line 11); their last cells count as missing.",
        "1 line has more fields than the header (first: line 13); the further ones are empty and left out.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "has a header but no rows"),
        ("a,b,a\n1,2,3\n", "more than one column named 'a'; rename"),
        ('a,b\n1,x\n2,"y\n3,z\n', "opens a quote in line 3 that never ends"),
        ('a,b\n1,x\n2,"y\n3,z\n4,"q"\n5,"r"\n', "opens a quote in line 3 that never ends"),
        ('"a,b\n1,x\n', "opens a quote in line 1 that never ends|opens a quote in its first line"),
        ("a,b,c\n1,2,3\n1,2,3,4\n4,5,6\n", "has 4 fields in line 3, but its header has 3"),
        ("a,b\n1,x\0y\n2,z\n", "has a NUL byte in line 2"),
        ("<!DOCTYPE html><html>", "is an HTML page.*download it again"),
        ('<?xml version="1.0"?><a/>', "is an XML document"),
        ('{"a": [1,2]}', "is JSON.*name it .json"),
        ('[{"a": 1}]', "is JSON"),
        ("%PDF-1.4\n%\n", "is a PDF document"),
        ("SQLite format 3\0" + "\0" * 50, "is an SQLite database"),
        ("PAR1\0\0", "is a Parquet file.*name it .parquet"),
    ],
)
def test_what_is_no_table_is_told_with_its_reason(tmp_path, text, message):
    path = tmp_path / "in.csv"
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match=rf"in\.csv.*({message})"):
        list(open_delimited(path).batches(10))


def test_images_and_noise_are_no_text(tmp_path):
    for start, message in ((b"\x89PNG\r\n\x1a\n\0\0", "PNG image"), (bytes(range(3, 256)) * 20, "is not text")):
        (tmp_path / "x.csv").write_bytes(start)
        with pytest.raises(InputError, match=message):
            open_delimited(tmp_path / "x.csv")


def test_a_header_of_any_length_is_read_whole(tmp_path):
    names = [f"a column with a long name, number {q}" for q in range(10_000)]
    header = ",".join(f'"{name}"' for name in names)
    assert len(header) > 300_000
    (tmp_path / "x.csv").write_text(header + "\n" + "\n".join(",".join(["1"] * 10_000) for _ in range(3)))
    source = open_delimited(tmp_path / "x.csv")
    assert list(source.names) == names
    assert [len(batch) for batch in source.batches(10)] == [3]


def test_the_dialect_is_told_by_the_whole_file(tmp_path):
    """For 100,000 lines the last column is empty and nothing is quoted; both change in the middle of the file."""
    lines = ["id,text,", *(f"{i},word," for i in range(100_000))]
    lines[50_000:90_000] = [f'{i},"a, b",late' for i in range(40_000)]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    source = open_delimited(tmp_path / "x.csv")
    assert source.names == ("id", "text", "column_3")
    rows = [tuple(row.values()) for batch in source.batches(30_000) for row in batch.slice(0, 2).to_pylist()]
    assert rows[:2] == [("0", "word", ""), ("1", "word", "")] and rows[4] == ("10001", "a, b", "late")
