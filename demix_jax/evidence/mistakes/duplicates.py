"""Rows that hold what another row holds, but for a few cells: a stale duplicate, or a record written over another."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.evidence.mistakes.posterior import NEVER, Likelihood

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_SAME = 0.8  # of its cells a copy has from the other row
_KEY_COLUMNS = 6  # those that tell rows apart best; rows that agree in two of them are compared
_MOST_ALIKE = 5  # rows with the same two values; where there are more, the two say little
_MADE_SHARES = (0.7, 0.95)  # of the cells of a copy that is made on purpose
_LEVELS = (0.5, 0.65, 0.8)
_ENRICHED = 2.0  # standard errors
_ELEMENTS = 1 << 21  # of an array with a value for each cell
_BITS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd numbers that mix two values


class Copies(NamedTuple):
    """What tells the copies among R rows with Q columns.

    values: f64[R, Q], see `_values`. known, gain: per column the values in ascending order, and how much it speaks for
    a copy, in nats, that another row has the same one.
    keys: pairs of columns. order, sorted_keys: for each, the rows in the order of its key u64[R], and this.
    doubt: f32[R], nats that speak against each row as a whole. likelihood: how probable a copy is by its score.
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
        """Of a table's R rows.

        Rows may be alike by nature, as those of one day are. Then they are so whether or not anything speaks against
        them, and none is taken for a copy.

        Args:
          doubt: see the attribute. clear: bool[n], which of the first n ≤ R rows nothing speaks against; copies are
            looked for among these n. right: i[P], clear rows of which copies are made on purpose.
        """
        values = _values(dataset)
        known, gain, spread = [], [], []
        for column in values.T:
            present, counts = np.unique(column[~np.isnan(column)], return_counts=True)
            share = counts / max(counts.sum(), 1)
            known.append(present)
            gain.append(np.log(_SAME / share + 1 - _SAME))
            spread.append(-np.sum(share * np.log(share)))
        telling = np.sort(np.argsort(-np.array(spread), kind="stable")[:_KEY_COLUMNS]).tolist()
        keys = list(combinations(telling, 2))
        of_rows = [_keys(values, pair) for pair in keys]
        order = [np.argsort(key, kind="stable") for key in of_rows]
        ascending = [key[rows] for key, rows in zip(of_rows, order, strict=True)]
        model = cls(
            values=values,
            known=known,
            gain=gain,
            keys=keys,
            order=order,
            sorted_keys=ascending,
            doubt=doubt,
            likelihood=Likelihood(np.zeros(1), np.zeros(1)),
        )
        if not keys or not len(right):
            return model
        found, _ = model._likest(values[: len(clear)], np.arange(len(clear)))
        width = values.shape[1]
        count = np.round(rng.uniform(*_MADE_SHARES, len(right)) * width).clip(1, width - 1)
        taken = rng.random((len(right), width)).argsort(axis=1).argsort(axis=1) < count[:, None]
        made = np.where(taken, values[rng.integers(0, len(values), len(right))], values[right])
        of_made, _ = model._likest(made, right)
        alike = found >= np.median(of_made)
        if not _commoner(alike, ~clear):
            return model
        return model._replace(likelihood=Likelihood.fit(found, found[right], of_made, _LEVELS))

    def probability(
        self, dataset: Dataset, doubt: np.ndarray, own: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """How probable it is that each of n rows is the copy and not the original, and whose: f32[n] and i32[n].

        Of two rows that share so much it is the one that is the more doubtful as a whole.

        Args:
          doubt: f32[n], of the rows. own: i[n], their numbers if they are rows of the table; a row of the table that
            holds the very same values does not count in any case.
        """
        if self.likelihood.probability.max() == 0:
            return np.zeros(len(dataset), np.float32), np.full(len(dataset), -1, np.int32)
        score, other = self._likest(_values(dataset), own)
        lean = np.clip(doubt - self.doubt[other], -30, 30)
        p = self.likelihood(score) / (1 + np.exp(-lean))
        return p.astype(np.float32), np.where(p > 0, other, -1).astype(np.int32)

    def _likest(self, values: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """f64[n], log likelihood ratio of values f64[n, Q] as a copy of the likest row, and i32[n], its number."""
        score, best = np.empty(len(values)), np.empty(len(values), np.int32)
        size = max(1, _ELEMENTS // max(values.shape[1], 1))
        for start in range(0, len(values), size):
            part = slice(start, start + size)
            score[part], best[part] = self._likest_of_block(values[part], None if own is None else own[part])
        return score, best

    def _likest_of_block(self, values: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        gain = np.zeros(values.shape)
        for q, (known, gains) in enumerate(zip(self.known, self.gain, strict=True)):
            if len(known):
                at = np.searchsorted(known, values[:, q]).clip(0, len(known) - 1)
                gain[:, q] = np.where(known[at] == values[:, q], gains[at], 0.0)
        score, best = np.full(len(values), NEVER), np.zeros(len(values), np.int32)
        for pair, order, ascending in zip(self.keys, self.order, self.sorted_keys, strict=True):
            key = _keys(values, pair)
            first, stop = (np.searchsorted(ascending, key, side=side) for side in ("left", "right"))
            usable = (stop > first) & (stop - first <= _MOST_ALIKE) & ~np.isnan(values[:, pair]).any(axis=1)
            for step in range(_MOST_ALIKE):
                rows = np.flatnonzero(usable & (first + step < stop))
                other = order[first[rows] + step]
                if own is not None:
                    rows, other = rows[other != own[rows]], other[other != own[rows]]
                there = self.values[other]
                same = values[rows] == there
                differ = ~same & ~np.isnan(values[rows]) & ~np.isnan(there)
                total = np.where(same, gain[rows], differ * np.log(1 - _SAME)).sum(axis=1) - np.log(len(self.values))
                better = differ.any(axis=1) & (total > score[rows])
                score[rows[better]], best[rows[better]] = total[better], other[better]
        return score, best


def _commoner(which: np.ndarray, among: np.ndarray) -> bool:
    """Whether rows bool[n] are clearly commoner among some rows bool[n] than among the others."""
    inside, outside = max(among.sum(), 1), max((~among).sum(), 1)
    share = which.mean()
    error = np.sqrt(share * (1 - share) * (1 / inside + 1 / outside))
    return bool(which[among].sum() / inside - which[~among].sum() / outside > _ENRICHED * error)


def _values(dataset: Dataset) -> np.ndarray:
    """f64[n, Q]: what can be compared: numbers, dates on their scale, hashes of texts, else codes; NaN if missing."""
    numbers, texts = dataset.numbers, dataset.texts
    result = np.where(np.isfinite(numbers), numbers, np.nan)
    for q, column in enumerate(dataset.columns):
        if column.kind == "date":
            result[:, q] = dataset.robust_z[:, q]
        elif (texts[:, q] != 0).any():
            result[:, q] = np.where(texts[:, q] != 0, texts[:, q], np.nan)
        elif np.isnan(numbers[:, q]).all():
            result[:, q] = dataset.codes[:, q]
    return result + 0.0  # −0 is 0


def _keys(values: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """u64[n]: a number for what rows f64[n, Q] hold in two columns."""
    first, second = (np.ascontiguousarray(values[:, q]).view(np.uint64) for q in pair)
    mixed = (first ^ (first >> np.uint64(29))) * _BITS[0]
    return ((mixed ^ (mixed >> np.uint64(32))) + second) * _BITS[1]
