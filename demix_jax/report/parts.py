"""The page and its blocks, shared by the reports on all kinds of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from typing import TYPE_CHECKING

from demix_jax.common.bands import IN_LIKELY, IN_LOOK
from demix_jax.common.error_types import ERROR_TYPES, SPURIOUS_CORRELATION
from demix_jax.common.wording import Html, chance, count, listed, percent
from demix_jax.report.charts import probability_figure, profile_figure
from demix_jax.report.findings import Witness, most_certain, witnesses
from demix_jax.report.html import element, join
from demix_jax.report.words import signed

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis

SHORTCUT = SPURIOUS_CORRELATION.name
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
    """One sentence about wrong samples, and one about broken shortcuts; each tells likely ones before others."""
    words, summary = diagnosis.presentation.words, diagnosis.summary
    noun, total, wrong = words.noun, summary.rows, summary.wrong_rows
    are = "is" if wrong == 1 else "are"
    first = f"{wrong:,} of {count(total, noun)} ({percent(wrong / total)}) {are} likely wrong"
    if not wrong:
        first = f"None of {count(total, noun)} is likely wrong"
    if summary.look_rows:
        others = "other is" if summary.look_rows == 1 else "others are"
        first += f", and {summary.look_rows:,} {others} worth a look"
    if summary.label_doubt is not None and not summary.likely["label_error"]:
        first += f", but {words.labels} cannot be judged here"
    return first, _about_shortcuts(noun, total, summary.likely[SHORTCUT], summary.look[SHORTCUT])


def _about_shortcuts(noun: str, total: int, likely: int, look: int) -> str:
    """A sentence or two about the numbers of samples that break a shortcut."""
    if not likely:
        few = f", though {count(look, noun)} may and {'is' if look == 1 else 'are'} worth a look" if look else ""
        return f"No {noun} likely breaks a shortcut{few}."
    more = f", and {look:,} more may" if look else ""
    return (
        f"{count(likely, noun)} ({percent(likely / total)}) likely {'breaks' if likely == 1 else 'break'} a shortcut "
        f"that most {noun}s follow{more}. Such a {noun} is valuable, not wrong: it keeps a model from learning the "
        "shortcut."
    )


def not_judged(diagnosis: Diagnosis, error_type: str) -> bool:
    """Whether nothing can be said of this type, since labels cannot be judged, rather than that there are none."""
    summary = diagnosis.summary
    return error_type == "label_error" and summary.label_doubt is not None and not summary.likely[error_type]


def opening(diagnosis: Diagnosis, *, eyebrow: str, facts: Iterable[tuple[str, str]]) -> Html:
    """Page header: headline, one card per error type, facts as (name, value), and notes."""
    first, second = headline(diagnosis)
    said = [element("li", note) for note in diagnosis.summary.notes]
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
    words, summary = diagnosis.presentation.words, diagnosis.summary
    likely, look = summary.likely[name], summary.look[name]
    share = likely / summary.rows
    number = f" likely {words.noun if likely == 1 else f'{words.noun}s'}, {percent(share)}"
    more = "more " if likely else ""
    figure = [element("span", f"{likely:,}", class_="big"), element("span", number)]
    if not_judged(diagnosis, name):
        figure = [element("span", "?", class_="big"), element("span", f" {words.labels} cannot be judged here")]
    bars = (("likely", share), ("look", look / summary.rows))
    return element(
        "a",
        element("h2", words.names[name]),
        element("p", figure, class_="figure"),
        element(
            "div",
            [element("i", style=f"width:{100 * part:.2f}%", class_=band) for band, part in bars if part],
            class_="share",
            aria_hidden="true",
        ),
        element("p", f"{look:,} {more}worth a look", class_="small") if look else None,
        element("p", words.meaning[name]),
        href=f"#{name}",
        class_=f"card {name}",
    )


def type_section(diagnosis: Diagnosis, name: str) -> Html:
    """Section with the most certain likely findings of one error type, and behind them those worth a look."""
    words, bands = diagnosis.presentation.words, diagnosis.bands(name)
    num_likely, num_look = int(bands.likely.sum()), int(bands.look.sum())
    if num_likely:
        content: object = [element("p", words.reading[name]), _findings(diagnosis, name, IN_LIKELY, num_likely)]
    elif not_judged(diagnosis, name):
        content = element("p", str(diagnosis.summary.label_doubt))
    else:
        content = element("p", f"No {words.noun} is likely one of these.")
    offered = None
    if num_look:
        title = f"{count(num_look, words.noun)} worth a look, each less likely than not"
        offered = element(
            "details",
            element("summary", element("h3", title)),
            None if num_likely else element("p", words.reading[name]),
            _findings(diagnosis, name, IN_LOOK, num_look),
            class_="look",
        )
    heading = element("h2", words.plural[name].capitalize())
    return element("section", heading, content, offered, id=name, class_=f"findings {name}")


def _findings(diagnosis: Diagnosis, name: str, band: str, number: int) -> Html:
    """The most certain of `number` findings in one band, after a line that says how many are shown."""
    words, show = diagnosis.presentation.words, diagnosis.presentation.show
    rows = most_certain(diagnosis, name, NUM_SHOWN, band=band)
    shown = "all of them" if number == len(rows) else f"the {len(rows)} most certain of {number:,}"
    shown += "" if diagnosis.summary.drawn_from is None else " among the rows drawn"
    how = f"Shown: {shown}. {words.noun.capitalize()}s count from 0. Open one for its {words.unfolds}."
    num_open = NUM_OPEN if band == IN_LIKELY else 0
    blocks = [show(diagnosis, int(row), name, is_open=place < num_open) for place, row in enumerate(rows)]
    return join([element("p", how, class_="small"), blocks])


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
    """Error types other than `name` that the row is flagged for, in words and with their band; empty if none."""
    names, others = diagnosis.presentation.words.names, [t for t in ERROR_TYPES if t != name]
    said = {
        t: "likely" if diagnosis.bands(t).likely[row] else "worth a look" for t in others if diagnosis.flagged(t)[row]
    }
    return listed([f"{names[t].lower()} ({band})" for t, band in said.items()])


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
