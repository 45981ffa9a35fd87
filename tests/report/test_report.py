"""The report says what the diagnosis holds, and nothing in a table can change the page."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_diagnosis import NUM_FOLDS, NUM_VALID, make_diagnosis

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, chance, percent
from demix_jax.data import Column
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.report import headline
from demix_jax.report.charts import influence_profiles
from demix_jax.report.findings import most_certain, suspects, witnesses
from demix_jax.report.html import element, escape
from demix_jax.report.parts import other_types
from demix_jax.report.row_reasons import condition
from demix_jax.report.terminal import print_types
from demix_jax.report.words import cell, unusual


def render(diagnosis: Diagnosis, folder: Path = Path(".")) -> str:
    return diagnosis.presentation.page(diagnosis, folder)


def with_summary(diagnosis: Diagnosis, **changes) -> Diagnosis:
    return dataclasses.replace(diagnosis, summary=dataclasses.replace(diagnosis.summary, **changes))


def without_flags(diagnosis: Diagnosis) -> Diagnosis:
    none = dict.fromkeys(ERROR_TYPES, 0)
    diagnosis = dataclasses.replace(diagnosis, flags=np.zeros((len(diagnosis.train), 3), bool))
    diagnosis = with_evidence(diagnosis, shortcuts=(), shortcut_broken=np.full(len(diagnosis.train), -1), suspects={})
    return with_summary(diagnosis, wrong_rows=0, look_rows=0, likely=none, look=none)


def with_evidence(diagnosis: Diagnosis, **changes) -> Diagnosis:
    return dataclasses.replace(diagnosis, evidence=dataclasses.replace(diagnosis.evidence, **changes))


VOID = {"meta", "br", "hr", "img", "link", "input", "col"}


class Page(HTMLParser):
    """Reads a page back: that tags are balanced, which tags and addresses occur, and the text."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        assert not any(name.startswith("on") for name in values)
        self.links += [value for name, value in attrs if name in ("href", "src", "action") and value]
        if "id" in values:
            assert values["id"]
            self.ids.append(values["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def diagnosis():
    return make_diagnosis()


@pytest.fixture(scope="module")
def page(diagnosis):
    return Page(render(diagnosis))


def test_headline_counts_wrong_rows_once_and_keeps_the_valuable_ones_apart(diagnosis, page):
    # rows 0-79 carry errors, row 5 two of them; 80-109 break a shortcut; every fourth of all is only worth a look
    first, second = headline(diagnosis)
    assert first == "60 of 600 rows (10.0 %) are likely wrong, and 20 others are worth a look"
    assert second.startswith("22 rows (3.7 %) likely break a shortcut that most rows follow, and 8 more may.")
    assert "valuable, not wrong" in second
    assert first in page.text and "Such a row is valuable, not wrong: keep it and give it weight." in page.text


def test_nothing_reassures_where_wrong_labels_cannot_be_seen(capsys):
    none = {name: 0 for name in ERROR_TYPES}
    unseen = dict(wrong_rows=0, look_rows=0, likely=none)
    clean = with_summary(without_flags(make_diagnosis()), **unseen)
    assert headline(clean)[0] == "None of 600 rows is likely wrong"
    leaky = with_summary(clean, label_doubt="'status_code' alone predicts the label in every row.")
    print_types(leaky)
    for told in (Page(render(leaky)).text, capsys.readouterr().out):
        assert "None of 600 rows is likely wrong, but labels cannot be judged here" in told
        assert told.count("cannot be judged here") == 2, "headline, and card or table"
    section = Page(render(leaky)).text.partition("Open one for")[0]
    assert "'status_code' alone predicts the label in every row." in section
    assert leaky.summary.as_dict()["label_doubt"].startswith("'status_code'")
    assert "label_doubt" not in clean.summary.as_dict()


def test_page_is_self_contained_and_well_formed(diagnosis, page, tmp_path):
    diagnosis.to_html(tmp_path / "report.html")
    raw = (tmp_path / "report.html").read_bytes()
    assert len(raw) < 3_000_000
    assert raw.startswith(b"<!doctype html>") and b'<meta charset="utf-8">' in raw
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert b"url(" not in raw and b"@import" not in raw
    assert page.tags.count("h1") == 1 and len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == page.tags.count("title") - 1 - page.tags.count("rect")  # all pictures are named


def test_every_type_shows_its_most_certain_rows_with_reasons(diagnosis, page):
    for name in ERROR_TYPES:
        p = diagnosis.table[f"p_{name}"].to_numpy()
        for band in ("likely", "look"):
            rows = most_certain(diagnosis, name, band=band)
            flagged = diagnosis.table.index[diagnosis.table[f"band_{name}"] == band]
            assert set(rows) <= set(flagged) and min(p[rows]) >= np.sort(p[flagged])[-10:].min()
            assert all(f"Row {row}" in page.text for row in rows)
    row = most_certain(diagnosis, "label_error")[0]
    given, expected = diagnosis.train["income"][row], diagnosis.evidence.expected_label[row]
    assert f"Labelled {given}, expected {expected}" in page.text
    row = most_certain(diagnosis, "spurious_correlation")[0]
    broken = diagnosis.evidence.shortcuts[diagnosis.evidence.shortcut_broken[row]]
    assert f"Of the rows with {condition(broken, row)}, {chance(broken.p_expected[row])} have the label" in page.text


def test_witnesses_are_the_extremes_of_the_influence_row(diagnosis):
    row = 17
    influence = diagnosis.influence[row]
    places = diagnosis.validation_rows[diagnosis.fold[row]]
    helped, harmed = witnesses(diagnosis, row)
    assert [w.row for w in helped] == [places[m] for m in np.argsort(influence)[:3]]
    assert [w.row for w in harmed] == [places[m] for m in np.argsort(-influence)[:3]]
    assert all(w.influence < 0 for w in helped) and all(w.influence > 0 for w in harmed)
    assert helped[0].label == diagnosis.valid["income"].iloc[helped[0].row]


def test_witnesses_leave_out_unusable_samples():
    diagnosis = make_diagnosis()
    diagnosis.influence[0] = np.nan
    diagnosis.influence[0, :2] = [-0.5, 0.5]
    diagnosis.validation_rows[0, 1] = -1
    helped, harmed = witnesses(diagnosis, 0)
    assert [w.influence for w in helped] == [-0.5] and harmed == []


def test_suspects_come_with_their_surprise_strongest_first(diagnosis):
    row = 45
    names = diagnosis.evidence.suspects[row]
    found = suspects(diagnosis, row)
    assert set(found) == set(names) and list(found.values()) == sorted(found.values(), reverse=True)
    columns = [c.name for c in diagnosis.evidence.columns]
    assert found[names[0]] == pytest.approx(diagnosis.evidence.cell_surprise[row, columns.index(names[0])])


def test_profile_is_the_median_of_sorted_influences(diagnosis):
    profiles = influence_profiles(diagnosis)
    rows = np.arange(80, 110)
    rows = rows[rows % 4 > 0]  # the others are only worth a look
    given = diagnosis.train["income"].to_numpy()
    lows, highs = [], []
    for row in rows:
        places = diagnosis.validation_rows[diagnosis.fold[row]]
        same = diagnosis.influence[row][given[places] == given[row]]
        lows.append(same.min())
        highs.append(same.max())
    got = profiles["spurious_correlation"]
    assert got.num_rows == 22
    assert got.same is not None and got.other is not None
    assert got.same[1, 0] == pytest.approx(np.median(lows)) and got.same[1, -1] == pytest.approx(np.median(highs))
    # wrong labels harm the samples that share them, right ones help
    wrong, right = profiles["label_error"].same, profiles["none"].same
    assert wrong is not None and right is not None and np.median(wrong[1]) > 0 > np.median(right[1])
    assert profiles["none"].num_rows == 600 - 110


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\x00\x1b[31m'


def test_nothing_in_the_table_becomes_markup():
    diagnosis = make_diagnosis()
    frame = diagnosis.train.rename(columns={"age": HOSTILE}).assign(workclass=HOSTILE)
    frame["income"] = frame["income"] + HOSTILE
    told, summary = diagnosis.evidence, diagnosis.summary
    first, second = told.shortcuts
    diagnosis = dataclasses.replace(diagnosis, train=frame, valid=frame)
    diagnosis = with_evidence(
        diagnosis,
        expected_label=np.full(600, HOSTILE, dtype=object),
        columns=(dataclasses.replace(told.columns[0], name=HOSTILE), *told.columns[1:]),
        shortcuts=(first, dataclasses.replace(second, column=HOSTILE)),
        suspects={row: (HOSTILE,) for row in told.suspects},
    )
    diagnosis = with_summary(
        diagnosis,
        columns={(HOSTILE if name == "age" else name): kind + HOSTILE for name, kind in summary.columns.items()},
        notes=(HOSTILE,),
        label=HOSTILE,
        classifier=dataclasses.replace(summary.classifier, name=HOSTILE),
    )
    html = render(diagnosis)
    assert "<script" not in html and "<img" not in html and "\x00" not in html and "\x1b" not in html
    assert "alert(1)" in Page(html).text


def test_any_text_can_be_written(tmp_path):
    diagnosis = make_diagnosis()
    diagnosis.train["workclass"] = pd.Series(["日本語 \ud800 ‮ é"] * 600, dtype=object)
    diagnosis.to_html(tmp_path / "r.html")
    assert "日本語" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_regression_speaks_of_misses_not_of_classes():
    text = Page(render(make_diagnosis(task="regression"))).text
    assert "miss by so much" in text and "Labelled" not in text and "with another label" not in text


def test_names_need_not_be_strings(diagnosis):
    numbered = make_diagnosis()
    places = {name: k for k, name in enumerate(numbered.train.columns)}
    frame, told = numbered.train.rename(columns=places), numbered.evidence
    numbered = dataclasses.replace(numbered, train=frame, valid=frame, label=str(places["income"]))
    numbered = with_evidence(
        numbered,
        columns=tuple(Column(str(places[column.name]), column.kind) for column in told.columns),
        shortcuts=tuple(dataclasses.replace(rule, column=str(places[rule.column])) for rule in told.shortcuts),
        suspects={row: tuple(str(places[name]) for name in names) for row, names in told.suspects.items()},
    )
    kinds = {str(places[name]): kind for name, kind in numbered.summary.columns.items()}
    numbered = with_summary(numbered, columns=kinds)
    assert len(Page(render(numbered)).tags) == len(Page(render(diagnosis)).tags)


def test_a_copy_is_told_with_the_row_that_it_was_made_of():
    diagnosis = make_diagnosis()
    row = int(most_certain(diagnosis, "feature_error")[0])
    mistakes, original = np.full(600, "", dtype=object), np.full(600, -1)
    mistakes[row], original[row] = "copied", 17
    diagnosis = with_evidence(diagnosis, mistakes=mistakes, original=original)
    assert "Most values are those of row 17." in Page(render(diagnosis)).text


def test_a_clean_table_gives_a_calm_page():
    text = Page(render(without_flags(make_diagnosis()))).text
    assert "None of 600 rows is likely wrong" in text and "No row likely breaks a shortcut." in text
    assert text.count("No row is likely one of these.") == 3 and "worth a look, each" not in text


def test_rows_worth_a_look_are_offered_behind_the_likely_ones(diagnosis, page):
    for name, likely, look in (("Label errors", 30, 10), ("Feature errors", 31, 10), ("Rows that break", 22, 8)):
        section = page.text.partition(f"{name}")[2]
        first = section.index(f"Shown: the 10 most certain of {likely}")
        offered = section.index(f"{look} rows worth a look, each less likely than not")
        assert first < offered < section.index("Shown: all of them")
    html = render(diagnosis)
    assert html.count('<details class="look">') == 3, "closed until somebody opens them"
    assert "10 more worth a look" in page.text
    assert other_types(diagnosis, 5, "feature_error") == "label error (likely)"


def test_only_rows_worth_a_look_are_told_without_alarm(capsys):
    given = make_diagnosis()
    few = dict.fromkeys(ERROR_TYPES, 0)
    look = dataclasses.replace(given, probability=np.where(given.flags, 0.4, given.probability))
    look = with_summary(
        look, wrong_rows=0, look_rows=1, likely=few, look=few | {"label_error": 1, "spurious_correlation": 2}
    )
    assert headline(look) == (
        "None of 600 rows is likely wrong, and 1 other is worth a look",
        "No row likely breaks a shortcut, though 2 rows may and are worth a look.",
    )
    print_types(look)
    said = capsys.readouterr().out
    assert "Worth a look" in said and "Likely" in said


def test_large_wide_tables_stay_small():
    diagnosis = make_diagnosis(num_rows=2000)
    extra = {f"extra {k}": ["long text " * 200] * 2000 for k in range(250)}
    frame = pd.concat([diagnosis.train, pd.DataFrame(extra, dtype=object)], axis=1)
    diagnosis = dataclasses.replace(diagnosis, train=frame)
    diagnosis = with_summary(diagnosis, columns={**diagnosis.summary.columns, **dict.fromkeys(extra, "text")})
    html = render(diagnosis)
    assert len(html.encode()) < 1_000_000
    assert "more columns are not shown" in html


def test_command_can_be_pasted(diagnosis, tmp_path):
    text = Page(render(with_summary(diagnosis, train="my table.csv"), folder=tmp_path / "a b")).text
    expected = f"demix-jax repair 'my table.csv' --label income --diagnosis '{tmp_path}/a b/diagnosis.csv'"
    assert expected in text


def test_elements_escape_everything_but_html():
    assert element("td", "a<b", Html("<i>"), None, 3, ["x", "y"], class_="n", aria_label='"', hidden=True) == (
        '<td class="n" aria-label="&quot;" hidden>a&lt;b<i>3xy</td>'
    )
    assert element("br") == "<br>" and element("line", x1=3) == '<line x1="3"/>'
    assert escape("a\x07b") == "a�b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (np.int64(12345), "12345"),
        (0.1234567, "0.123457"),
        (float("nan"), "missing"),
        (None, "missing"),
        ("  a \n b ", "a b"),
        ("x" * 99, "x" * 59 + "…"),
        (True, "True"),
        (np.datetime64("2024-03-01"), "2024-03-01"),
    ],
)
def test_cells(value, text):
    assert cell(value) == text


def test_shares_never_round_to_all_or_nothing():
    assert [percent(s) for s in (0, 0.0004, 0.123, 0.9996, 1)] == [
        "0 %",
        "under 0.1 %",
        "12.3 %",
        "over 99.9 %",
        "100 %",
    ]
    assert [chance(s) for s in (0.004, 0.871, 0.995)] == ["0.4 %", "87 %", "99.5 %"]


def test_surprise_in_words_is_its_exponential():
    assert unusual(np.log(30)) == "about 30 times less likely than usual"
    assert unusual(np.log(2.5)) == "about 2.5 times less likely than usual"
    assert "over 10,000" in unusual(12) and "hardly" in unusual(0.1)


def test_fixture_has_the_shapes_of_a_diagnosis(diagnosis):
    assert diagnosis.influence.shape == (600, NUM_VALID) and diagnosis.validation_rows.shape == (NUM_FOLDS, NUM_VALID)
    assert re.fullmatch(r"[0-9a-f]{64}", diagnosis.summary.fingerprint)
