"""Kinds of columns by their values, and the values parsed."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from demix_jax.data.inspect_column import inspect_column, parse
from demix_jax.data.kinds import MISSING_TEXT, as_dates, as_numbers, levels

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
        ([[1, 2], [3]] * (N // 2), "set"),
        ([[1, 2], [3, 4]] * (N // 2), "vector"),
    ],
)
def test_column_kind(values, kind):
    column = pd.Series(values)
    before = column.copy(deep=True)
    found = inspect_column("c", column).column
    assert (found.name, found.kind) == ("c", kind)
    pd.testing.assert_series_equal(column, before)
    shuffled = column.sample(frac=1, random_state=3)
    assert inspect_column("c", shuffled).column == found


@pytest.mark.parametrize(
    "pattern",
    ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d-%b-%Y", "%B %d, %Y"],
)
def test_dates_read_as_they_were_written(pattern):
    stamps = pd.date_range("2019-11-20", periods=100, freq="D")
    column = pd.Series(stamps.strftime(pattern))
    found = inspect_column("when", column)
    assert found.column.kind == "date" and list(found.values) == list(stamps)
    assert found.column.form is not None
    assert [found.column.form.write(stamp) for stamp in stamps] == column.tolist()


def test_times_with_zone_are_brought_to_utc():
    column = pd.Series(pd.to_datetime(["2020-01-01 00:00+02:00", None]))
    assert str(as_dates(column)[0]) == "2019-12-31 22:00:00"
    assert as_dates(column).isna().tolist() == [False, True]


def test_levels_read_equal_values_alike():
    mixed = pd.Series([1, 1.0, "1", " 1 ", True, None, "", "NA", "é"], dtype=object)
    codes, names = levels(mixed, MISSING_TEXT)
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


COMMA = [f"{value:.2f}".replace(".", ",") for value in RNG.normal(50, 20, N)]


@pytest.mark.parametrize(
    ("texts", "kind", "written"),
    [
        (COMMA, "number", "12,50"),
        ([f"$ {value}" for value in range(100, 100 + 3 * N, 3)], "number", "$ 13"),
        ([f"{i} kg" for i in range(5, 5 + 7 * N, 7)], "number", "13 kg"),
    ],
)
def test_values_are_written_back_in_the_form_of_their_column(texts, kind, written):
    column = inspect_column("x", pd.Series(texts)).column
    form: Any = column.form
    assert column.kind == kind and form is not None
    assert form.write(12.5 if kind == "number" and "," in written else 13.0) == written


def test_further_rows_are_parsed_alike():
    found = inspect_column("price", pd.Series(COMMA))
    more = parse(found.column, pd.Series(["1.234,50", "", "abc", "7,00"]))
    np.testing.assert_array_equal(more, [1234.5, np.nan, np.nan, 7.0])
    np.testing.assert_array_equal(parse(found.column, found.values), found.values)


def test_long_numbers_and_leading_zeros_stay_as_they_are_written():
    orders = [str(1_582_218_195_625_938_945 + 7_919 * i) for i in range(N)]
    found = inspect_column("order", pd.Series([*orders, ""]))
    assert found.column.kind == "identifier" and found.values.tolist()[:N] == orders
    codes = [f"{i:05d}" for i in range(99_000, 99_000 - N * 1_600, -1_600)]
    found = inspect_column("zip", pd.Series(codes))
    assert found.column.kind in ("identifier", "category") and found.values.tolist() == codes


def test_namibia_is_a_country_and_elsewhere_a_gap():
    countries = inspect_column("country", pd.Series(["NA", "DE", "FR", "US"] * 10))
    assert countries.column.num_missing == 0 and (countries.values == "NA").sum() == 10
    assert parse(countries.column, countries.values).tolist() == countries.values.tolist()
    grades = inspect_column("grade", pd.Series(["NA", "good", "bad", "fair"] * 10))
    assert grades.column.num_missing == 10


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        (RNG.integers(0, 900, N), "category", "str"),
        (RNG.integers(0, 900, N), "text", "str"),
        ([f"{i:03d}" for i in range(N)], "number", "int64"),
        (RNG.integers(1_500_000_000, 1_600_000_000, N), "date", "datetime64"),
        ([1.5] * N, "number", "float64"),
    ],
)
def test_what_the_user_says_counts(values, kind, dtype):
    found = inspect_column("x", pd.Series(values), kind=kind)
    assert found.column.kind == kind and str(found.values.dtype).startswith(dtype)
    if kind == "date":
        pd.testing.assert_series_equal(parse(found.column, pd.Series(values)), found.values)


def test_a_letter_beside_few_numbers_is_a_class_too():
    found = inspect_column("ticket", pd.Series([*["1", "2", "3"] * 20, "A", "A"]))
    assert found.column.kind == "category" and (found.values == "A").sum() == 2
    found = inspect_column("rooms", pd.Series([*["1", "2", "3"] * 20, "?", "?"]))
    assert found.column.kind == "category" and found.column.num_missing == 2


def test_markers_of_the_user_mean_missing():
    texts = ["n/k", "N/K", *(str(i) for i in range(100, 100 + N))]
    found = inspect_column("x", pd.Series(texts), missing=("n/k",))
    assert found.column.kind in ("number", "identifier") and found.column.num_missing == 2
    found = inspect_column("x", pd.Series(["n/k", "a", "b"] * 10), missing=("n/k",))
    assert found.column.num_missing == 10
