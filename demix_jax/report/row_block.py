"""A table row as a collapsible block: reason, values and most influenced validation samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html
from demix_jax.report import parts
from demix_jax.report.findings import Witness, column, row_number, suspects
from demix_jax.report.html import element, join
from demix_jax.report.row_reasons import reason
from demix_jax.report.words import cell

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis

MAX_CELLS = 24


def finding(diagnosis: Diagnosis, row: int, error_type: str, *, is_open: bool) -> Html:
    """Collapsible block with number, probability and reason; it opens to values and validation samples."""
    also = parts.other_types(diagnosis, row, error_type)
    index, number = diagnosis.train.index[row], row_number(diagnosis, row)
    body = [
        element("p", f"Index {cell(index)}", class_="small") if str(index) != str(number) else None,
        element("p", f"also flagged: {also}", class_="small") if also else None,
        _cells(diagnosis, row, error_type),
        _witness_tables(diagnosis, row),
    ]
    probability = float(diagnosis.probability[row, ERROR_TYPES.index(error_type)])
    why = reason(diagnosis, row, error_type)
    return parts.finding(row_name(diagnosis, row), probability, why, body, is_open=is_open)


def row_name(diagnosis: Diagnosis, row: int) -> str:
    """Name of the row: "Row 17", or with its identifiers "Row 17: user 259, item 176"."""
    names = [n for n in diagnosis.summary.identifiers if n != "timestamp"]
    named = ", ".join(f"{name} {cell(column(diagnosis.train, name).iloc[row], 24)}" for name in names)
    number = row_number(diagnosis, row)
    return f"Row {number}: {named}" if named else f"Row {number}"


def _marked(diagnosis: Diagnosis, row: int, error_type: str) -> dict[str, str]:
    """Columns to highlight, each with a short reason."""
    if error_type == "label_error":
        return {str(diagnosis.label): "label"}
    if error_type == "feature_error":
        return {name: f"+{nats:.1f} nats" for name, nats in suspects(diagnosis, row).items()}
    broken = int(diagnosis.evidence.shortcut_broken[row])
    marked = {str(diagnosis.label): "label"}
    if broken < 0:
        return marked
    shortcut = diagnosis.evidence.shortcuts[broken]
    return {name: "shortcut" for name in (shortcut.column, shortcut.second) if name is not None} | marked


def _cells(diagnosis: Diagnosis, row: int, error_type: str) -> Html:
    marked = _marked(diagnosis, row, error_type)
    label = str(diagnosis.label)
    names = [label, *(str(name) for name in diagnosis.train.columns if str(name) != label)]
    if len(names) > MAX_CELLS:  # marked columns first, then the others in table order
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
    own = cell(column(diagnosis.train, diagnosis.label).iloc[row])
    compare = not diagnosis.target.ordered

    def told(witness: Witness) -> list[object]:
        label = cell(witness.label, 24)
        same = element("span", "same" if label == own else "other", class_="note") if compare else None
        return [label, " ", same]

    titles = (
        "Validation rows that it helps most: they speak for it",
        "Validation rows that it harms most: they speak against it",
    )
    return parts.witness_tables(diagnosis, row, titles, ("Row", "Label"), told)
