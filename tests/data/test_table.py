"""Reading tables, refusing bad ones, and telling tasks and column kinds apart."""

from __future__ import annotations

import datetime
import decimal
import gzip

import numpy as np
import pandas as pd
import pytest

from demix_jax.common.checks import InputError
from demix_jax.data.kinds import as_dates, as_numbers, date_format, infer_column, levels
from demix_jax.data.table_checks import as_table, check_table, infer_task, read_table


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
        assert frame["d"].tolist() == ["None", " x", "None"]

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
        pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("t.csv", b"", "is empty"),
            ("t.csv", b" \n\n", "is empty"),
            ("t.csv", b"a,b\n", "no rows"),
            ("t.csv", b"a,b,a\n1,2,3\n", "more than one column named 'a'"),
            ("t.csv", b"a,b\n1,2\n3,4\n5,6,7\n", "cannot be read as a table"),
            ("t.csv", b"a,b\n" + b"1,2\n" * 1000 + b"3,4,5\n", "cannot be read as a table"),
            ("t.csv", b"a,b\n1,2,3\n4,5,6\n", "more fields than the first line has names"),
            ("t.csv", b'"' + b"a" * 200_000, "quote"),
            ("t.csv", b'a,b\n"1,2\n3,4\n', "cannot be read as a table"),
            ("t.csv", b"PK\x03\x04\x00\x00", "not a text file"),
            ("t.csv", b"PAR1abcdef", "not a text file"),
            ("t.csv.gz", b"\x1f\x8bbroken", "damaged gzip"),
            ("t.parquet", b"a,b\n1,2\n", "not a readable Parquet"),
            ("t.parquet", b"", "is empty"),
            ("t.xlsx", b"PK", "suffix .xlsx"),
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
        with pytest.raises(InputError, match="is a folder"):
            read_table(tmp_path)


class TestChecks:
    def test_a_good_table_passes_untouched(self):
        frame = rows()
        before = frame.copy(deep=True)
        check_table(frame, "y")
        pd.testing.assert_frame_equal(frame, before)

    @pytest.mark.parametrize(
        ("frame", "label", "message"),
        [
            (rows(), "Y ", "did you mean 'y'"),
            (rows(), "zzz", "the columns are 'age', 'job', 'y'"),
            (rows(12), "y", "12 rows; at least 30"),
            (rows(y=1), "y", "constant"),
            (rows(y=[None, *([0, 1] * 19), None]), "y", "missing in 2 of 40 rows (first: 1, 40)"),
            (rows(y=["", *(["a", "b"] * 19), " "]), "y", "missing in 2 of 40 rows"),
            (rows(y=[f"name {i}" for i in range(40)]), "y", "most occur once"),
            (rows(400, y=[f"c{i % 150}" for i in range(400)]), "y", "150 distinct values"),
            (rows(y=pd.date_range("2020", periods=40)), "y", "holds dates"),
            (rows(y=[np.inf, *np.arange(39.0)]), "y", "infinite"),
            (rows(y=np.arange(40) * 1e300), "y", "varies too much"),
            (rows(y=np.arange(40) * 1e-300), "y", "varies too little"),
            (rows(y=[[1], [2]] * 20), "y", "holds lists"),
            (rows(empty=np.nan), "y", "Every value is missing in the column 'empty'"),
            (rows(empty=None, blank=" "), "y", "the columns 'empty', 'blank'"),
            (rows(income=[np.inf, -np.inf, *np.arange(38.0)]), "y", "'income' (2)"),
            (rows()[["y"]], "y", "no column besides the label"),
            (rows()[["y"]].assign(id=range(40), c=1), "y", "No feature column is usable"),
            (rows()[["age", "age", "y"]], "y", "more than one column named 'age'"),
            (rows().rename(columns={"age": 1, "job": "1"}), "y", "more than one column named '1'"),
        ],
    )
    def test_bad_tables(self, frame, label, message):
        with pytest.raises(InputError) as caught:
            check_table(frame, label)
        assert message in str(caught.value)

    def test_the_task_can_be_given(self):
        texts = rows(400, y=[f"{i}.5" for i in range(400)])
        with pytest.raises(InputError, match="400 distinct values"):
            check_table(texts, "y")
        check_table(texts, "y", task="regression")
        with pytest.raises(InputError, match="not a number in every row"):
            check_table(rows(y=["a", "b"] * 20), "y", task="regression")
        with pytest.raises(InputError, match="auto, classification or regression"):
            check_table(rows(), "y", task="ranking")

    def test_column_names_need_not_be_strings(self):
        frame = rows().set_axis([0, 1, 2], axis=1)
        check_table(frame, 2)
        check_table(frame, "2")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 50, "classification"),
        ([True, False] * 50, "classification"),
        (["x", "y"] * 50, "classification"),
        ([0.0, 0.5, 1.0, 0.5] * 25, "classification"),
        ([1.0, 2.0, 3.0, 4.0] * 25, "classification"),
        (list(range(20)) * 5, "classification"),
        (list(range(50)) * 40, "classification"),
        (list(range(17, 90)) * 40, "regression"),
        (list(range(200)) * 40, "regression"),
        (list(range(100)), "regression"),
        (np.linspace(0, 1, 100), "regression"),
        (pd.array([1, 2] * 50, dtype="Int64"), "classification"),
        (pd.Categorical(["x", "y"] * 50), "classification"),
        ([decimal.Decimal(i) / 7 for i in range(100)], "regression"),
    ],
)
def test_task(values, task):
    assert infer_task(pd.Series(values, name="y")) == task


