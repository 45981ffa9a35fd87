"""Shortcut rules: for each column, the group of its values that best goes with a side of the label."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from demix_jax.evidence.abrupt_changes import gap_of_codes, largest_at_end, step_scores

_MAX_CLASSES_FOR_SETS = 7  # with more classes, only one class against the rest is tried
_CLEAR_STEPS = 5.0  # standard errors, in all: from here on a rule is chosen for its steps
_LEAST_STRENGTH = 0.02
_USUAL_MINORITY = 0.1  # of the rows break a shortcut, if not more
_LEAST_WEIGHT = 0.2  # of a rule that hardly any row breaks
LEAST_SHARE = 0.05  # of the table in a group


class ColumnRule(NamedTuple):
    """The rule "group ⇔ side" that one column makes; A codes, L labels.

    group: bool[A], codes in the group. side: bool[L], labels that go with the group.
    strength: share of the side's entropy that the group explains, corrected for the search, in [0, 1].
    two_way: share of all that the column says of the label which the rule already says, in [0, 1]: near 1 where the
      association was made by a rule, lower where the label varies along the column by itself.
    minority: share of rows that break the rule.
    step: how abruptly the side sets in along the column where the group ends, in standard errors; see `step_scores`.
      A column without order has the gap between the two groups' codes instead, as a part of their whole distance.
    label_step: how abruptly the group sets in along an ordered label where the side ends, in standard errors; else 0.
    table: f64[2, 2], row counts by (in group, on side).
    """

    group: np.ndarray
    side: np.ndarray
    strength: float
    two_way: float
    minority: float
    step: float
    label_step: float
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
    codes: np.ndarray,
    num_codes: tuple[int, ...],
    labels: np.ndarray,
    *,
    ordered: bool,
    num_ranges: tuple[int, ...] | None = None,
    among: np.ndarray | None = None,
) -> list[ColumnRule]:
    """Best two-way rule of each column: the one that says most of the label, or the one that sets in most abruptly.

    A column that has to do with an ordered label varies with it smoothly; where rows were chosen by a rule, both shares
    jump at its ends. So if a rule of a column with an ordered label stands out by its steps, it is taken.

    Args:
      codes: i32[N, Q]. num_codes: codes per column. labels: i32[N], class index or target bin.
      ordered: whether labels are bins of a number, so that a side is "above a threshold".
      num_ranges: how many codes of each column, the first ones, are ranges of a number in ascending order; None: no
        column has any.
      among: bool[N], rows that count; None: all. Wrong labels blur every rule, and where wrong features fall on other
        rows than wrong labels, they seem to tell the label.
    Source: for a given side, sorting codes by their share of it makes the best split a prefix (Breiman et al. 1984).
    """
    num_labels = int(labels.max()) + 1
    sides = label_sides(num_labels, ordered)
    ranges = num_ranges or (0,) * codes.shape[1]
    rules = []
    if among is not None:
        codes, labels = codes[among], labels[among]
    for q in range(codes.shape[1]):
        counts = contingency(codes[:, q], labels, num_codes[q], num_labels)
        rule = _with_steps(_best_rule(counts, sides), counts, ranges[q], ordered=ordered)
        if ordered and num_labels > 2:
            abrupt = _most_abrupt_rule(counts, sides, ranges[q])
            if abrupt is not None and abrupt.strength >= _LEAST_STRENGTH:
                abrupt = _with_steps(abrupt, counts, ranges[q], ordered=True)
                if abrupt.step + abrupt.label_step >= _CLEAR_STEPS:
                    rule = abrupt
        rules.append(rule)
    return rules


def _most_abrupt_rule(counts: np.ndarray, sides: np.ndarray, num_ranges: int) -> ColumnRule | None:
    """The rule of one column, f64[A, L] counts with ordered labels, that both says much and has clear steps, if any."""
    total, of_label, of_code = counts.sum(), counts.sum(axis=0), counts.sum(axis=1)
    on_side = counts @ sides.T.astype(float)  # [A, S], S = L − 1
    if num_ranges > 2:
        groups = np.arange(len(counts)) < np.arange(1, num_ranges)[:, None]  # [G, A], below a threshold
        groups = np.broadcast_to(groups[:, None], (len(groups), len(sides), len(counts)))
        steps = step_scores(groups[:, 0] @ counts, of_label)  # [G, S], along the label
        along = -step_scores(on_side[:num_ranges].T, of_code[:num_ranges]).T  # [G, S], along the column
        # both must jump: where a label varies with a column by itself, only one may
        steps = np.sign(steps) * 2 * np.sqrt(np.maximum(steps * along, 0.0))
    else:
        share = on_side / (of_code[:, None] + 1e-9)
        rank = np.argsort(np.argsort(-share, axis=0, kind="stable"), axis=0, kind="stable")
        groups = (rank[None] <= np.arange(len(counts))[:, None, None]).transpose(0, 2, 1)  # those with most of the side
        steps = np.diagonal(step_scores(groups @ counts, of_label), axis1=1, axis2=2)
    group, side = groups @ of_code, of_label @ sides.T
    inside = np.einsum("gsa,as->gs", groups.astype(float), on_side)
    information = rule_information(inside, group, np.broadcast_to(side, group.shape), total)
    same_way = steps * (inside * total - group * side) > 0
    usable = same_way & (np.minimum(group, total - group) >= LEAST_SHARE * total)
    score = np.where(usable, np.abs(steps) * np.sqrt(np.maximum(information, 0.0)), 0.0)
    g, s = np.unravel_index(np.argmax(score), score.shape)
    return _rule(counts, groups[g, s], sides[s], score.size) if score[g, s] > 0 else None


def rule_information(inside: np.ndarray, group: np.ndarray, side: np.ndarray, total: float) -> np.ndarray:
    """Mutual information in nats of group and side, from the rows in both, in either and in all; elementwise."""
    cells = np.stack([inside, group - inside, side - inside, total - group - side + inside]) / total
    shares = np.stack([group, group, total - group, total - group]) / total
    across = np.stack([side, total - side, side, total - side]) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(cells > 0, cells * np.log(cells / (shares * across)), 0.0).sum(axis=0)


def make_rule(counts: np.ndarray, group: np.ndarray, side: np.ndarray, searched: int, *, ordered: bool) -> ColumnRule:
    """The rule "group ⇔ side" of a column without order, from its counts f64[A, L], chosen among `searched`."""
    return _with_steps(_rule(counts, group, side, searched), counts, 0, ordered=ordered)


def _with_steps(rule: ColumnRule, counts: np.ndarray, num_ranges: int, *, ordered: bool) -> ColumnRule:
    on_side, rows = counts @ rule.side, counts.sum(axis=1)
    if num_ranges > 2:
        scores = step_scores(on_side[:num_ranges], rows[:num_ranges])
        step = largest_at_end(scores, rule.group[:num_ranges])
    else:
        step = gap_of_codes(on_side, rows, rule.group)
    label_step = 0.0
    if ordered and len(rule.side) > 2:
        label_step = largest_at_end(step_scores(rule.group @ counts, counts.sum(axis=0)), rule.side)
    return rule._replace(step=step, label_step=label_step)


def rule_evidence(rule: ColumnRule, codes: np.ndarray, labels: np.ndarray) -> RuleEvidence:
    """What `rule` says of rows with these codes i32[N] of its column and labels i32[N]."""
    in_group, on_side = rule.group[codes], rule.side[labels]
    joint = (rule.table + 0.5) / (rule.table.sum() + 2.0)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    cell = in_group.astype(int), on_side.astype(int)
    expected = joint / joint.sum(axis=1, keepdims=True)
    return RuleEvidence(in_group, on_side, np.log(joint / independent)[cell], expected[cell[0], cell[0]])


def likely_shortcuts(rules: list[ColumnRule]) -> np.ndarray:
    """Numbers i[R] of R rules, most likely shortcut first.

    It predicts the label by itself, does so by two groups, and some rows break it: what holds for nearly all is no
    shortcut, but what the label means. On 168 tables with errors in a fifth or half of the rows the rows that break the
    first rule were those that break the constructed shortcut with F1 0.38 and 0.63; without regard to how many break it
    with 0.37 and 0.60.
    """
    by_size = np.clip([rule.minority / _USUAL_MINORITY for rule in rules], _LEAST_WEIGHT, 1.0)
    return np.argsort([-(rule.strength + 1e-4) * rule.two_way for rule in rules] * by_size, kind="stable")


class TargetScale(NamedTuple):
    """Where the sides of a regression target lie, and how far predictions of it are off.

    lowest: f64[L], the least target of each label bin; ∞ for an empty one. error: median absolute error.
    """

    lowest: np.ndarray
    error: float

    @classmethod
    def fit(cls, y: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> TargetScale:
        """From targets f32[N], their bins i32[N] and predictions f32[N] of them."""
        lowest = np.full(int(labels.max()) + 1, np.inf)
        np.minimum.at(lowest, labels, y)
        return cls(lowest, float(np.median(np.abs(y - predicted))))


def chance_of_following(
    rule: ColumnRule, in_group: np.ndarray, prediction: np.ndarray, scale: TargetScale | None
) -> np.ndarray:
    """Chance f64[N] that the label is on the side the rule expects, by out-of-fold predictions and not the given label.

    Args:
      rule, in_group: the rule and bool[N], rows in its group.
      prediction: f32[N, K] class probabilities, or f32[N, 1] predicted targets.
      scale: of the target and these predictions; None for classes.
    """
    if scale is None:
        p_side = prediction @ rule.side.astype(np.float32)
    else:
        threshold = scale.lowest[rule.side if rule.side[-1] else ~rule.side].min()
        z = (threshold - prediction[:, 0]) / (scale.error + 1e-3)
        p_above = 1 / (1 + np.exp(np.clip(z, -30, 30)))
        p_side = p_above if rule.side[-1] else 1 - p_above
    return np.where(in_group, p_side, 1 - p_side)


def contingency(codes: np.ndarray, labels: np.ndarray, num_codes: int, num_labels: int) -> np.ndarray:
    flat = codes.astype(np.int64) * num_labels + labels
    return np.bincount(flat, minlength=num_codes * num_labels).reshape(num_codes, num_labels).astype(float)


def label_sides(num_labels: int, ordered: bool) -> np.ndarray:
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
    information = rule_information(inside, group, side, total)
    searched = max(1, int(np.count_nonzero(per_code))) * len(sides)
    information -= (1 + 2 * np.log(searched)) / (2 * total)
    split, which = np.unravel_index(np.argmax(information), information.shape)
    in_group = np.zeros(len(counts), bool)
    in_group[order[: split + 1, which]] = True
    return _rule(counts, in_group, sides[which], searched)


def _rule(counts: np.ndarray, group: np.ndarray, side: np.ndarray, searched: int) -> ColumnRule:
    """The rule "group ⇔ side", chosen among `searched`, with the side turned round if the group goes against it."""
    total = counts.sum()
    table = np.array([[rows @ ~side, rows @ side] for rows in (counts[~group].sum(axis=0), counts[group].sum(axis=0))])
    if table[0, 1] * table[1, 0] > table[0, 0] * table[1, 1]:
        side, table = ~side, table[:, ::-1]
    information = rule_information(table[1, 1], table[1].sum(), table[:, 1].sum(), total)
    best = information - (1 + 2 * np.log(searched)) / (2 * total)
    p = table[:, 1].sum() / total
    entropy = -(p * np.log(p + 1e-12) + (1 - p) * np.log(1 - p + 1e-12))
    strength = float(np.clip(best / (entropy + 1e-9), 0.0, 1.0))
    two_way = float(np.clip(best / (mutual_information(counts) + 1e-4), 0.0, 1.0))
    return ColumnRule(
        group=group,
        side=side,
        strength=strength,
        two_way=two_way,
        minority=float(table[0, 1] + table[1, 0]) / total,
        step=0.0,
        label_step=0.0,
        table=table,
    )


def mutual_information(counts: np.ndarray) -> float:
    """Mutual information in nats of a contingency table f64[A, L], less its bias (Miller 1955); not below 0."""
    joint = counts / counts.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    raw = np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))
    rows, columns = np.count_nonzero(counts.sum(axis=1)), np.count_nonzero(counts.sum(axis=0))
    return max(0.0, float(raw - (rows - 1) * (columns - 1) / (2 * counts.sum())))
