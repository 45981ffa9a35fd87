"""Error injection into a table: a shortcut first, then label errors, then feature errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from demix_jax.common.checks import InputError, check_choices
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.corruption.columns import usable_columns
from demix_jax.corruption.features import corrupt_features
from demix_jax.corruption.groups import is_number, series_of, to_floats
from demix_jax.corruption.labels import corrupt_labels
from demix_jax.corruption.options import FeatureErrors, LabelErrors, SpuriousCorrelation, check_some, checked_options
from demix_jax.corruption.shortcuts import ConstructedShortcut, choose_rule, construct_shortcut

if TYPE_CHECKING:
    import pandas as pd

_TASKS = ("auto", "classification", "regression")


class Injected(NamedTuple):
    """A corrupted table and its known errors.

    Attributes:
      table: n ≤ N rows of the input in the same order, renumbered from 0, with the same columns.
      truth: one row per row of `table`, with the same index. Columns: label_error, feature_error and
        spurious_correlation (0 or 1), source_row (row number in the input, from 0), clean_label (label before the
        injection), corrupted_columns (names of the feature columns whose cell changed, joined by ";").
      shortcut: the shortcut that was made; None if no row was to break one.
    """

    table: pd.DataFrame
    truth: pd.DataFrame
    shortcut: ConstructedShortcut | None


def inject_errors(
    table: pd.DataFrame,
    *,
    label: str,
    label_errors: float | LabelErrors = 0.15,
    feature_errors: float | FeatureErrors = 0.15,
    spurious: float | SpuriousCorrelation = 0.15,
    task: str = "auto",
    seed: int | jax.Array,
) -> Injected:
    """Corrupts a clean table with known errors of the three types.

    First, rows are left out at random until the share `spurious` of the others breaks a shortcut by its clean label.
    Then two disjoint random sets of the remaining rows get label errors and feature errors.

    Args:
      table: N rows with labels; not modified.
      label: the label column.
      label_errors: share of the remaining rows that get a wrong label, in [0, 1]; or `LabelErrors`. Fewer rows are
        wrong where a kind of errors can make no more wrong; the same holds for features.
      feature_errors: share of the remaining rows that get wrong features, in [0, 1]; or `FeatureErrors`. The rates of
        label errors and feature errors add up to at most 1.
      spurious: share of the remaining rows that break the shortcut, in [0, 0.5]; or `SpuriousCorrelation`. 0: no
        shortcut is made.
      task: "classification", "regression", or "auto": numeric labels are classes if they are at most 20 whole numbers,
        at most 10 fractions, or the whole numbers 0 … K−1 or 1 … K (K ≤ 100) with 20 rows each on average.
      seed: whole number from 0 or a JAX key; the same seed gives the same result.
    Returns:
      Injected(table, truth, shortcut). dtypes are kept, except that a column of whole numbers or truth values with
      a missing value becomes one of floats or objects.
    Raises:
      InputError: a rate, kind, rule or column that cannot be used.
    Source: the order of the steps is that of the DeMix paper.
    """
    from demix_jax.data.sources.in_memory import frame_of

    _check_table(table, label)
    table, _ = frame_of(table)
    options = checked_options(label_errors, feature_errors, spurious)
    check_choices({"task": task}, {"task": _TASKS})
    if options.feature_errors.columns is not None:
        features = [name for name in table.columns if name != label]
        check_some("FeatureErrors.columns", options.feature_errors.columns, features)
    classes = holds_classes(table, label, task)
    # one stream per error type, so that options of one type do not change the draws of the others
    rng_rule, rng_rows, rng_order, rng_label, rng_feature = generator(seed).spawn(5)

    shortcut, rows, broken = None, np.arange(len(table)), np.zeros(len(table), dtype=bool)
    if share := options.spurious.minority_share:
        features = usable_columns(table, label)
        rule = choose_rule(table, label, options.spurious, rng_rule, columns=features, classes=classes)
        rows, broken, shortcut = construct_shortcut(table, rule, share, rng_rows)
    clean = table.iloc[rows].reset_index(drop=True)
    if series_of(clean, label).nunique() < 2:
        text = shortcut.text if shortcut else ""
        raise InputError(f'the shortcut "{text}" leaves a single label; choose another rule.')

    result, mislabelled = clean.copy(), np.zeros(len(clean), dtype=bool)
    if count := round(options.label_errors.rate * len(clean)):
        kinds = options.label_errors.kinds
        result[label], mislabelled = corrupt_labels(clean, label, count, rng_label, classes=classes, kinds=kinds)
    columns = options.feature_errors.columns
    names = usable_columns(clean, label) if columns is None else list(columns)
    cells = np.zeros((len(clean), len(names)), dtype=bool)
    if count := round(options.feature_errors.rate * len(clean)):
        order = rng_order.permutation(len(clean))
        candidates = order[~mislabelled[order]]
        result, cells = corrupt_features(
            result, candidates, count, rng_feature, names=names, errors=options.feature_errors
        )
    truth = truth_table(
        series_of(clean, label), mislabelled=mislabelled, cells=cells, names=names, broken=broken, source_row=rows
    )
    return Injected(result, truth, shortcut)


def truth_table(
    clean_label: pd.Series,
    *,
    mislabelled: np.ndarray,
    cells: np.ndarray,
    names: list[str],
    broken: np.ndarray,
    source_row: np.ndarray,
) -> pd.DataFrame:
    """The truth of n rows, as in `Injected`.

    Args:
      clean_label: labels before the injection.
      mislabelled: bool[n], rows with a wrong label.
      cells: bool[n, Q], changed cells of the Q columns `names`.
      broken: bool[n], rows that break the shortcut.
      source_row: i64[n], their row numbers in the input.
    """
    import pandas as pd

    feature_error = cells.any(axis=1)
    has = {"label_error": mislabelled, "feature_error": feature_error, "spurious_correlation": broken}
    columns = np.full(len(cells), "", dtype=object)
    for row in np.flatnonzero(feature_error):
        columns[row] = ";".join(str(names[q]) for q in np.flatnonzero(cells[row]))
    truth = pd.DataFrame({name: has[name].astype(np.int64) for name in ERROR_TYPES}, index=clean_label.index)
    return truth.assign(source_row=source_row, clean_label=clean_label, corrupted_columns=columns)


def generator(seed: int | jax.Array) -> np.random.Generator:
    """NumPy's random generator for a seed, which is a whole number from 0 or a JAX key."""
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


def holds_classes(table: pd.DataFrame, label: str, task: str = "auto") -> bool:
    """Whether the labels are classes, see `inject_errors`; InputError if they cannot be corrupted."""
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
    """Whether labels are classes by their values, as `inject_errors` says for task "auto"."""
    if not is_number(target):
        return True
    values = np.unique(to_floats(target))
    whole = bool(np.all(values == np.round(values)))
    if len(values) <= (20 if whole else 10):
        return True
    coded = whole and values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    return coded and len(values) <= min(100, len(target) // 20)
