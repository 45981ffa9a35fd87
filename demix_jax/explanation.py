"""Why rows are flagged: expected labels, surprising cells and shortcuts, in the words of the table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.describe import Description
from demix_jax.error_types import ERROR_TYPES
from demix_jax.evidence.cells import standing_out
from demix_jax.evidence.crossed import Cross
from demix_jax.evidence.mistakes import MISTAKES, Mistakes
from demix_jax.evidence.rows import RowEvidence
from demix_jax.evidence.shortcuts import ColumnRule, rule_evidence
from demix_jax.evidence.signals import NUM_RULES

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Column, Dataset, TableEncoder

_MIN_RULE_STRENGTH = 0.005  # weaker rules explain nothing a person would call a shortcut
_SUSPECT_NATS = 2.0  # a cell this much less probable than usual stands out
_UNEXPECTED = 1.0  # nats; the commonest value had a probability of less than a quarter
_FILLED_CELLS = 3


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A rule "group ⇔ side of the label" that one column makes, or two together, and what it says of each of N rows.

    column: name. second: that of the other column, where two make the rule.
    strength: share of the label side's entropy that it explains, 0 to 1.
    values: object[N], the row's side of the rule in words ("sex = Male", "age ≤ 28").
    expected: object[N], the label that most such rows have. p_expected: f32[N], the share of them that have it.
    """

    column: str
    strength: float
    values: np.ndarray
    expected: np.ndarray
    p_expected: np.ndarray
    second: str | None = None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a diagnosis is explained with; N rows, Q columns.

    expected_label: object[N], out-of-fold prediction in original label values.
    p_given_label: f32[N], out-of-fold probability of the given label (regression: tail probability of the residual).
    cell_surprise: f32[N, Q], nats above what is usual in the cell's place, see `cell_doubt`.
    columns: the Q columns.
    shortcuts: likeliest first; may be empty.
    shortcut_broken: i32[N], index of the rule that the row breaks most, −1 if none.
    original: i32[N], the row whose copy this one may be, −1 if none; None where copies are not looked for.
    """

    expected_label: np.ndarray
    p_given_label: np.ndarray
    cell_surprise: np.ndarray
    columns: tuple[Column, ...]
    shortcuts: tuple[Shortcut, ...]
    shortcut_broken: np.ndarray
    original: np.ndarray | None = None


def explain(encoder: TableEncoder, dataset: Dataset, description: Description, probability: np.ndarray) -> Evidence:
    """What explains the diagnosis, by `probability` f32[N, 3], of the N described rows, the first ones of `dataset`."""
    known = description.evidence
    num_rows = len(known.labels)
    codes = known.rule_codes(dataset.codes[:num_rows])
    shortcuts, ratios = [], []
    for q in known.order[:NUM_RULES]:
        rule = known.rules[q]
        if rule.strength >= _MIN_RULE_STRENGTH:
            shortcuts.append(_shortcut(encoder, dataset, known, int(q), codes[:, q]))
            ratios.append(rule_evidence(rule, codes[:, q], known.sides).log_ratio)
    if ratios:
        lowest = np.argmin(ratios, axis=0)
        broken = np.where(np.min(ratios, axis=0) < 0, lowest, -1).astype(np.int32)
    else:
        broken = np.full(num_rows, -1, np.int32)
    return Evidence(
        expected_label=expected_labels(encoder, known),
        p_given_label=known.trees.p_given,
        cell_surprise=cell_doubt(known, dataset.take(slice(num_rows)), probability),
        columns=dataset.columns,
        shortcuts=tuple(shortcuts),
        shortcut_broken=broken,
        original=None if known.mistakes is None else known.mistakes.original,
    )


def _shortcut(encoder: TableEncoder, dataset: Dataset, known: RowEvidence, number: int, codes: np.ndarray) -> Shortcut:
    """The rule of this number in words, for every row; codes: i32[N], what it tells apart."""
    rule, columns, cross = known.rules[number], known.columns_of(number), known.cross_of(number)
    told = rule_evidence(rule, codes, known.sides)
    if cross is None:
        counts = np.bincount(codes, minlength=len(rule.group))
        inside, outside = (encoder.group_name(number, group, counts) for group in (rule.group, ~rule.group))
    else:
        inside, outside = _crossed_names(encoder, dataset.codes[: len(codes)], cross, rule.group)
    on, off = _side_names(encoder, dataset, rule, known.sides)
    return Shortcut(
        column=dataset.columns[columns[0]].name,
        strength=rule.strength,
        values=np.where(told.in_group, inside, outside).astype(object),
        expected=np.where(told.in_group, on, off).astype(object),
        p_expected=told.p_side.astype(np.float32),
        second=None if cross is None else dataset.columns[cross.second].name,
    )


def _crossed_names(encoder: TableEncoder, codes: np.ndarray, cross: Cross, group: np.ndarray) -> tuple[str, str]:
    """A rule's group bool[4] of two columns, and the rest, in words: "sex = Male and age ≤ 28", "not (…)"."""
    names = []
    for q, inside in ((cross.first, cross.first_group), (cross.second, cross.second_group)):
        counts = np.bincount(codes[:, q], minlength=len(inside))
        names.append([encoder.group_name(q, side, counts) for side in (~inside, inside)])
    cells = [f"{names[0][cell // 2]} and {names[1][cell % 2]}" for cell in range(4)]
    turned = group.sum() > 2
    words = " or ".join(cells[cell] for cell in np.flatnonzero(group != turned))
    return (f"not ({words})", words) if turned else (words, f"not ({words})")


