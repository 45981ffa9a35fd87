"""The report's page: what was found, row by row why, pictures, how to go on, and what was used."""

from __future__ import annotations

import os
import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix_jax.error_types import ERROR_TYPES
from demix_jax.files import write_text
from demix_jax.progress import duration
from demix_jax.report.charts import probability_figure, profile_figure, suspect_figure
from demix_jax.report.findings import column, finding, flagged, most_certain, times_suspect
from demix_jax.report.html import Html, element, join
from demix_jax.report.words import MEANING, NAMES, PLURAL, cell, count, listed, percent

if TYPE_CHECKING:
    from demix_jax.diagnose import Diagnosis

NUM_SHOWN = 10
NUM_OPEN = 2
MAX_COLUMNS = 200

READING = {
    "label_error": "Each row is shown with the label that stands in the table, the label that a model expects which "
    "was trained without the row, and how probable that model finds the label that stands there.",
    "feature_error": "Each row is shown with the columns that stand out. A value's surprise is measured in nats "
    "against what is usual in its column, given the other values of the row: 2.3 nats more is ten times less likely.",
    "spurious_correlation": "A shortcut is a column whose value alone nearly gives the label away. A model that learns "
    "it does well on most rows and fails on those that break it. These rows break it: they are right, and they are "
    "what teaches a model to look further. Keep them, and give them weight.",
}
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
    style = resources.files("demix_jax.report").joinpath("style.css").read_text(encoding="utf-8")
    title = f"Diagnosis of {count(len(diagnosis.table), 'row')}, label {cell(diagnosis.label)}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    main = element(
        "main",
        _summary(diagnosis),
        [_type_section(diagnosis, name) for name in ERROR_TYPES],
        _pictures(diagnosis),
        _columns(diagnosis),
        _next_steps(diagnosis, Path(folder)),
        _settings(diagnosis),
    )
    return Html(f"<!doctype html>\n{element('html', head, element('body', main), lang='en')}\n")


def headline(diagnosis: Diagnosis) -> tuple[str, str]:
    """What was found in one sentence, and what to know beside it."""
    rows = len(diagnosis.table)
    wrong = int((flagged(diagnosis, "label_error") | flagged(diagnosis, "feature_error")).sum())
    broken = int(flagged(diagnosis, "spurious_correlation").sum())
    looks = "looks" if wrong == 1 else "look"
    first = f"{wrong:,} of {count(rows, 'row')} ({percent(wrong / rows)}) {looks} wrong"
    if not wrong:
        first = f"None of {count(rows, 'row')} looks wrong"
    second = f"{count(broken, 'row')} ({percent(broken / rows)}) {'breaks' if broken == 1 else 'break'} a shortcut "
    second += "that most rows follow. Such a row is valuable, not wrong: it keeps a model from learning the shortcut."
    return first, second if broken else "No row was found to break a shortcut."


def _summary(diagnosis: Diagnosis) -> Html:
    first, second = headline(diagnosis)
    summary = diagnosis.summary
    notes = [element("li", note) for note in summary["notes"]]
    return element(
        "header",
        element("p", "demix_jax · diagnosis", class_="eyebrow"),
        element("h1", first),
        element("p", second, class_="lead"),
        element("div", [_card(diagnosis, name) for name in ERROR_TYPES], class_="cards"),
        element("dl", [_fact(name, value) for name, value in _facts(summary)], class_="facts"),
        element("ul", notes, class_="notes") if notes else None,
    )


def _card(diagnosis: Diagnosis, name: str) -> Html:
    num_flagged = int(flagged(diagnosis, name).sum())
    share = num_flagged / len(diagnosis.table)
    return element(
        "a",
        element("h2", NAMES[name]),
        element(
            "p",
            element("span", f"{num_flagged:,}", class_="big"),
            element("span", f" {'row' if num_flagged == 1 else 'rows'}, {percent(share)}"),
            class_="figure",
        ),
        element("div", element("i", style=f"width:{100 * share:.2f}%"), class_="share", aria_hidden="true"),
        element("p", MEANING[name]),
        href=f"#{name}",
        class_=f"card {name}",
    )


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


def _fact(name: str, value: str) -> Html:
    return element("div", element("dt", name), element("dd", value))


def _type_section(diagnosis: Diagnosis, name: str) -> Html:
    rows = most_certain(diagnosis, name, NUM_SHOWN)
    num_flagged = int(flagged(diagnosis, name).sum())
    if not len(rows):
        content: object = element("p", f"No row was flagged; there are no {PLURAL[name]} to show.")
    else:
        shown = "all of them" if num_flagged == len(rows) else f"the {len(rows)} most certain of {num_flagged:,}"
        content = join(
            [
                element("p", READING[name]),
                element(
                    "p", f"Shown: {shown}. Rows count from 0. Open one for its values and evidence.", class_="small"
                ),
                [finding(diagnosis, int(row), name, is_open=place < NUM_OPEN) for place, row in enumerate(rows)],
            ]
        )
    return element("section", element("h2", PLURAL[name].capitalize()), content, id=name, class_=f"findings {name}")


def _pictures(diagnosis: Diagnosis) -> Html:
    suspect = suspect_figure(diagnosis)
    return element(
        "section",
        element("h2", "What sets them apart"),
        element(
            "p",
            "A row's influence vector tells what the row does to every validation sample. Influence is the change of a "
            "sample's loss when the row's weight rises: below zero the row helps to predict that sample, above zero it "
            "harms.",
        ),
        element("h3", "Influence vectors"),
        profile_figure(diagnosis),
        element("h3", "Probabilities"),
        probability_figure(diagnosis),
        [element("h3", "Suspect columns"), suspect] if suspect is not None else None,
        id="pictures",
    )


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
    pairs = [
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
