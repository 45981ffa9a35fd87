"""What is said about single rows: which rows are most certain, why, and which validation samples bear it out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.error_types import ERROR_TYPES
from demix_jax.report.html import Html, element, join
from demix_jax.report.words import NAMES, cell, chance, count, listed, signed, unusual

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.diagnose import Diagnosis

MAX_CELLS = 24
MAX_SUSPECTS = 4
MAX_REASONS = 2


class Witness(NamedTuple):
    """A validation sample: its row number, its label, and the training row's influence on it."""

    row: int
    label: object
    influence: float


def column(frame: pd.DataFrame, name: object) -> pd.Series:
    """The column called `name`; in the frame its name need not be a string."""
    return frame.iloc[:, [str(key) for key in frame.columns].index(str(name))]


def flagged(diagnosis: Diagnosis, error_type: str) -> np.ndarray:
    """bool[N]: the rows that were found to have the error."""
    return diagnosis.table[error_type].to_numpy() == 1


def most_certain(diagnosis: Diagnosis, error_type: str, limit: int = 10) -> np.ndarray:
    """Positions of at most `limit` flagged rows of one type, the most probable first."""
    rows = np.flatnonzero(flagged(diagnosis, error_type))
    probability = diagnosis.table[f"p_{error_type}"].to_numpy(dtype=float)[rows]
    return rows[np.argsort(-probability, kind="stable")][:limit]


def suspects(diagnosis: Diagnosis, row: int) -> dict[str, float]:
    """The row's suspect columns and by how many nats each stands out, the strongest first.

    Those that the diagnosis names; where it names none, those more than one nat above the usual.
    """
    evidence = diagnosis.evidence
    values = np.nan_to_num(evidence.cell_surprise[row].astype(float))
    surprise = {c.name: float(nats) for c, nats in zip(evidence.columns, values, strict=True)}
    named = diagnosis.table["suspect_columns"].iloc[row]
    names = [name for name in surprise if name in set(str(named).split(";"))] if isinstance(named, str) else []
    names = names or [name for name, nats in surprise.items() if nats > 1.0][:MAX_SUSPECTS]
    return {name: surprise[name] for name in sorted(names, key=lambda name: -surprise[name])}


def times_suspect(diagnosis: Diagnosis) -> Counter[str]:
    """In how many rows with feature errors each column is suspect."""
    named = diagnosis.table["suspect_columns"].to_numpy(dtype=object)[flagged(diagnosis, "feature_error")]
    return Counter(name for text in named if isinstance(text, str) for name in text.split(";"))


def witnesses(diagnosis: Diagnosis, row: int, limit: int = 3) -> tuple[list[Witness], list[Witness]]:
    """The validation samples that the row helps most (influence < 0) and harms most (influence > 0)."""
    influence = np.asarray(diagnosis.influence[row], dtype=float)
    places = np.asarray(diagnosis.validation_rows)[diagnosis.fold[row]]
    labels = column(diagnosis.valid, diagnosis.label)
    usable = np.flatnonzero(np.isfinite(influence) & (places >= 0))
    order = usable[np.argsort(influence[usable], kind="stable")]
    helped = [m for m in order[:limit] if influence[m] < 0]
    harmed = [m for m in order[::-1][:limit] if influence[m] > 0]
    as_witness = lambda m: Witness(int(places[m]), labels.iloc[int(places[m])], float(influence[m]))  # noqa: E731
    return [as_witness(m) for m in helped], [as_witness(m) for m in harmed]


def reason(diagnosis: Diagnosis, row: int, error_type: str) -> Html:
    """One or two sentences that say why the row was flagged, as HTML."""
    say = {
        "label_error": _why_label,
        "feature_error": _why_features,
        "spurious_correlation": _why_spurious,
    }
    return say[error_type](diagnosis, row)


def _strong(text: object) -> Html:
    return element("strong", cell(text))


def _why_label(diagnosis: Diagnosis, row: int) -> Html:
    given = column(diagnosis.train, diagnosis.label).iloc[row]
    expected = diagnosis.evidence.expected_label[row]
    p = chance(float(diagnosis.evidence.p_given_label[row]))
    if diagnosis.summary["task"] == "regression":
        tail = f": models without the row miss by so much in {p} of rows."
        return join(
            ["The label is ", _strong(given), ", about ", _strong(f"{float(expected):.4g}"), " is expected", tail]
        )
    tail = join([": models without the row give ", _strong(given), f" a chance of {p}."])
    if cell(given) == cell(expected):
        lead = ["Labelled ", _strong(given), f", which models without the row expect too ({p})"]
        return join([*lead, "; it is its influence that speaks against the label."])
    return join(["Labelled ", _strong(given), ", expected ", _strong(expected), tail])


def _why_features(diagnosis: Diagnosis, row: int) -> Html:
    found = suspects(diagnosis, row)
    if not found:
        return Html("No single column stands out; the row's influence pattern is that of wrong features.")
    parts: list[object] = ["Given the rest of the row, "]
    for place, (name, nats) in enumerate(list(found.items())[:MAX_REASONS]):
        value = column(diagnosis.train, name).iloc[row]
        parts += [", and " if place else "", element("strong", f"{name} = {cell(value)}"), f" is {unusual(nats)}"]
    more = len(found) - MAX_REASONS
    tail = f"; {count(more, 'more column')} {'stands' if more == 1 else 'stand'} out." if more > 0 else "."
    return join([*parts, tail])


