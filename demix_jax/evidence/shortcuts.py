"""Shortcut rules: for each column, the group of its values that best goes with a side of the label."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from demix_jax.evidence.out_of_fold import OutOfFold

_MAX_CLASSES_FOR_SETS = 7  # with more classes, only one class against the rest is tried


class ColumnRule(NamedTuple):
    """The rule "group ⇔ side" that one column makes; A codes, L labels.

    group: bool[A], codes in the group. side: bool[L], labels that go with the group.
    strength: share of the side's entropy that the group explains, corrected for the search, in [0, 1].
    two_way: share of all that the column says of the label which the rule already says, in [0, 1]: near 1 where the
      association was made by a rule, lower where the label varies along the column by itself.
    minority: share of rows that break the rule.
    table: f64[2, 2], row counts by (in group, on side).
    """

    group: np.ndarray
    side: np.ndarray
    strength: float
    two_way: float
    minority: float
    table: np.ndarray


class RuleEvidence(NamedTuple):
    """What one rule says of N rows.

    in_group, on_side: bool[N]. log_ratio: f64[N], log p(group, side) − log p(group) − log p(side) of the row's cell:
      negative where the row breaks the rule.
    p_side: f64[N], share of the row's group whose label is on the side that the rule expects of it.
    """

    in_group: np.ndarray
    on_side: np.ndarray
    log_ratio: np.ndarray
    p_side: np.ndarray


def column_rules(
    codes: np.ndarray, num_codes: tuple[int, ...], labels: np.ndarray, *, ordered: bool
) -> list[ColumnRule]:
    """Best two-way rule of each column.

    Args:
      codes: i32[N, Q]. num_codes: codes per column. labels: i32[N], class index or target bin.
      ordered: whether labels are bins of a number, so that a side is "above a threshold".
    Source: for a given side, sorting codes by their share of it makes the best split a prefix (Breiman et al. 1984).
    """
    num_labels = int(labels.max()) + 1
    sides = _sides(num_labels, ordered)
    return [
        _best_rule(_contingency(codes[:, q], labels, num_codes[q], num_labels), sides) for q in range(codes.shape[1])
    ]


def rule_evidence(rule: ColumnRule, codes: np.ndarray, labels: np.ndarray) -> RuleEvidence:
    """What `rule` says of rows with these codes i32[N] of its column and labels i32[N]."""
    in_group, on_side = rule.group[codes], rule.side[labels]
    joint = (rule.table + 0.5) / (rule.table.sum() + 2.0)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    cell = in_group.astype(int), on_side.astype(int)
    expected = joint / joint.sum(axis=1, keepdims=True)
    return RuleEvidence(in_group, on_side, np.log(joint / independent)[cell], expected[cell[0], cell[0]])


def likely_shortcuts(rules: list[ColumnRule], support: np.ndarray) -> np.ndarray:
    """Column indices i[Q], most likely shortcut first.

    A shortcut predicts the label by itself, still does when the other columns are known (a column that merely shares
    what others say is none), and does so by two groups. Columns are ranked by the product of the three.

    Args:
      rules: one per column.
      support: f32[N, Q], see `CellEvidence`; its mean over rows is the information that the column adds.
    """
    strength = np.array([rule.strength for rule in rules]) + 1e-4
    two_way = np.array([rule.two_way for rule in rules])
    added = np.maximum(support.mean(axis=0), 1e-4)
    return np.argsort(-np.sqrt(strength * added) * two_way, kind="stable")


def chance_of_following(
    rule: ColumnRule, in_group: np.ndarray, predictions: OutOfFold, y: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Chance f64[N] that the label is on the side the rule expects, by out-of-fold predictions and not the given label.

    Args:
      rule, in_group: the rule and bool[N], rows in its group.
      predictions: f32[N, K] class probabilities, or f32[N, 1] for a regression target y f32[N] with bins labels.
    """
    if predictions.prediction.shape[1] > 1:
        p_side = predictions.prediction @ rule.side.astype(np.float32)
    else:
        predicted = predictions.prediction[:, 0]
        threshold = y[rule.side[labels]].min() if rule.side[-1] else y[~rule.side[labels]].min()
        scale = np.median(np.abs(y - predicted)) + 1e-3
        p_above = 1 / (1 + np.exp(np.clip((threshold - predicted) / scale, -30, 30)))
        p_side = p_above if rule.side[-1] else 1 - p_above
    return np.where(in_group, p_side, 1 - p_side)


def _contingency(codes: np.ndarray, labels: np.ndarray, num_codes: int, num_labels: int) -> np.ndarray:
    flat = codes.astype(np.int64) * num_labels + labels
    return np.bincount(flat, minlength=num_codes * num_labels).reshape(num_codes, num_labels).astype(float)


def _sides(num_labels: int, ordered: bool) -> np.ndarray:
    """bool[sides, L]: label sets to try, each standing for its complement too."""
    index = np.arange(num_labels)
    if ordered:
        return index[None] >= index[1:, None]
    if num_labels > _MAX_CLASSES_FOR_SETS:
        return np.eye(num_labels, dtype=bool)
    chosen = [c for size in range(1, num_labels // 2 + 1) for c in combinations(range(num_labels), size)]
    return np.array([np.isin(index, c) for c in chosen])


def _best_rule(counts: np.ndarray, sides: np.ndarray) -> ColumnRule:
    total = counts.sum()
    per_code = counts.sum(axis=1)
    on_side = counts @ sides.T.astype(float)  # [A, sides]
    order = np.argsort(-on_side / (per_code[:, None] + 1e-9), axis=0, kind="stable")
    inside = np.cumsum(np.take_along_axis(on_side, order, axis=0), axis=0)
    group = np.cumsum(per_code[order], axis=0)
    side = np.broadcast_to(on_side.sum(axis=0), inside.shape)
    cells = np.stack([inside, group - inside, side - inside, total - group - side + inside]) / total
    shares = np.stack([group, group, total - group, total - group]) / total
    across = np.stack([side, total - side, side, total - side]) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(cells > 0, cells * np.log(cells / (shares * across)), 0.0).sum(axis=0)
    searched = max(1, np.count_nonzero(per_code)) * len(sides)
    information -= (1 + 2 * np.log(searched)) / (2 * total)
    split, which = np.unravel_index(np.argmax(information), information.shape)
    p = side[split, which] / total
    entropy = -(p * np.log(p + 1e-12) + (1 - p) * np.log(1 - p + 1e-12))
    in_group = np.zeros(len(counts), bool)
    in_group[order[: split + 1, which]] = True
    c = cells[:, split, which] * total
    table = np.array([[c[3], c[2]], [c[1], c[0]]])
    best = information[split, which]
    strength = float(np.clip(best / (entropy + 1e-9), 0.0, 1.0))
    two_way = float(np.clip(best / (mutual_information(counts) + 1e-4), 0.0, 1.0))
    return ColumnRule(in_group, sides[which], strength, two_way, float((c[1] + c[2]) / total), table)


def mutual_information(counts: np.ndarray) -> float:
    """Mutual information in nats of a contingency table f64[A, L], less its bias (Miller 1955); not below 0."""
    joint = counts / counts.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    raw = np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))
    rows, columns = np.count_nonzero(counts.sum(axis=1)), np.count_nonzero(counts.sum(axis=0))
    return max(0.0, float(raw - (rows - 1) * (columns - 1) / (2 * counts.sum())))
