"""Number columns from which the label is computed: a weighted sum, or a product of powers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from demix_jax.data.notes.giveaways import is_moderate, resolution, spread_of
from demix_jax.data.notes.one_column import Feature

_MOST_TERMS = 4
_MOST_STEPS = 8  # a column that only resembles the label is tried too, and dropped later
_FEWEST_ROWS = 30
_KEPT = 0.8  # a fit is repeated on the rows that it suits best: the other labels may be wrong
_NUM_FITS = 4
_LEAST_SHARE = 0.95
_MOST_TOLERANCE = 0.02  # of the label's spread
_FINE = 1e-6


class Formula(NamedTuple):
    """The label as a function of a few columns.

    names: of the columns. text: right-hand side, such as "casual + registered". share: of the rows in which it holds.
    """

    names: tuple[str, ...]
    text: str
    share: float


class _Fit(NamedTuple):
    """Weights f64[q] of columns i64[q], a constant, and the share of the rows in which they give the label."""

    columns: np.ndarray
    weights: np.ndarray
    constant: float
    share: float


def find_formula(features: Sequence[Feature], y: np.ndarray) -> Formula | None:
    """The formula of at most four columns that gives the label, up to rounding, in at least 95 % of the rows.

    Args:
      features: columns of n rows, in an order that depends on contents only. y: f64[n], amounts.
    """
    numeric = [one for one in features if one.numbers is not None and one.kind != "date" and is_moderate(one.numbers)]
    if not numeric or len(y) < _FEWEST_ROWS or not is_moderate(y) or spread_of(y) == 0:
        return None
    x = np.stack([one.numbers for one in numeric if one.numbers is not None], axis=1)
    names = [one.name for one in numeric]
    steps = np.array([resolution(column) for column in x.T])
    fit = _search(x, y, _Check(x, y, steps, logarithms=False))
    if fit is not None:
        return Formula(tuple(names[q] for q in fit.columns), _sum_text(fit, names), fit.share)
    positive = np.flatnonzero((np.nan_to_num(x, nan=1.0) > 0).all(axis=0))
    if (y <= 0).any() or not len(positive):
        return None
    x, names, steps = x[:, positive], [names[q] for q in positive], steps[positive]
    fit = _search(np.log(x), np.log(y), _Check(x, y, steps, logarithms=True))
    return None if fit is None else Formula(tuple(names[q] for q in fit.columns), _product_text(fit, names), fit.share)


class _Check:
    """Where weights give the label y f64[n] up to rounding; x f64[n, Q] are rounded to `steps` f64[Q]."""

    def __init__(self, x: np.ndarray, y: np.ndarray, steps: np.ndarray, *, logarithms: bool):
        self._x, self._y, self._steps, self._logarithms = x, y, steps, logarithms
        self._step, self._spread = resolution(y), spread_of(y)

    def share(self, columns: np.ndarray, weights: np.ndarray, constant: float) -> float:
        """Share of the n rows in which the label is given."""
        x = self._x[:, columns]
        with np.errstate(over="ignore", invalid="ignore"):
            if self._logarithms:
                given = np.exp(np.log(x) @ weights + constant)
                slack = np.abs(given[:, None] * weights / x) @ self._steps[columns]
            else:
                given = x @ weights + constant
                slack = np.abs(weights) @ self._steps[columns]
        tolerance = np.minimum(0.51 * (self._step + slack), _MOST_TOLERANCE * self._spread) + _FINE * self._spread
        holds = np.abs(given - self._y) <= tolerance
        varied = holds.any() and spread_of(self._y[holds]) > 0.2 * self._spread
        return float(holds.mean()) if varied else 0.0


def _search(x: np.ndarray, y: np.ndarray, check: _Check) -> _Fit | None:
    """Add the column that goes best with what is left of y, until the label is given; then drop needless columns."""
    means = np.nanmean(np.where(np.isfinite(x).any(axis=0), x, 0.0), axis=0)
    centred = np.where(np.isfinite(x), x - means, 0.0)
    norms = np.linalg.norm(centred, axis=0)
    usable = norms > 0
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=usable)
    columns = np.empty(0, np.int64)
    left = y - np.median(y)
    for _ in range(min(_MOST_STEPS, int(usable.sum()))):
        related = np.abs(unit.T @ left)
        related[columns] = -1.0
        columns = np.append(columns, int(np.argmax(np.round(related / (related.max() or 1.0), 9))))
        fit, left = _fitted(x, y, columns, check)
        if fit is None:
            return None
        if fit.share >= _LEAST_SHARE:
            return _pruned(x, y, fit, check)
    return None


def _fitted(x: np.ndarray, y: np.ndarray, columns: np.ndarray, check: _Check) -> tuple[_Fit | None, np.ndarray]:
    """Least squares, repeated on the rows that fit best; and what is left of y, 0 where a column is missing."""
    design = np.column_stack([x[:, columns], np.ones(len(y))])
    rows = kept = np.flatnonzero(np.isfinite(design).all(axis=1))
    left = np.zeros(len(y))
    if len(rows) < _FEWEST_ROWS or len(rows) < len(y) / 2:
        return None, left
    scale = np.abs(design[rows]).max(axis=0)
    scale[scale == 0] = 1.0
    weights = np.zeros(len(scale))
    for _ in range(_NUM_FITS):
        weights = np.linalg.lstsq(design[kept] / scale, y[kept], rcond=1e-10)[0] / scale
        error = np.abs(design[rows] @ weights - y[rows])
        kept = rows[error <= np.quantile(error, _KEPT)]
    left[rows] = y[rows] - design[rows] @ weights
    limit = np.quantile(np.abs(left[rows]), 0.9)
    left = np.clip(left, -limit, limit)  # wrong labels do not choose columns
    return _Fit(columns, weights[:-1], float(weights[-1]), check.share(columns, weights[:-1], float(weights[-1]))), left


def _pruned(x: np.ndarray, y: np.ndarray, fit: _Fit, check: _Check) -> _Fit | None:
    """The fit without the columns that it can do without; None if more than four are left."""
    for column in fit.columns.tolist():
        fewer = fit.columns[fit.columns != column]
        if len(fewer):
            without, _ = _fitted(x, y, fewer, check)
            if without is not None and without.share >= fit.share:
                fit = without
    order = np.argsort(fit.columns)
    fit = fit._replace(columns=fit.columns[order], weights=fit.weights[order])
    return fit if len(fit.columns) <= _MOST_TERMS else None


def _sum_text(fit: _Fit, names: Sequence[str]) -> str:
    """The weighted sum in words; weights and constants that only rounding made are left out."""
    text = ""
    for q, weight in zip(fit.columns, fit.weights, strict=True):
        size = abs(weight)
        factor = "" if abs(size - 1) < 1e-4 else f"{size:.4g} × "
        sign = (" − " if weight < 0 else " + ") if text else ("−" if weight < 0 else "")
        text += f"{sign}{factor}{names[q]}"
    if f"{abs(fit.constant):.2g}" != "0" and abs(fit.constant) > 1e-3 * np.abs(fit.weights).min():
        text += f"{' − ' if fit.constant < 0 else ' + '}{abs(fit.constant):.4g}"
    return text


def _product_text(fit: _Fit, names: Sequence[str]) -> str:
    """The product of powers in words."""
    factor = float(np.exp(fit.constant))
    parts = [] if abs(factor - 1) < 1e-3 else [f"{factor:.4g}"]
    over = []
    for q, weight in zip(fit.columns, fit.weights, strict=True):
        power = "" if abs(abs(weight) - 1) < 1e-3 else f"^{abs(weight):.3g}"
        (over if weight < 0 else parts).append(f"{names[q]}{power}")
    return " / ".join([" × ".join(parts) or "1", *over])
