"""Repairs a table by its diagnosis: impute, relabel and reweight, each only if it helps."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, NamedTuple

import chex
import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError, check_choices, check_seed
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.read_options import ReadOptions
from demix_jax.data.edited_table import EditedTable
from demix_jax.data.encoding import TableEncoder
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import column_of
from demix_jax.data.read import read_written
from demix_jax.data.table_checks import check_table
from demix_jax.repairs.choose import Options, choose_plan
from demix_jax.repairs.execute import Executed, execute_plan
from demix_jax.repairs.flags import Flags, check_also, read_flags, saved_diagnosis
from demix_jax.repairs.match_rows import WEIGHT
from demix_jax.repairs.operations import RepairProblem
from demix_jax.repairs.relabel import certainty_of
from demix_jax.repairs.trees import tree_table

_OF_CELLS = ("undo", "impute", "relabel")
_CHOICES = {
    "label_errors": ("relabel", "drop", "keep"),
    "feature_errors": ("impute", "drop", "keep"),
    "spurious": ("reweight", "keep"),
}


class Changes(NamedTuple):
    """What a repair did.

    counts: numbers of rows that were relabelled, undone, imputed, dropped and reweighted, and of cells imputed.
    cells: one line per change: row (its index label; for a file its number, from 0), column, action ("undo", "impute",
      "relabel", "drop" or "reweight"), before, after (as written).
    sentences: the same in words, with what was left unchanged and why.
    """

    counts: dict[str, int]
    cells: pd.DataFrame
    sentences: list[str]


class Repaired(NamedTuple):
    """A repaired table.

    table: the repaired rows, with their columns in the old order and then sample_weight (mean 1); of the type that was
      given, or a DataFrame of parsed values if a path was given.
    changes: what was done. edited: the table as it is written, with these changes.
    """

    table: Any
    changes: Changes
    edited: EditedTable

    def save(self, path: str | os.PathLike) -> None:
        """Write the repaired table; in the format of the given file, every cell that was not changed stays as it is.

        Raises:
          InputError: the format of `path` is neither that of the given file nor .csv nor .parquet.
        """
        self.edited.save(path)


def repair(
    train: Any,
    diagnosis: Any,
    *,
    label: str,
    label_errors: str = "relabel",
    feature_errors: str = "impute",
    spurious: str = "reweight",
    also: str | None = None,
    task: str = "auto",
    encoding: str | None = None,
    sheet: str | None = None,
    seed: int = 0,
) -> Repaired:
    """Repair a table by its diagnosis: the rows that are likely wrong, or likely break a shortcut.

    * Label errors: such a row gets the most probable label. Models of the other rows and the given label decide which
      one that is. The weight of every row, flagged or not, is the certainty of its label.
    * Feature errors: the cells that contradict the rest of such a row are replaced.
    * Spurious correlations: such rows are right and rare, so their weight is raised.

    Task models judge each step on held-out rows. A step is left out if the table does better without it.

    Args:
      train: table of N rows in any form that `demix_jax.diagnose` takes, or its path; not modified. A column
        sample_weight is no feature: it holds weights that the repair multiplies.
      diagnosis: Diagnosis, or a table (or its path) with the 0/1 columns label_error, feature_error and
        spurious_correlation. With the columns row and row_fingerprint, as `Diagnosis.save` writes them, both tables may
        have been sorted, filtered or given more columns since; else it has one line per row of `train`, in its order.
        It may have columns of probabilities (p_label_error) and bands (band_label_error). A row is acted on if its flag
        is 1 and its band is not "look"; without the column of bands, if its probability is not below one half. So you
        may set flags yourself: 0 spares the row; 1 with an empty band repairs it. The higher p_spurious_correlation,
        the more weight a row gains.
      label: label column.
      label_errors: "relabel", "drop" or "keep". feature_errors: "impute", "drop" or "keep".
      spurious: "reweight" or "keep".
      also: "look" repairs rows that are only worth a look, too; None: only likely ones.
      task: "classification", "regression" or "auto": as diagnosed, else as the label's values suggest.
      encoding, sheet: of a text file, of a workbook; None: as it was diagnosed.
      seed: whole number from 0; the same seed gives the same result.
    Returns:
      Repaired(table, changes).
    Raises:
      InputError: an unknown choice, a table that cannot be used, or the diagnosis of another table.
    """
    options = Options(label_errors, feature_errors, spurious)
    _check_options(options, also, seed)
    saved = saved_diagnosis(diagnosis)
    told = {"encoding": encoding, "sheet": sheet}
    told = {name: value for name, value in told.items() if value is not None}
    known = ReadOptions.of(**(saved.summary.get("options") or {}) | told)
    given = read_written(train, known)
    flags = read_flags(given.frame, saved, label, also=also)
    given_weight, weight_note = _take_weights(given.frame)
    apart = tuple(name for name in (*flags.identifiers, WEIGHT) if name in given.frame.columns)
    known = dataclasses.replace(known, ignore=tuple(dict.fromkeys((*known.ignore, *apart))))
    table = given.inspected(label, known)
    task = flags.task if task == "auto" else task
    problem = make_problem(table, flags, unite=label_errors != "keep", task=task, seed=seed)
    base = np.ones(len(table)) if given_weight is None else given_weight
    made = execute_plan(problem, choose_plan(problem, options, base), base)
    choices = dict(zip(ERROR_TYPES, options, strict=True))
    left = flags.left_sentences(choices, "row")
    sentences = [*flags.sentences, *made.sentences, *([weight_note] if weight_note else []), *left]
    edited = _edited(table, made)
    changes = Changes(made.counts, _as_written(made.cells, edited), sentences)
    return Repaired(edited.parsed() if given.source else given.like(edited.frame()), changes, edited)


def _edited(table: Table, made: Executed) -> EditedTable:
    """The changes of a repair in the form of each column."""
    changed = made.cells[made.cells["action"].isin(_OF_CELLS)]
    rows = {key: np.unique(np.asarray(lines["row"], np.int64)) for key, lines in changed.groupby("column", sort=False)}
    return EditedTable.of(table, made.frame, rows, dropped=made.dropped, added={WEIGHT: made.weight})


def _as_written(cells: pd.DataFrame, edited: EditedTable) -> pd.DataFrame:
    """`Changes.cells`: the lines of `Executed.cells` with index labels and values as they are written."""
    log, written = cells.copy(), edited.table.written
    for key, lines in cells[cells["action"].isin(_OF_CELLS)].groupby("column", sort=False):
        rows, new = np.asarray(lines["row"], np.int64), edited.edits.cells[str(key)]
        before = column_of(written, key).iloc[rows].tolist()
        after = [new.values[place] for place in np.searchsorted(new.rows, rows)]
        log.loc[lines.index, "before"] = pd.Series(before, index=lines.index, dtype=object)
        log.loc[lines.index, "after"] = pd.Series(after, index=lines.index, dtype=object)
    log["row"] = written.index.to_numpy(dtype=object)[cells["row"].to_numpy(np.int64)]
    return log


def make_problem(table: Table, flags: Flags, *, unite: bool = True, task: str, seed: int) -> RepairProblem:
    """Check and encode the N rows that `flags` are about; `unite`: whether spellings of a class are united.

    Raises:
      InputError: the table cannot be repaired, see `check_table`.
    """
    chex.assert_shape([flags.label_error, flags.feature_error, flags.minority], (len(table),))
    check_table(table, task=task)
    encoder = TableEncoder.fit(table, task=task)
    data = encoder.transform(table.frame)
    respelt = table.respelt() & flags.label_error
    certainty = certainty_of(1 - flags.p_wrong, 2 if data.target.ordered else data.num_classes)
    return RepairProblem(
        table=table,
        encoder=encoder,
        data=data,
        trees=tree_table(table),
        label_error=flags.label_error & ~respelt,
        feature_error=flags.feature_error,
        minority=flags.minority,
        respelt=respelt & unite,
        certainty=certainty,
        p_minority=flags.p_minority,
        mistakes=flags.mistakes,
        seed=seed,
    )


def _check_options(options: Options, also: str | None, seed: int) -> None:
    check_choices(options._asdict(), _CHOICES)
    check_also(also)
    check_seed(seed)


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
