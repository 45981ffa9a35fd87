"""Which texts mean missing, in which columns."""

from __future__ import annotations

import numpy as np
import pytest

from demix_jax.data.written.column import recognise
from demix_jax.data.written.missing import find_always_missing

ALWAYS = ["", "na", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NULL", "null", "<NA>", "NaT"]
AMONG_NUMBERS = [
    "?", ".", "..", "-", "--", "—", "*", "\\N", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "None", "nil",
    "not available", "Not Applicable", "missing", "UNKNOWN", "n.a.", "n/d", "TBD", "(blank)", "(null)", "k.A.", "s/o",
    "keine Angabe",
]  # fmt: skip


@pytest.mark.parametrize("text", ALWAYS)
def test_missing_in_every_column(text):
    assert recognise(["red", "blue", text], np.array([1, 1, 1])).is_missing.tolist() == [False, False, True]
    assert recognise(["1", "2", text], np.array([1, 1, 1])).is_missing.tolist() == [False, False, True]


@pytest.mark.parametrize("text", AMONG_NUMBERS)
def test_missing_among_numbers_and_dates_only(text):
    for values in (["1", "2.5"], ["2019-04-03", "01.12.2018"]):
        found = recognise([*values, text], np.array([6, 6, 60]))
        assert found.kind in ("number", "date")
        assert found.is_missing.tolist() == [False, False, True]
        assert not found.unread.any()
    assert not recognise(["red", "blue", text], np.array([1, 1, 1])).is_missing.any()


def test_markers_may_not_outweigh_a_handful_of_numbers():
    assert recognise(["1", "2", "?"], np.array([1, 1, 90])).kind == "strings"
    assert recognise(["1", "2", "?"], np.array([1, 1, 2])).kind == "number"
    assert recognise(["1", "2", "?"], np.array([10, 10, 900])).kind == "strings"


@pytest.mark.parametrize("words", [["inconnu"], ["nieznane", "brak danych"], ["ei tietoa", "puuttuu", "x.y."]])
def test_words_in_any_language_are_markers_beside_numbers(words):
    texts = [*map(str, range(1, 11)), *words]
    found = recognise(texts, np.array([5] * 10 + [2] * len(words)))
    assert found.kind == "number"
    assert found.is_missing.tolist() == [False] * 10 + [True] * len(words)
    shown = ", ".join(repr(word) for word in sorted(words))
    assert found.notes == (f"Taken as missing, since all else is numbers or dates: {shown} ({2 * len(words)} cells).",)


def test_words_are_values_if_they_are_many_or_numbers_are_few():
    four = ["1", "2", "3", "low", "mid", "high", "top"]
    assert recognise(four, np.ones(7, int)).kind == "strings"
    assert recognise(["1", "2", "3", "low"], np.array([1, 1, 1, 4])).kind == "strings"
    assert recognise(["1", "low"], np.array([4, 1])).kind == "strings"


def test_namibia_is_a_country():
    found = recognise(["DE", "FR", "NA", ""], np.array([3, 2, 1, 1]))
    assert found.is_missing.tolist() == [False, False, False, True]
    assert found.notes == ("'NA' is a code like the others (Namibia) and does not mean missing.",)
    assert find_always_missing(["EU", "OC", "NA"]).is_missing.tolist() == [False, False, False]


@pytest.mark.parametrize("others", [["low", "high"], ["TX", "NY"], ["DE"], ["1", "2"], ["de", "fr"]])
def test_na_among_other_texts_is_missing(others):
    assert find_always_missing([*others, "NA"]).is_missing.tolist() == [False] * len(others) + [True]


def test_the_user_names_markers():
    assert recognise(["red", "n/k", "N/K"], np.ones(3, int), missing=[" n/k "]).is_missing.tolist() == [
        False,
        True,
        True,
    ]
    assert recognise(["1", "2", "-999"], np.ones(3, int), missing=["-999"]).is_missing.tolist() == [False, False, True]
    assert recognise(["DE", "FR", "NA"], np.ones(3, int), missing=["NA"]).is_missing.tolist() == [False, False, True]
