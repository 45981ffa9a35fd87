"""Explains flagged rows by expected labels, surprising cells and shortcuts, in the words of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demix_jax.classifier.schema import NUM_RULES
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import chance
from demix_jax.diagnosis.description import Description
from demix_jax.diagnosis.result import Evidence, NoisyGroupSummary, Shortcut
from demix_jax.diagnosis.table import SUSPECT_NATS, suspect_columns
from demix_jax.evidence.column_model import standing_out
from demix_jax.evidence.crossed_rules import Cross
from demix_jax.evidence.mistakes.model import MISTAKES
from demix_jax.evidence.row_evidence import RowEvidence
from demix_jax.evidence.rules import ColumnRule, rule_evidence

if TYPE_CHECKING:
    from demix_jax.data import Dataset, TableEncoder

_MIN_RULE_STRENGTH = 0.005  # nobody would call a weaker rule a shortcut
_UNEXPECTED = 1.0  # nats; the commonest value had a probability of less than a quarter
_FILLED_CELLS = 3


def explain(
    encoder: TableEncoder,
    dataset: Dataset,
    description: Description,
    flags: np.ndarray,
    probability: np.ndarray,
    *,
    respelt: np.ndarray,
) -> Evidence:
    """Explain the diagnosis of the N described rows, the first rows of `dataset`.

    Args:
      flags, probability: bool[N, 3] and f32[N, 3] in the order of ERROR_TYPES.
      respelt: bool[N], rows with a rarer spelling of their label, whose commonest spelling is expected.
    """
    known = description.evidence
    num_rows = len(known.labels)
    wrong = ERROR_TYPES.index("feature_error")
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
    doubt = cell_doubt(known, dataset.take(slice(num_rows)), probability)
    columns = tuple(dataset.columns[q] for q in dataset.first_parts)
    return Evidence(
        expected_label=respelled_labels(encoder, dataset.y[:num_rows], expected_labels(encoder, known), respelt),
        p_given_label=known.trees.p_given,
        cell_surprise=doubt,
        columns=columns,
        shortcuts=tuple(shortcuts),
        shortcut_broken=broken,
        suspects=suspect_columns(flags[:, wrong], doubt, [column.name for column in columns]),
        mistakes=named_mistakes(known, flags[:, wrong], probability[:, wrong]),
        original=None if known.mistakes is None else known.mistakes.original,
        respelt=respelt,
    )


def named_mistakes(evidence: RowEvidence, flagged: np.ndarray, p_wrong: np.ndarray) -> np.ndarray | None:
    """object[N], the known mistake behind each flagged feature error, "" elsewhere; None if none was looked for.

    Args:
      flagged, p_wrong: bool[N] and f32[N], flags and probabilities of feature errors.
    """
    return None if evidence.mistakes is None else np.where(flagged, evidence.mistakes.names(p_wrong), "")


def _shortcut(encoder: TableEncoder, dataset: Dataset, known: RowEvidence, number: int, codes: np.ndarray) -> Shortcut:
    """Describe rule `number` in words for every row; codes: i32[N], the rule's code of each row."""
    rule, columns, cross = known.rules[number], known.columns_of(number), known.cross_of(number)
    told = rule_evidence(rule, codes, known.sides)
    if cross is None:
        counts = np.bincount(codes, minlength=len(rule.group))
        inside, outside = (encoder.group_name(number, group, counts) for group in (rule.group, ~rule.group))
    else:
        inside, outside = _crossed_names(encoder, dataset.codes[: len(codes)], cross, rule.group)
    on, off = _side_names(dataset, rule, known.sides)
    return Shortcut(
        column=dataset.columns[columns[0]].name,
        strength=rule.strength,
        values=np.where(told.in_group, inside, outside).astype(object),
        expected=np.where(told.in_group, on, off).astype(object),
        p_expected=told.p_side.astype(np.float32),
        second=None if cross is None else dataset.columns[cross.second].name,
    )


