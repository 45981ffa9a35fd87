"""Shortcuts of two columns together, one of each of two roles: users of one kind with items of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from demix_jax.evidence.rules import (
    LEAST_SHARE,
    ColumnRule,
    contingency,
    label_sides,
    make_rule,
    mutual_information,
    rule_information,
)

_MAX_CODES = 12  # the most frequent codes of a column, each tried as a group
_QUANTILES = np.linspace(0.1, 0.9, 9)  # where a group of numeric ranges may end
# Forms of a rule: which of the four cells 2 · in_first_group + in_second_group belong to its group.
_FORMS = np.array([[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]], bool)


class Cross(NamedTuple):
    """Two columns, and a group of the codes of each.

    first, second: numbers of the columns. first_group: bool[A], codes of `first`. second_group: bool[B], of `second`.
    """

    first: int
    second: int
    first_group: np.ndarray
    second_group: np.ndarray

    def codes(self, codes: np.ndarray) -> np.ndarray:
        """i32[N] in 0 … 3, 2 · in_first_group + in_second_group, for rows with codes i32[N, Q]."""
        inside = self.first_group[codes[:, self.first]], self.second_group[codes[:, self.second]]
        return (2 * inside[0] + inside[1]).astype(np.int32)


def crossed_rule(
    codes: np.ndarray,
    num_codes: tuple[int, ...],
    labels: np.ndarray,
    rules: Sequence[ColumnRule],
    roles: tuple[Sequence[int], Sequence[int]],
    *,
    ordered: bool,
    num_ranges: tuple[int, ...],
    among: np.ndarray | None = None,
) -> tuple[Cross, ColumnRule] | None:
    """The most informative rule about the label from two groups, one in a column of each role.

    Args:
      codes, num_codes, labels, ordered, num_ranges, among: as for `column_rules`.
      rules: the rule of each column by itself. roles: numbers of the columns of either role.
    Returns:
      The two columns, and a rule whose codes are those of `Cross.codes`. None unless the rule says more about the label
      than either column as a whole, beyond what the search finds by chance.
    """
    sides = label_sides(int(labels.max()) + 1, ordered)
    if among is not None:
        codes, labels = codes[among], labels[among]
    groups = [_groups(codes, num_codes, rules, role, num_ranges) for role in roles]
    if not all(groups):
        return None
    one, other = (np.stack([group[codes[:, q]] for q, group in some]).astype(np.float32) for some in groups)
    counts = _cell_counts(one, other, np.ones(len(codes), np.float32))
    searched = len(one) * len(other) * len(_FORMS) * len(sides)
    penalty = (1 + 2 * np.log(searched)) / len(codes)  # twice the chance gain of the best of so many rules
    best, found = 0.0, None
    for side in sides:
        is_side = side[labels]
        on_side = _cell_counts(one, other, is_side.astype(np.float32))
        alone = [_alone(codes, num_codes, is_side, some) for some in groups]
        least = np.maximum(alone[0][:, None], alone[1][None]) + penalty
        total, num_side = len(codes), np.float64(is_side.sum())
        by_cells = sum(_contribution(k, n, num_side, total) for k, n in zip(on_side, counts, strict=True))
        for form in _FORMS:
            group, both = counts[form].sum(axis=0), on_side[form].sum(axis=0)
            information = rule_information(both, group, np.full(group.shape, num_side), total)
            usable = (information > least) & (np.minimum(group, total - group) >= LEAST_SHARE * total)
            score = np.where(usable, information * information / (by_cells + 1e-4), 0.0)
            a, b = np.unravel_index(np.argmax(score), score.shape)
            if score[a, b] > best:
                best, found = score[a, b], (groups[0][a], groups[1][b], form, side)
    if found is None:
        return None
    (first, first_group), (second, second_group), form, side = found
    cross = Cross(first, second, first_group, second_group)
    cells = contingency(cross.codes(codes), labels, 4, len(side))
    return cross, make_rule(cells, form, side, searched, ordered=ordered)


def _groups(codes, num_codes, rules, role: Sequence[int], num_ranges) -> list[tuple[int, np.ndarray]]:
    """Groups to try in each column of `role`: that of its own rule, ranges up to a quantile, and single codes.

    Returns:
      Pairs of column number and group bool[A].
    """
    found = []
    for q in role:
        counts = np.bincount(codes[:, q], minlength=num_codes[q])
        index = np.arange(num_codes[q])
        if num_ranges[q] > 2:
            share = np.cumsum(counts[: num_ranges[q]]) / len(codes)
            drawn = [index <= end for end in np.unique(np.searchsorted(share, _QUANTILES))]
        else:
            drawn = [index == code for code in np.argsort(-counts, kind="stable")[:_MAX_CODES]]
        shares = {group.tobytes(): (group, counts[group].sum() / len(codes)) for group in (rules[q].group, *drawn)}
        found += [(q, group) for group, share in shares.values() if LEAST_SHARE <= share <= 1 - LEAST_SHARE]
    return found


def _cell_counts(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted counts of the four cells of every pair of groups.

    Args:
      first, second: f32[A, N] and f32[B, N], membership of the rows. weights: f32[N].
    Returns:
      f64[4, A, B], cells in the order of `Cross.codes`.
    """
    both = ((first * weights) @ second.T).astype(np.float64)
    of_first, of_second = (first @ weights).astype(np.float64)[:, None], (second @ weights).astype(np.float64)[None]
    neither = weights.sum(dtype=np.float64) - of_first - of_second + both
    return np.stack([neither, of_second - both, of_first - both, both])


def _alone(codes, num_codes, is_side: np.ndarray, groups) -> np.ndarray:
    """f64[A]: mutual information of the side and the whole column of each group, in nats."""
    of_columns = {
        q: mutual_information(contingency(codes[:, q], is_side.astype(np.int64), num_codes[q], 2))
        for q in {q for q, _ in groups}
    }
    return np.array([of_columns[q] for q, _ in groups])


def _contribution(both: np.ndarray, cell: np.ndarray, num_side: np.float64, total: int) -> np.ndarray:
    """Contribution of one cell to the mutual information of cells and side, in nats; elementwise."""
    result = np.zeros(cell.shape)
    for k, share in ((both, num_side / total), (cell - both, 1 - num_side / total)):
        expected = np.maximum(cell * share, 1e-12)
        result += np.where(k > 0.5, k / total * np.log(np.maximum(k, 1e-12) / expected), 0.0)
    return result
