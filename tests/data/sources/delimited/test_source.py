"""`DelimitedSource`: batches, edits, compressed files, and files that are damaged or changed."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.sources.compression import open_compressed, open_decompressed
from demix_jax.data.sources.delimited import open_delimited
from demix_jax.data.sources.source import Edits, NewCells

TEXT = 'id;name;price\r\n# note\r\n1;"Ann; B";1,50\r\n2;Bob;2,00\r\n\r\n3;"Cem"\r\n4;Dan;4,00\r\nTotal;;7,50\r\n'


def edited(tmp_path: Path, edits: Edits, text: str = TEXT) -> str:
    (tmp_path / "in.csv").write_bytes(text.encode())
    open_delimited(tmp_path / "in.csv").write_edited(tmp_path / "out.csv", edits)
    return (tmp_path / "out.csv").read_bytes().decode()


def cells(rows: list[int], texts: list) -> NewCells:
    return NewCells(np.array(rows), texts)


def test_edits_by_hand(tmp_path):
    edits = Edits(
        cells={"name": cells([0, 1], ['say "hi"', "a;b"]), "price": cells([0, 2, 3], [None, "9,00", "4,00"])},
        added={"weight": np.array([1.0, 0.5, 0.25, 0.0]), "why": ["", "x;y", "z", None]},
    )
    assert edited(tmp_path, edits) == (
        'id;name;price;weight;why\r\n# note\r\n1;"say ""hi""";;1.0;\r\n2;"a;b";2,00;0.5;"x;y"\r\n\r\n'
        '3;"Cem";9,00;0.25;z\r\n4;Dan;4,00;0.0;\r\nTotal;;7,50\r\n'
    )


def test_dropped_rows_vanish_with_their_line_end(tmp_path):
    got = edited(tmp_path, Edits(dropped=np.array([True, False, False, True]), cells={"id": cells([0, 1], ["7", "8"])}))
    assert got == 'id;name;price\r\n# note\r\n8;Bob;2,00\r\n\r\n3;"Cem"\r\nTotal;;7,50\r\n'


def test_short_lines_are_filled_only_as_far_as_needed(tmp_path):
    text = "a,b,c,d\n1\n1,2,3,4\n1,2,3,4\n"
    assert edited(tmp_path, Edits(cells={"c": cells([0], ["x"])}), text) == "a,b,c,d\n1,,x\n1,2,3,4\n1,2,3,4\n"
    assert edited(tmp_path, Edits(cells={"c": cells([0], [""])}), text) == text
    assert edited(tmp_path, Edits(added={"e": [1, 2, 3]}), text).startswith("a,b,c,d,e\n1,,,,1\n")


def test_added_columns_stand_before_trailing_delimiters(tmp_path):
    got = edited(tmp_path, Edits(added={"w": np.array([0.1, 0.2], np.float32)}), "a,b,\n1,2,\n3,4,\n")
    assert got == "a,b,w,\n1,2,0.1,\n3,4,0.2,\n"


def test_texts_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "in.csv").write_bytes("id;name\n1;Köln\n2;Bäcker\n3;Straße\n".encode("cp1252"))
    source = open_delimited(tmp_path / "in.csv")
    with pytest.raises(InputError, match=r"'Łódź' for column 'name' in row 1 .*cp1252 lacks"):
        source.write_edited(tmp_path / "out.csv", Edits(cells={"name": cells([1], ["Łódź"])}))
    assert not (tmp_path / "out.csv").exists()
    with pytest.raises(InputError, match="has a column named 'id' already"):
        source.write_edited(tmp_path / "out.csv", Edits(added={"id": [1, 2, 3]}))
    with pytest.raises(ValueError, match="no column 'x'"):
        source.write_edited(tmp_path / "out.csv", Edits(cells={"x": cells([0], ["1"])}))
    with pytest.raises(ValueError, match="has 2 values, but the table has 3 rows"):
        source.write_edited(tmp_path / "out.csv", Edits(added={"w": [1, 2]}))
    with pytest.raises(InputError, match="is the file that is read"):
        source.write_edited(tmp_path / "in.csv", Edits())


