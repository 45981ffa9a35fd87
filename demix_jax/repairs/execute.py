"""Carries out a repair plan, step by step, and records every change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.data.edited_table import changed_rows
from demix_jax.data.kinds import column_of
from demix_jax.repairs.choose import RepairPlan
from demix_jax.repairs.match_rows import WEIGHT
from demix_jax.repairs.operations import RepairProblem, impute_features, label_column, minority_weight, relabel
from demix_jax.repairs.undo_mistakes import undo_mistakes

_COUNTED = ("relabelled", "undone_rows", "imputed_rows", "imputed_cells", "dropped", "reweighted")


class Executed(NamedTuple):
    """What a repair plan came to, for N rows.

    frame: parsed rows with repaired cells. weight: f64[N], mean 1 over the rows that stay. dropped: bool[N].
    cells: one line per change: row (its position), column (its key), action ("undo", "impute", "relabel", "drop" or
      "reweight"), before, after (parsed).
    counts: numbers of rows that were relabelled, undone, imputed, dropped and reweighted, and of cells imputed.
    sentences: the same in words, with what was left unchanged and why.
    """

    frame: pd.DataFrame
    weight: np.ndarray
    dropped: np.ndarray
    cells: pd.DataFrame
    counts: dict[str, int]
    sentences: list[str]


class _State(NamedTuple):
    """A table of N rows under repair.

    problem: with the features repaired so far. frame: its rows, with the labels repaired so far.
    weight: f64[N]. dropped: bool[N].
    """

    problem: RepairProblem
    frame: pd.DataFrame
    weight: np.ndarray
    dropped: np.ndarray


class _Step(NamedTuple):
    """Outcome of a step: the new state, and what `Executed` says of the step."""

    state: _State
    counts: dict[str, int]
    cells: list[pd.DataFrame]
    sentences: list[str]


def execute_plan(problem: RepairProblem, plan: RepairPlan, base: np.ndarray) -> Executed:
    """Carry out a plan.

    Args:
      problem: N rows. plan: for them. base: f64[N], weights that the table came with.
    Raises:
      InputError: no row would be left.
    """
    state = _State(problem, problem.table.frame, base.copy(), np.zeros(len(base), bool))
    counts, cells, sentences = dict.fromkeys(_COUNTED, 0), [], []
    for take_step in (_repair_features, _repair_labels, _reweight_minority, _log_dropped):
        step = take_step(state, plan)
        state = step.state
        counts |= step.counts
        cells += step.cells
        sentences += step.sentences
    if state.dropped.all() or not state.weight[~state.dropped].sum() > 0:
        raise InputError("The repair would leave no row; choose keep, relabel or impute instead of drop.")
    return Executed(
        frame=state.frame,
        weight=state.weight / state.weight[~state.dropped].mean(),
        dropped=state.dropped,
        cells=pd.concat(cells, ignore_index=True) if cells else _lines(np.zeros(0, np.int64), "", "", [], []),
        counts=counts,
        sentences=[*sentences, *plan.sentences] or ["There was nothing to repair, so nothing was changed."],
    )


def _repair_features(state: _State, plan: RepairPlan) -> _Step:
    """Impute or drop rows with feature errors."""
    problem = state.problem
    if plan.feature_errors == "drop":
        sentence = f"Dropped {problem.feature_error.sum():,} rows with feature errors."
        return _Step(state._replace(dropped=state.dropped | problem.feature_error), {}, [], [sentence])
    if plan.feature_errors != "impute":
        return _Step(state, {}, [], [])
    imputed = plan.imputed if plan.imputed is not None else impute_features(problem)
    restored, undone, _ = undo_mistakes(state.frame, problem.mistakes)
    cells, sentences = [], []
    if undone.any():
        cells.append(_differences(state.frame, restored, "undo"))
        sentences.append(
            f"Undid known mistakes (exchanged values, wrong signs) in {undone.sum():,} rows with feature errors."
        )
    frame = imputed.table.frame
    changes = _differences(restored, frame, "impute")
    num_rows = int(changes["row"].nunique())  # pyright: ignore
    sentences.append(
        f"Imputed {len(changes):,} cells in {num_rows:,} of "
        f"{(problem.feature_error & ~undone).sum():,} {'other ' if undone.any() else ''}rows with feature errors; "
        "the other cells fit their rows."
    )
    counts = {"undone_rows": int(undone.sum()), "imputed_rows": num_rows, "imputed_cells": len(changes)}
    return _Step(state._replace(problem=imputed, frame=frame), counts, [*cells, changes], sentences)


def _repair_labels(state: _State, plan: RepairPlan) -> _Step:
    """Relabel or drop rows with label errors; unite the spellings of a class."""
    problem = state.problem
    united = _united_labels(state)
    num_wrong = int(problem.label_error.sum())
    if plan.label_errors == "drop":
        sentence = f"Dropped {num_wrong:,} rows with label errors."
        dropped = state._replace(dropped=state.dropped | problem.label_error)
        return united._replace(state=dropped, sentences=[sentence, *united.sentences])
    if plan.label_errors != "relabel":
        return united
    new = relabel(problem)
    frame = state.frame.copy(deep=False)
    frame[problem.table.label] = label_column(problem, new.y)
    changes = _differences(state.frame, frame, "relabel")
    kept = num_wrong - len(changes)
    sentence = (
        f"Relabelled {len(changes):,} of {num_wrong:,} rows with label errors"
        + (f"; {kept:,} kept their label, which is the more probable one" if kept else "")
        + ". The less certain a label, the less its row weighs."
    )
    return _Step(
        state._replace(frame=frame, weight=state.weight * new.weight),
        {"relabelled": len(changes) + united.counts.get("relabelled", 0)},
        [changes, *united.cells],
        [sentence, *([new.note] if new.note else []), *united.sentences],
    )


def _united_labels(state: _State) -> _Step:
    """Write the commonest spelling of the class into rows with a rarer one; the parsed label stays the same."""
    rows = np.flatnonzero(state.problem.respelt)
    if not len(rows):
        return _Step(state, {}, [], [])
    labels = state.problem.table.target.iloc[rows]
    cells = _lines(rows, state.problem.table.label, "relabel", labels, labels)
    sentence = f"Gave {len(rows):,} rows the commonest spelling of their label."
    return _Step(state, {"relabelled": len(rows)}, [cells], [sentence])


def _reweight_minority(state: _State, plan: RepairPlan) -> _Step:
    """Raise the weight of minority rows that stay."""
    gain = minority_weight(state.problem, plan.factor)
    raised = (gain > 1) & ~state.dropped
    if not raised.any():
        return _Step(state, {}, [], [])
    weight = state.weight * gain
    cells = _lines(np.flatnonzero(raised), WEIGHT, "reweight", state.weight[raised], weight[raised])
    sentence = (
        f"Raised the weight of {raised.sum():,} minority rows, by their probability up to {plan.factor:g}-fold: "
        "they break a shortcut, and models that see more of them lean on it less."
    )
    return _Step(state._replace(weight=weight), {"reweighted": int(raised.sum())}, [cells], [sentence])


def _log_dropped(state: _State, plan: RepairPlan) -> _Step:
    """Record the rows that earlier steps dropped."""
    num_dropped = int(state.dropped.sum())
    if not num_dropped:
        return _Step(state, {}, [], [])
    cells = _lines(np.flatnonzero(state.dropped), "", "drop", [""] * num_dropped, [""] * num_dropped)
    return _Step(state, {"dropped": num_dropped}, [cells], [])


def _differences(before: pd.DataFrame, after: pd.DataFrame, action: str) -> pd.DataFrame:
    """One line per cell that differs between two tables of equal shape and index."""
    parts = [
        _lines(rows, key, action, column_of(before, key).iloc[rows], column_of(after, key).iloc[rows])
        for key, rows in changed_rows(before, after).items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else _lines(np.zeros(0, np.int64), "", action, [], [])


def _lines(rows: np.ndarray, column: Any, action: str, before: Any, after: Any) -> pd.DataFrame:
    """Lines of `Executed.cells` for one column and action; `rows`, `before` and `after` have one entry per line."""
    return pd.DataFrame(
        {
            "row": rows,
            "column": pd.Series([column] * len(rows), dtype=object),
            "action": pd.Series([action] * len(rows), dtype=object),
            "before": pd.Series(list(before), dtype=object),
            "after": pd.Series(list(after), dtype=object),
        }
    )
