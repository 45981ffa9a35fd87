"""Numbers as people write them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from demix_jax.data.kinds import as_numbers, infer_column
from demix_jax.data.write_cells import with_cells
from demix_jax.data.written_numbers import number_style, read_number

RNG = np.random.default_rng(0)
AMOUNTS = RNG.uniform(-5_000, 5_000_000, 300).round(2)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.50", 1234.5),
        ("1.234,50", 1234.5),
        ("1,234", 1234),
        ("1,5", 1.5),
        ("1.234.567", 1234567),
        ("1 234,5 €", 1234.5),
        ("1\u202f234", 1234),
        ("1'234.5", 1234.5),
        ("$12", 12),
        ("€ 0,99", 0.99),
        ("$1.234", 1.234),
        ("-$5", -5),
        ("−3", -3),
        ("$.5", 0.5),
        ("45 %", 45),
        ("45%", 45),
    ],
)
def test_numbers_are_read_as_they_are_meant(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", "$", "%", "a", "1 a", "09.09.2024", "2024-01-05", "1,2,3", "12,34,567", "1,234,56", "10.0.0.1"],
)
def test_other_texts_are_no_numbers(text):
    assert math.isnan(read_number(text))


@pytest.mark.parametrize(
    ("write", "mark"),
    [
        (lambda v: f"{v:,.2f}", "."),
        (lambda v: f"{'-' if v < 0 else ''}${abs(v):,.2f}", "."),
        (lambda v: f"{v:.2f} %", "."),
        (lambda v: f"{v:,.2f}".translate({ord(","): ".", ord("."): ","}), ","),
        (lambda v: f"{v:.2f} €".replace(".", ","), ","),
    ],
)
def test_what_is_written_in_a_columns_style_is_read_back(write, mark):
    texts = [write(value) for value in AMOUNTS]
    column = pd.Series(texts, name="price")
    assert infer_column("price", column).kind == "number"
    np.testing.assert_allclose(as_numbers(column), AMOUNTS)
    style = number_style(texts)
    assert style is not None and style.mark == mark and style.decimals == 2
    assert [style.write(value) for value in AMOUNTS] == texts
    result = with_cells(column, np.array([0, 2]), [AMOUNTS[5], AMOUNTS[6]])
    assert result.tolist() == [texts[5], texts[1], texts[6], *texts[3:]] and result.dtype == column.dtype


def test_plain_numbers_have_no_style_of_their_own():
    assert number_style(["1", "2.5", "?", "300"]) is None
    assert number_style(["few", "many"]) is None and number_style([]) is None
    assert with_cells(pd.Series(["1", "?", "2.5"]), np.array([1]), [4.0]).tolist() == ["1", "4", "2.5"]


def test_nothing_is_negative_that_is_written_as_zero():
    style = number_style(["$1.50", "$2.00"])
    assert style is not None and style.write(-0.001) == "$0.00" and style.write(-1) == "-$1.00"
