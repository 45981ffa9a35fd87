"""Shortcut rules: which rows break a rule, how it is written as text, and whether it fits a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from demix_jax.common.checks import InputError, check_choices
from demix_jax.corruption.groups import Condition, Group, is_number, series_of

if TYPE_CHECKING:
    import pandas as pd

SHORTCUT_KINDS = ("two-sided", "one-sided")


@dataclass(frozen=True)
class ShortcutRule:
    """A spurious correlation: a group of rows and the labels that most of its rows have.

    Attributes:
      group: which rows are in the group.
      positive: a Condition on the label column: the labels that go with the group.
      kind: "two-sided": the other labels go with the rows outside the group, too. A row breaks the rule if it is in
        the group without a positive label, or outside the group with one. "one-sided": only the former breaks it.
    """

    group: Group
    positive: Condition
    kind: str = "two-sided"

    def broken(self, table: pd.DataFrame) -> np.ndarray:
        """bool[N]: the rows of `table` that break the rule (the minority group)."""
        group, positive = self.group.mask(table), self.positive.mask(table)
        return group & ~positive if self.kind == "one-sided" else group ^ positive

    def __str__(self) -> str:
        arrow = "=>" if self.kind == "one-sided" else "->"
        label = str(self.positive)[len(str(self.positive.column)) :]
        return f"{self.group} {arrow} {label.removeprefix('=')}"


def parse_shortcut(text: str, table: pd.DataFrame, label: str) -> ShortcutRule:
    """Reads a rule such as "sex=Male -> >50K", "age>40 -> 1" or "sex=Male & age<=30 => 0".

    Args:
      text: `GROUP -> LABELS` (two-sided) or `GROUP => LABELS` (one-sided). GROUP is `column=value`,
        `column=value|value`, `column>number` or `column<=number`, or two of them joined by ` & ` (both hold) or ` ^ `
        (exactly one holds). LABELS is `class`, `class|class`, or for numeric labels `>number` or `<=number`.
      table: the table whose columns and values the rule names.
      label: the label column.
    Raises:
      InputError: the text is not such a rule, or names a column or value that `table` does not have.
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
    """The column whose name, followed by an operator, starts `text`; the longest name wins; None if there is none."""
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
    """Reads `=value`, `=value|value` or a comparison.

    The equals sign is optional. An existing value such as ">50K" takes precedence over a comparison.
    """
    series = series_of(table, column)
    number = is_number(series)
    known = {str(value).strip(): value for value in series.dropna().unique()}
    if number:  # 1.0 in a column of floats may be written as 1
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


def given_rule(shortcut: ShortcutRule | str, table: pd.DataFrame, label: str) -> ShortcutRule:
    """The rule that a user gave as text or object.

    Raises:
      InputError: it is neither, or does not fit this table and label.
    """
    rule = parse_shortcut(shortcut, table, label) if isinstance(shortcut, str) else shortcut
    if not isinstance(rule, ShortcutRule):
        raise InputError(f'the shortcut is a {type(rule).__name__}; give a ShortcutRule or text like "age>40 -> 1".')
    check_choices({"the shortcut's kind": rule.kind}, {"the shortcut's kind": SHORTCUT_KINDS})
    if rule.positive.column != label:
        raise InputError(
            f'the shortcut "{rule}" is about the label "{rule.positive.column}", but the label column is "{label}".'
        )
    for condition in (*rule.group.conditions, rule.positive):
        if condition.column not in table.columns:
            names = ", ".join(map(str, table.columns))
            raise InputError(f'the shortcut "{rule}" needs a column "{condition.column}"; the columns are {names}.')
        if not condition.values and not is_number(series_of(table, condition.column)):
            raise InputError(
                f'the shortcut "{rule}" compares "{condition.column}" with a number, but that column holds none; '
                "name its values instead."
            )
    return rule
