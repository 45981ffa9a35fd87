"""Rows that hold most of the values of another row: a stale duplicate, or a record written over another one."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.evidence.mistakes.posterior import NEVER, Likelihood

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_SAME = 0.8  # assumed share of its cells that a copy has from the original
_NUM_KEY_COLUMNS = 6  # columns with the highest entropy; rows that agree in two of them are compared
_MAX_ALIKE = 5  # rows with the same two values; where there are more, the two values say little
_SIMULATED_SHARES = (0.7, 0.95)  # of the cells of a simulated copy that come from the original
_LEVELS = (0.5, 0.65, 0.8)  # see `Likelihood.fit`
_ENRICHED = 2.0  # standard errors
_MAX_ELEMENTS = 1 << 21  # of an array with a value per cell
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd, to hash two values


class Copies(NamedTuple):
    """Model of copies among R rows with Q columns.

    values: f64[R, Q], see `_comparable_values`.
    known, gain: per column its values in ascending order, and the evidence for a copy, in nats, if another row has the
      same value.
    keys: pairs of columns. order, sorted_keys: per pair, the S different rows i[S] sorted by their key, and the sorted
      keys u64[S]. Of rows with exactly the same values only the first is there: they are no originals of each other,
      and would only make two values that are rare look common.
    doubt: f32[R], evidence against each row as a whole, in nats.
    likelihood: posterior probability of a copy given its score.
    """

    values: np.ndarray
    known: list[np.ndarray]
    gain: list[np.ndarray]
    keys: list[tuple[int, int]]
    order: list[np.ndarray]
    sorted_keys: list[np.ndarray]
    doubt: np.ndarray
    likelihood: Likelihood

    @classmethod
    def fit(
        cls, dataset: Dataset, doubt: np.ndarray, clear: np.ndarray, right: np.ndarray, rng: np.random.Generator
    ) -> Copies:
        """Fits the model to the R rows of a table.

        Rows may be alike by nature, such as those of one day. Such pairs are no commoner among rows with evidence
        against them; then no row is taken for a copy.

        Args:
          doubt: see the attribute.
          clear: bool[n], which of the first n ≤ R rows have no evidence against them. Copies are searched for among
            these n rows.
          right: i[P], clear rows from which copies are simulated.
        """
        values = _comparable_values(dataset)
        known, gain, entropy = [], [], []
        for column in values.T:
            present, counts = np.unique(column[~np.isnan(column)], return_counts=True)
            share = counts / max(counts.sum(), 1)
            known.append(present)
            gain.append(np.log(_SAME / share + 1 - _SAME))
            entropy.append(-np.sum(share * np.log(share)))
        key_columns = np.sort(np.argsort(-np.array(entropy), kind="stable")[:_NUM_KEY_COLUMNS]).tolist()
        keys = list(combinations(key_columns, 2))
        different = _different_rows(values)
        of_rows = [_hashes(values, pair)[different] for pair in keys]
        order = [np.argsort(key, kind="stable") for key in of_rows]
        model = cls(
            values=values,
            known=known,
            gain=gain,
            keys=keys,
            order=[different[rows] for rows in order],
            sorted_keys=[key[rows] for key, rows in zip(of_rows, order, strict=True)],
            doubt=doubt,
            likelihood=Likelihood(np.zeros(1), np.zeros(1)),
        )
        if not keys or not len(right):
            return model
        score, _ = model._likeliest(values[: len(clear)], np.arange(len(clear)))
        width = values.shape[1]
        count = np.round(rng.uniform(*_SIMULATED_SHARES, len(right)) * width).clip(1, width - 1)
        taken = rng.random((len(right), width)).argsort(axis=1).argsort(axis=1) < count[:, None]
        simulated = np.where(taken, values[rng.integers(0, len(values), len(right))], values[right])
        simulated_score, _ = model._likeliest(simulated, right)
        alike = score >= np.median(simulated_score)
        if not _commoner(alike, ~clear):
            return model
        return model._replace(likelihood=Likelihood.fit(score, score[right], simulated_score, _LEVELS))

    def probability(
        self, dataset: Dataset, doubt: np.ndarray, own: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability that each of n rows is a copy, and the number of its original.

        Of two rows that share so many values, the one with more evidence against it is the copy.

        Args:
          doubt: f32[n], of the rows.
          own: i[n], numbers of the rows if they are rows of the table; else None. A row of the table with exactly the
            same values is never an original.
        Returns:
          f32[n] and i32[n]; −1 where the probability is 0.
        """
        if self.likelihood.probability.max() == 0:
            return np.zeros(len(dataset), np.float32), np.full(len(dataset), -1, np.int32)
        score, other = self._likeliest(_comparable_values(dataset), own)
        more_doubtful = np.clip(doubt - self.doubt[other], -30, 30)
        p = self.likelihood(score) / (1 + np.exp(-more_doubtful))
        return p.astype(np.float32), np.where(p > 0, other, -1).astype(np.int32)

    def _likeliest(self, values: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Likeliest originals of rows with values f64[n, Q]: log likelihood ratios f64[n] and row numbers i32[n]."""
        score, best = np.empty(len(values)), np.empty(len(values), np.int32)
        size = max(1, _MAX_ELEMENTS // max(values.shape[1], 1))
        for start in range(0, len(values), size):
            part = slice(start, start + size)
            score[part], best[part] = self._likeliest_of_block(values[part], None if own is None else own[part])
        return score, best

    def _likeliest_of_block(self, values: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        gain = self._gain_of(values)
        score, best = np.full(len(values), NEVER), np.zeros(len(values), np.int32)
        for pair, order, ascending in zip(self.keys, self.order, self.sorted_keys, strict=True):
            key = _hashes(values, pair)
            first, stop = (np.searchsorted(ascending, key, side=side) for side in ("left", "right"))
            usable = (stop > first) & (stop - first <= _MAX_ALIKE) & ~np.isnan(values[:, pair]).any(axis=1)
            for step in range(_MAX_ALIKE):
                rows = np.flatnonzero(usable & (first + step < stop))
                other = order[first[rows] + step]
                if own is not None:
                    rows, other = rows[other != own[rows]], other[other != own[rows]]
                theirs = self.values[other]
                same = values[rows] == theirs
                differ = ~same & ~np.isnan(values[rows]) & ~np.isnan(theirs)
                total = np.where(same, gain[rows], differ * np.log(1 - _SAME)).sum(axis=1) - np.log(len(self.values))
                better = differ.any(axis=1) & (total > score[rows])
                score[rows[better]], best[rows[better]] = total[better], other[better]
        return score, best

    def _gain_of(self, values: np.ndarray) -> np.ndarray:
        """f64[n, Q]: evidence for a copy, in nats, if another row has the same value; 0 for values not in the table."""
        gain = np.zeros(values.shape)
        for q, (known, gains) in enumerate(zip(self.known, self.gain, strict=True)):
            if len(known):
                at = np.searchsorted(known, values[:, q]).clip(0, len(known) - 1)
                gain[:, q] = np.where(known[at] == values[:, q], gains[at], 0.0)
        return gain


def _commoner(which: np.ndarray, among: np.ndarray) -> bool:
    """Whether the rows bool[n] `which` are clearly commoner among the rows bool[n] `among` than among the others."""
    inside, outside = max(among.sum(), 1), max((~among).sum(), 1)
    share = which.mean()
    error = np.sqrt(share * (1 - share) * (1 / inside + 1 / outside))
    return bool(which[among].sum() / inside - which[~among].sum() / outside > _ENRICHED * error)


def _comparable_values(dataset: Dataset) -> np.ndarray:
    """f64[n, Q]: numbers, robust z of dates and vectors, hashes of texts, codes of other columns; NaN where missing."""
    numbers, texts = dataset.numbers, dataset.texts
    result = np.where(np.isfinite(numbers), numbers, np.nan)
    for q, column in enumerate(dataset.columns):
        if column.kind in ("date", "vector"):
            result[:, q] = dataset.robust_z[:, q]
        elif (texts[:, q] != 0).any():
            result[:, q] = np.where(texts[:, q] != 0, texts[:, q], np.nan)
        elif np.isnan(numbers[:, q]).all():
            result[:, q] = dataset.codes[:, q]
    return result + 0.0  # turns −0 into 0


def _different_rows(values: np.ndarray) -> np.ndarray:
    """i64[S], ascending: of all rows of f64[R, Q] with the same values the first; missing values are equal."""
    total = np.zeros(len(values), np.uint64)
    for column in np.where(np.isnan(values), np.inf, values).T:
        bits = np.ascontiguousarray(column).view(np.uint64)
        total = ((total ^ (total >> np.uint64(29))) + bits) * _MULTIPLIERS[0]
        total = (total ^ (total >> np.uint64(32))) * _MULTIPLIERS[1]
    return np.sort(np.unique(total, return_index=True)[1])


def _hashes(values: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """u64[n]: a hash of what rows f64[n, Q] hold in two columns."""
    first, second = (np.ascontiguousarray(values[:, q]).view(np.uint64) for q in pair)
    mixed = (first ^ (first >> np.uint64(29))) * _MULTIPLIERS[0]
    return ((mixed ^ (mixed >> np.uint64(32))) + second) * _MULTIPLIERS[1]
