"""What written numbers mean, and numbers written in the form of their column."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.data.written.column import recognise
from demix_jax.data.written.numbers import find_number_form

NBSP, THIN, NARROW = "\u00a0", "\u2009", "\u202f"

# Texts of a column, their numbers (None: not read), and a part of the notes ("" for no note).
NUMBERS = [
    (["1", "20", "-300"], [1, 20, -300], ""),
    (["1.5", "-0.25", "3"], [1.5, -0.25, 3], ""),
    (["1.5e+3", "2.0e-03"], [1500, 0.002], ""),
    (["78E3", "1E4"], [78_000, 10_000], ""),
    (["1,5E+03", "2,25E+00"], [1500, 2.25], ""),
    (["+5", "-7"], [5, -7], ""),
    (["−5", "12"], [-5, 12], ""),
    (["–5", "12"], [-5, 12], ""),
    (["- 5", "12"], [-5, 12], ""),
    (["(1,234.50)", "99.00"], [-1234.5, 99], ""),
    (["(5)", "(7)"], [-5, -7], "Every number is in brackets and is read as negative."),
    (["($5)", "$6"], [-5, 6], ""),
    (["12.50-", "7.00"], [-12.5, 7], ""),
    (["-$5", "$6"], [-5, 6], ""),
    (["$-5", "$6"], [-5, 6], ""),
    (["$ 1,234.00", "$ 5.00"], [1234, 5], ""),
    (["USD 1", "USD 2"], [1, 2], ""),
    (["1 EUR", "2 EUR"], [1, 2], ""),
    (["CHF 12.50", "CHF 7.20"], [12.5, 7.2], ""),
    (["chf 12.50", "CHF 7.20"], [12.5, 7.2], ""),
    (["₹1,23,456.00", "₹12.00"], [123_456, 12], ""),
    (["R$ 5,50", "R$ 1.000,00"], [5.5, 1000], ""),
    (["5 kr", "7,50 kr"], [5, 7.5], ""),
    (["5,20 zł", "1 000,00 zł"], [5.2, 1000], ""),
    (["£5", "£6.10"], [5, 6.1], ""),
    (["¥500", "¥1200"], [500, 1200], ""),
    (["5 €", "6 €"], [5, 6], ""),
    (["€5", "6 €"], [5, 6], ""),
    (["Rs.500", "Rs. 700"], [500, 700], ""),
    (["US$5", "US$6"], [5, 6], ""),
    (["$.50", "$1.25"], [0.5, 1.25], ""),
    (["12kg", "13.5kg"], [12, 13.5], ""),
    (["12 kg", "13"], [12, 13], "1 of 2 numbers lack the unit 'kg' of the others."),
    (["36 months", "1 month"], [36, 1], ""),
    (["12.0 oz", "16.0 oz.", "24.0 OZ.", "19.2 ounce"], [12, 16, 24, 19.2], ""),
    (["$5", "USD 6"], [5, 6], ""),
    (["21.5 °C", "-3 °C"], [21.5, -3], ""),
    (["80 km/h", "95 km/h"], [80, 95], ""),
    (["45 %", "7 %"], [45, 7], ""),
    (["45%", "7.5%"], [45, 7.5], ""),
    (["1,000+", "500+", "10.5"], [1000, 500, 10.5], "lack the unit '+'"),
    (["1.2K", "3M", "1.5bn", "900"], [1200, 3e6, 1.5e9, 900], ""),
    (["2.3k", "1.1k"], [2300, 1100], ""),
    (["$1.2M", "$3B"], [1.2e6, 3e9], ""),
    (["1,2 Mio. €", "3 Mrd. €"], [1.2e6, 3e9], ""),
    (["5 lakh", "2 crore"], [500_000, 20_000_000], ""),
    (["5 m", "7 m"], [5, 7], ""),  # metres, not millions
    (["1 234,5", "7,0"], [1234.5, 7], ""),
    ([f"1{NBSP}234,5", "7,0"], [1234.5, 7], ""),
    ([f"1{THIN}234,5", f"1{NARROW}234{NARROW}567,5"], [1234.5, 1_234_567.5], ""),
    (["1’234.50", "7.00"], [1234.5, 7], ""),
    (["1'234.50", "7.00"], [1234.5, 7], ""),
    (["1.234,50", "7,00"], [1234.5, 7], ""),
    (["1,23,456.00", "1,234.00"], [123_456, 1234], ""),
    (["1_000", "25_000_000"], [1000, 25_000_000], ""),
    ([".5", "5."], [0.5, 5], ""),
    ([",5", "5,25"], [0.5, 5.25], ""),
    # Decided by the other values of the column.
    (["1,234"], [1234], "Nothing decides what the comma means in 1 number such as '1,234'"),
    (["1,234", "1,5"], [1.234, 1.5], ""),
    (["1,234", "12,3456"], [1.234, 12.3456], ""),
    (["1,234", "0,123"], [1.234, 0.123], ""),
    (["1,234", "5,678.9"], [1234, 5678.9], ""),
    (["1,234", "5,678,901"], [1234, 5_678_901], ""),
    (["1.234"], [1.234], "Nothing decides what the point means in 1 number such as '1.234'"),
    (["1.234", "0.5"], [1.234, 0.5], ""),
    (["1.234", "1.234.567"], [1234, 1_234_567], ""),
    (["1.234", "2,5"], [1234, 2.5], ""),
    (["1,234", "7.5", "8.5", "2,25"], [1234, 7.5, 8.5, 2.25], "1 number such as '2,25' must have a decimal comma"),
]
NO_NUMBERS = [
    ["Infinity", "-inf"],
    ["09938", "12345"],
    ["007", "12"],
    ["+4930123456", "+4930123457"],
    ["+49 30 123456", "+49 30 654321"],
    ["1.2.3", "1.2.10"],
    ["192.168.1.1", "10.0.0.1"],
    ["INV1001", "INV1002"],
    ["1st", "2nd", "3rd"],
    ["5 kg", "300 g"],
    ["£5", "¥6", "€7"],
    ["12A", "12B", "7C"],
    ["5'11\"", "6'2\""],
    ["1/2", "3/4"],
    ["0x1A", "0x2B"],
    ["10 of 12", "3 of 4"],
    ["12 Main Street", "14 Main Street West End"],
    ["1 000 0", "12 34"],
    ["1e999", "-1e999"],
]


def ones(texts):
    return np.ones(len(texts), dtype=np.int64)


@pytest.mark.parametrize(("texts", "numbers", "note"), NUMBERS, ids=lambda value: str(value)[:40])
def test_numbers_are_read(texts, numbers, note):
    found = recognise(texts, ones(texts))
    assert found.kind == "number"
    assert found.values is not None
    assert found.values.tolist() == numbers
    notes = " ".join(found.notes)
    assert note in notes if note else notes == ""


@pytest.mark.parametrize("texts", NO_NUMBERS, ids=str)
def test_what_is_no_number(texts):
    assert recognise(texts, ones(texts)).kind == "strings"


def test_codes_are_told_and_may_be_forced():
    texts, counts = ["12345", "09938", "08"], np.array([5, 1, 2])
    found = recognise(texts, counts)
    assert found.notes == (
        "Leading zeros in 3 values such as '08' show that these are codes, not numbers; "
        "give the kind of the column if they are numbers.",
    )
    forced = recognise(texts, counts, as_kind="number")
    assert forced.values is not None
    assert forced.values.tolist() == [12345, 9938, 8]


@pytest.mark.parametrize(
    "texts",
    [
        ["36", "7", "-12"],
        ["88.10", "7.00", "-12.50"],
        ["88.1", "7", "-12.25"],
        ["36.0", "7.25"],
        ["1.234,50 €", "-7,00 €"],
        ["$1,234", "-$7", "$1,234,567"],
        ["(1,234.50)", "7.00"],
        ["12.50-", "7.00"],
        ["+5", "-7", "+12"],
        ["−5", "7"],
        ["1.5e+03", "-2.0e-07"],
        ["1.2E5", "3E6", "-4.75E-10"],
        ["45 %", "7 %"],
        ["12kg", "13.5kg"],
        ["1’234.50", "7.00"],
        ["1 234 567,5", "7,0"],
        ["1,23,45,678", "1,234", "12"],
        ["1.2K", "3M", "900"],
        ["0.5K", "1.2K"],
        ["USD 1", "USD 2"],
        ["0.1234567890123", "2.5"],
        ["0.30000000000000004", "0.1"],
        ["123456789012345", "-1"],
        ["1.5462654118891805e-05", "0.9986203908920288", "0.5", "1e+20"],
        ["8.4", "12", "16", "19.2"],
    ],
    ids=str,
)
def test_numbers_are_written_as_they_were(texts):
    form = recognise(texts, ones(texts)).form
    found = find_number_form(texts, ones(texts))
    assert found is not None
    assert found.form == form
    assert [found.form.write(value) for value in found.values.tolist()] == texts
    np.testing.assert_array_equal(found.form.parse(texts), found.values)


@pytest.mark.parametrize(
    ("texts", "value", "written"),
    [
        (["36", "7"], 12.6, "13"),
        (["1.234,50 €", "7,00 €"], -0.001, "0,00 €"),
        (["1.234,50 €", "7,00 €"], 1234567.891, "1.234.567,89 €"),
        (["(5)", "7"], -12, "(12)"),
        (["-$5", "-$6"], 12, "$12"),
        (["$5", "$6"], -12, "-$12"),
        (["+5", "-7"], -12, "-12"),
        (["78E3", "12E4"], 78000, "7.8E4"),
        (["1e-05", "0.5", "0.25"], 0.00001234, "1.234e-05"),
        ([*map(str, range(200)), "1.123456789"], 7.25, "7"),
        (["1.2K", "3M"], 2_500_000, "2.5M"),
        (["1", "1000000"], 1e22, "10000000000000000000000"),
    ],
)
def test_new_numbers_are_written_in_the_form_of_the_column(texts, value, written):
    found = find_number_form(texts, ones(texts))
    assert found is not None
    assert found.form.write(value) == written


def test_a_unit_of_few_numbers_is_part_of_codes():
    texts = [str(number) for number in range(1, 30)] + ["12A", "14A"]
    found = recognise(texts, ones(texts))
    assert found.kind == "number"
    assert [text for text, unread in zip(texts, found.unread, strict=True) if unread] == ["12A", "14A"]
    assert found.notes == ("2 of 31 values could not be read as a number: '12A', '14A'.",)


def test_cells_count_not_distinct_texts():
    texts = ["1,5", "1.5", "2.5"]
    assert recognise(texts, np.array([100, 1, 1])).how == "decimal comma"
    assert recognise(texts, np.array([1, 100, 1])).how == "plain"


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        (["1.234,50", "7,00"], "decimal comma, thousands by point"),
        (["12 kg", "3 kg"], "with kg"),
        (["USD 5", "USD 6"], "with USD"),
        (["(5)", "7"], "negative in brackets"),
        (["5-", "7"], "minus at the end"),
        (["1’234", "7"], "thousands by apostrophe"),
        (["7"], "plain"),
    ],
)
def test_how_is_a_phrase(texts, how):
    assert recognise(texts, ones(texts)).how == how


@st.composite
def columns(draw):
    """Numbers and their texts in one form that says itself where the decimals are."""
    mark = draw(st.sampled_from(".,"))
    group = draw(st.sampled_from(["", " ", NBSP, "’", "," if mark == "." else "."]))
    decimals = draw(st.sampled_from([1, 2, 4]))
    affixes = [("", ""), ("$", ""), ("", " €"), ("CHF ", ""), ("", " kg"), ("", "%")]
    before, after = draw(st.sampled_from(affixes))
    negative = draw(st.sampled_from(["-{}", "−{}", "({})", "{}-"]))
    scaled = draw(st.lists(st.integers(-(10**10), 10**10), min_size=2, max_size=12, unique=True))
    texts = []
    for number in scaled:
        whole, rest = divmod(abs(number), 10**decimals)
        digits = f"{whole:,}".replace(",", group) + mark + f"{rest:0{decimals}d}"
        text = f"{before}{digits}{after}"
        texts.append(negative.format(text) if number < 0 else text)
    return texts, [number / 10**decimals for number in scaled]


@settings(max_examples=150, deadline=None)
@given(columns())
def test_any_consistent_column_is_read_and_what_is_written_is_read_again(column):
    texts, numbers = column
    found = recognise(texts, ones(texts))
    assert found.kind == "number"
    assert found.values is not None
    assert all(math.isclose(value, number, rel_tol=1e-15) for value, number in zip(found.values, numbers, strict=True))
    form = find_number_form(texts, ones(texts))
    assert form is not None
    assert [form.form.parse([form.form.write(value)])[0] for value in found.values] == found.values.tolist()