def _side_names(encoder: TableEncoder, dataset: Dataset, rule: ColumnRule, labels: np.ndarray) -> tuple[str, str]:
    """The label's two sides in words: "yes" and "no", "a or b" and "another", "> 133" and "≤ 133"."""
    if dataset.task == "regression":
        bins = np.flatnonzero(rule.side) if rule.side[-1] else np.flatnonzero(~rule.side)
        (threshold,) = encoder.decode_label([dataset.y[: len(labels)][labels < bins[0]].max()])
        above, below = f"> {threshold:.6g}", f"≤ {threshold:.6g}"
        return (above, below) if rule.side[-1] else (below, above)

    def named(side: np.ndarray) -> str:
        values = [str(dataset.classes[k]) for k in np.flatnonzero(side)]
        return " or ".join(values) if len(values) <= 3 else f"one of {len(values)} other classes"

    return named(rule.side), named(~rule.side)


def noisy_group(encoder: TableEncoder, dataset: Dataset, evidence: RowEvidence) -> dict[str, Any] | None:
    """The group of rows whose labels are often wrong, for the summary of a diagnosis; None if none was found.

    Returns:
      group: in words ("job = clerk or cook"). share: of the rows of `dataset` that are in it. rate: share of its labels
      that seem wrong.
    """
    noisy = evidence.models.noisy
    if noisy is None:
        return None
    counts = np.bincount(dataset.codes[:, noisy.column], minlength=len(noisy.codes))
    words = encoder.group_name(noisy.column, noisy.codes, counts)
    return {"group": words, "share": float(counts[noisy.codes].sum() / counts.sum()), "rate": noisy.rate}


def noisy_group_note(noisy: dict[str, Any]) -> str:
    """What `noisy_group` found, as a sentence."""
    from demix_jax.report.words import chance

    return (
        f"About {chance(noisy['rate'])} of the labels seem wrong where {noisy['group']} ({chance(noisy['share'])} of "
        "the rows), far more than elsewhere; see where the labels of this group come from."
    )


def expected_labels(encoder: TableEncoder, evidence: RowEvidence) -> np.ndarray:
    """object[N], out-of-fold predictions in original label values."""
    predicted = evidence.trees.prediction
    expected = predicted.argmax(axis=1) if encoder.task == "classification" else predicted[:, 0]
    return np.array(encoder.decode_label(expected), dtype=object)


