"""Finds the wrong cells of rows with feature errors and estimates their values."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np
import pandas as pd

from demix_jax.common.threads import one_thread
from demix_jax.data.kinds import column_of
from demix_jax.repairs.conditional_models import LevelColumn, NumberColumn, fit_levels, fit_number, has_few_values
from demix_jax.repairs.trees import TreeTable

MAX_FIT_ROWS = 4_000
MAX_REFERENCE_ROWS = 2_000
MIN_FIT_ROWS = 20
NUM_PASSES = 8
ODD = 4.0  # weight of a value's oddity, relative to its surprise, in the choice of a row's worst cell


class WrongCells(NamedTuple):
    """Cells of one column that were found wrong.

    column: its label. row: i64[E], row numbers. probability: f32[E], that the cell is wrong.
    value: object[E], most likely value given the row's other cells; for a number the conditional median.
    """

    column: object
    row: np.ndarray
    probability: np.ndarray
    value: np.ndarray


def find_wrong_cells(
    frame: pd.DataFrame,
    table: TreeTable,
    flagged: np.ndarray,
    *,
    seed: int,
    known: np.ndarray | None = None,
    min_probability: float = 0.5,
) -> list[WrongCells]:
    """Find the wrong cells of flagged rows and estimate their values, column by column.

    A model of unflagged rows predicts each column from the others. The surprise of a cell becomes its probability of
    being wrong by comparing how often flagged and unflagged rows are that surprising. The label is not used, so that
    estimates of the repair on held-out rows stay honest.

    Args:
      frame: table of N rows. table: the same rows, encoded; Q usable columns.
      flagged: bool[N], rows with feature errors.
      seed: of the learner and of the choice of rows that it is fitted on.
      known: bool[N, Q], cells that are wrong regardless of their surprise; None: none is known.
      min_probability: cells below it are left alone.
    """
    known = np.zeros(table.features.shape, bool) if known is None else known
    chex.assert_shape(flagged, (len(frame),))
    chex.assert_shape([table.features, known], (len(frame), len(table.names)))
    rows = np.flatnonzero(flagged)
    good = np.random.default_rng(seed).permutation(np.flatnonzero(~flagged))
    num_fit = min(MAX_FIT_ROWS, 2 * len(good) // 3)
    fit_rows, reference = good[:num_fit], good[num_fit : num_fit + MAX_REFERENCE_ROWS]
    if not len(rows) or num_fit < MIN_FIT_ROWS or len(table.names) < 2:
        return []
    with one_thread():
        models = _fit_columns(frame, table, fit_rows, reference, seed)
        if not models:
            return []
        places, fitted = np.array(list(models)), list(models.values())
        columns = _ModelledColumns(places, fitted, _surprises(places, fitted, table.features[reference], reference))
        cells = _suspect_cells(columns, table, rows, reference, known[rows])
        return _found(columns, table, _acquit(columns, _search(columns, cells, min_probability), min_probability))


def probability_wrong(flagged: np.ndarray, unflagged: np.ndarray) -> np.ndarray:
    """Probability that a flagged row's cell is wrong: f32[n], increasing with its surprise.

    Let f be the density of surprise in flagged rows and f₀ in unflagged ones. Then f = π₀f₀ + (1 − π₀)f₁, and a cell is
    wrong with probability 1 − π₀f₀/f. The ratio f/f₀ is fitted as a monotone function of surprise. π₀ is its average
    over the lower half of f₀, where hardly any cell is wrong.

    Args:
      flagged, unflagged: f64[n] and f64[m], surprise of one column's cells.
    Source: Storey 2002, "A direct approach to false discovery rates", for π₀ and the local rate.
    """
    from sklearn.isotonic import IsotonicRegression

    half = np.median(unflagged)
    background = min(1.0, np.mean(flagged <= half) / np.mean(unflagged <= half))
    top = max(np.max(flagged), np.max(unflagged))
    # An added unflagged row with the largest surprise: with few rows, no surprise is proof.
    values = np.concatenate([flagged, unflagged, [top]])
    sizes = [len(flagged), len(unflagged) + 1]
    weight = np.repeat([1 / sizes[0], 1 / sizes[1]], sizes)
    share = IsotonicRegression().fit(values, np.repeat([1.0, 0.0], sizes), sample_weight=weight).predict(flagged)
    return np.clip(1 - background * (1 - share) / np.maximum(share, 1e-9), 0, 1).astype(np.float32)


class _ModelledColumns(NamedTuple):
    """Models of C of a table's Q columns.

    places: i64[C], of the table's columns. models: one per column.
    usual: f64[R, C], surprise of the cells of R reference rows.
    """

    places: np.ndarray
    models: list[LevelColumn | NumberColumn]
    usual: np.ndarray

    def best(self, m: int, features: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Most likely values of column m in rows i64[n] with features f64[n, Q]: object[n], and as features f64[n]."""
        return self.models[m].best(rows, np.delete(features, self.places[m], axis=1))

    def replaced(self, features: np.ndarray, rows: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """f64[n, Q]: features of rows i64[n] with the cells `wrong` bool[n, C] replaced by their most likely values."""
        features = features.copy()
        for m in np.flatnonzero(wrong.any(axis=0)).tolist():
            mine = np.flatnonzero(wrong[:, m])
            features[mine, self.places[m]] = self.best(m, features[mine], rows[mine])[1]
        return features


class _Cells(NamedTuple):
    """The modelled cells of n flagged rows during the search for wrong ones.

    rows: i64[n], their row numbers. given: f64[n, Q], their features. known: bool[n, C], cells known to be wrong.
    odd: f64[n, C], how unusual each given value is for its column.
    features: f64[n, Q], `given` with the wrong cells found so far replaced. surprise: f64[n, C], of `features`.
    wrong: f32[n, C], probability that the cell is wrong; 0 where it was not found wrong.
    """

    rows: np.ndarray
    given: np.ndarray
    known: np.ndarray
    odd: np.ndarray
    features: np.ndarray
    surprise: np.ndarray
    wrong: np.ndarray


def _fit_columns(
    frame: pd.DataFrame, table: TreeTable, fit_rows: np.ndarray, reference: np.ndarray, seed: int
) -> dict[int, LevelColumn | NumberColumn]:
    """A model of each column that can be predicted, by the column's place in the table."""
    models: dict[int, LevelColumn | NumberColumn] = {}
    for q, (name, kind) in enumerate(zip(table.names, table.kinds, strict=True)):
        x = np.delete(table.features, q, axis=1)
        is_category = np.delete(table.is_category, q)
        numbers = table.features[fit_rows, q]
        model = None
        if kind == "category" or (kind == "number" and has_few_values(numbers[np.isfinite(numbers)])):
            model = fit_levels(column_of(frame, name), table.features[:, q], x, is_category, fit_rows, seed=seed)
        elif kind == "number":
            model = fit_number(table.features[:, q], x, is_category, fit_rows, reference, seed=seed)
        if model is not None:
            models[q] = model
    return models


def _suspect_cells(
    columns: _ModelledColumns, table: TreeTable, rows: np.ndarray, reference: np.ndarray, known: np.ndarray
) -> _Cells:
    """The cells of the flagged rows i64[n]; those in `known` bool[n, Q] are replaced from the start."""
    given, known = table.features[rows], known[:, columns.places]
    odd = [_beyond_usual(model.oddity(rows), model.oddity(reference)) for model in columns.models]
    features = columns.replaced(given, rows, known)
    return _Cells(
        rows=rows,
        given=given,
        known=known,
        odd=np.stack(odd, axis=1),
        features=features,
        surprise=_surprises(columns.places, columns.models, features, rows),
        wrong=known.astype(np.float32),
    )


def _search(columns: _ModelledColumns, cells: _Cells, min_probability: float) -> _Cells:
    """Replace the most dubious cells of each row, judge the row again, and repeat.

    Not all cells at once: a wrong cell makes honest cells that depend on it look wrong too.
    """
    for _ in range(NUM_PASSES):
        doubt = _doubt(columns, cells)
        # A wrong cell and an honest one that depends on it contradict each other alike. The one whose value is unusual
        # for its column is the wrong one.
        excess = np.log1p(cells.surprise / (1e-6 + np.quantile(columns.usual, 0.95, axis=0))) + ODD * cells.odd
        dubious = doubt > min_probability
        worst = np.max(np.where(dubious, excess, 0.0), axis=1, keepdims=True)
        found = dubious & (excess >= 0.6 * worst)
        if not found.any():
            break
        features, surprise = columns.replaced(cells.features, cells.rows, found), cells.surprise.copy()
        touched = np.flatnonzero(found.any(axis=1))
        surprise[touched] = _surprises(columns.places, columns.models, features[touched], cells.rows[touched])
        cells = cells._replace(features=features, surprise=surprise, wrong=np.where(found, doubt, cells.wrong))
    return cells


def _doubt(columns: _ModelledColumns, cells: _Cells) -> np.ndarray:
    """f32[n, C]: probability that a cell is wrong; 0 where it was found wrong already."""
    doubt = np.zeros_like(cells.wrong)
    for m in range(len(columns.models)):
        left = np.flatnonzero(cells.wrong[:, m] == 0)
        if len(left):
            doubt[left, m] = probability_wrong(cells.surprise[left, m], columns.usual[:, m])
    return doubt


def _acquit(columns: _ModelledColumns, cells: _Cells, min_probability: float) -> _Cells:
    """Restore the cells that fit their row once its other wrong cells are replaced."""
    wrong, features = cells.wrong.copy(), cells.features.copy()
    for m, q in enumerate(columns.places):
        doubt = probability_wrong(cells.surprise[:, m], columns.usual[:, m])
        fits = (wrong[:, m] > 0) & (doubt <= min_probability) & ~cells.known[:, m]
        wrong[fits, m] = 0
        features[fits, q] = cells.given[fits, q]
    return cells._replace(wrong=wrong, features=features)


def _found(columns: _ModelledColumns, table: TreeTable, cells: _Cells) -> list[WrongCells]:
    """The cells found wrong, with new values, by column."""
    result = []
    for m, q in enumerate(columns.places):
        found = np.flatnonzero(cells.wrong[:, m])
        if len(found):
            values, _ = columns.best(m, cells.features[found], cells.rows[found])
            result.append(WrongCells(table.names[q], cells.rows[found], cells.wrong[found, m], values))
    return result


def _beyond_usual(oddity: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """f64[n]: log(1 + relative excess of each oddity over the 99 % quantile of `usual`); 0 below it."""
    return np.log1p(np.maximum(oddity / (1e-6 + np.quantile(usual, 0.99)) - 1, 0))


def _surprises(
    places: np.ndarray, models: list[LevelColumn | NumberColumn], features: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """f64[n, C]: surprise of each modelled cell of rows i64[n] with features f64[n, Q]."""
    surprises = [m.surprise(rows, np.delete(features, q, axis=1)) for m, q in zip(models, places, strict=True)]
    return np.stack(surprises, axis=1)
