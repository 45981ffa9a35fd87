"""The whole injection, in the order of the paper's protocol: shortcut, label errors, feature errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from demix_jax.common.checks import InputError, lies_in
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.corruption.feature_kinds import DEFAULT_FEATURE_KINDS, FEATURE_KINDS
from demix_jax.corruption.features import corrupt_features, usable_columns
from demix_jax.corruption.groups import GROUP_KINDS, OF_ONE_COLUMN, is_number, series_of, to_floats
from demix_jax.corruption.labels import LABEL_KINDS, corrupt_labels
from demix_jax.corruption.shortcuts import (
    SHORTCUT_KINDS,
    ConstructedShortcut,
    ShortcutRule,
    construct_shortcut,
    find_shortcut,
    parse_shortcut,
)

if TYPE_CHECKING:
    import pandas as pd


class Injected(NamedTuple):
    """A corrupted table and what was done to it.

    Attributes:
      table: n ≤ N rows of the input in their order, renumbered from 0; the columns of the input.
      truth: one row per row of `table`, same index. label_error, feature_error, spurious_correlation (0 or 1),
        source_row (row number in the input, from 0), clean_label (before it was changed), corrupted_columns (names
        of the feature columns whose cell was changed, joined by ";").
      shortcut: the ConstructedShortcut; None if spurious = 0.
    """

    table: pd.DataFrame
    truth: pd.DataFrame
    shortcut: ConstructedShortcut | None


def inject_errors(
    table: pd.DataFrame,
    *,
    label: str,
    label_errors: float = 0.15,
    feature_errors: float = 0.15,
    spurious: float = 0.15,
    shortcut: ShortcutRule | str | None = None,
    task: str = "auto",
    label_kind: str = "uniform",
    feature_kinds: tuple[str, ...] = DEFAULT_FEATURE_KINDS,
    shortcut_kind: str = "two-sided",
    group_kinds: tuple[str, ...] = OF_ONE_COLUMN,
    cell_share: float | tuple[float, float] = 0.4,
    feature_columns: tuple[str, ...] | None = None,
    one_kind_per_row: bool = False,
    seed: int | jax.Array,
) -> Injected:
    """Corrupts a clean table in known ways.

    First the shortcut: rows are left out until the share `spurious` of those that stay breaks the rule by its clean
    label. Then two disjoint random sets of rows get label errors and feature errors.

    Args:
      table: N rows with labels; not modified.
      label: the label column.
      label_errors, feature_errors: shares of the rows that stay, together at most 1.
      spurious: the minority's share of the rows that stay, at most 0.5; 0: no shortcut, no row left out.
      shortcut: the rule, as ShortcutRule or as text for `parse_shortcut`; None finds one in the table.
      task: "classification", "regression", or "auto": numbers are classes if whole with at most 20
        distinct values, fractions with at most 10, or whole numbers 0 … K−1 or 1 … K with 20 rows each.
      label_kind: one of LABEL_KINDS. A regression target moves by at least a quarter of its range, by "near" from an
        eighth to a half.
      feature_kinds: some of FEATURE_KINDS. "outlier": far from the mean; "scale": times 0.1, 10 or 100; "shift",
        "offset": moved, each cell by its own amount or all of a column alike; "noise", "sign", "missing": as they say;
        "swap_category": another category; "permute": a value of any other row; "stale": what stood in the row before;
        "constant": the median, zero or commonest category; "typo": misspelt; "swap_columns": exchanged with another
        column; "limit": an end of the column's range, as of a sensor that goes no further; "round": to one digit;
        "digit": a digit exchanged with the next, left out or doubled; "sentinel": a number or word that stands for
        missing; "unit": another unit of measurement.
      shortcut_kind: one of SHORTCUT_KINDS, for a rule that is found.
      group_kinds: some of GROUP_KINDS, for a rule that is found.
      cell_share: in a row with feature errors, each cell is hit with this probability; at least one is. Two numbers
        are the ends of a range from which each row's is drawn.
      feature_columns: those that feature errors hit; None: all but the label and identifiers.
      one_kind_per_row: the wrong cells of a row have one of `feature_kinds` in common, where it suits their columns;
        else every cell has its own.
      seed: whole number from 0 or a JAX key; the same seed gives the same result.
    Returns:
      Injected(table, truth, shortcut). dtypes are kept, except that a column of whole numbers or truth values with
      a missing value becomes one of floats or objects.
    Raises:
      InputError: a rate, kind, rule or column that cannot be used.
    Source: the order of steps is the DeMix paper's; class-conditional label noise: Northcutt, Jiang & Chuang 2021,
      "Confident Learning".
    """
    from demix_jax.data.table import dense

    _check_table(table, label)
    table = dense(table)
    check_rates(label_errors, feature_errors, spurious, cell_share)
    check_choice("label_kind", (label_kind,), LABEL_KINDS)
    check_choice("shortcut_kind", (shortcut_kind,), SHORTCUT_KINDS)
    check_choice("feature_kinds", feature_kinds, FEATURE_KINDS)
    check_choice("group_kinds", group_kinds, GROUP_KINDS)
    check_choice("task", (task,), ("auto", "classification", "regression"))
    if feature_columns is not None:
        check_choice("feature_columns", feature_columns, tuple(name for name in table.columns if name != label))
    classes = _holds_classes(table, label, task)
    # one stream per error type, so that a change to one leaves the draws of the others alone
    rng_rule, rng_rows, rng_order, rng_label, rng_feature = generator(seed).spawn(5)

    made, stay = None, np.arange(len(table))
    broken = np.zeros(len(table), dtype=bool)
    if spurious > 0:
        if shortcut is None:
            names = usable_columns(table, label)
            rule = find_shortcut(
                table,
                label,
                spurious,
                rng_rule,
                columns=names,
                classes=classes,
                kind=shortcut_kind,
                group_kinds=tuple(group_kinds),
            )
        else:
            rule = given_rule(shortcut, table, label)
        stay, broken, made = construct_shortcut(table, rule, spurious, rng_rows)
    clean = table.iloc[stay].reset_index(drop=True)

    if series_of(clean, label).nunique() < 2:
        raise InputError(f'the shortcut "{made.text if made else ""}" leaves a single label; choose another rule.')
    has_label_error = np.zeros(len(clean), dtype=bool)
    result = clean.copy()
    if num_labels := round(label_errors * len(clean)):
        result[label], has_label_error = corrupt_labels(
            clean, label, num_labels, rng_label, classes=classes, kind=label_kind
        )
    names = usable_columns(clean, label) if feature_columns is None else list(feature_columns)
    cells = np.zeros((len(clean), len(names)), dtype=bool)
    if num_features := round(feature_errors * len(clean)):
        order = rng_order.permutation(len(clean))
        candidates = order[~has_label_error[order]]
        result, cells = corrupt_features(
            result,
            candidates,
            num_features,
            rng_feature,
            names=names,
            kinds=tuple(feature_kinds),
            cell_share=cell_share,
            one_kind_per_row=one_kind_per_row,
        )
    truth = truth_table(
        series_of(clean, label), label_error=has_label_error, cells=cells, names=names, broken=broken, source_row=stay
    )
    return Injected(result, truth, made)


def truth_table(
    clean_label: pd.Series,
    *,
    label_error: np.ndarray,
    cells: np.ndarray,
    names: list[str],
    broken: np.ndarray,
    source_row: np.ndarray,
) -> pd.DataFrame:
    """The truth of n rows, as in `Injected`.

    Args:
      clean_label: labels before the injection.
      label_error: bool[n], rows with a wrong label.
      cells: bool[n, Q], changed cells of the Q columns `names`.
      broken: bool[n], rows that break the shortcut.
      source_row: i64[n], their row numbers in the input.
    """
    import pandas as pd

    feature_error = cells.any(axis=1)
    has = {"label_error": label_error, "feature_error": feature_error, "spurious_correlation": broken}
    columns = np.full(len(cells), "", dtype=object)
    for row in np.flatnonzero(feature_error):
        columns[row] = ";".join(str(names[q]) for q in np.flatnonzero(cells[row]))
    truth = pd.DataFrame({name: has[name].astype(np.int64) for name in ERROR_TYPES}, index=clean_label.index)
    return truth.assign(source_row=source_row, clean_label=clean_label, corrupted_columns=columns)


def generator(seed: int | jax.Array) -> np.random.Generator:
    """NumPy's generator for a whole number from 0 or a JAX key."""
    if isinstance(seed, jax.Array):
        return np.random.default_rng(np.asarray(jax.random.key_data(seed)).ravel())
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"seed is {seed!r}; give a whole number from 0, or a JAX key.")
    return np.random.default_rng(int(seed))


