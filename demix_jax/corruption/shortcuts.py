"""Shortcuts: a group of rows is made to go with a label by dropping rows that break the rule, or rows that keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.groups import Condition, Group, candidate_groups, is_number, series_of, to_floats

if TYPE_CHECKING:
    import pandas as pd

SHORTCUT_KINDS = ("two-sided", "one-sided")

_GROUP_SHARES = (0.15, 0.85)
_CARRIED = 0.1  # both cells that keep a found rule have at least this share: one cell alone makes no shortcut
_STRONG = 0.6  # a found rule's minority is at most this part of what independence of group and label would give


@dataclass(frozen=True)
class ShortcutRule:
    """A group of rows and the labels it goes with.

    Attributes:
      group: which rows are in the group.
      positive: a Condition on the label column: the label side that goes with the group.
      kind: "two-sided": the group goes with `positive` and the rest with the other labels, so rows of both other
        cells break the rule. "one-sided": only a row of the group whose label is not `positive` breaks it.
    """

    group: Group
    positive: Condition
    kind: str = "two-sided"

    def broken(self, table: pd.DataFrame) -> np.ndarray:
        """bool[N]: the rows of `table` that break the rule (the minority)."""
        group, positive = self.group.mask(table), self.positive.mask(table)
        return group & ~positive if self.kind == "one-sided" else group ^ positive

    def __str__(self) -> str:
        arrow = "=>" if self.kind == "one-sided" else "->"
        label = str(self.positive)[len(str(self.positive.column)) :]
        return f"{self.group} {arrow} {label.removeprefix('=')}"


class ConstructedShortcut(NamedTuple):
    """What was made of a rule.

    Attributes:
      rule: ShortcutRule, to be used again on another table (`inject_errors(valid, shortcut=rule, ...)`).
      text: the rule as `parse_shortcut` reads it.
      minority: which rows count as spurious_correlation = 1, in words.
      minority_share: share of the rows that break the rule.
      rows_dropped: how many rows were left out to get there.
    """

    rule: ShortcutRule
    text: str
    minority: str
    minority_share: float
    rows_dropped: int


def parse_shortcut(text: str, table: pd.DataFrame, label: str) -> ShortcutRule:
    """Reads a rule such as "sex=Male -> >50K", "age>40 -> 1" or "sex=Male & age<=30 => 0".

    Args:
      text: `GROUP -> LABELS` (two-sided) or `GROUP => LABELS` (one-sided). GROUP is `column=value`,
        `column=value|value`, `column>number` or `column<=number`, or two of them joined by ` & ` (both) or ` ^ `
        (exactly one). LABELS is `class`, `class|class`, or for a number `>number` or `<=number`.
      table: the table whose columns and values the rule names.
      label: the label column.
    Raises:
      InputError: the text is no such rule, or names a column or value that `table` does not have.
    """
    kind = "two-sided" if "->" in text else "one-sided"
    left, found, right = text.partition("->" if kind == "two-sided" else " => ")
    if not found:
        raise InputError(f'shortcut "{text}" has no "->"; write it like "sex=Male -> >50K" or "age>40 -> 1".')
    return ShortcutRule(_parse_group(left.strip(), table), _parse_test(label, right.strip(), table), kind)


def _parse_group(text: str, table: pd.DataFrame) -> Group:
    for join, sign in (("and", " & "), ("xor", " ^ ")):
        first, found, second = text.partition(sign)
        if found and None not in (_column_of(first, table), _column_of(second.strip(), table)):
            return Group((_parse_condition(first, table), _parse_condition(second, table)), join)
    return Group((_parse_condition(text, table),))


def _column_of(text: str, table: pd.DataFrame) -> Any:
    """The column with the longest name that `text` starts with and an operator follows; None if there is none."""
    for column in sorted(table.columns, key=lambda name: len(str(name)), reverse=True):
        name = str(column)
        if text.startswith(name) and text[len(name) :].lstrip().startswith(("=", ">", "<=")):
            return column
    return None


def _parse_condition(text: str, table: pd.DataFrame) -> Condition:
    text = text.strip()
    column = _column_of(text, table)
    if column is None:
        names = ", ".join(map(str, table.columns))
        raise InputError(
            f'shortcut condition "{text}" does not start with a column and =, > or <=; the columns are {names}.'
        )
    rest = text[len(str(column)) :].lstrip()
    return _parse_test(column, rest, table)


def _parse_test(column: Any, text: str, table: pd.DataFrame) -> Condition:
    """`=value`, `=value|value` or a comparison; a value that exists wins over a comparison (">50K"), the = may lack."""
    series = series_of(table, column)
    number = is_number(series)
    known = {str(value).strip(): value for value in series.dropna().unique()}
    if number:  # a float column's 1.0 may be called 1
        known |= {f"{float(value):.12g}": value for value in known.values()}
    asked = text.removeprefix("=").strip()
    names = [asked] if asked in known else [name.strip() for name in asked.split("|")]
    if all(name in known for name in names):
        return Condition(column, tuple(known[name] for name in names))
    operator = ">" if asked.startswith(">") else "<="
    if number and asked.startswith(operator):
        try:
            bound = float(asked.removeprefix(operator))
        except ValueError:
            bound = np.nan
        if np.isfinite(bound):
            return Condition(column, above=bound) if operator == ">" else Condition(column, at_most=bound)
    some = ", ".join(list(known)[:8]) + (" ..." if len(known) > 8 else "")
    raise InputError(
        f'the shortcut says "{column} {text}", but column "{column}" has the values {some}; '
        "write =value, =value|value, or for numbers >number or <=number."
    )


def find_shortcut(
    table: pd.DataFrame,
    label: str,
    share: float,
    rng: np.random.Generator,
    *,
    columns: list[str],
    classes: bool,
    kind: str,
    group_kinds: tuple[str, ...],
) -> ShortcutRule:
    """Draws a rule among those that leave at least half of the rows; if there is none, the best one.

    Args:
      table: N rows.
      label: the label column; `classes` says whether it holds classes or numbers.
      columns: those that a rule may speak of.
      share: the minority's share that is asked for.
      kind: one of SHORTCUT_KINDS.
      group_kinds: some of GROUP_KINDS.
    Raises:
      InputError: no column offers a group.
    """
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
    kept, strength, carried = _outlook(both, group_share - both, is_positive.mean(1) - both, share, kind)
    good = np.argwhere((kept >= 0.5) & (strength <= _STRONG) & (carried >= _CARRIED))
    if len(good):
        # a column with many candidate groups is not to be drawn more often than one with few
        names = [str(tuple(c.column for c in groups[g].conditions)) for g, _ in good]
        name = rng.choice(sorted(set(names)))
        good = good[[i for i, other in enumerate(names) if other == name]]
        g, s = good[rng.integers(len(good))]
    else:
        score = kept * np.maximum(1.0 - strength, 0.0) * np.minimum(carried / _CARRIED, 1.0)
        g, s = np.unravel_index(np.argmax(score), kept.shape)
    return ShortcutRule(groups[g], sides[s], kind)


def _label_sides(target: pd.Series, classes: bool, rng: np.random.Generator) -> list[Condition]:
    """Conditions on the label: one class, a set of classes, or a number above (or not above) a quantile."""
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


def _outlook(
    kept_cell: np.ndarray, group_only: np.ndarray, positive_only: np.ndarray, share: float, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a rule would come to, for many at once.

    Args:
      kept_cell, group_only, positive_only: shares of the rows in group and positive, in the group only, positive only.
    Returns:
      Share of the rows that stays; the minority relative to what independence of group and label would then give;
      share of the smaller of the two cells that keep the rule.
    """
    neither = 1.0 - kept_cell - group_only - positive_only
    minority = group_only if kind == "one-sided" else group_only + positive_only
    majority = 1.0 - minority
    cut_to = np.minimum(1.0, share * majority / ((1.0 - share) * np.maximum(minority, 1e-9)))
    grown_from = np.minimum(1.0, (1.0 - share) * minority / (share * np.maximum(majority, 1e-9)))
    kept = cut_to * minority + grown_from * majority
    total = np.maximum(kept, 1e-9)
    both, group_only = grown_from * kept_cell / total, cut_to * group_only / total
    if kind == "one-sided":
        positive_only, neither = grown_from * positive_only / total, grown_from * neither / total
        expected = (both + group_only) * (group_only + neither)
    else:
        positive_only, neither = cut_to * positive_only / total, grown_from * neither / total
        group, positive = both + group_only, both + positive_only
        expected = group * (1 - positive) + (1 - group) * positive
    minority = group_only if kind == "one-sided" else group_only + positive_only
    strength = minority / np.maximum(expected, 1e-9)
    return kept, strength, np.minimum(both, neither)


def construct_shortcut(
    table: pd.DataFrame, rule: ShortcutRule, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, ConstructedShortcut]:
    """Chooses the rows that stay so that a share `share` of them breaks the rule.

    Args:
      table: N rows.
      rule: the shortcut.
      share: in (0, 0.5]; the minority's share of the result, cut or grown by leaving rows out at random.
    Returns:
      i64[n] row numbers that stay (ascending), bool[n] which of them break the rule, and the ConstructedShortcut.
    Raises:
      InputError: the rule cannot have that share on this table; the message says which shares it can have.
    """
    broken = rule.broken(table)
    minority, majority = np.flatnonzero(broken), np.flatnonzero(~broken)
    few = max(20, round(0.02 * len(table)))  # fewer rows than this are no table to train on
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
