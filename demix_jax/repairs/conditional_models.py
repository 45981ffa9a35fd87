"""Models of one column given the others: how surprising a cell is, and its most likely value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.data.decimals import decimals_of
from demix_jax.data.kinds import levels as text_levels
from demix_jax.data.kinds import value_text
from demix_jax.data.spelling import Spelling
from demix_jax.repairs.trees import fit_classifier, fit_median, probabilities

MAX_LEVELS = 30
NUM_STEPS = 50


class LevelColumn(NamedTuple):
    """A column of L levels, predicted as classes; code L stands for any other value.

    levels: object[L], most frequent first. encoded: f64[L], each level as a tree feature. codes: i32[N].
    meant: i32[N], code of the level that the row's text probably misspells; −1 where it is spelt right.
    model: classifier of codes.
    """

    levels: np.ndarray
    encoded: np.ndarray
    codes: np.ndarray
    meant: np.ndarray
    model: Any

    def surprise(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        """f64[n]: −log p(cell | other cells of the row) in nats, for rows i[n] with features x f64[n, R]."""
        return -np.log(self._probabilities(x)[np.arange(len(rows)), self.codes[rows]])

    def oddity(self, rows: np.ndarray) -> np.ndarray:
        """f64[n]: −log of the share of each cell's level, regardless of the row's other cells."""
        shares = (np.bincount(self.codes, minlength=len(self.levels) + 1) + 1) / (len(self.codes) + 1)
        return -np.log(shares)[self.codes[rows]]

    def best(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The level that was misspelt, else the most probable level other than the given one.

        Returns:
          object[n] values, and the same as tree features f64[n].
        """
        p = self._probabilities(x)
        p[np.arange(len(rows)), self.codes[rows]] = -1.0
        code = np.where(self.meant[rows] >= 0, self.meant[rows], np.argmax(p[:, : len(self.levels)], axis=1))
        return self.levels[code], self.encoded[code]

    def _probabilities(self, x: np.ndarray) -> np.ndarray:
        return probabilities(self.model, x, len(self.levels) + 1)


