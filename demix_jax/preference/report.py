"""The report on preference pairs: each finding with its texts, the reason, and the validation pairs it touches most."""

from __future__ import annotations

import os
import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demix_jax.error_types import ERROR_TYPES
from demix_jax.preference.explain import MEANING, NAMES, PLURAL, headline, reason
from demix_jax.progress import duration
from demix_jax.report.charts import probability_figure, profile_figure
from demix_jax.report.findings import Witness, flagged, most_certain, witnesses
from demix_jax.report.html import Html, element, join
from demix_jax.report.words import cell, chance, count, listed, percent, signed

if TYPE_CHECKING:
    from demix_jax.preference.diagnose import PairDiagnosis
    from demix_jax.preference.pairs import Pairs

NUM_SHOWN = 10
NUM_OPEN = 2
MAX_TEXT = 1_200  # characters of a text that are shown

READING = {
    "label_error": "Each pair is shown with the chance that preference models, trained without it, give the answer "
    "that was chosen. Swap the two answers where you agree with the models.",
    "feature_error": "Each pair is shown with the measures that stand out, given its other measures. Look for a text "
    "that breaks off, repeats itself, jumps, changes its language or answers another prompt.",
    "spurious_correlation": "In these pairs the better answer lacks what usually marks it, such as length. They are "
    "right, and they are what teaches a model to look at more than that. Keep them, and give them weight.",
}


def render(diagnosis: PairDiagnosis, *, folder: str | os.PathLike = ".") -> Html:
    """The report as HTML text; `folder` is where diagnosis.csv lies, for the command that it gives."""
    style = resources.files("demix_jax.report").joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Diagnosis of {count(len(diagnosis.pairs), 'preference pair')}"),
        element("style", Html(style)),
    )
    main = element(
        "main",
        _summary(diagnosis),
        [_type_section(diagnosis, name) for name in ERROR_TYPES],
        _noted(diagnosis),
        _pictures(diagnosis),
        _next_steps(diagnosis, Path(folder)),
        _settings(diagnosis),
    )
    return Html(f"<!doctype html>\n{element('html', head, element('body', main), lang='en')}\n")


