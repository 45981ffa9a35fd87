"""The report on table rows: findings with reasons, charts, next steps and settings."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, Words, count, duration, listed, percent
from demix_jax.data.sources.boundary import printable
from demix_jax.data.sources.formats import suffix_to_write
from demix_jax.diagnosis.result import Diagnosis, Summary
from demix_jax.diagnosis.table import row_table, with_fingerprints
from demix_jax.report.charts import suspect_figure
from demix_jax.report.findings import column, times_suspect
from demix_jax.report.html import element
from demix_jax.report.parts import opening, page, pictures, settings, type_section
from demix_jax.report.row_block import finding
from demix_jax.report.row_words import NAMES, ROWS
from demix_jax.report.words import cell

if TYPE_CHECKING:
    import pandas as pd

MAX_COLUMNS = 200

METRICS = {"r2": "R²", "rmse": "RMSE", "auc": "AUC"}
KINDS = {
    "constant": "constant, not used",
    "identifier": "identifier, not used",
    "ignored": "not used, as told",
}


@dataclasses.dataclass(frozen=True)
class RowPresentation:
    """Presentation of a diagnosis of table rows; see `Presentation`.

    identifiers: columns that identify a row; they come first in `Diagnosis.table`.
    """

    identifiers: tuple[str, ...] = ()

    @property
    def words(self) -> Words:
        """See `Presentation`."""
        return ROWS

    def table(self, diagnosis: Diagnosis) -> pd.DataFrame:
        """See `Presentation`."""
        evidence = diagnosis.evidence
        table = row_table(
            diagnosis.train.index,
            diagnosis.flags,
            diagnosis.probability,
            expected_label=evidence.expected_label,
            suspects=evidence.suspects,
            mistakes=evidence.mistakes,
        )
        for place, name in enumerate(self.identifiers):
            table.insert(place, name, column(diagnosis.train, name))
        return with_fingerprints(table, diagnosis.row_fingerprints)

    def show(self, diagnosis: Diagnosis, row: int, error_type: str, *, is_open: bool = True) -> Html:
        """See `Presentation`."""
        return finding(diagnosis, row, error_type, is_open=is_open)

    def page(self, diagnosis: Diagnosis, folder: Path) -> Html:
        """See `Presentation`."""
        title = f"Diagnosis of {count(len(diagnosis.train), 'row')}, label {cell(diagnosis.label)}"
        sections = [
            opening(diagnosis, eyebrow="demix_jax · diagnosis", facts=_facts(diagnosis.summary)),
            [type_section(diagnosis, name) for name in ERROR_TYPES],
            _pictures(diagnosis),
            _columns(diagnosis),
            _next_steps(diagnosis, self.repair_command(diagnosis, folder)),
            _settings(diagnosis.summary),
        ]
        return page(title, sections)

    def repair_command(self, diagnosis: Diagnosis, folder: Path) -> str:
        """See `Presentation`."""
        source = diagnosis.summary.train
        train, label = shlex.quote(source or "TRAIN.csv"), shlex.quote(str(diagnosis.label))
        csv, target = shlex.quote(printable(folder / "diagnosis.csv")), f"repaired{suffix_to_write(Path(source or ''))}"
        return f"demix-jax repair {train} --label {label} --diagnosis {csv} --out {target}"


def _facts(summary: Summary) -> list[tuple[str, str]]:
    facts = [("Label", f"{cell(summary.label)}, {summary.task}")]
    facts += [
        (f"Validation {METRICS.get(key, key.replace('_', ' '))}", f"{value:.3f}")
        for key, value in summary.validation.items()
    ]
    validation = count(summary.valid_rows, "row") if summary.valid_rows else "none, cross-fitted"
    return [
        *facts,
        ("Validation table", validation),
        ("Task model", summary.model),
        ("Time", duration(sum(summary.seconds.values()))),
    ]


def _pictures(diagnosis: Diagnosis) -> Html:
    suspect = suspect_figure(diagnosis)
    said = (
        "A row's influence vector tells what the row does to every validation sample. Influence is the change of a "
        "sample's loss when the row's weight rises: below zero the row helps to predict that sample, above zero it "
        "harms."
    )
    return pictures(diagnosis, said, [element("h3", "Suspect columns"), suspect] if suspect is not None else None)


def _columns(diagnosis: Diagnosis) -> Html:
    summary = diagnosis.summary
    kinds = list(summary.columns.items())
    suspected = times_suspect(diagnosis)
    rows = []
    for name, kind in kinds[:MAX_COLUMNS]:
        missing = summary.missing.get(name, 0) / len(diagnosis.train)
        how = summary.written_as.get(name)
        rows.append(
            element(
                "tr",
                element("th", cell(name), scope="row"),
                element("td", f"{KINDS.get(kind, kind)}: {how}" if how else KINDS.get(kind, kind)),
                element("td", percent(missing) if missing else "none", class_="number"),
                element("td", f"{suspected[name]:,}", class_="number"),
            )
        )
    head = [("Column", None), ("Read as", None), ("Missing", "number"), ("Suspect in rows", "number")]
    table = element(
        "table",
        element("thead", element("tr", [element("th", text, scope="col", class_=class_) for text, class_ in head])),
        element("tbody", rows),
        class_="plain",
    )
    more = len(kinds) - MAX_COLUMNS
    return element(
        "section",
        element("h2", "Columns"),
        element(
            "p", "How each column was read. If a kind is wrong, run again with --kind COLUMN=KIND or --ignore COLUMN."
        ),
        element("div", table, class_="scroll"),
        element("p", f"{more} more columns are not shown.", class_="small") if more > 0 else None,
        id="columns",
    )


def _next_steps(diagnosis: Diagnosis, command: str) -> Html:
    python = f"repaired = demix_jax.repair(train, diagnosis, label={str(diagnosis.label)!r})"
    return element(
        "section",
        element("h2", "How to go on"),
        element(
            "p",
            "Look at a few rows above first: you know the data, the diagnosis only knows what models found hard. Then "
            "repair the table; the input file is left as it is:",
        ),
        element("pre", _code(command)),
        element(
            "p",
            "By default, likely wrong labels are replaced by the label expected, suspect cells of rows with likely "
            "wrong values are filled in anew, and rows that likely break a shortcut stay and get a larger sample "
            "weight. Rows that are only worth a look are left; ",
            _code("--also look"),
            " repairs them, too. In diagnosis.csv you may set flags to 0, or to 1 with an empty band, before. ",
            _code("--label-errors drop|keep"),
            ", ",
            _code("--feature-errors drop|keep"),
            " and ",
            _code("--spurious keep"),
            " change that. Train on the new file with its ",
            _code("sample_weight"),
            " column. In Python:",
        ),
        element("pre", _code(python)),
        id="next",
    )


def _trained_on(tables: tuple[str, ...]) -> str:
    named = [name for name in tables if not name.startswith("synthetic ")]
    num_synthetic = len(tables) - len(named)
    return listed([*named, count(num_synthetic, "synthetic table")] if num_synthetic else named)


def _code(text: str) -> Html:
    return element("code", text)


def _settings(summary: Summary) -> Html:
    steps = [f"{name} {duration(value)}" for name, value in summary.seconds.items()]
    versions = [f"{name} {value}" for name, value in summary.versions.items()]
    thresholds = [f"{NAMES[name].lower()} {value:.2f}" for name, value in summary.thresholds.items()]
    return settings(
        [
            ("Task", summary.task),
            ("Task model", summary.model),
            ("Error classifier", summary.classifier.name),
            ("Trained on", _trained_on(summary.classifier.trained_on)),
            ("Weights, SHA-256", summary.classifier.sha256),
            ("Likely from", f"{LIKELY:.2f}"),
            ("Worth a look from", ", ".join(thresholds)),
            ("Seed", summary.seed),
            ("Table, SHA-256", summary.fingerprint),
            ("Time by step", ", ".join(steps)),
            ("Versions", ", ".join(versions)),
        ]
    )