class NumberColumn(NamedTuple):
    """A column of numbers, predicted by its conditional median on a scale that compresses long tails.

    values: f64[N]. center, scale: of the compressed values u = asinh((value − center) / scale).
    decimals: number of decimals in the column's values, or None. model: conditional median of u.
    spread: (edges f64[B], widths f64[B + 1]), typical absolute residual for each range of predicted u.
    """

    values: np.ndarray
    center: float
    scale: float
    decimals: int | None
    model: Any
    spread: tuple[np.ndarray, np.ndarray]

    def surprise(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        """f64[n]: absolute residual in units of the typical residual at this prediction; 0 where missing."""
        predicted = self.model.predict(x)
        residual = np.abs(self._compress(self.values[rows]) - predicted)
        edges, widths = self.spread
        return np.nan_to_num(residual / widths[np.searchsorted(edges, predicted)], nan=0.0)

    def oddity(self, rows: np.ndarray) -> np.ndarray:
        """f64[n]: distance of each cell from the column's median in compressed units; 0 where missing."""
        return np.nan_to_num(np.abs(self._compress(self.values[rows])), nan=0.0)

    def best(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The conditional median, rounded as the column's values are.

        Returns:
          object[n] values, and the same as f64[n].
        """
        values = np.sinh(self.model.predict(x)) * self.scale + self.center
        values = values if self.decimals is None else np.round(values, self.decimals)
        return values.astype(object), values

    def _compress(self, values: np.ndarray) -> np.ndarray:
        return np.arcsinh((values - self.center) / self.scale)


def fit_levels(
    column: pd.Series, feature: np.ndarray, x: np.ndarray, categorical: np.ndarray, fit_rows: np.ndarray, *, seed: int
) -> LevelColumn | None:
    """Model a column by its levels; None if the rows `fit_rows` have fewer than two of them.

    Args:
      column: N values. feature: f64[N], the same as a tree feature.
      x: f64[N, R], the other columns. categorical: bool[R]. fit_rows: rows that the model learns from.
      seed: of the learner.
    """
    values = column.to_numpy(dtype=object, na_value=None)
    counts = column.iloc[fit_rows].value_counts()
    levels = np.array([*counts.index[:MAX_LEVELS].tolist(), None], dtype=object)[:-1]
    code_of = {level: code for code, level in enumerate(levels)}
    codes = np.array([code_of.get(value, len(levels)) for value in values], np.int32)
    if len(np.unique(codes[fit_rows])) < 2 or not len(levels):
        return None
    model = fit_classifier(x[fit_rows], codes[fit_rows], categorical, num_steps=NUM_STEPS, seed=seed)
    first = {code: row for row, code in zip(fit_rows[::-1], codes[fit_rows][::-1], strict=True)}
    encoded = np.array([feature[first[code]] for code in range(len(levels))])
    return LevelColumn(levels=levels, encoded=encoded, codes=codes, meant=_meant(column, levels), model=model)


def _meant(column: pd.Series, levels: np.ndarray) -> np.ndarray:
    """i32[N]: the level that each text misspells, −1 where it is spelt right."""
    text_codes, names = text_levels(column)
    spelling, code_of = Spelling.fit(text_codes, names), {value_text(level): code for code, level in enumerate(levels)}
    meant = [spelling.meant(name)[0] for name in names]
    of_names = [-1 if value is None else code_of.get(value, -1) for value in meant]
    return np.array([*of_names, -1], np.int32)[text_codes]


def fit_number(
    values: np.ndarray,
    x: np.ndarray,
    categorical: np.ndarray,
    fit_rows: np.ndarray,
    reference: np.ndarray,
    *,
    seed: int,
) -> NumberColumn | None:
    """Model a column of numbers; None if the rows `fit_rows` have fewer than ten of them or only one value.

    Args:
      values: f64[N], NaN where missing. x, categorical, fit_rows, seed: as for `fit_levels`.
      reference: rows, not among `fit_rows`, that show how large residuals usually are.
    """
    known = fit_rows[np.isfinite(values[fit_rows])]
    if len(known) < 10 or np.ptp(values[known]) == 0:
        return None
    low, center, high = np.quantile(values[known], [0.25, 0.5, 0.75])
    scale = (high - low) / 1.349 or values[known].std()
    unfitted = NumberColumn(
        values=values,
        center=center,
        scale=scale,
        decimals=decimals_of(values[known]),
        model=None,
        spread=(np.zeros(0), np.ones(1)),
    )
    compressed = unfitted._compress(values)
    model = fit_median(x[known], compressed[known], categorical, num_steps=NUM_STEPS, seed=seed)
    seen = reference[np.isfinite(values[reference])]
    spread = _spread(compressed[seen], model.predict(x[seen])) if len(seen) else unfitted.spread
    return unfitted._replace(model=model, spread=spread)


def has_few_values(values: np.ndarray, *, max_levels: int = 12, share: float = 0.99) -> bool:
    """Whether nearly all numbers f64[n] are among a few whole numbers, as for codes and indicators."""
    distinct, counts = np.unique(values, return_counts=True)
    common = np.argsort(-counts)[:max_levels]
    return bool(counts[common].sum() >= share * len(values) and np.all(distinct[common] % 1 == 0))


def _spread(actual: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median absolute residual by range of the prediction: edges f64[B] and widths f64[B + 1]."""
    residual = np.abs(actual - predicted)
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, max(1, min(10, len(actual) // 50)))
    edges = np.array([predicted[part[0]] for part in parts[1:]])
    floor = 0.2 * np.median(residual) + 0.05 * residual.mean() + 1e-6
    return edges, np.array([max(float(np.median(residual[part])), floor) for part in parts])
