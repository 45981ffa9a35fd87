"""The page and its blocks, shared by the reports on all kinds of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from typing import TYPE_CHECKING

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, chance, count, listed, percent
from demix_jax.report.charts import probability_figure, profile_figure
from demix_jax.report.findings import Witness, most_certain, witnesses
from demix_jax.report.html import element
from demix_jax.report.words import signed

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis

NUM_SHOWN = 10
NUM_OPEN = 2


def page(title: str, sections: Iterable[object]) -> Html:
    """The complete HTML file, style sheet included."""
    style = resources.files("demix_jax.report").joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    main = element("main", sections)
    return Html(f"<!doctype html>\n{element('html', head, element('body', main), lang='en')}\n")


def headline(diagnosis: Diagnosis) -> tuple[str, str]:
    """One sentence about wrong samples, and one about broken shortcuts."""
    noun, summary = diagnosis.presentation.words.noun, diagnosis.summary
    total, wrong, broken = summary.rows, summary.wrong_rows, summary.counts["spurious_correlation"]
    first = f"{wrong:,} of {count(total, noun)} ({percent(wrong / total)}) {'looks' if wrong == 1 else 'look'} wrong"
    if not wrong:
        first = f"None of {count(total, noun)} looks wrong"
    if summary.label_doubt is not None and not summary.counts["label_error"]:
        first += ", but wrong labels could not be seen here"
    second = (
        f"{count(broken, noun)} ({percent(broken / total)}) {'breaks' if broken == 1 else 'break'} a shortcut that "
        f"most {noun}s follow. Such a {noun} is valuable, not wrong: it keeps a model from learning the shortcut."
    )
    return first, second if broken else f"No {noun} was found to break a shortcut."


def held_back(diagnosis: Diagnosis) -> list[str]:
    """A sentence that names the error types in `Summary.held_back`; an empty list if there are none.

    Where wrong labels cannot be seen, nothing is said of them.
    """
    words, summary = diagnosis.presentation.words, diagnosis.summary
    unseen = () if summary.label_doubt is None else ("label_error",)
    types = [words.plural[name] for name in summary.held_back if name not in unseen]
    if not types:
        return []
    return [
        f"There may be no {listed(types, 'or')} here: data without any often look like this. Only the most probable "
        f"{100 * diagnosis.most_in_doubt:.0f} % of the {words.noun}s are flagged as such."
    ]


def opening(diagnosis: Diagnosis, *, eyebrow: str, facts: Iterable[tuple[str, str]]) -> Html:
    """Page header: headline, one card per error type, facts as (name, value), and notes."""
    first, second = headline(diagnosis)
    said = [element("li", note) for note in (*held_back(diagnosis), *diagnosis.summary.notes)]
    return element(
        "header",
        element("p", eyebrow, class_="eyebrow"),
        element("h1", first),
        element("p", second, class_="lead"),
        element("div", [_card(diagnosis, name) for name in ERROR_TYPES], class_="cards"),
        element(
            "dl",
            [element("div", element("dt", name), element("dd", value)) for name, value in facts],
            class_="facts",
        ),
        element("ul", said, class_="notes") if said else None,
    )


def _card(diagnosis: Diagnosis, name: str) -> Html:
    words, num_flagged = diagnosis.presentation.words, diagnosis.summary.counts[name]
    share = num_flagged / diagnosis.summary.rows
    return element(
        "a",
        element("h2", words.names[name]),
        element(
            "p",
            element("span", f"{num_flagged:,}", class_="big"),
            element("span", f" {words.noun if num_flagged == 1 else f'{words.noun}s'}, {percent(share)}"),
            class_="figure",
        ),
        element("div", element("i", style=f"width:{100 * share:.2f}%"), class_="share", aria_hidden="true"),
        element("p", words.meaning[name]),
        href=f"#{name}",
        class_=f"card {name}",
    )


def type_section(diagnosis: Diagnosis, name: str) -> Html:
    """Section with the most certain findings of one error type."""
    words, show = diagnosis.presentation.words, diagnosis.presentation.show
    rows = most_certain(diagnosis, name, NUM_SHOWN)
    num_flagged = int(diagnosis.flagged(name).sum())
    if not len(rows):
        content: object = element("p", f"{words.found_none} {words.plural[name]} to show.")
    else:
        shown = "all of them" if num_flagged == len(rows) else f"the {len(rows)} most certain of {num_flagged:,}"
        shown += "" if diagnosis.summary.drawn_from is None else " among the rows drawn"
        how = f"Shown: {shown}. {words.noun.capitalize()}s count from 0. Open one for its {words.unfolds}."
        content = [
            element("p", words.reading[name]),
            element("p", how, class_="small"),
            [show(diagnosis, int(row), name, is_open=place < NUM_OPEN) for place, row in enumerate(rows)],
        ]
    heading = element("h2", words.plural[name].capitalize())
    return element("section", heading, content, id=name, class_=f"findings {name}")


def finding(title: str, probability: float, why: Html, body: Iterable[Html | None], *, is_open: bool) -> Html:
    """Collapsible block with title, probability and reason; it opens to `body`."""
    summary = element(
        "summary",
        element("span", title, class_="row-number"),
        element("span", chance(probability), class_="probability"),
        element("span", why, class_="reason"),
    )
    return element("details", summary, element("div", body, class_="finding-body"), class_="finding", open=is_open)


def other_types(diagnosis: Diagnosis, row: int, name: str) -> str:
    """Error types other than `name` that the row is flagged for, in words; empty if none."""
    names = diagnosis.presentation.words.names
    return listed([names[t].lower() for t in ERROR_TYPES if t != name and diagnosis.flagged(t)[row]])


def witness_tables(
    diagnosis: Diagnosis, row: int, titles: tuple[str, str], head: tuple[str, str], told: Callable[[Witness], object]
) -> Html | None:
    """Two tables of the validation samples that a row helps and harms most; None if there are none.

    Args:
      titles: captions for the helped and the harmed samples. head: headings of the row number and of `told`.
      told: description of one validation sample.
    """
    helped, harmed = witnesses(diagnosis, row)
    if not helped and not harmed:
        return None
    largest = max(abs(w.influence) for w in [*helped, *harmed])
    columns = element("tr", [element("th", text, scope="col") for text in (*head, "Influence")])
    tables = []
    for title, kind, found in zip(titles, ("helps", "harms"), (helped, harmed), strict=True):
        rows = []
        for witness in found:
            width = f"width:{100 * abs(witness.influence) / largest:.0f}%"
            bar = element("span", element("i", style=width), class_=f"bar {kind}", aria_hidden="true")
            cells = [element("td", witness.row), element("td", told(witness))]
            rows.append(element("tr", cells, element("td", signed(witness.influence), bar)))
        if not found:
            rows.append(element("tr", element("td", "none", colspan="3")))
        tables.append(element("table", element("caption", title), element("thead", columns), element("tbody", rows)))
    return element("div", tables, class_="witnesses")


def pictures(diagnosis: Diagnosis, said: str, more: object = None) -> Html:
    """Section with `said` as its introduction, influence profiles, probability histograms and `more`."""
    return element(
        "section",
        element("h2", "What sets them apart"),
        element("p", said),
        element("h3", "Influence vectors"),
        profile_figure(diagnosis),
        element("h3", "Probabilities"),
        probability_figure(diagnosis),
        more,
        id="pictures",
    )


def settings(pairs: Iterable[tuple[str, object]]) -> Html:
    """Section with settings as (name, value); empty values are skipped."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", str(value)))
        for name, value in pairs
        if value not in (None, "")
    ]
    return element(
        "section",
        element("h2", "Settings"),
        element("table", element("tbody", rows), class_="plain settings"),
        id="settings",
    )