def _summary(diagnosis: PairDiagnosis) -> Html:
    first, second = headline(diagnosis)
    summary = diagnosis.summary
    facts = [("Task model", f"{summary['model']}, {summary['objective']}")]
    facts += [(f"Validation {name.replace('_', ' ')}", f"{value:.3f}") for name, value in summary["validation"].items()]
    facts += [
        ("Validation pairs", f"{summary['valid_rows']:,}" if summary["valid_rows"] else "none, cross-fitted"),
        ("Time", duration(sum(summary["seconds"].values()))),
    ]
    said = [element("li", note) for note in summary["notes"]]
    return element(
        "header",
        element("p", "demix_jax · diagnosis of preference pairs", class_="eyebrow"),
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


def _card(diagnosis: PairDiagnosis, name: str) -> Html:
    found = int(flagged(diagnosis.measured, name).sum())
    share = found / len(diagnosis.pairs)
    return element(
        "a",
        element("h2", NAMES[name]),
        element(
            "p",
            element("span", f"{found:,}", class_="big"),
            element("span", f" {'pair' if found == 1 else 'pairs'}, {percent(share)}"),
            class_="figure",
        ),
        element("div", element("i", style=f"width:{100 * share:.2f}%"), class_="share", aria_hidden="true"),
        element("p", MEANING[name]),
        href=f"#{name}",
        class_=f"card {name}",
    )


def _type_section(diagnosis: PairDiagnosis, name: str) -> Html:
    rows = most_certain(diagnosis.measured, name, NUM_SHOWN)
    total = int(flagged(diagnosis.measured, name).sum())
    if len(rows):
        shown = "all of them" if total == len(rows) else f"the {len(rows)} most certain of {total:,}"
        content: object = join(
            [
                element("p", READING[name]),
                element(
                    "p", f"Shown: {shown}. Pairs count from 0. Open one for its texts and evidence.", class_="small"
                ),
                [_finding(diagnosis, int(row), name, is_open=place < NUM_OPEN) for place, row in enumerate(rows)],
            ]
        )
    else:
        content = element("p", f"There are no {PLURAL[name]} to show.")
    return element("section", element("h2", PLURAL[name].capitalize()), content, id=name, class_=f"findings {name}")


def _finding(diagnosis: PairDiagnosis, row: int, name: str, *, is_open: bool) -> Html:
    others = [t for t in ERROR_TYPES if t != name and flagged(diagnosis.measured, t)[row]]
    also = f"Also flagged: {listed([NAMES[t].lower() for t in others])}." if others else None
    note = diagnosis.table["note"].iloc[row]
    summary = element(
        "summary",
        element("span", f"Pair {row}", class_="row-number"),
        element("span", chance(float(diagnosis.table[f"p_{name}"].iloc[row])), class_="probability"),
        element("span", reason(diagnosis, row, name), class_="reason"),
    )
    body = element(
        "div",
        element("p", also, class_="small") if also else None,
        element("p", note, class_="small") if note else None,
        _texts(diagnosis, row, name),
        _witness_tables(diagnosis, row),
        class_="finding-body",
    )
    return element("details", summary, body, class_="finding", open=is_open)


def _texts(diagnosis: PairDiagnosis, row: int, name: str) -> Html:
    """The prompt, and both answers side by side; what is suspect is marked."""
    pair = diagnosis.pairs.pairs[row]
    damaged = diagnosis.table["damaged"].iloc[row].split(";") if name == "feature_error" else []
    boxes = [
        element(
            "div",
            element("h4", heading, element("span", " looks damaged", class_="note") if side in damaged else None),
            element("pre", _shortened(getattr(pair, side))),
            class_="marked" if side in damaged else None,
        )
        for side, heading in (("chosen", "Chosen answer"), ("rejected", "Rejected answer"))
    ]
    prompt = join(element("pre", f"{role}: {_shortened(text)}") for role, text in pair.prompt[-4:])
    earlier = len(pair.prompt) - 4
    more = element("p", f"{count(earlier, 'earlier turn')} not shown.", class_="small") if earlier > 0 else None
    return join([element("h4", "Prompt"), more, prompt, element("div", boxes, class_="answers")])


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text or "(empty)"
    return f"{text[: MAX_TEXT * 3 // 4]}\n[… {len(text) - MAX_TEXT:,} characters not shown …]\n{text[-MAX_TEXT // 4 :]}"


def _witness_tables(diagnosis: PairDiagnosis, row: int) -> Html | None:
    helped, harmed = witnesses(diagnosis.measured, row)
    if not helped and not harmed:
        return None
    largest = max(abs(w.influence) for w in [*helped, *harmed])
    against = diagnosis.pairs if diagnosis.valid is None else diagnosis.valid
    titles = ("Validation pairs that it helps most: they speak for it", "Validation pairs that it harms most")
    tables = [
        _witness_table(title, kind, found, against, largest)
        for title, kind, found in zip(titles, ("helps", "harms"), (helped, harmed), strict=True)
    ]
    return element("div", tables, class_="witnesses")


def _witness_table(title: str, kind: str, found: list[Witness], pairs: Pairs, largest: float) -> Html:
    head = element(
        "tr", [element("th", text, scope="col") for text in ("Pair", "Prompt and chosen answer", "Influence")]
    )
    rows = []
    for witness in found:
        pair = pairs.pairs[witness.row]
        width = f"width:{100 * abs(witness.influence) / largest:.0f}%"
        bar = element("span", element("i", style=width), class_=f"bar {kind}", aria_hidden="true")
        texts = element("td", element("strong", cell(pair.prompt_text, 70)), " ", cell(pair.chosen, 90))
        rows.append(element("tr", element("td", witness.row), texts, element("td", signed(witness.influence), bar)))
    if not found:
        rows.append(element("tr", element("td", "none", colspan="3")))
    return element("table", element("caption", title), element("thead", head), element("tbody", rows))


def _noted(diagnosis: PairDiagnosis) -> Html | None:
    """Pairs with a note: what is wrong with them shows without any model, or a part of them was not read."""
    rows = np.flatnonzero(diagnosis.table["note"].to_numpy() != "")
    if not len(rows):
        return None
    lines = [
        element("tr", element("td", row), element("td", diagnosis.table["note"].iloc[row]))
        for row in rows[: 10 * NUM_SHOWN]
    ]
    more = len(rows) - len(lines)
    return element(
        "section",
        element("h2", "Notes on single pairs"),
        element(
            "table",
            element("thead", element("tr", [element("th", text, scope="col") for text in ("Pair", "Note")])),
            element("tbody", lines),
            class_="plain",
        ),
        element("p", f"{more:,} more are in diagnosis.csv, in the column note.", class_="small") if more > 0 else None,
        id="noted",
    )


def _pictures(diagnosis: PairDiagnosis) -> Html:
    return element(
        "section",
        element("h2", "What sets them apart"),
        element(
            "p",
            "A pair's influence vector tells what the pair does to every validation pair. Influence is the change of a "
            "validation pair's loss when the pair's weight rises: below zero the pair helps to rank those answers, "
            "above zero it harms.",
        ),
        element("h3", "Influence vectors"),
        profile_figure(diagnosis.measured),
        element("h3", "Probabilities"),
        probability_figure(diagnosis.measured),
        id="pictures",
    )


def _next_steps(diagnosis: PairDiagnosis, folder: Path) -> Html:
    source = repr(diagnosis.summary["train"] or "pairs.jsonl")
    code = (
        "from demix_jax import preference\n\n"
        f"repaired = preference.repair({source}, {str(folder)!r})\n"
        "repaired.save('repaired.jsonl')"
    )
    return element(
        "section",
        element("h2", "How to go on"),
        element(
            "p",
            "Read a few pairs above first: you can judge the answers, the models only found them hard. Then repair the "
            "pairs; the input file is left as it is. Swapped pairs are swapped back, damaged ones dropped, and pairs "
            "that break a shortcut get twice the weight:",
        ),
        element("pre", element("code", code)),
        id="next",
    )


def _settings(diagnosis: PairDiagnosis) -> Html:
    summary = diagnosis.summary
    steps = [f"{name} {duration(value)}" for name, value in summary["seconds"].items()]
    pairs = [
        ("File", shlex.quote(summary["train"]) if summary["train"] else ""),
        ("Decoder", summary["model"]),
        ("Objective", summary["objective"]),
        ("Adapters", f"rank {summary['rank']}, {count(summary['adapted_layers'], 'layer')} from the end"),
        ("Tokens read", f"up to {summary['max_prompt']:,} of a prompt and {summary['max_answer']:,} of an answer"),
        ("Error classifier", f"{summary['classifier']['name']}, trained on tables"),
        ("Weights, SHA-256", summary["classifier"]["sha256"]),
        ("Thresholds", ", ".join(f"{NAMES[t].lower()} {value:.2f}" for t, value in summary["thresholds"].items())),
        ("Seed", summary["seed"]),
        ("Texts, SHA-256", summary["fingerprint"]),
        ("Time by step", ", ".join(steps)),
        ("Versions", ", ".join(f"{name} {value}" for name, value in summary["versions"].items())),
    ]
    rows = [
        element("tr", element("th", n, scope="row"), element("td", str(v))) for n, v in pairs if v not in (None, "")
    ]
    return element(
        "section",
        element("h2", "Settings"),
        element("table", element("tbody", rows), class_="plain settings"),
        id="settings",
    )
