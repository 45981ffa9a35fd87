"""Which cells of a row with feature errors are wrong, and what should stand there instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.threads import one_thread
from demix_jax.repairs.conditional_models import LevelColumn, NumberColumn, fit_levels, fit_number, has_few_values

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.repairs.trees import TreeTable

MAX_FIT_ROWS = 4_000
MAX_REFERENCE_ROWS = 2_000
MIN_FIT_ROWS = 20
NUM_PASSES = 8
ODD = 4.0  # weight of a value's oddity against its surprise when the worst cell of a row is chosen


class WrongCells(NamedTuple):
    """Cells of one column found wrong.

    column: its label. row: i64[E], row numbers. probability: f32[E], that the cell is wrong.
    value: object[E], what the row's other cells make most likely; for a number the conditional median.
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
    """Find and re-estimate the wrong cells of flagged rows, column by column.

    Each column is predicted from the others by a model of unflagged rows. How surprising a cell is becomes the
    probability that it is wrong by comparing how often flagged and unflagged rows surprise that much. The label
    takes no part, so that an estimate of the repair on held-out rows stays honest.

    Args:
      frame: table of N rows. table: the same rows, encoded; Q usable columns.
      flagged: bool[N], rows with feature errors.
      seed: of the learner and of the choice of rows that it is fitted on.
      known: bool[N, Q], cells that are wrong whatever their surprise; None: none is known.
      min_probability: cells below it are left alone.
    """
    rows = np.flatnonzero(flagged)
    good = np.random.default_rng(seed).permutation(np.flatnonzero(~flagged))
    num_fit = min(MAX_FIT_ROWS, 2 * len(good) // 3)
    fit_rows, reference = good[:num_fit], good[num_fit : num_fit + MAX_REFERENCE_ROWS]
    if not len(rows) or num_fit < MIN_FIT_ROWS or len(table.names) < 2:
        return []
    with one_thread():
        models = _fit_columns(frame, table, fit_rows, reference, seed)
        known = np.zeros(table.features.shape, bool) if known is None else known
        return list(_search(models, table, rows, reference, known[rows], min_probability)) if models else []


def probability_wrong(flagged: np.ndarray, unflagged: np.ndarray) -> np.ndarray:
    """Probability that a flagged row's cell is wrong, from its surprise: f32[n], rising with it.

    With f the density of surprise in flagged rows and f₀ in unflagged ones, f = π₀f₀ + (1 − π₀)f₁, so a cell is
    wrong with probability 1 − π₀f₀/f. f/f₀ is fitted as a monotone function of surprise, and π₀ is its average
    over the lower half of f₀, where hardly any wrong cell lies.

    Args:
      flagged, unflagged: f64[n] and f64[m], surprise of one column's cells.
    Source: Storey 2002, "A direct approach to false discovery rates", for π₀ and the local rate.
    """
    from sklearn.isotonic import IsotonicRegression

    half = np.median(unflagged)
    background = min(1.0, np.mean(flagged <= half) / np.mean(unflagged <= half))
    top = max(np.max(flagged), np.max(unflagged))
    # One imagined unflagged row at the top: with few rows no surprise is proof.
    values = np.concatenate([flagged, unflagged, [top]])
    sizes = [len(flagged), len(unflagged) + 1]
    weight = np.repeat([1 / sizes[0], 1 / sizes[1]], sizes)
    share = IsotonicRegression().fit(values, np.repeat([1.0, 0.0], sizes), sample_weight=weight).predict(flagged)
    return np.clip(1 - background * (1 - share) / np.maximum(share, 1e-9), 0, 1).astype(np.float32)


def _fit_columns(frame, table, fit_rows, reference, seed) -> dict[int, LevelColumn | NumberColumn]:
    """The model of each column that can be predicted, by its place in the table."""
    models: dict[int, LevelColumn | NumberColumn] = {}
    for q, (name, kind) in enumerate(zip(table.names, table.kinds, strict=True)):
        x = np.delete(table.features, q, axis=1)
        is_category = np.delete(table.is_category, q)
        numbers = table.features[fit_rows, q]
        model = None
        if kind == "category" or (kind == "number" and has_few_values(numbers[np.isfinite(numbers)])):
            model = fit_levels(frame[name], table.features[:, q], x, is_category, fit_rows, seed=seed)
        elif kind == "number":
            model = fit_number(table.features[:, q], x, is_category, fit_rows, reference, seed=seed)
        if model is not None:
            models[q] = model
    return models


def _search(models, table, rows, reference, known, min_probability) -> Iterator[WrongCells]:
    """Repair the most dubious cells of each row, look again at what they had made look wrong, and so on.

    Not all at once, because a wrong cell makes honest cells that depend on it look wrong too.
    """
    places, fitted = np.array(list(models)), list(models.values())
    usual = _surprises(fitted, places, table.features[reference], reference)
    odd = np.stack([_beyond_usual(model.oddity(rows), model.oddity(reference)) for model in fitted], axis=1)
    features = table.features[rows].copy()
    known = known[:, places]
    wrong = known.astype(np.float32)
    for m, q in enumerate(places):
        mine = np.flatnonzero(known[:, m])
        if len(mine):
            _, features[mine, q] = fitted[m].best(rows[mine], np.delete(features[mine], q, axis=1))
    surprise = _surprises(fitted, places, features, rows)
    for _ in range(NUM_PASSES):
        doubt = np.zeros_like(wrong)
        for m in range(len(models)):
            left = np.flatnonzero(wrong[:, m] == 0)
            if len(left):
                doubt[left, m] = probability_wrong(surprise[left, m], usual[:, m])
        # A wrong cell and an honest one that depends on it contradict each other alike; the one with the value
        # that its column hardly ever takes is the culprit.
        excess = np.log1p(surprise / (1e-6 + np.quantile(usual, 0.95, axis=0))) + ODD * odd
        dubious = doubt > min_probability
        worst = np.max(np.where(dubious, excess, 0.0), axis=1, keepdims=True)
        found = dubious & (excess >= 0.6 * worst)
        if not found.any():
            break
        wrong[found] = doubt[found]
        for m in np.flatnonzero(found.any(axis=0)):
            mine, q = np.flatnonzero(found[:, m]), places[m]
            _, features[mine, q] = fitted[m].best(rows[mine], np.delete(features[mine], q, axis=1))
        touched = np.flatnonzero(found.any(axis=1))
        surprise[touched] = _surprises(fitted, places, features[touched], rows[touched])
    _acquit(places, table.features[rows], features, surprise, usual, wrong, known, min_probability)
    for m, (q, model) in enumerate(models.items()):
        found = np.flatnonzero(wrong[:, m])
        if len(found):
            values, _ = model.best(rows[found], np.delete(features[found], q, axis=1))
            yield WrongCells(table.names[q], rows[found], wrong[found, m], values)


def _acquit(places, given, features, surprise, usual, wrong, known, min_probability) -> None:
    """Take back, in place, the cells that fit the row now that its other wrong cells are replaced."""
    for m, q in enumerate(places):
        doubt = probability_wrong(surprise[:, m], usual[:, m])
        fits = (wrong[:, m] > 0) & (doubt <= min_probability) & ~known[:, m]
        wrong[fits, m] = 0
        features[fits, q] = given[fits, q]


def _beyond_usual(oddity: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """log(1 + how many times a cell's oddity exceeds what all but 1 % of its column reach), f64[n]."""
    return np.log1p(np.maximum(oddity / (1e-6 + np.quantile(usual, 0.99)) - 1, 0))


def _surprises(models, places, features, rows) -> np.ndarray:
    """f64[n, C]: surprise of each modelled column's cell in the given rows."""
    columns = [m.surprise(rows, np.delete(features, q, axis=1)) for m, q in zip(models, places, strict=True)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))
