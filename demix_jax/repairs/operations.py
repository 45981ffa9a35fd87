"""The operations of a repair: impute features, relabel, reweight. Each is a pure function of a RepairProblem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.threads import one_thread
from demix_jax.data.decimals import decimals_of
from demix_jax.data.encoding import Dataset, TableEncoder
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import as_numbers
from demix_jax.data.write_cells import with_cells
from demix_jax.repairs.impute import find_wrong_cells
from demix_jax.repairs.relabel import MIN_CLASS_ROWS, new_classes, new_targets
from demix_jax.repairs.trees import TreeTable, tree_table
from demix_jax.repairs.undo_mistakes import Mistaken, in_old_unit, known_cells, undo_mistakes

MIN_CLEAN_ROWS = 30


class RepairProblem(NamedTuple):
    """A table of N rows to repair and what is known about it.

    table: inspected, without a weight column. encoder, data: fitted on `table`, and its rows as arrays.
    trees: the table as trees read it.
    label_error, feature_error, minority: bool[N], rows to repair.
    respelt: bool[N], rows whose label is right but spelled otherwise than most of its class.
    certainty: f64[N] in [0, 1], of the given label, see `certainty_of`.
    p_minority: f64[N], probability that a row is of the minority.
    mistakes: likely mistakes, by row number. seed: of everything random.
    """

    table: Table
    encoder: TableEncoder
    data: Dataset
    trees: TreeTable
    label_error: np.ndarray
    feature_error: np.ndarray
    minority: np.ndarray
    respelt: np.ndarray
    certainty: np.ndarray
    p_minority: np.ndarray
    mistakes: dict[int, Mistaken]
    seed: int

    def take(self, rows: np.ndarray) -> RepairProblem:
        """The problem of these rows i[n] alone."""
        return self._replace(
            table=self.table.take(rows),
            data=self.data.take(rows),
            trees=self.trees.take(rows),
            label_error=self.label_error[rows],
            feature_error=self.feature_error[rows],
            minority=self.minority[rows],
            respelt=self.respelt[rows],
            certainty=self.certainty[rows],
            p_minority=self.p_minority[rows],
            mistakes={at: self.mistakes[row] for at, row in enumerate(rows.tolist()) if row in self.mistakes},
        )


class Relabelled(NamedTuple):
    """New labels of N rows.

    y: [N], as in Dataset.y. weight: f64[N], 0 drops a row, below 1 for an uncertain label.
    note: a sentence about labels that were kept, or "".
    """

    y: np.ndarray
    weight: np.ndarray
    note: str


def impute_features(problem: RepairProblem) -> RepairProblem:
    """Undo known mistakes and replace the wrong cells of rows with feature errors."""
    frame, undone, changed = undo_mistakes(problem.table.frame, problem.mistakes)
    trees = tree_table(problem.table.with_frame(frame)) if changed else problem.trees
    known = known_cells(problem.mistakes, frame, trees.names)
    wrong = find_wrong_cells(frame, trees, problem.feature_error & ~undone, known=known, seed=problem.seed)
    if not wrong and not changed:
        return problem
    frame = frame.copy(deep=False)
    for cells in wrong:
        values = in_old_unit(frame, cells, problem.mistakes)
        frame[cells.column] = with_cells(frame[cells.column], cells.row, values)
    table = problem.table.with_frame(frame)
    return problem._replace(table=table, data=problem.encoder.transform(frame), trees=tree_table(table))


def relabel(problem: RepairProblem, allowed: np.ndarray | None = None) -> Relabelled:
    """New labels for rows with label errors, predicted by models of clean rows.

    The weight of a row is the certainty of its label, new or given.

    Args:
      problem: N rows. allowed: bool[N], rows that models may learn from; None: all rows.
    """
    y, num_classes = problem.data.y, problem.data.num_classes
    clean = ~problem.label_error & ~problem.feature_error
    clean = clean if allowed is None else clean & allowed
    rows, fit_rows = np.flatnonzero(problem.label_error), np.flatnonzero(clean)
    weight = np.where(problem.label_error, 1.0, problem.certainty)
    unchanged, note = Relabelled(y, weight, ""), ""
    if not len(rows) or not problem.trees.names:
        return unchanged
    target = problem.data.target
    if not target.ordered:
        counts = np.bincount(y[fit_rows], minlength=num_classes)
        scarce = counts < MIN_CLASS_ROWS
        if scarce.any():
            rows = rows[~scarce[y[rows]]]
            names = ", ".join(map(str, target.decode(np.flatnonzero(scarce))))
            note = f"Rows labelled {names} kept their label: fewer than {MIN_CLASS_ROWS} clean rows have it."
        enough = len(fit_rows) >= MIN_CLEAN_ROWS and np.sum(counts > 0) >= 2
    else:
        enough = len(fit_rows) >= MIN_CLEAN_ROWS and np.ptp(y[fit_rows]) > 0
    if not enough:
        return unchanged._replace(note="No label was changed: too few clean rows are left to learn labels from.")
    if not len(rows):
        return unchanged._replace(note=note)
    with one_thread():
        if not target.ordered:
            new = new_classes(problem.trees, y, num_classes, fit_rows, rows, seed=problem.seed)
        else:
            new = new_targets(problem.trees, y, fit_rows, rows, seed=problem.seed)
    result = y.copy()
    result[rows], weight[rows] = new.label, new.confidence
    return Relabelled(result, weight, note)


def minority_weight(problem: RepairProblem, factor: float) -> np.ndarray:
    """f64[N]: expected weight of a row if minority rows weigh `factor` and others 1; 1 for all others.

    Thus a row that breaks no shortcut after all, with a low probability, gains little weight.
    """
    raised = problem.minority & ~problem.label_error
    return np.where(raised, 1 + (factor - 1) * problem.p_minority, 1.0)


def label_column(problem: RepairProblem, y: np.ndarray) -> pd.Series:
    """The label column, rewritten in the rows where `y` [N] differs from the given labels."""
    column = problem.table.target
    changed = np.flatnonzero(y != problem.data.y)
    values = problem.data.target.decode(y[changed])
    if problem.data.target.ordered:
        decimals = decimals_of(as_numbers(column)[~problem.label_error])
        values = values if decimals is None else [round(value, decimals) for value in values]
    return with_cells(column, changed, values)
