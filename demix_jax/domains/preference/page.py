"""Report on preference pairs: each finding with its texts, the reason and the most influenced validation pairs."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, Words, count, duration
from demix_jax.data.sources.boundary import printable
from demix_jax.diagnosis.result import Diagnosis, Summary
from demix_jax.diagnosis.table import flags_table, with_fingerprints
from demix_jax.domains.preference.pairs import Pairs
from demix_jax.domains.preference.sides import Order
from demix_jax.domains.preference.words import NAMES, PAIRS, in_pair_words, reason
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
    import pandas as pd

MAX_NOTED = 100
MAX_TEXT = 1_200  # characters of a text that are shown at most


@dataclasses.dataclass(frozen=True)
class PairPresentation:
    """Presentation of a diagnosis of N preference pairs, see `Presentation`.

    pairs, valid: the diagnosed pairs, and trusted pairs or None. order: of the answers in the table of measures.
    margin: f32[N], out-of-fold score of the chosen answer minus that of the rejected answer.
    notes: for each pair, faults that show without a model and parts that were not read; "" if there are none.
    """

    pairs: Pairs
    valid: Pairs | None
    order: Order
    margin: np.ndarray
    notes: tuple[str, ...]

    @property
    def words(self) -> Words:
        """See `Presentation`."""
        return PAIRS

    def table(self, diagnosis: Diagnosis) -> pd.DataFrame:
        """Table with one row per pair: flags, probabilities, bands, margin, suggestion, damaged, suspect_measures,
        note, row_fingerprint.

        suggestion: "swap" for a flagged preference, else "". damaged: "chosen", "rejected" or both, joined by ";".
        suspect_measures: measures that stand out in a feature error, joined by ";". margin, note: see the attributes.
        """
        table = flags_table(diagnosis.train.index, diagnosis.flags, diagnosis.probability)
        suspects = [";".join(diagnosis.evidence.suspects.get(row, ())) for row in range(len(table))]
        table["margin"] = self.margin
        table["suggestion"] = np.where(diagnosis.flagged("label_error"), "swap", "")
        table["damaged"] = [";".join(self._damaged_sides(columns, row)) for row, columns in enumerate(suspects)]
        table["suspect_measures"] = [in_pair_words(columns, self.order, row) for row, columns in enumerate(suspects)]
        table["note"] = list(self.notes)
        return with_fingerprints(table, diagnosis.row_fingerprints)

    def show(self, diagnosis: Diagnosis, row: int, error_type: str, *, is_open: bool = True) -> Html:
        """See `Presentation`."""
        others, note = other_types(diagnosis, row, error_type), self.notes[row]
        body = [
            element("p", f"Also flagged: {others}.", class_="small") if others else None,
            element("p", note, class_="small") if note else None,
            self._texts(diagnosis, row, error_type),
            self._witness_tables(diagnosis, row),
        ]
        probability = float(diagnosis.probability[row, ERROR_TYPES.index(error_type)])
        why = reason(diagnosis, row, error_type, self.order)
        return finding(f"Pair {row}", probability, why, body, is_open=is_open)

    def page(self, diagnosis: Diagnosis, folder: Path) -> Html:
        """See `Presentation`."""
        summary = diagnosis.summary
        sections = [
            opening(diagnosis, eyebrow="demix_jax · diagnosis of preference pairs", facts=_facts(summary)),
            [type_section(diagnosis, name) for name in ERROR_TYPES],
            self._notes_section(),
            _pictures(diagnosis),
            _next_steps(summary, self.repair_command(diagnosis, folder), folder),
            _settings(summary),
        ]
        return page(f"Diagnosis of {count(len(self.pairs), 'preference pair')}", sections)

    def repair_command(self, diagnosis: Diagnosis, folder: Path) -> str:
        """See `Presentation`."""
        source = shlex.quote(diagnosis.summary.train or "pairs.jsonl")
        saved = shlex.quote(printable(folder / "diagnosis.csv"))
        return f"demix-jax pairs repair {source} --diagnosis {saved} --out repaired.jsonl"

    def _damaged_sides(self, columns: str, row: int) -> list[str]:
        """The answers, "chosen" or "rejected", that a suspect measure belongs to."""
        return [name for name in ("chosen", "rejected") if f", {self.order.side_name(row, name)}" in columns]

    def _texts(self, diagnosis: Diagnosis, row: int, name: str) -> Html:
        """The prompt, and both answers side by side; damaged answers are marked."""
        pair = self.pairs.pairs[row]
        columns = ";".join(diagnosis.evidence.suspects.get(row, ()))
        damaged = self._damaged_sides(columns, row) if name == "feature_error" else []
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

    def _witness_tables(self, diagnosis: Diagnosis, row: int) -> Html | None:
        """Tables of the validation pairs that the pair helps most and harms most."""
        valid = self.pairs if self.valid is None else self.valid

        def cells(witness: Witness) -> list[object]:
            pair = valid.pairs[witness.row]
            return [element("strong", cell(pair.prompt_text, 70)), " ", cell(pair.chosen, 90)]

        titles = ("Validation pairs that it helps most: they speak for it", "Validation pairs that it harms most")
        return witness_tables(diagnosis, row, titles, ("Pair", "Prompt and chosen answer"), cells)

    def _notes_section(self) -> Html | None:
        """Table of the pairs with a note."""
        rows = [row for row, note in enumerate(self.notes) if note]
        if not rows:
            return None
        lines = [element("tr", element("td", row), element("td", self.notes[row])) for row in rows[:MAX_NOTED]]
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
            element("p", f"{more:,} more are in diagnosis.csv, column note.", class_="small") if more > 0 else None,
            id="noted",
        )


def _facts(summary: Summary) -> list[tuple[str, str]]:
    return [
        ("Task model", f"{summary.model}, {summary.settings['objective']}"),
        *((f"Validation {name.replace('_', ' ')}", f"{value:.3f}") for name, value in summary.validation.items()),
        ("Validation pairs", f"{summary.valid_rows:,}" if summary.valid_rows else "none, cross-fitted"),
        ("Time", duration(sum(summary.seconds.values()))),
    ]


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text or "(empty)"
    return f"{text[: MAX_TEXT * 3 // 4]}\n[… {len(text) - MAX_TEXT:,} characters not shown …]\n{text[-MAX_TEXT // 4 :]}"


def _pictures(diagnosis: Diagnosis) -> Html:
    text = (
        "A pair's influence vector tells what the pair does to every validation pair. Influence is the change of a "
        "validation pair's loss when the pair's weight rises: below zero the pair helps to rank those answers, "
        "above zero it harms."
    )
    return pictures(diagnosis, text)


def _next_steps(summary: Summary, command: str, folder: Path) -> Html:
    source = repr(summary.train or "pairs.jsonl")
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
            "pairs; the input file is left as it is. Likely swapped pairs are swapped back, likely damaged ones "
            "dropped, and pairs that likely break a shortcut get twice the weight. Pairs that are only worth a look "
            "are left; ",
            element("code", "--also look"),
            " repairs them, too:",
        ),
        element("pre", element("code", command)),
        element("p", "In Python:"),
        element("pre", element("code", code)),
        id="next",
    )


def _settings(summary: Summary) -> Html:
    own = summary.settings
    steps = [f"{name} {duration(value)}" for name, value in summary.seconds.items()]
    return settings(
        [
            ("File", shlex.quote(summary.train) if summary.train else ""),
            ("Decoder", summary.model),
            ("Objective", own["objective"]),
            ("Adapters", f"rank {own['rank']}, {count(own['adapted_layers'], 'layer')} from the end"),
            ("Tokens read", f"up to {own['max_prompt']:,} of a prompt and {own['max_answer']:,} of an answer"),
            ("Error classifier", f"{summary.classifier.name}, trained on tables"),
            ("Weights, SHA-256", summary.classifier.sha256),
            ("Likely from", f"{LIKELY:.2f}"),
            (
                "Worth a look from",
                ", ".join(f"{NAMES[t].lower()} {value:.2f}" for t, value in summary.thresholds.items()),
            ),
            ("Seed", summary.seed),
            ("Texts, SHA-256", summary.fingerprint),
            ("Time by step", ", ".join(steps)),
            ("Versions", ", ".join(f"{name} {value}" for name, value in summary.versions.items())),
        ]
    )