def _why_spurious(diagnosis: Diagnosis, row: int) -> Html:
    broken = int(diagnosis.evidence.shortcut_broken[row])
    if broken < 0:
        return Html("No single column explains it; the row's influence pattern is that of a minority group.")
    shortcut = diagnosis.evidence.shortcuts[broken]
    labels = column(diagnosis.train, diagnosis.label)
    where, expected = condition(shortcut, row), shortcut.expected[row]
    share = chance(float(shortcut.p_expected[row]))
    # The expected label may be several classes or a side of a number, which has no base rate of its own here.
    overall = float((labels.astype(str) == str(expected)).mean())
    base = f" (of all rows, {chance(overall)})" if overall else ""
    lead = ["Of the rows with ", element("strong", where), f", {share} have the label ", _strong(expected), base]
    return join([*lead, "; this one has ", _strong(labels.iloc[row]), "."])


def condition(shortcut, row: int) -> str:
    """What the row has in the shortcut's column: "sex = Male", or "age ≤ 28" where the value is a bin."""
    value = shortcut.values[row]
    if isinstance(value, str) and value.startswith(f"{shortcut.column} "):
        return cell(value, 100)
    return f"{shortcut.column} = {cell(value)}"


def row_name(diagnosis: Diagnosis, row: int) -> str:
    """ "Row 17", or with what names it in the table: "Row 17: user 259, item 176"."""
    names = [n for n in diagnosis.summary.get("identifiers", []) if n != "timestamp"]
    named = ", ".join(f"{name} {cell(column(diagnosis.train, name).iloc[row], 24)}" for name in names)
    return f"Row {row}: {named}" if named else f"Row {row}"


def finding(diagnosis: Diagnosis, row: int, error_type: str, *, is_open: bool) -> Html:
    """One row as an unfolding block: number, probability and reason; unfolded, its values and its witnesses."""
    probability = float(diagnosis.table[f"p_{error_type}"].iloc[row])
    others = [t for t in ERROR_TYPES if t != error_type and flagged(diagnosis, t)[row]]
    also = f"also flagged: {listed([NAMES[t].lower() for t in others])}" if others else None
    name = diagnosis.train.index[row]
    summary = element(
        "summary",
        element("span", row_name(diagnosis, row), class_="row-number"),
        element("span", chance(probability), class_="probability"),
        element("span", reason(diagnosis, row, error_type), class_="reason"),
    )
    body = element(
        "div",
        element("p", f"Index {cell(name)}", class_="small") if str(name) != str(row) else None,
        element("p", also, class_="small") if also else None,
        _cells(diagnosis, row, error_type),
        _witness_tables(diagnosis, row),
        class_="finding-body",
    )
    return element("details", summary, body, class_="finding", open=is_open)


def _marked(diagnosis: Diagnosis, row: int, error_type: str) -> dict[str, str]:
    """The columns to mark, each with the words that say why."""
    if error_type == "label_error":
        return {str(diagnosis.label): "label"}
    if error_type == "feature_error":
        return {name: f"+{nats:.1f} nats" for name, nats in suspects(diagnosis, row).items()}
    broken = int(diagnosis.evidence.shortcut_broken[row])
    marked = {str(diagnosis.label): "label"}
    return marked if broken < 0 else {diagnosis.evidence.shortcuts[broken].column: "shortcut"} | marked


def _cells(diagnosis: Diagnosis, row: int, error_type: str) -> Html:
    marked = _marked(diagnosis, row, error_type)
    label = str(diagnosis.label)
    names = [label, *(str(name) for name in diagnosis.train.columns if str(name) != label)]
    if len(names) > MAX_CELLS:  # the marked ones first, then the others in their order
        names = [n for n in names if n in marked] + [n for n in names if n not in marked]
    boxes = []
    for name in names[:MAX_CELLS]:
        note = marked.get(name, "label" if name == label else None)
        boxes.append(
            element(
                "div",
                element("dt", cell(name, 30), element("span", note, class_="note") if note else None),
                element("dd", cell(column(diagnosis.train, name).iloc[row])),
                class_="marked" if name in marked else None,
            )
        )
    left_out = len(names) - MAX_CELLS
    return join(
        [
            element("dl", boxes, class_="cells"),
            element("p", f"{left_out} more columns are not shown.", class_="small") if left_out > 0 else None,
        ]
    )


def _witness_tables(diagnosis: Diagnosis, row: int) -> Html | None:
    helped, harmed = witnesses(diagnosis, row)
    if not helped and not harmed:
        return None
    largest = max(abs(w.influence) for w in [*helped, *harmed])
    own = cell(column(diagnosis.train, diagnosis.label).iloc[row])
    compare = diagnosis.summary["task"] == "classification"
    tables = [
        _witness_table(
            "Validation rows that it helps most: they speak for it", "helps", helped, own if compare else None, largest
        ),
        _witness_table(
            "Validation rows that it harms most: they speak against it",
            "harms",
            harmed,
            own if compare else None,
            largest,
        ),
    ]
    return element("div", tables, class_="witnesses")


def _witness_table(title: str, kind: str, found: list[Witness], own: str | None, largest: float) -> Html:
    head = element("tr", [element("th", text, scope="col") for text in ("Row", "Label", "Influence")])
    rows = []
    for witness in found:
        label = cell(witness.label, 24)
        same = None if own is None else element("span", "same" if label == own else "other", class_="note")
        width = f"width:{100 * abs(witness.influence) / largest:.0f}%"
        bar = element("span", element("i", style=width), class_=f"bar {kind}", aria_hidden="true")
        cells = [element("td", witness.row), element("td", label, " ", same)]
        rows.append(element("tr", cells, element("td", signed(witness.influence), bar)))
    if not found:
        rows.append(element("tr", element("td", "none", colspan="3")))
    return element("table", element("caption", title), element("thead", head), element("tbody", rows))
