"""Spurious correlations: a group of rows goes with a label because rows that break or keep a rule are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.groups import Condition, candidate_groups, series_of, to_floats
from demix_jax.corruption.options import SpuriousCorrelation
from demix_jax.corruption.rules import ShortcutRule, given_rule

if TYPE_CHECKING:
    import pandas as pd

_GROUP_SHARES = (0.15, 0.85)
_MIN_CELL = 0.1  # least share of each of the two cells that keep a found rule; with one cell there is no correlation
_MAX_RATIO = 0.6  # a found rule's minority is at most this fraction of what independence of group and label gives


class ConstructedShortcut(NamedTuple):
    """A shortcut that was made in a table.

    Attributes:
      rule: the rule; `SpuriousCorrelation(shortcut=rule)` makes the same shortcut in another table.
      text: the rule as `parse_shortcut` reads it.
      minority: description of the rows that break the rule; their spurious_correlation is 1.
      minority_share: share of the rows that break the rule.
      rows_dropped: number of rows that were left out.
    """

    rule: ShortcutRule
    text: str
    minority: str
    minority_share: float
    rows_dropped: int


def choose_rule(
    table: pd.DataFrame,
    label: str,
    spurious: SpuriousCorrelation,
    rng: np.random.Generator,
    *,
    columns: list[str],
    classes: bool,
) -> ShortcutRule:
    """The rule that the options give, or else one that `find_shortcut` finds; arguments and errors as there."""
    if spurious.shortcut is not None:
        return given_rule(spurious.shortcut, table, label)
    return find_shortcut(table, label, spurious, rng, columns=columns, classes=classes)


def find_shortcut(
    table: pd.DataFrame,
    label: str,
    spurious: SpuriousCorrelation,
    rng: np.random.Generator,
    *,
    columns: list[str],
    classes: bool,
) -> ShortcutRule:
    """Draws one of the rules that keep at least half of the rows; if there is none, takes the best rule.

    Args:
      table: N rows.
      label: the label column.
      spurious: the minority share and the kinds of rules and groups.
      columns: the columns that a rule may be about.
      classes: whether the labels are classes; else they are numbers.
    Raises:
      InputError: no column splits the rows into groups.
    """
    share, kind, group_kinds = spurious.minority_share, spurious.kind, tuple(spurious.group_kinds)
    groups = candidate_groups(table, columns, group_kinds, _GROUP_SHARES, rng)
    sides = _label_sides(series_of(table, label), classes, rng)
    if not groups or not sides:
        raise InputError(
            f'no shortcut was found: no column other than "{label}" splits the rows into groups of '
            f"{_GROUP_SHARES[0]:.0%} to {_GROUP_SHARES[1]:.0%} ({', '.join(group_kinds)}); "
            "give a rule yourself or set spurious to 0."
        )
    view = table.iloc[np.sort(rng.choice(len(table), 20_000, replace=False))] if len(table) > 20_000 else table
    in_group = np.array([group.mask(view) for group in groups], dtype=np.float32)
    is_positive = np.array([side.mask(view) for side in sides], dtype=np.float32)
    both = in_group @ is_positive.T / len(view)  # [groups, sides]: share of the rows in both
    group_share = in_group.mean(1, keepdims=True)
    kept, ratio, smaller_cell = _outcome(both, group_share - both, is_positive.mean(1) - both, share, kind)
    good = np.argwhere((kept >= 0.5) & (ratio <= _MAX_RATIO) & (smaller_cell >= _MIN_CELL))
    if len(good):
        # the columns are drawn first, so that one with many candidate groups is not drawn more often
        names = [str(tuple(c.column for c in groups[g].conditions)) for g, _ in good]
        name = rng.choice(sorted(set(names)))
        good = good[[i for i, other in enumerate(names) if other == name]]
        g, s = good[rng.integers(len(good))]
    else:
        score = kept * np.maximum(1.0 - ratio, 0.0) * np.minimum(smaller_cell / _MIN_CELL, 1.0)
        g, s = np.unravel_index(np.argmax(score), kept.shape)
    return ShortcutRule(groups[g], sides[s], kind)


def _label_sides(target: pd.Series, classes: bool, rng: np.random.Generator) -> list[Condition]:
    """Conditions on the label: one class, a set of classes, or a number on one side of a quantile."""
    name = target.name
    if not classes:
        cut = float(f"{np.quantile(to_floats(target), rng.uniform(0.35, 0.65)):.4g}")
        return [Condition(name, above=cut), Condition(name, at_most=cut)]
    values = target.value_counts().index.tolist()
    sides = [Condition(name, (value,)) for value in values[:10]]
    if len(values) > 2:
        for _ in range(4):
            chosen = rng.permutation(len(values))[: rng.integers(1, len(values))]
            sides.append(Condition(name, tuple(values[i] for i in np.sort(chosen))))
    return sides


def _outcome(
    both: np.ndarray, group_only: np.ndarray, positive_only: np.ndarray, share: float, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each of R x S rules (R groups, S label conditions) would give for the minority share `share`.

    Args:
      both, group_only, positive_only: f32[R, S], shares of the rows that are in the group with a positive label, in
        the group with another label, and outside the group with a positive label.
    Returns:
      f32[R, S] each: the share of the rows that remain; the minority share, relative to what independence of group and
      label would give; the share of the smaller of the two cells that keep the rule.
    """
    neither = 1.0 - both - group_only - positive_only
    minority = group_only if kind == "one-sided" else group_only + positive_only
    majority = 1.0 - minority
    minority_kept = np.minimum(1.0, share * majority / ((1.0 - share) * np.maximum(minority, 1e-9)))
    majority_kept = np.minimum(1.0, (1.0 - share) * minority / (share * np.maximum(majority, 1e-9)))
    kept = minority_kept * minority + majority_kept * majority
    total = np.maximum(kept, 1e-9)
    both, group_only = majority_kept * both / total, minority_kept * group_only / total
    if kind == "one-sided":
        positive_only, neither = majority_kept * positive_only / total, majority_kept * neither / total
        expected = (both + group_only) * (group_only + neither)
    else:
        positive_only, neither = minority_kept * positive_only / total, majority_kept * neither / total
        group, positive = both + group_only, both + positive_only
        expected = group * (1 - positive) + (1 - group) * positive
    minority = group_only if kind == "one-sided" else group_only + positive_only
    return kept, minority / np.maximum(expected, 1e-9), np.minimum(both, neither)


