"""A column is recognised as a whole."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.data.written.column import recognise
from demix_jax.data.written.shapes import shapes_of

PIECES = st.sampled_from(
    "1 2.5 1,5 1,234 1.234 1.234,5 -3 (4) 5- $5 5€ 6kg 7% 1.2K 3M 1e5 007 ? - NA red DE FR 01/02/2019 13/02/2019 "
    "02/13/2019 2019-04-03 20190403 Apr-2019 13:45 3.4.45 null 2pm unknown".split()
)
RANDOM = st.text("0123456789.,-/: $€kKgM()", min_size=1, max_size=9)
TEXTS = st.dictionaries(PIECES | RANDOM, st.integers(1, 50), max_size=12)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_the_order_of_texts_does_not_matter(column, random):
    texts = list({text.strip(): cells for text, cells in column.items()})
    counts = np.array([column.get(text, 1) for text in texts], dtype=np.int64)
    order = list(range(len(texts)))
    random.shuffle(order)
    one = recognise(texts, counts)
    two = recognise([texts[place] for place in order], counts[order])
    assert (one.kind, one.form, one.notes, one.how) == (two.kind, two.form, two.notes, two.how)
    np.testing.assert_array_equal(one.is_missing[order], two.is_missing)
    np.testing.assert_array_equal(one.unread[order], two.unread)
    if one.values is not None and two.values is not None:
        np.testing.assert_array_equal(one.values[order], two.values)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_every_cell_is_missing_unread_or_read(column):
    texts = list({text.strip(): 1 for text in column})
    for kind in (None, "number", "date", "strings"):
        found = recognise(texts, np.ones(len(texts), int), as_kind=kind)
        assert kind is None or found.kind == kind
        assert not (found.is_missing & found.unread).any()
        if found.values is not None:
            was_read = ~(np.isnan(found.values) if found.kind == "number" else np.isnat(found.values))
            np.testing.assert_array_equal(was_read, ~found.is_missing & ~found.unread)
            assert found.form is not None
            assert all(found.form.write(value) for value in found.values[was_read])


def test_nine_of_ten_cells_make_the_kind():
    texts = ["1", "2", "a1"]
    assert recognise(texts, np.array([45, 45, 10])).kind == "number"
    assert recognise(texts, np.array([45, 44, 11])).kind == "strings"
    dates = ["2019-04-03", "2019-04-04", "a1"]
    assert recognise(dates, np.array([45, 45, 10])).kind == "date"
    assert recognise(dates, np.array([45, 44, 11])).kind == "strings"


def test_the_user_gives_the_kind():
    number = recognise(["5", "a", "b"], np.array([1, 5, 5]), as_kind="number")
    assert number.unread.tolist() == [False, True, True]
    assert number.notes == ("10 of 11 values could not be read as a number: 'a', 'b'.",)
    date = recognise(["a"], np.array([1]), as_kind="date")
    assert (date.kind, date.unread.tolist()) == ("date", [True])
    strings = recognise(["5", "NA", "?"], np.array([1, 1, 1]), as_kind="strings")
    assert (strings.kind, strings.is_missing.tolist(), strings.notes) == ("strings", [False, True, False], ())


def test_strings_that_are_mostly_numbers_get_a_note():
    texts = [*map(str, range(30)), "a1", "b1", "c1", "d1", "e1"]
    assert recognise(texts, np.ones(35, int)).notes == (
        "85.7 % of the values are numbers, but not the others, such as 'a1', 'b1', 'c1', …; the column is read as "
        "strings. If it holds numbers, give its kind or name the texts that mean missing.",
    )


@pytest.mark.parametrize("texts", [[], [""], ["", "NA"]])
def test_columns_without_values_are_strings(texts):
    found = recognise(texts, np.ones(len(texts), int))
    assert (found.kind, found.notes, found.is_missing.all()) == ("strings", (), True)


def test_free_text_has_few_shapes_kept():
    texts = [f"{'ab' * (number % 25)}{number}{'x' * (number % 13)}" for number in range(60_000)]
    assert len(shapes_of(texts)) <= 5000
    assert recognise(texts, np.ones(len(texts), int)).kind == "strings"


def test_200000_numbers_are_read_fast():
    texts = [str(number) for number in np.random.default_rng(0).permutation(200_000)]
    start = time.process_time()
    found = recognise(texts, np.ones(len(texts), int))
    assert time.process_time() - start < 1.5  # about 0.15 s on a machine that does nothing else
    assert found.values is not None
    assert found.values.tolist() == [float(text) for text in texts]