def _check_table(table: pd.DataFrame, label: str) -> None:
    if not table.columns.is_unique:
        twice = ", ".join(sorted({str(name) for name in table.columns[table.columns.duplicated()]}))
        raise InputError(f"the table has more than one column named {twice}; rename them.")
    if label not in table.columns:
        names = ", ".join(map(str, table.columns))
        raise InputError(f'the table has no column "{label}" to be the label; its columns are {names}.')
    if len(table.columns) < 2:
        raise InputError(f'the table has no column besides the label "{label}"; errors need at least one feature.')
    if len(table) < 2:
        raise InputError(f"the table has {len(table)} rows; errors need at least 2.")
    if empty := int(np.sum(series_of(table, label).isna())):
        raise InputError(f'the label column "{label}" has {empty} missing values; drop those rows first.')


def check_rates(
    label_errors: float, feature_errors: float, spurious: float, cell_share: float | tuple[float, float]
) -> None:
    """Raise InputError unless these are shares, of one table."""
    if np.shape(cell_share) not in ((), (2,)):
        raise InputError(f"cell_share is a share, or two that are the ends of a range; got {cell_share}.")
    lowest, highest = np.broadcast_to(np.asarray(cell_share), 2)
    rates = [("label_errors", label_errors), ("feature_errors", feature_errors)]
    for name, rate in [*rates, ("cell_share", lowest), ("cell_share", highest)]:
        if not lies_in(rate, 0.0, 1.0):
            raise InputError(f"{name} must lie in [0, 1], got {rate}.")
    if lowest > highest:
        raise InputError(f"cell_share is a range and must rise, got {lowest:g} to {highest:g}.")
    if not lies_in(spurious, 0.0, 0.5):
        raise InputError(f"spurious is the share of a minority and must lie in [0, 0.5], got {spurious}.")
    if label_errors + feature_errors > 1.0 + 1e-9:
        raise InputError(
            f"label_errors {label_errors:g} and feature_errors {feature_errors:g} fall on different rows, so they "
            "may add up to at most 1; lower one of them."
        )


