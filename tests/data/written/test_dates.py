"""What written dates mean, and dates written in the form of their column."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix_jax.data.written.column import recognise
from demix_jax.data.written.dates import find_date_form

APRIL_3 = "2019-04-03"
AT_1345 = "2019-04-03T13:45"
# Text -> its date in ISO 8601; the text alone is its column. Day first, where nothing else decides.
DATES = {
    "2019-04-03": APRIL_3,
    "2019/4/3": APRIL_3,
    "2019.04.03": APRIL_3,
    "2019 04 03": APRIL_3,
    "20190403": APRIL_3,
    "2019-04": "2019-04-01",
    "2019/04": "2019-04-01",
    "04/2019": "2019-04-01",
    "04.2019": "2019-04-01",
    "2019-093T13:45": AT_1345,
    "2019-W14": "2019-04-01",
    "2019-W14-3": APRIL_3,
    "2019W14": "2019-04-01",
    "2020-W53": "2020-12-28",
    "2019-Q2": "2019-04-01",
    "Q2 2019": "2019-04-01",
    "2Q2019": "2019-04-01",
    "Apr-2019": "2019-04-01",
    "April 2019": "2019-04-01",
    "Apr-19": "2019-04-01",
    "01-APR-19": "2019-04-01",
    "3-Apr-2019": APRIL_3,
    "3 Apr 2019": APRIL_3,
    "03APR2019": APRIL_3,
    "Apr 3, 2019": APRIL_3,
    "April 3rd, 2019": APRIL_3,
    "2019 Apr 03": APRIL_3,
    "Wed, 03 Apr 2019": APRIL_3,
    "Wednesday, April 3, 2019": APRIL_3,
    "03.04.2019": APRIL_3,
    "3. 4. 2019": APRIL_3,
    "03.04.19": APRIL_3,
    "3.4.19": APRIL_3,
    "03/04/2019": APRIL_3,
    "03-04-2019": APRIL_3,
    "3. April 2019": APRIL_3,
    "3. März 2019": "2019-03-03",
    "3 mai 2019": "2019-05-03",
    "1er août 2019": "2019-08-01",
    "3 févr. 2019": "2019-02-03",
    "3 de abril de 2019": APRIL_3,
    "3 ene 2019": "2019-01-03",
    "3 aprile 2019": APRIL_3,
    "mer 3 apr 2019": APRIL_3,
    "3. Dez. 2019": "2019-12-03",
    "2019年4月3日": APRIL_3,
    "2019-04-03 13:45": AT_1345,
    "2019-04-03T13:45": AT_1345,
    "2019-04-03t13:45:00": AT_1345,
    "20190403T134500": AT_1345,
    "20190403T134500Z": AT_1345,
    "201904031345": AT_1345,
    "20190403134500": AT_1345,
    "2019-04-03 13:45:00.250": "2019-04-03T13:45:00.250",
    "2019-04-03 13:45:00,250": "2019-04-03T13:45:00.250",
    "2019-04-03T13:45:00.123456789": "2019-04-03T13:45:00.123456789",
    "2019-04-03T13:45:00Z": AT_1345,
    "2019-04-03 13:45:00 UTC": AT_1345,
    "2019-04-03 13:45:00 GMT": AT_1345,
    "2019-04-03 13:45:00+00:00": AT_1345,
    "2019-04-03T14:45:00+01:00": AT_1345,
    "2019-04-03T08:15:00-0530": AT_1345,
    "2019-04-03 15:45+02": AT_1345,
    "2019-04-03 UTC": APRIL_3,
    "03.04.2019 13:45": AT_1345,
    "03.04.2019, 13:45": AT_1345,
    "04/03/2019 01:45:00 PM": "2019-03-04T13:45",
    "3 Apr 2019 1:45pm": AT_1345,
    "Apr 3, 2019, 1:45 p.m.": AT_1345,
    "Wed Apr 03 13:45:00 2019": AT_1345,
    "Wed Apr 03 13:45:00 UTC 2019": AT_1345,
    "Wed Apr 03 13:45:00 +0000 2019": AT_1345,
    "03/Apr/2019:13:45:00 +0000": AT_1345,
    "02:15:00 PM": "1970-01-01T14:15",
    "2:15pm": "1970-01-01T14:15",
    "2 PM": "1970-01-01T14:00",
    "12:00 AM": "1970-01-01T00:00",
    "12:00 PM": "1970-01-01T12:00",
    "13:45": "1970-01-01T13:45",
    "13:45:30": "1970-01-01T13:45:30",
    "03.04.68": "1968-04-03",  # 2068 would lie far ahead
    "03.04.70": "1970-04-03",
    "1800-01-01": "1800-01-01",
}
NO_DATES = [
    "2019-02-30", "2019-13-01", "31.04.2019", "25:00", "13:60", "13:45 PM", "0:30 am", "2019-W54", "Q5 2019",
    "2019-366T13:45", "2019-093",
    "9999-12-31", "0001-01-01", "13:45-14:30", "3-4", "3 April", "Monday", "May", "555-12-34", "20191345", "2018/19",
    "1.2.3", "2019-04-03x", "a 2019-04-03", "12:34:56:78", "2019-04/03", "3 Foo 2019",
]  # fmt: skip


def ones(texts):
    return np.ones(len(texts), dtype=np.int64)


def moments(values):
    return [None if np.isnat(value) else str(pd.Timestamp(value)) for value in values]


@pytest.mark.parametrize(("text", "moment"), DATES.items(), ids=list(DATES))
def test_dates_are_read(text, moment):
    found = recognise([text], ones([text]))
    assert found.kind == "date"
    assert found.values is not None and found.values.dtype == np.dtype("datetime64[ns]")
    assert moments(found.values) == [str(pd.Timestamp(moment))]


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date(text):
    assert recognise([text], ones([text])).kind != "date"


# Texts of a column, their dates, the start of the note.
ORDERS = [
    (["01/02/2019", "13/02/2019"], ["2019-02-01", "2019-02-13"], "Day first: 1 of 2 dates"),
    (["01/02/2019", "02/13/2019"], ["2019-01-02", "2019-02-13"], "Month first: 1 of 2 dates"),
    (["1-2-19", "2-13-19"], ["2019-01-02", "2019-02-13"], "Month first: 1 of 2 dates"),
    (["01.02.2019", "02.13.2019"], ["2019-01-02", "2019-02-13"], None),
    (["01/02/2019"], ["2019-02-01"], "Nothing decides whether day or month is first in dates"),
    (["01.02.2019"], ["2019-02-01"], None),
    (["99-04-03", "98-12-30"], ["1999-04-03", "1998-12-30"], "Year first: 2 of 2 dates"),
    (["2019-04-03", "13/02/2019", "Apr 5, 2019"], ["2019-04-03", "2019-02-13", "2019-04-05"], "Day first: 1 of 1 date"),
    (["20190403", "20191231"], ["2019-04-03", "2019-12-31"], None),
    (["3 mai 2019", "4 août 2019"], ["2019-05-03", "2019-08-04"], None),
]


@pytest.mark.parametrize(("texts", "days", "note"), ORDERS, ids=lambda value: str(value)[:40])
def test_day_and_month_are_decided_by_all_values(texts, days, note):
    found = recognise(texts, ones(texts))
    assert found.kind == "date" and found.values is not None
    assert found.values.astype("datetime64[D]").astype(str).tolist() == days
    assert len(found.notes) == (note is not None)
    assert note is None or found.notes[0].startswith(note)


def test_cells_count_not_distinct_texts():
    texts = ["01/13/2019", "13/01/2019", "14/01/2019"]
    assert moments(recognise(texts, np.array([1, 50, 50])).values) == [
        None,
        "2019-01-13 00:00:00",
        "2019-01-14 00:00:00",
    ]
    found = recognise(texts, np.array([900, 1, 12]))
    assert moments(found.values) == ["2019-01-13 00:00:00", None, None]
    assert found.notes == (
        "Month first: 900 of 913 dates would be impossible otherwise.",
        "13 of 913 values could not be read as a date: '14/01/2019', '13/01/2019'.",
    )


def test_digits_alone_are_dates_only_if_all_are():
    assert recognise(["20190403", "20191231"], ones("ab")).kind == "date"
    assert recognise(["20190403", "20191231", "20199999"], ones("abc")).kind == "number"
    assert recognise(["20190403", "20191231", "5"], ones("abc")).kind == "number"
    assert recognise(["20190403", "20191231"], ones("ab"), as_kind="number").kind == "number"


def test_two_digit_years_far_ahead_are_of_the_last_century():
    births = [f"0{day}.03.{year:02d}" for day, year in enumerate((45, 52, 61, 68, 71, 80, 99, 4, 9), 1)]
    found = recognise(births, ones(births))
    assert found.values is not None
    years = [pd.Timestamp(value).year for value in found.values]
    assert years == [1945, 1952, 1961, 1968, 1971, 1980, 1999, 2004, 2009]
    assert "are read as 19xx: 4 of 9 dates would lie more than 10 years ahead" in found.notes[0]


@pytest.mark.parametrize(
    "texts",
    [
        ["2019-04-03", "2020-12-31"],
        ["2019-04"],
        ["01-APR-19", "15-DEC-18"],
        ["03.04.2019", "31.12.2018"],
        ["3.4.2019", "31.12.2018"],
        ["4/13/2019", "12/1/2018"],
        ["Apr 3, 2019", "May 13, 2019"],
        ["April 3rd, 2019", "May 12th, 2019", "June 21st, 2019"],
        ["3. März 2019", "15. Dezember 2018"],
        ["3 févr. 2019", "15 déc. 2018"],
        ["3 de abril de 2019", "1 de diciembre de 2019"],
        ["Wed, 03 Apr 2019", "Mon, 31 Dec 2018"],
        ["02:15:00 PM", "12:00:00 AM", "12:30:00 PM"],
        ["2:15pm", "11:05am"],
        ["13:45", "00:05"],
        ["2019-04-03T13:45:00Z", "2019-12-31T23:59:59Z"],
        ["2019-04-03 13:45:00.250", "2019-12-31 23:59:59.000"],
        ["2019-04-03 13:45:00+01:00", "2019-12-31 23:59:59+01:00"],
        ["2019-04-03 13:45:00 UTC"],
        ["2019-Q2", "2018-Q4"],
        ["2019-W14", "2020-W53"],
        ["20190403", "20181231"],
        ["2019-093T13:45", "2020-366T00:00"],
        ["Wed Apr 03 13:45:00 +0000 2019"],
    ],
    ids=str,
)
def test_dates_are_written_as_they_were(texts):
    found = find_date_form(texts, ones(texts))
    assert found is not None
    assert [found.form.write(value) for value in found.values] == texts
    np.testing.assert_array_equal(found.form.parse(texts), found.values)


def test_new_dates_are_written_in_the_commonest_form():
    texts = ["2019-04-03", "13/02/2019", "14/02/2019"]
    found = find_date_form(texts, np.array([1, 1, 1]))
    assert found is not None
    assert found.form.write(np.datetime64("2021-12-05T11:00")) == "05/12/2021"
    assert recognise(texts, ones(texts)).how == "day first, as 31/12/2019"


FORMATS = [
    "%Y-%m-%d", "%d.%m.%Y", "%d %b %Y", "%B %d, %Y", "%Y%m%d", "%Y-%m-%dT%H:%M:%S", "%d-%b-%y", "%Y/%m/%d %I:%M %p",
    "%a, %d %b %Y %H:%M:%S", "%Y-%jT%H:%M", "%d.%m.%Y %H:%M",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2029, 12, 31)), min_size=1, max_size=9),
)
def test_whatever_strftime_writes_is_read_and_written_back(form, moments_given):
    texts = sorted({moment.strftime(form) for moment in moments_given})
    found = find_date_form(texts, ones(texts))
    assert found is not None
    expected = pd.to_datetime(texts, format=form).to_numpy(dtype="datetime64[ns]")
    np.testing.assert_array_equal(found.values, expected)
    assert [found.form.write(value) for value in found.values] == texts
