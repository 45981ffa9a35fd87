"""The report on preference pairs: each finding with its texts, the reason, and the validation pairs it touches most."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, count, duration
from demix_jax.domains.preference.words import NAMES, PAIRS, reason, repair_command
from demix_jax.report.findings import Witness
from demix_jax.report.html import element, join
from demix_jax.report.parts import (
    finding,
    opening,
    other_types,
    page,
    pictures,
    settings,
    type_section,
    witness_tables,
)
from demix_jax.report.words import cell

if TYPE_CHECKING:
    from demix_jax.domains.preference.domain import PairDiagnosis

MAX_NOTED = 100
MAX_TEXT = 1_200  # characters of a text that are shown


def render(diagnosis: PairDiagnosis, *, folder: str | os.PathLike = ".") -> Html:
    """The report as HTML text; `folder` is where diagnosis.csv lies, for the command that it gives."""
    measured, summary = diagnosis.measured, diagnosis.summary
    eyebrow = "demix_jax · diagnosis of preference pairs"
    sections = [
        opening(measured, PAIRS, eyebrow=eyebrow, facts=_facts(summary), notes=summary["notes"]),
        [_type_section(diagnosis, name) for name in ERROR_TYPES],
        _noted(diagnosis),
        _pictures(diagnosis),
        _next_steps(diagnosis, Path(folder)),
        _settings(diagnosis),
    ]
    return page(f"Diagnosis of {count(len(diagnosis.pairs), 'preference pair')}", sections)


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Task model", f"{summary['model']}, {summary['objective']}"),
        *((f"Validation {name.replace('_', ' ')}", f"{value:.3f}") for name, value in summary["validation"].items()),
        ("Validation pairs", f"{summary['valid_rows']:,}" if summary["valid_rows"] else "none, cross-fitted"),
        ("Time", duration(sum(summary["seconds"].values()))),
    ]


def _type_section(diagnosis: PairDiagnosis, name: str) -> Html:
    return type_section(
        diagnosis.measured, name, PAIRS, lambda row, is_open: _finding(diagnosis, row, name, is_open=is_open)
    )


def _finding(diagnosis: PairDiagnosis, row: int, name: str, *, is_open: bool) -> Html:
    also = other_types(diagnosis.measured, row, name, PAIRS)
    note = diagnosis.table["note"].iloc[row]
    body = [
        element("p", f"Also flagged: {also}.", class_="small") if also else None,
        element("p", note, class_="small") if note else None,
        _texts(diagnosis, row, name),
        _witness_tables(diagnosis, row),
    ]
    probability = float(diagnosis.table[f"p_{name}"].iloc[row])
    return finding(f"Pair {row}", probability, reason(diagnosis, row, name), body, is_open=is_open)


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
    against = diagnosis.pairs if diagnosis.valid is None else diagnosis.valid

    def told(witness: Witness) -> list[object]:
        pair = against.pairs[witness.row]
        return [element("strong", cell(pair.prompt_text, 70)), " ", cell(pair.chosen, 90)]

    titles = ("Validation pairs that it helps most: they speak for it", "Validation pairs that it harms most")
    return witness_tables(diagnosis.measured, row, titles, ("Pair", "Prompt and chosen answer"), told)


def _noted(diagnosis: PairDiagnosis) -> Html | None:
    """Pairs with a note: what is wrong with them shows without any model, or a part of them was not read."""
    rows = np.flatnonzero(diagnosis.table["note"].to_numpy() != "")
    if not len(rows):
        return None
    lines = [
        element("tr", element("td", row), element("td", diagnosis.table["note"].iloc[row])) for row in rows[:MAX_NOTED]
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
    said = (
        "A pair's influence vector tells what the pair does to every validation pair. Influence is the change of a "
        "validation pair's loss when the pair's weight rises: below zero the pair helps to rank those answers, "
        "above zero it harms."
    )
    return pictures(diagnosis.measured, said)


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
        element("pre", element("code", repair_command(diagnosis, folder))),
        element("p", "In Python:"),
        element("pre", element("code", code)),
        id="next",
    )


def _settings(diagnosis: PairDiagnosis) -> Html:
    summary = diagnosis.summary
    steps = [f"{name} {duration(value)}" for name, value in summary["seconds"].items()]
    return settings(
        [
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
    )