def _crossed_names(encoder: TableEncoder, codes: np.ndarray, cross: Cross, group: np.ndarray) -> tuple[str, str]:
    """Name a two-column rule's group bool[4] and its complement: "sex = Male and age ≤ 28", "not (…)"."""
    names = []
    for q, inside in ((cross.first, cross.first_group), (cross.second, cross.second_group)):
        counts = np.bincount(codes[:, q], minlength=len(inside))
        names.append([encoder.group_name(q, side, counts) for side in (~inside, inside)])
    cells = [f"{names[0][cell // 2]} and {names[1][cell % 2]}" for cell in range(4)]
    turned = group.sum() > 2
    words = " or ".join(cells[cell] for cell in np.flatnonzero(group != turned))
    return (f"not ({words})", words) if turned else (words, f"not ({words})")


def _side_names(dataset: Dataset, rule: ColumnRule, labels: np.ndarray) -> tuple[str, str]:
    """Name the label's two sides: "yes" and "no", "a or b" and "another", "> 133" and "≤ 133"."""
    target = dataset.target
    if target.ordered:
        bins = np.flatnonzero(rule.side) if rule.side[-1] else np.flatnonzero(~rule.side)
        (threshold,) = target.decode([dataset.y[: len(labels)][labels < bins[0]].max()])
        above, below = f"> {threshold:.6g}", f"≤ {threshold:.6g}"
        return (above, below) if rule.side[-1] else (below, above)

    def named(side: np.ndarray) -> str:
        values = [str(value) for value in target.decode(np.flatnonzero(side))]
        return " or ".join(values) if len(values) <= 3 else f"one of {len(values)} other classes"

    return named(rule.side), named(~rule.side)


def noisy_group(encoder: TableEncoder, dataset: Dataset, evidence: RowEvidence) -> NoisyGroupSummary | None:
    """Describe the group of rows of `dataset` whose labels are often wrong; None if none was found."""
    noisy = evidence.models.noisy
    if noisy is None:
        return None
    counts = np.bincount(dataset.codes[:, noisy.column], minlength=len(noisy.codes))
    words = encoder.group_name(noisy.column, noisy.codes, counts)
    return NoisyGroupSummary(words, float(counts[noisy.codes].sum() / counts.sum()), noisy.rate)


def noisy_group_note(noisy: NoisyGroupSummary) -> str:
    """The result of `noisy_group` as a sentence."""
    return (
        f"About {chance(noisy.rate)} of the labels seem wrong where {noisy.group} ({chance(noisy.share)} of "
        "the rows), far more than elsewhere; see where the labels of this group come from."
    )


def expected_labels(encoder: TableEncoder, evidence: RowEvidence) -> np.ndarray:
    """object[N], out-of-fold predictions in original label values."""
    return np.array(encoder.target.decode_prediction(evidence.trees.prediction), dtype=object)


def respelled_labels(encoder: TableEncoder, y: np.ndarray, expected: np.ndarray, respelt: np.ndarray) -> np.ndarray:
    """`expected` object[N], with the commonest spelling of the given class y [N] in the rows `respelt` bool[N]."""
    expected = expected.copy()
    expected[respelt] = encoder.target.decode(y[respelt])
    return expected


def cell_doubt(evidence: RowEvidence, dataset: Dataset, probability: np.ndarray) -> np.ndarray:
    """f32[N, C], doubt about each cell of N rows in nats, raised for cells that a likely mistake affects.

    C is the number of used columns; the doubt about a vector or set is the largest about one of its parts.

    A single cell that unexpectedly holds the commonest value is not suspicious; three such cells in one row are. Cells
    that a likely mistake affects rank before all others.

    Args:
      evidence, dataset: of the N rows. probability: f32[N, 3] in the order of ERROR_TYPES.
    """
    cells, mistakes, p_wrong = evidence.cells, evidence.mistakes, probability[:, ERROR_TYPES.index("feature_error")]
    doubt = standing_out(cells.surprise, dataset.robust_z, dataset.misspelt)
    unexpected = cells.filled >= _UNEXPECTED
    together = unexpected.sum(axis=1) >= _FILLED_CELLS
    if mistakes is not None:
        together |= mistakes.likely(p_wrong) == MISTAKES.index("filled")
    doubt = np.where(unexpected & together[:, None], np.maximum(doubt, 1 + cells.filled), doubt)
    if mistakes is not None:
        first = np.maximum(doubt.max(axis=1, keepdims=True), SUSPECT_NATS) + 1
        doubt = np.where(mistakes.cells(p_wrong, doubt.shape[1]), np.maximum(first, doubt), doubt)
    return np.maximum.reduceat(doubt, dataset.first_parts, axis=1).astype(np.float32)