def test_backslashes_and_literal_quotes_stay(tmp_path):
    text = 'i,n\n1,"say \\"a,b\\""\n2,"b"\n'
    edits = Edits(cells={"n": cells([1], ['5" pipe'])})
    assert edited(tmp_path, edits, text) == 'i,n\n1,"say \\"a,b\\""\n2,"5\\" pipe"\n'
    literal = 'i\tn\n1\t"a\n2\t"b\n3\t"c\n4\td\n'
    assert edited(tmp_path, Edits(cells={"n": cells([3], ['"x'])}), literal) == literal.replace("\td", '\t"x')
    with pytest.raises(InputError, match="no quotes in this file"):
        edited(tmp_path, Edits(cells={"n": cells([3], ["a\tb"])}), literal)


def test_batches_have_the_rows_in_order(tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(10_000)))
    source = open_delimited(tmp_path / "in.csv")
    assert abs(source.estimated_cells() - 20_000) < 4_000
    sizes = [len(batch) for batch in source.batches(3_000)]
    assert sizes == [3_000, 3_000, 3_000, 1_000] and source.estimated_cells() == 20_000
    assert [row for batch in source.batches(999) for row in batch.column("a").to_pylist()] == [
        str(i) for i in range(10_000)
    ]


@pytest.mark.parametrize("suffix", ["gz", "zip", "zst", "bz2", "xz"])
def test_compressed_files_stay_compressed_under_a_fitting_name(tmp_path, suffix):
    with open_compressed(tmp_path / f"in.csv.{suffix}", suffix, "in.csv") as file:
        file.write(TEXT.encode())
    source = open_delimited(tmp_path / f"in.csv.{suffix}")
    for name, is_compressed in ((f"out.csv.{suffix}", True), ("out.csv", False)):
        source.write_edited(tmp_path / name, Edits())
        assert ((tmp_path / name).read_bytes() != TEXT.encode()) == is_compressed
        with open_decompressed(tmp_path / name) as file:
            assert file.read() == TEXT.encode()


def test_damaged_gzip_files_give_a_sentence_or_the_right_table(tmp_path):
    whole = gzip.compress(TEXT.encode() * 20, mtime=0)
    draw = random.Random(5)
    for number in range(220):
        damaged = bytearray(whole[: draw.randrange(1, len(whole))] if number < 60 else whole)
        if number >= 60:
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path = tmp_path / "in.csv"
        path.write_bytes(damaged)
        try:
            rows = sum(len(batch) for batch in open_delimited(path).batches(100))
            assert rows == 5 * 20  # totals among the rows are rows
        except InputError as error:
            assert "in.csv" in str(error)


def test_a_file_that_changed_is_refused(tmp_path):
    (tmp_path / "in.csv").write_text(TEXT)
    source = open_delimited(tmp_path / "in.csv")
    list(source.batches(10))
    (tmp_path / "in.csv").write_text(TEXT + "5;Eve;5,00\r\n")
    with pytest.raises(InputError, match=r"in\.csv was changed after it was opened"):
        source.write_edited(tmp_path / "out.csv", Edits())
    with pytest.raises(InputError, match="was changed"):
        list(source.batches(10))


def test_names_that_are_not_utf8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    path.write_text(TEXT)
    assert sum(len(batch) for batch in open_delimited(path).batches(2)) == 4
    path.write_text("a,a\n1,2\n")
    with pytest.raises(InputError, match=r"caf\\xe9\.csv has more than one column") as caught:
        open_delimited(path)
    str(caught.value).encode("utf-8")


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="is a folder, but a file was expected"):
        open_delimited(tmp_path)
    with pytest.raises(InputError, match=r"none\.csv does not exist"):
        open_delimited(tmp_path / "none.csv")
