"""What is known of single rows: which are most certain, why, and which validation samples bear it out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, chance, count
from demix_jax.report.html import element, join, unbroken
from demix_jax.report.words import cell, unusual

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.diagnosis.result import Diagnosis

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


class Totals(NamedTuple):
    """Of all diagnosed rows.

    rows: how many. wrong: how many with a wrong label or feature. counts: how many flagged, by type.
    mean_probability: of those flagged; None where there is none.
    """

    rows: int
    wrong: int
    counts: dict[str, int]
    mean_probability: dict[str, float | None]


def totals(diagnosis: Diagnosis) -> Totals:
    """Counts of what was found; of a table out of core in the whole table, of which the diagnosis holds a sample."""
    summary = diagnosis.summary
    if "drawn_from" in summary:
        return Totals(summary["drawn_from"], summary["wrong_rows"], summary["counts"], summary["mean_probability"])
    flags = {name: flagged(diagnosis, name) for name in ERROR_TYPES}
    p = {name: diagnosis.table[f"p_{name}"].to_numpy(dtype=float)[rows] for name, rows in flags.items()}
    return Totals(
        len(diagnosis.table),
        int((flags["label_error"] | flags["feature_error"]).sum()),
        {name: int(rows.sum()) for name, rows in flags.items()},
        {name: float(values.mean()) if len(values) else None for name, values in p.items()},
    )


def row_number(diagnosis: Diagnosis, row: int) -> int:
    """The row's number in the file, counted from 0."""
    return int(diagnosis.train.index[row]) if "drawn_from" in diagnosis.summary else row


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

    def witness(m: int) -> Witness:
        place = int(places[m])
        number = row_number(diagnosis, place) if diagnosis.valid is diagnosis.train else place
        return Witness(number, labels.iloc[place], float(influence[m]))

    return [witness(m) for m in helped], [witness(m) for m in harmed]


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
    p = unbroken(chance(float(diagnosis.evidence.p_given_label[row])))
    if diagnosis.summary["task"] == "regression":
        lead = ["The label is ", _strong(given), ", about ", _strong(f"{float(expected):.4g}"), " is expected"]
        return join([*lead, ": models without the row miss by so much in ", p, " of rows."])
    tail = join([": models without the row give ", _strong(given), " a chance of ", p, "."])
    if cell(given) == cell(expected):
        lead = ["Labelled ", _strong(given), ", which models without the row expect too (", p, ")"]
        return join([*lead, "; it is its influence that speaks against the label."])
    return join(["Labelled ", _strong(given), ", expected ", _strong(expected), tail])


def _mistake(diagnosis: Diagnosis, row: int, names: list[str]) -> Html:
    """A sentence about the mistake that the row's suspect columns, most suspect first, seem to come of; or nothing."""
    named = diagnosis.table["mistake"].iloc[row] if "mistake" in diagnosis.table else ""
    mistake = named if isinstance(named, str) else ""
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
    # The expected label may be several classes or a side of a number, which has no base rate of its own here.
    overall = float((labels.astype(str) == str(expected)).mean())
    base = [" (of all rows, ", unbroken(chance(overall)), ")"] if overall else None
    lead = ["Of the rows with ", element("strong", where), ", ", share, " have the label ", _strong(expected), base]
    return join([*lead, "; this one has ", _strong(labels.iloc[row]), "."])


def condition(shortcut, row: int) -> str:
    """What the row has in the shortcut's column: "sex = Male", or "age ≤ 28" where the value is a bin; or in both."""
    value = shortcut.values[row]
    if shortcut.second is not None or (isinstance(value, str) and value.startswith(f"{shortcut.column} ")):
        return cell(value, 100)
    return f"{shortcut.column} = {cell(value)}"