def check_choice(name: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError unless `given` is a sequence that holds something, and nothing but what is `known`."""
    if isinstance(given, str):
        raise InputError(f'{name} is "{given}"; give a tuple of names, such as ("{known[0]}",).')
    unknown = [str(kind) for kind in given if kind not in known]
    if unknown or not given:
        what = ", ".join(unknown) if unknown else "nothing"
        raise InputError(f"{name} was given {what}; choose among {', '.join(known)}.")


def given_rule(shortcut: ShortcutRule | str, table: pd.DataFrame, label: str) -> ShortcutRule:
    """The rule itself, read first where it is text; InputError if it is none for this table and label."""
    rule = parse_shortcut(shortcut, table, label) if isinstance(shortcut, str) else shortcut
    _check_rule(rule, table, label)
    return rule


def _check_rule(rule: ShortcutRule, table: pd.DataFrame, label: str) -> None:
    check_choice("the shortcut's kind", (rule.kind,), SHORTCUT_KINDS)
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


def _holds_classes(table: pd.DataFrame, label: str, task: str) -> bool:
    """Whether the label is one of classes; checks that it can be corrupted at all."""
    target = series_of(table, label)
    number = is_number(target)
    classes = _looks_like_classes(target) if task == "auto" else task == "classification"
    if target.nunique() < 2:
        raise InputError(f'the label column "{label}" has a single value; choose another label.')
    if not classes and not number:
        raise InputError(f'task="regression" needs numbers in the label column "{label}"; it holds {target.dtype}.')
    if not classes and not np.isfinite(to_floats(target)).all():
        raise InputError(f'the label column "{label}" has infinite values; drop those rows first.')
    return classes


def _looks_like_classes(target: pd.Series) -> bool:
    """Anything but numbers, whole numbers and fractions of few values, and codes 0 … K−1 or 1 … K of many rows each."""
    if not is_number(target):
        return True
    values = np.unique(to_floats(target))
    whole = bool(np.all(values == np.round(values)))
    if len(values) <= (20 if whole else 10):
        return True
    coded = whole and values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    return coded and len(values) <= min(100, len(target) // 20)