def construct_shortcut(
    table: pd.DataFrame, rule: ShortcutRule, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, ConstructedShortcut]:
    """Leaves out random rows so that the share `share` of the others breaks the rule.

    Args:
      table: N rows.
      rule: the shortcut.
      share: minority share of the remaining rows, in (0, 0.5].
    Returns:
      i64[n], the numbers of the remaining rows in ascending order; bool[n], which of them break the rule; and the
      ConstructedShortcut.
    Raises:
      InputError: the table does not allow this share; the message says which shares it allows.
    """
    broken = rule.broken(table)
    minority, majority = np.flatnonzero(broken), np.flatnonzero(~broken)
    few = max(20, round(0.02 * len(table)))  # the least number of rows to train on
    if not len(minority) or not len(majority) or len(minority) / share < few or len(majority) / (1 - share) < few:
        raise InputError(_impossible(rule, share, len(minority), len(majority), few))
    num_minority = min(len(minority), round(share * len(majority) / (1 - share)))
    num_majority = min(len(majority), round((1 - share) * len(minority) / share))
    if not num_minority:
        raise InputError(_impossible(rule, share, len(minority), len(majority), few))
    stay = np.sort(np.concatenate([rng.permutation(minority)[:num_minority], rng.permutation(majority)[:num_majority]]))
    label = str(rule.positive)
    words = f"rows with {rule.group} but not {label}"
    if rule.kind == "two-sided":
        words += f", and rows with {label} but not {rule.group}"
    made = ConstructedShortcut(
        rule=rule,
        text=str(rule),
        minority=words,
        minority_share=num_minority / len(stay),
        rows_dropped=len(table) - len(stay),
    )
    return stay, broken[stay], made


def _impossible(rule: ShortcutRule, share: float, minority: int, majority: int, few: int) -> str:
    total = minority + majority
    start = f'the shortcut "{rule}" cannot have a minority of {share:g}: {minority} of {total} rows break it'
    if not minority or not majority:
        return f"{start}, so no share is possible; choose a rule that some rows keep and some break, or spurious=0."
    low, high = 1 / (majority + 1), min(0.5, minority / few)
    if low > high:
        return f"{start}, too few for any share; choose another rule, or spurious=0."
    return f"{start}; with at least {few} rows left, shares from {low:.4f} to {high:.4f} are possible."
