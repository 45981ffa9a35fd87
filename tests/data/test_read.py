"""Reading tables from files and from memory."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.read import as_table, read_table


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def rows(n=40, **columns):
    rng = np.random.default_rng(0)
    base = {"age": rng.integers(17, 90, n), "job": rng.choice(["a", "b", "c"], n), "y": np.arange(n) % 2}
    return pd.DataFrame({**base, **columns})


class TestReading:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
    def test_delimiters_and_encodings(self, tmp_path, delimiter, encoding):
        quoted = f'"Zürich{delimiter} 8001"'
        lines = [["größe", "ort", "y"], ["1.5", "Genève", "ja"], ["2", quoted, "nein"]]
        text = "\n".join(delimiter.join(line) for line in lines) + "\n"
        frame = read_table(write(tmp_path / "t.csv", text, encoding))
        assert list(frame.columns) == ["größe", "ort", "y"]
        assert frame["größe"].tolist() == [1.5, 2.0]
        assert frame["ort"].tolist() == ["Genève", f"Zürich{delimiter} 8001"]

    @pytest.mark.parametrize("suffix", [".csv", ".CSV", ".tsv", ".txt", ".csv.gz", ".tsv.gz"])
    def test_suffixes(self, tmp_path, suffix):
        data = b"a\tb\n1\t2\n3\t4\n"
        path = tmp_path / f"my.table{suffix}"
        path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
        assert read_table(str(path)).to_dict("list") == {"a": [1, 3], "b": [2, 4]}

    def test_missing_values_and_literals(self, tmp_path):
        text = "a,b,c,d\n1,,?,None\n2,NA,unknown, x\n3,N/A,?,None\n"
        frame = read_table(write(tmp_path / "t.csv", text))
        assert np.all(frame["b"].isna())
        assert frame["c"].tolist() == ["?", "unknown", "?"]
        assert frame["d"].tolist() == ["None", "x", "None"]

    def test_leading_zeros_and_decimal_commas(self, tmp_path):
        text = "zip;price;note\n02139;1,5;a,b\n80013;12,25;c\n00501;0,1;d\n"
        frame = read_table(write(tmp_path / "t.csv", text))
        assert frame["zip"].tolist() == ["02139", "80013", "00501"]
        assert frame["price"].tolist() == [1.5, 12.25, 0.1]

    def test_delimiter_at_every_end_of_line(self, tmp_path):
        frame = read_table(write(tmp_path / "t.csv", "a;b\n1;2;\n3;4;\n"))
        assert frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}

    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
    def test_line_endings(self, tmp_path, ending):
        frame = read_table(write(tmp_path / "t.csv", ending.join(["a,b", "1,x", "2,y", ""])))
        assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}

    def test_quoted_newlines_are_not_rows(self, tmp_path):
        frame = read_table(write(tmp_path / "t.csv", 'a,b\n"one\ntwo",1\n"three",2\n'))
        assert frame["a"].tolist() == ["one\ntwo", "three"]

    def test_parquet_round_trip_with_dictionary_columns(self, tmp_path):
        frame = rows(job=pd.Categorical(["x", "y"] * 20), flag=pd.array([True, None] * 20, dtype="boolean"))
        frame.to_parquet(tmp_path / "t.parquet")
        read = read_table(tmp_path / "t.parquet")
        pd.testing.assert_frame_equal(read.drop(columns="flag"), frame.drop(columns="flag").astype({"job": "str"}))
        assert read["flag"].tolist() == [True, None] * 20

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("t.csv", b"", "is empty"),
            ("t.csv", b" \n\n", "is empty"),
            ("t.csv", b"a,b\n", "no rows"),
            ("t.csv", b"a,b,a\n1,2,3\n", "more than one column named 'a'"),
            ("t.csv", b"a,b\n1,2\n3,4\n5,6,7\n", "3 fields in line 4, but its header has 2"),
            ("t.csv", b"a,b\n" + b"1,2\n" * 1000 + b"3,4,5\n", "3 fields in line 1,002"),
            ("t.csv", b'"' + b"a" * 200_000, "quote"),
            ("t.csv", b'a,b\n"1,2\n3,4\n', "opens a quote in line 2 that never ends"),
            ("t.csv", b"PK\x03\x04\x00\x00", "damaged zip archive"),
            ("t.csv", b"PAR1abcdef", "damaged Parquet file"),
            ("t.csv.gz", b"\x1f\x8bbroken", "damaged gzip"),
            ("t.parquet", b"", "is empty"),
            ("t.xlsx", b"PK", "damaged workbook"),
            ("t", b"a,b\n1,2\n", "suffix (none)"),
        ],
    )
    def test_unreadable_files(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_table(tmp_path / name)
        assert message in str(caught.value) and "\n" not in str(caught.value)

    def test_parquet_with_one_name_twice(self, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), tmp_path / "t.parquet")
        with pytest.raises(InputError):
            read_table(tmp_path / "t.parquet")

    def test_missing_file_names_the_closest(self, tmp_path):
        write(tmp_path / "train.csv", "a,b\n1,2\n")
        with pytest.raises(InputError, match=r"did you mean train\.csv"):
            read_table(tmp_path / "trian.csv")
        with pytest.raises(InputError, match="nor does the folder"):
            read_table(tmp_path / "no" / "train.csv")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="is a folder without tables"):
            read_table(tmp_path / "empty")

    def test_content_counts_more_than_the_name(self, tmp_path):
        frame = read_table(write(tmp_path / "t.parquet", "a,b\n1,2\n"))
        assert frame.to_dict("list") == {"a": [1], "b": [2]}


def test_sparse_columns_become_dense():
    frame = pd.DataFrame({"words": pd.arrays.SparseArray([0, 0, 3]), "y": ["a", "b", "a"]})
    made = as_table(frame)
    assert made["words"].dtype == np.int64 and made["words"].tolist() == [0, 0, 3]
    assert isinstance(frame["words"].dtype, pd.SparseDtype)
    plain = made.copy()
    assert as_table(plain) is plain