def test_sparse_columns_become_dense():
    frame = pd.DataFrame({"words": pd.arrays.SparseArray([0, 0, 3]), "y": ["a", "b", "a"]})
    made = as_table(frame)
    assert made["words"].dtype == np.int64 and made["words"].tolist() == [0, 0, 3]
    assert isinstance(frame["words"].dtype, pd.SparseDtype)
    plain = made.copy()
    assert as_table(plain) is plain


N = 60
RNG = np.random.default_rng(1)
PETS = RNG.choice(["dog", "cat", "emu"], N)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RNG.normal(size=N), "number"),
        (RNG.integers(0, 1000, N), "number"),
        (pd.array([*RNG.integers(0, 1000, N - 1), None], dtype="Int64"), "number"),
        (pd.to_timedelta(RNG.integers(0, 1000, N), unit="h"), "number"),
        (pd.to_timedelta(RNG.integers(0, 3, N), unit="D"), "number"),
        ([decimal.Decimal(int(i)) / 8 for i in RNG.integers(0, 1000, N)], "number"),
        ([*(str(i) for i in RNG.integers(0, 1000, N - 3)), "?", "x", "?"], "number"),
        (RNG.integers(1, 4, N), "category"),
        (np.zeros(N), "constant"),
        ([0.5, np.nan] * (N // 2), "category"),
        ([True, False] * (N // 2), "category"),
        (pd.array([True, None] * (N // 2), dtype="boolean"), "category"),
        (pd.Categorical(PETS), "category"),
        (PETS, "category"),
        (pd.Series(PETS, dtype="string"), "category"),
        (pd.Series(PETS, dtype=object), "category"),
        (RNG.choice(np.array(["a", "b", 3, 4.5, None], dtype=object), N), "category"),
        (["same"] * N, "constant"),
        ([None] * N, "constant"),
        (np.arange(N) + 7, "identifier"),
        (RNG.permutation(N), "identifier"),
        ([f"user_{i:04d}" for i in range(N)], "identifier"),
        ([f"a rather long review that talks about many things, number {i}" for i in range(N)], "text"),
        ([f"name {i}" for i in RNG.integers(0, 70, 200)], "text"),
        ([f"{i:05d}" for i in RNG.integers(0, 30, N)], "category"),
        (pd.date_range("2020-01-01", periods=N), "date"),
        (pd.date_range("2020-01-01", periods=N, tz="Asia/Tokyo"), "date"),
        (pd.period_range("2020-01", periods=N, freq="M"), "date"),
        ([datetime.date(2020, 1, 1) + datetime.timedelta(days=i) for i in range(N)], "date"),
        (pd.date_range("2020-01-01", periods=N).strftime("%d/%m/%Y"), "date"),
        ([f"{i % 24:02d}.00.00" for i in range(N)], "category"),
        ([[1, 2], [3]] * (N // 2), "category"),
    ],
)
def test_column_kind(values, kind):
    column = pd.Series(values)
    before = column.copy(deep=True)
    found = infer_column("c", column)
    assert (found.name, found.kind) == ("c", kind)
    pd.testing.assert_series_equal(column, before)


@pytest.mark.parametrize(
    "pattern",
    ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d-%b-%Y", "%B %d, %Y"],
)
def test_dates_read_as_they_were_written(pattern):
    stamps = pd.date_range("2019-11-20", periods=100, freq="D")
    column = pd.Series(stamps.strftime(pattern))
    found = date_format(levels(column)[1])
    assert list(as_dates(column, found)) == list(stamps)


def test_times_with_zone_are_brought_to_utc():
    column = pd.Series(pd.to_datetime(["2020-01-01 00:00+02:00", None]))
    assert str(as_dates(column, None)[0]) == "2019-12-31 22:00:00"
    assert as_dates(column, None).isna().tolist() == [False, True]


def test_levels_read_equal_values_alike():
    mixed = pd.Series([1, 1.0, "1", " 1 ", True, None, "", "NA", "é"], dtype=object)
    codes, names = levels(mixed)
    assert names == ["1", "é"]
    assert codes.tolist() == [0, 0, 0, 0, 0, -1, -1, -1, 1]


def test_numbers_of_every_dtype_agree():
    plain = np.array([1.0, np.nan, 3.5, -2.0])
    nullable = pd.Series(plain).astype("Float64")
    texts = pd.Series(["1", None, " 3.5", "-2e0"])
    objects = pd.Series([1, None, decimal.Decimal("3.5"), -2.0], dtype=object)
    for column in (pd.Series(plain), nullable, texts, objects, pd.Series(pd.Categorical(plain))):
        np.testing.assert_array_equal(as_numbers(column), plain)
    assert np.isnan(as_numbers(pd.Series([np.inf, -np.inf]))).all()
