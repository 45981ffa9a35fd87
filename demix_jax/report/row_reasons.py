"""Explains in one or two sentences why a row was flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demix_jax.common.wording import Html, chance, count
from demix_jax.report.findings import column, row_number, suspects
from demix_jax.report.html import element, join, unbroken
from demix_jax.report.words import cell, unusual

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis, Shortcut

MAX_REASONS = 2


def reason(diagnosis: Diagnosis, row: int, error_type: str) -> Html:
    """HTML of one or two sentences on why the row was flagged."""
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
    if diagnosis.evidence.respelt is not None and diagnosis.evidence.respelt[row]:
        return join(["Labelled ", _strong(given), ", which most rows of this class spell ", _strong(expected), "."])
    p = unbroken(chance(float(diagnosis.evidence.p_given_label[row])))
    if diagnosis.target.ordered:
        lead = ["The label is ", _strong(given), ", about ", _strong(f"{float(expected):.4g}"), " is expected"]
        return join([*lead, ": models without the row miss by so much in ", p, " of rows."])
    tail = join([": models without the row give ", _strong(given), " a chance of ", p, "."])
    if cell(given) == cell(expected):
        lead = ["Labelled ", _strong(given), ", which models without the row expect too (", p, ")"]
        return join([*lead, "; it is its influence that speaks against the label."])
    return join(["Labelled ", _strong(given), ", expected ", _strong(expected), tail])


def _mistake(diagnosis: Diagnosis, row: int, names: list[str]) -> Html:
    """Sentence on the likely mistake behind suspect columns `names`, most suspect first; empty if unknown."""
    mistake = "" if diagnosis.evidence.mistakes is None else str(diagnosis.evidence.mistakes[row])
    if mistake == "exchanged" and len(names) > 1:
        return join([_strong(names[0]), " and ", _strong(names[1]), " seem exchanged. "])
    original = diagnosis.evidence.original
    if mistake == "copied" and original is not None and original[row] >= 0:
        return join(["Most values are those of row ", _strong(row_number(diagnosis, int(original[row]))), ". "])
    if mistake == "filled":
        return Html("Several values seem filled in with what is commonest in their columns. ")
    if mistake.startswith("times ") and names:
        return join(
            [_strong(names[0]), " seems multiplied by ", mistake.removeprefix("times ").replace("-", "−"), ". "]
        )
    if mistake == "stray decimals" and names:
        return join([_strong(names[0]), " has more decimals than the column has elsewhere. "])
    return Html("")


def _why_features(diagnosis: Diagnosis, row: int) -> Html:
    found = suspects(diagnosis, row)
    if not found:
        return Html("No single column stands out; the row's influence pattern is that of wrong features.")
    parts: list[object] = [_mistake(diagnosis, row, list(found)), "Given the rest of the row, "]
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
    share = unbroken(chance(float(shortcut.p_expected[row])))
    # The expected label may be several classes or a range of numbers; those have no base rate here.
    overall = float((labels.astype(str) == str(expected)).mean())
    base = [" (of all rows, ", unbroken(chance(overall)), ")"] if overall else None
    lead = ["Of the rows with ", element("strong", where), ", ", share, " have the label ", _strong(expected), base]
    return join([*lead, "; this one has ", _strong(labels.iloc[row]), "."])


def condition(shortcut: Shortcut, row: int) -> str:
    """The row's value in the shortcut's column or columns: "sex = Male", or "age ≤ 28" for a bin."""
    value = shortcut.values[row]
    if shortcut.second is not None or (isinstance(value, str) and value.startswith(f"{shortcut.column} ")):
        return cell(value, 100)
    return f"{shortcut.column} = {cell(value)}"
