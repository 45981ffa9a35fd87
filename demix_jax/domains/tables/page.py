"""The report's page: what was found, row by row why, pictures, how to go on, and what was used."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import write_text
from demix_jax.common.wording import Html, count, duration, listed, percent
from demix_jax.domains.tables.row import finding
from demix_jax.domains.tables.words import NAMES, ROWS
from demix_jax.report.charts import suspect_figure
from demix_jax.report.findings import column, times_suspect
from demix_jax.report.html import element
from demix_jax.report.parts import opening, page, pictures, settings, type_section
from demix_jax.report.words import cell

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis

MAX_COLUMNS = 200

METRICS = {"macro_f1": "macro-F1", "f1": "F1", "r2": "R²", "rmse": "RMSE", "mae": "mean error", "auc": "AUC"}
KINDS = {"constant": "constant, not used", "identifier": "identifier, not used"}


def write_html(diagnosis: Diagnosis, path: str | os.PathLike) -> None:
    """Write the report on `diagnosis` as one self-contained HTML file, whole or not at all.

    Args:
      diagnosis: what `demix_jax.diagnose` returned.
      path: file to write; needs no network to be read.
    """
    write_text(path, render(diagnosis, folder=Path(path).parent))


def render(diagnosis: Diagnosis, *, folder: str | os.PathLike = ".") -> Html:
    """The report as HTML text.

    Args:
      diagnosis: what `demix_jax.diagnose` returned.
      folder: where `diagnosis.csv` lies, for the command that the report gives.
    """
    title = f"Diagnosis of {count(len(diagnosis.table), 'row')}, label {cell(diagnosis.label)}"
    summary = diagnosis.summary
    sections = [
        opening(diagnosis, ROWS, eyebrow="demix_jax · diagnosis", facts=_facts(summary), notes=summary["notes"]),
        [_type_section(diagnosis, name) for name in ERROR_TYPES],
        _pictures(diagnosis),
        _columns(diagnosis),
        _next_steps(diagnosis, Path(folder)),
        _settings(diagnosis),
    ]
    return page(title, sections)


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("Label", f"{cell(summary['label'])}, {summary['task']}")]
    facts += [
        (f"Validation {METRICS.get(key, key.replace('_', ' '))}", f"{value:.3f}")
        for key, value in _numbers(summary, "validation")
    ]
    valid_rows = summary["valid_rows"]
    facts.append(("Validation table", count(valid_rows, "row") if valid_rows else "none, cross-fitted"))
    facts.append(("Task model", str(summary["model"])))
    seconds = dict(_numbers(summary, "seconds"))
    if seconds:
        facts.append(("Time", duration(seconds.get("total", sum(seconds.values())))))
    return facts


def _numbers(summary: dict[str, Any], key: str) -> list[tuple[str, float]]:
    found = summary.get(key) or {}
    return [(name, float(value)) for name, value in found.items() if isinstance(value, int | float)]


def _type_section(diagnosis: Diagnosis, name: str) -> Html:
    return type_section(diagnosis, name, ROWS, lambda row, is_open: finding(diagnosis, row, name, is_open=is_open))


def _pictures(diagnosis: Diagnosis) -> Html:
    suspect = suspect_figure(diagnosis)
    said = (
        "A row's influence vector tells what the row does to every validation sample. Influence is the change of a "
        "sample's loss when the row's weight rises: below zero the row helps to predict that sample, above zero it "
        "harms."
    )
    return pictures(diagnosis, said, [element("h3", "Suspect columns"), suspect] if suspect is not None else None)


def _columns(diagnosis: Diagnosis) -> Html:
    kinds = list(diagnosis.summary["columns"].items())
    suspected = times_suspect(diagnosis)
    rows = []
    for name, kind in kinds[:MAX_COLUMNS]:
        missing = float(column(diagnosis.train, name).isna().mean())
        rows.append(
            element(
                "tr",
                element("th", cell(name), scope="row"),
                element("td", KINDS.get(kind, kind)),
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
            "p", "How each column was read. If a kind is wrong, change the column's values or drop it, and run again."
        ),
        element("div", table, class_="scroll"),
        element("p", f"{more} more columns are not shown.", class_="small") if more > 0 else None,
        id="columns",
    )


def _next_steps(diagnosis: Diagnosis, folder: Path) -> Html:
    train = shlex.quote(str(diagnosis.summary.get("train") or "TRAIN.csv"))
    label = shlex.quote(str(diagnosis.label))
    csv = shlex.quote(str(folder / "diagnosis.csv"))
    command = f"demix-jax repair {train} --label {label} --diagnosis {csv} --out repaired.csv"
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
            "By default, wrong labels are replaced by the label expected, suspect cells are filled in anew, and rows "
            "that break a shortcut stay and get a larger sample weight. ",
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


def _trained_on(tables: list[str]) -> str:
    named = [name for name in tables if not name.startswith("synthetic ")]
    num_synthetic = len(tables) - len(named)
    return listed([*named, count(num_synthetic, "synthetic table")] if num_synthetic else named)


def _code(text: str) -> Html:
    return element("code", text)


def _settings(diagnosis: Diagnosis) -> Html:
    summary = diagnosis.summary
    classifier = summary["classifier"]
    steps = [f"{name} {duration(value)}" for name, value in _numbers(summary, "seconds") if name != "total"]
    versions = [f"{name} {value}" for name, value in summary["versions"].items()]
    thresholds = [f"{NAMES.get(name, name).lower()} {value:.2f}" for name, value in _numbers(summary, "thresholds")]
    return settings(
        [
            ("Task", summary["task"]),
            ("Task model", summary["model"]),
            ("Error classifier", classifier["name"]),
            ("Trained on", _trained_on(classifier["trained_on"])),
            ("Weights, SHA-256", classifier["sha256"]),
            ("Thresholds", ", ".join(thresholds)),
            ("Seed", summary["seed"]),
            ("Table, SHA-256", summary["fingerprint"]),
            ("Time by step", ", ".join(steps)),
            ("Versions", ", ".join(versions)),
        ]
    )