def cell_doubt(evidence: RowEvidence, dataset: Dataset, probability: np.ndarray) -> np.ndarray:
    """f32[N, Q]: how doubtful each cell of N rows is, in nats: how much it stands out, or whether a mistake hit it.

    Of one cell that holds what is commonest nobody would think so; three of a row that do, where little speaks for it,
    bear each other out. The cells that a likely mistake is about come before all others.

    Args:
      evidence, dataset, probability: of the rows; f32[N, 3] in the order of ERROR_TYPES.
    """
    cells, mistakes, p_wrong = evidence.cells, evidence.mistakes, probability[:, 1]
    doubt = standing_out(cells.surprise, dataset.robust_z, dataset.misspelt)
    unexpected = cells.filled >= _UNEXPECTED
    together = unexpected.sum(axis=1) >= _FILLED_CELLS
    if mistakes is not None:
        together |= mistakes.likely(p_wrong) == MISTAKES.index("filled")
    doubt = np.where(unexpected & together[:, None], np.maximum(doubt, 1 + cells.filled), doubt)
    if mistakes is not None:
        first = np.maximum(doubt.max(axis=1, keepdims=True), _SUSPECT_NATS) + 1
        doubt = np.where(mistakes.cells(p_wrong, doubt.shape[1]), np.maximum(first, doubt), doubt)
    return doubt.astype(np.float32)


def diagnosis_table(
    index: pd.Index,
    flags: np.ndarray,
    probability: np.ndarray,
    expected_label: np.ndarray,
    cell_surprise: np.ndarray,
    columns: tuple[Column, ...],
    mistakes: Mistakes | None,
) -> pd.DataFrame:
    """The table of a `Diagnosis`: flags bool[N, 3] and probabilities f32[N, 3], and what to look at; see `Evidence`."""
    import pandas as pd

    table: dict[str, Any] = {name: flags[:, t].astype(np.int64) for t, name in enumerate(ERROR_TYPES)}
    table |= {f"p_{name}": probability[:, t] for t, name in enumerate(ERROR_TYPES)}
    suggested = expected_label.copy()
    suggested[~flags[:, 0]] = None
    table["suggested_label"] = suggested
    names = np.array([str(column.name) for column in columns], dtype=object)
    suspect = np.full(len(index), "", dtype=object)
    for row in np.flatnonzero(flags[:, 1]):
        surprise = cell_surprise[row]
        stands_out = np.flatnonzero(surprise >= min(_SUSPECT_NATS, surprise.max()))
        suspect[row] = ";".join(names[stands_out[np.argsort(-surprise[stands_out])]])
    table["suspect_columns"] = suspect
    if mistakes is not None:
        table["mistake"] = np.where(flags[:, 1], mistakes.names(probability[:, 1]), "")
    return pd.DataFrame(table, index=index)


class Tally:
    """Counts flagged rows, a few at a time."""

    def __init__(self) -> None:
        self._num_rows, self._wrong = 0, 0
        self._flagged, self._probability = np.zeros(len(ERROR_TYPES), np.int64), np.zeros(len(ERROR_TYPES))

    def add(self, flags: np.ndarray, probability: np.ndarray) -> None:
        """Count flags bool[n, 3] and probabilities f32[n, 3]."""
        self._num_rows += len(flags)
        self._wrong += int(flags[:, :2].any(axis=1).sum())
        self._flagged += flags.sum(axis=0)
        self._probability += (flags * probability).sum(axis=0, dtype=np.float64)

    def summary(self) -> dict[str, Any]:
        """rows; wrong_rows, with an error of the label or of features; counts, rates and the mean probability of those
        flagged (None if there is none), by type."""
        counts = dict(zip(ERROR_TYPES, self._flagged.tolist(), strict=True))
        sums = zip(self._probability, self._flagged, strict=True)
        return {
            "rows": self._num_rows,
            "wrong_rows": self._wrong,
            "counts": counts,
            "rates": {name: count / self._num_rows for name, count in counts.items()},
            "mean_probability": dict(zip(ERROR_TYPES, (p / n if n else None for p, n in sums), strict=True)),
        }
