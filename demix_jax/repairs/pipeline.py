"""Repairs a table by its diagnosis: impute, relabel and reweight, each only if it helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import chex
import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError, check_choices, check_seed
from demix_jax.data.encoding import TableEncoder
from demix_jax.data.inspected_table import inspect_table, refuse_duplicate_names
from demix_jax.data.table import as_table, check_table
from demix_jax.repairs.choose import Options, choose_plan
from demix_jax.repairs.execute import WEIGHT, Changes, execute_plan
from demix_jax.repairs.flags import Flags, read_flags
from demix_jax.repairs.operations import RepairProblem
from demix_jax.repairs.relabel import certainty_of
from demix_jax.repairs.trees import tree_table

_CHOICES = {
    "label_errors": ("relabel", "drop", "keep"),
    "feature_errors": ("impute", "drop", "keep"),
    "spurious": ("reweight", "keep"),
}


class Repaired(NamedTuple):
    """A repaired table.

    table: the repaired rows, with their columns in the old order and then sample_weight (mean 1).
    changes: what was done.
    """

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

    * Label errors: a row whose label is more likely wrong than right gets the most probable label. Models of clean rows
      and the given label decide which one that is. The weight of every row, flagged or not, is the certainty of its
      label.
    * Feature errors: the cells that contradict the rest of a flagged row are replaced.
    * Spurious correlations: flagged rows are right and rare, so their weight is raised.

    Task models judge each step on held-out rows. A step is left out if the table does better without it.

    Args:
      train: table of N rows, or its path; not modified. A column sample_weight is no feature: it holds weights that the
        repair multiplies.
      diagnosis: Diagnosis, or a table (or its path) with the 0/1 columns label_error, feature_error and
        spurious_correlation, one row per row of `train`. It may have two columns of probabilities. Labels with
        p_label_error below one half are left; the higher p_spurious_correlation, the more weight a row gains. Where a
        probability is missing, the flag decides.
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
    repaired, changes = execute_plan(problem, plan, base)
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
) -> RepairProblem:
    """Check, inspect and encode the N rows that `flags` are about.

    Raises:
      InputError: the table cannot be repaired, see `check_table`.
    """
    chex.assert_shape([flags.label_error, flags.feature_error, flags.minority], (len(frame),))
    table = inspect_table(frame, label)
    check_table(table, task=task)
    encoder = TableEncoder.fit(table, task=task)
    data = encoder.transform(frame)
    certainty = certainty_of(1 - flags.p_wrong, 2 if data.target.ordered else data.num_classes)
    return RepairProblem(
        table=table,
        encoder=encoder,
        data=data,
        trees=tree_table(table),
        label_error=flags.label_error,
        feature_error=flags.feature_error,
        minority=flags.minority,
        certainty=certainty,
        p_minority=flags.p_minority,
        mistakes=flags.mistakes,
        seed=seed,
    )


def _check_options(options: Options, seed: int) -> None:
    check_choices(options._asdict(), _CHOICES)
    check_seed(seed)


def _read(train: pd.DataFrame | str | Path) -> pd.DataFrame:
    frame = as_table(train)
    refuse_duplicate_names(frame, "The table")
    return frame


def _take_weights(frame: pd.DataFrame) -> tuple[np.ndarray | None, str]:
    """Weights f64[N] that the table came with, or None, and a sentence about them."""
    if WEIGHT not in frame.columns:
        return None, ""
    given: Any = pd.to_numeric(frame[WEIGHT], errors="coerce")
    weight = given.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.all(np.isfinite(weight)) or np.any(weight < 0) or not weight.sum() > 0:
        raise InputError(
            "The table's column sample_weight must hold finite weights of at least 0, not all 0, because the "
            "repair multiplies them; rename the column if it means something else."
        )
    return weight, "The table's own sample_weight was multiplied by the new weights."
