"""From a diagnosis to a repaired table: impute, relabel, reweight, each only if it helps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.common.checks import InputError, check_choices, check_seed
from demix_jax.repairs.choose import Options, Plan, choose_plan
from demix_jax.repairs.flags import Flags, read_flags
from demix_jax.repairs.operations import Problem, impute_features, label_column, minority_weight, relabel
from demix_jax.repairs.relabel import certainty_of
from demix_jax.repairs.trees import tree_table
from demix_jax.repairs.undo_mistakes import undo_mistakes

if TYPE_CHECKING:
    import pandas as pd

WEIGHT = "sample_weight"
_CHOICES = {
    "label_errors": ("relabel", "drop", "keep"),
    "feature_errors": ("impute", "drop", "keep"),
    "spurious": ("reweight", "keep"),
}


class Changes(NamedTuple):
    """What a repair did.

    counts: how many rows were relabelled, undone, imputed, dropped and reweighted, and how many cells imputed.
    cells: one line per change: row (its index label), column, action ("undo", "impute", "relabel", "drop" or
      "reweight"), before, after.
    sentences: the same for a person to read, with what was left as it was and why.
    """

    counts: dict[str, int]
    cells: pd.DataFrame
    sentences: list[str]


class Repaired(NamedTuple):
    """table: the repaired rows, columns in their old order, then sample_weight (mean 1). changes: what was done."""

    table: pd.DataFrame
    changes: Changes


def repair(
    train: pd.DataFrame | str | Path,
    diagnosis: Any,
    *,
    label: str,
    label_errors: str = "relabel",
    feature_errors: str = "impute",
    spurious: str = "reweight",
    task: str = "auto",
    seed: int = 0,
) -> Repaired:
    """Repair a table by its diagnosis.

    Rows flagged for label errors, where a wrong label is more likely than a right one, get the label that models of
    clean rows and the given label make most probable; every row, flagged or not, weighs as much as its label is
    certain. In rows flagged for feature errors the cells that contradict the rest of the row are found and replaced.
    Rows flagged for a spurious correlation are right, and rare: they gain weight. Each step is judged by task models on
    held-out rows and left out if the table does better without it.

    Args:
      train: table of N rows, or the path of one; not modified. A column sample_weight holds weights that the
        repair multiplies; it is not a feature.
      diagnosis: Diagnosis, or table (or its path) with the 0/1 columns label_error, feature_error and
        spurious_correlation, one row per row of `train`. Where it has a column p_label_error, labels with a probability
        below one half of being wrong are left; by p_spurious_correlation weights are raised, the likelier the more.
        Where these are missing, the flag decides.
      label: label column.
      label_errors: "relabel", "drop" or "keep". feature_errors: "impute", "drop" or "keep".
      spurious: "reweight" or "keep".
      task: "classification", "regression" or "auto": as diagnosed, else as the label's values suggest.
      seed: whole number from 0; the same seed gives the same result.
    Returns:
      Repaired(table, changes).
    Raises:
      InputError: an unknown choice, a table that cannot be used, or the diagnosis of another table.
    """
    options = Options(label_errors, feature_errors, spurious)
    _check_options(options, seed)
    frame = _read(train)
    flags = read_flags(frame, diagnosis, label)
    given_weight, weight_note = _take_weights(frame)
    apart = [name for name in (*flags.identifiers, WEIGHT) if name in frame.columns]
    features = frame.drop(columns=apart) if apart else frame
    base = np.ones(len(frame)) if given_weight is None else given_weight
    task = flags.task if task == "auto" else task
    problem = make_problem(features, label, flags, task=task, seed=seed)
    plan = choose_plan(problem, options, base)
    repaired, changes = _carry_out(problem, plan, options, base)
    for place, name in enumerate(name for name in flags.identifiers if name in frame.columns):
        repaired.insert(place, name, frame[name])
    sentences = [*changes.sentences, *([weight_note] if weight_note else [])]
    if flags.doubtful and label_errors != "keep":
        sentences.append(flags.doubts("label", "rows"))
    return Repaired(repaired, changes._replace(sentences=sentences))


def make_problem(
    frame: pd.DataFrame,
    label: str,
    flags: Flags,
    *,
    task: str,
    seed: int,
) -> Problem:
    """Check and encode the N rows that `flags` are about."""
    from demix_jax.data.encoding import TableEncoder
    from demix_jax.data.inspected_table import inspect_table
    from demix_jax.data.table import check_table

    table = inspect_table(frame, label)
    check_table(table, task=task)
    encoder = TableEncoder.fit(table, task=task)
    data = encoder.transform(frame)
    certainty = certainty_of(1 - flags.p_wrong, data.num_classes if data.task == "classification" else 2)
    wrong_label, wrong_features, minority = flags.rows.T
    return Problem(
        table=table,
        encoder=encoder,
        data=data,
        trees=tree_table(table),
        label_error=wrong_label,
        feature_error=wrong_features,
        minority=minority,
        certainty=certainty,
        p_minority=flags.p_minority,
        mistakes=flags.mistakes,
        seed=seed,
    )


def _check_options(options: Options, seed: int) -> None:
    check_choices(options._asdict(), _CHOICES)
    check_seed(seed)


def _read(train: pd.DataFrame | str | Path) -> pd.DataFrame:
    from demix_jax.data.inspected_table import refuse_duplicate_names
    from demix_jax.data.table import as_table

    frame = as_table(train)
    refuse_duplicate_names(frame, "The table")
    return frame


def _take_weights(frame: pd.DataFrame) -> tuple[np.ndarray | None, str]:
    """Weights f64[N] that the table came with, or None; and a sentence about them."""
    if WEIGHT not in frame.columns:
        return None, ""
    import pandas as pd

    given: Any = pd.to_numeric(frame[WEIGHT], errors="coerce")
    weight = given.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.all(np.isfinite(weight)) or np.any(weight < 0) or not weight.sum() > 0:
        raise InputError(
            "The table's column sample_weight must hold finite weights of at least 0, not all 0, because the "
            "repair multiplies them; rename the column if it means something else."
        )
    return weight, "The table's own sample_weight was multiplied by the new weights."


def _carry_out(problem: Problem, plan: Plan, options: Options, base: np.ndarray) -> tuple[pd.DataFrame, Changes]:
    import pandas as pd

    log: list[pd.DataFrame] = []
    counted = ("relabelled", "undone_rows", "imputed_rows", "imputed_cells", "dropped", "reweighted")
    counts: dict[str, int] = dict.fromkeys(counted, 0)
    index, weight, sentences = problem.table.frame.index, base.copy(), []
    original = problem.table.frame
    dropped = np.zeros(len(index), bool)

    if plan.feature_errors == "impute":
        problem = plan.imputed if plan.imputed is not None else impute_features(problem)
        restored, undone, _ = undo_mistakes(original, problem.mistakes)
        if undone.any():
            log.append(_differences(original, restored, index, "undo"))
            counts["undone_rows"] = int(undone.sum())
            sentences.append(
                f"Undid known mistakes (exchanged values, wrong signs) in {undone.sum():,} of the flagged rows."
            )
        changes = _differences(restored, problem.table.frame, index, "impute")
        counts["imputed_cells"], counts["imputed_rows"] = len(changes), int(changes["row"].nunique())  # pyright: ignore
        log.append(changes)
        sentences.append(
            f"Imputed {len(changes):,} cells in {counts['imputed_rows']:,} of "
            f"{(problem.feature_error & ~undone).sum():,} {'other ' if undone.any() else ''}rows flagged for feature "
            "errors; the other cells fit their rows."
        )
    elif plan.feature_errors == "drop":
        dropped |= problem.feature_error
        sentences.append(f"Dropped {problem.feature_error.sum():,} rows flagged for feature errors.")

    frame = problem.table.frame
    if plan.label_errors == "relabel":
        new = relabel(problem)
        frame = frame.copy(deep=False)
        frame[problem.table.label] = label_column(problem, new.y)
        changes = _differences(problem.table.frame, frame, index, "relabel")
        counts["relabelled"] = len(changes)
        log.append(changes)
        weight *= new.weight
        kept = int(problem.label_error.sum()) - len(changes)
        sentences.append(
            f"Relabelled {len(changes):,} of {problem.label_error.sum():,} rows flagged for label errors"
            + (f"; {kept:,} kept their label, which is the more probable one" if kept else "")
            + ". The less certain a label, the less its row weighs."
        )
        sentences.extend([new.note] if new.note else [])
    elif plan.label_errors == "drop":
        dropped |= problem.label_error
        sentences.append(f"Dropped {problem.label_error.sum():,} rows flagged for label errors.")

    gain = minority_weight(problem, plan.factor)
    raised = (gain > 1) & ~dropped
    if raised.any():
        log.append(_lines(index[raised], WEIGHT, "reweight", weight[raised], (weight * gain)[raised]))
        weight *= gain
        counts["reweighted"] = int(raised.sum())
        sentences.append(
            f"Raised the weight of {raised.sum():,} minority rows, by their probability up to {plan.factor:g}-fold: "
            "they break a shortcut, and models that see more of them lean on it less."
        )
    if dropped.any():
        log.append(_lines(index[dropped], "", "drop", np.full(dropped.sum(), ""), np.full(dropped.sum(), "")))
        counts["dropped"] = int(dropped.sum())
    if dropped.all() or not weight[~dropped].sum() > 0:
        raise InputError("The repair would leave no row; choose keep, relabel or impute instead of drop.")
    table = frame.loc[:, :].copy()
    table[WEIGHT] = weight
    table = table[~dropped]
    table[WEIGHT] = table[WEIGHT] / table[WEIGHT].mean()
    cells = pd.concat(log, ignore_index=True) if log else _lines(index[:0], "", "", [], [])
    sentences.extend(plan.sentences)
    return table, Changes(counts, cells, sentences or ["Nothing was flagged, so nothing was changed."])


def _differences(before: pd.DataFrame, after: pd.DataFrame, index: pd.Index, action: str) -> pd.DataFrame:
    """One line per cell that differs between two tables of equal shape."""
    import pandas as pd

    parts = []
    for name in before.columns:
        if before[name].equals(after[name]):
            continue
        old, new = before[name].astype(object), after[name].astype(object)
        same = (old == new) | (old.isna() & new.isna())
        rows = np.flatnonzero(~same.to_numpy(bool))
        if len(rows):
            parts.append(_lines(index[rows], name, action, old.iloc[rows], new.iloc[rows]))
    return pd.concat(parts, ignore_index=True) if parts else _lines(index[:0], "", action, [], [])


def _lines(rows: pd.Index, column: Any, action: str, before: Any, after: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "row": np.asarray(rows, dtype=object),
            "column": pd.Series([column] * len(rows), dtype=object),
            "action": pd.Series([action] * len(rows), dtype=object),
            "before": pd.Series(list(before), dtype=object),
            "after": pd.Series(list(after), dtype=object),
        }
    )
