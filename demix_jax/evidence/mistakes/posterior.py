"""How probable it is, by its score, that a mistake was made in a row: told by rows in which it was made on purpose."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEVER = -30.0  # score of a row in which the mistake cannot have been made
CHANCE_SHARE, CHANCE_ROWS = 0.006, 4  # of all rows, and in any table: of so many others a mistake may be thought
_NUM_PASSES = 3
_CLEAR = 3.0  # nats
# Nats that half of the rows in which a mistake was made must reach. One category that is the commonest says less: by
# that alone, a third of the rows of clean tables with few columns of categories were said to be filled.
_TOLD = 2.0
_MOST_BEFORE = 0.25  # of rows that seem right, which may score like those in which a mistake was made


class Likelihood(NamedTuple):
    """How probable a mistake is by its score: scores f64[K], ascending, and probabilities f64[K]."""

    score: np.ndarray
    probability: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, before: np.ndarray, made: np.ndarray, levels: tuple[float, ...]) -> Likelihood:
        """From scores f[N] of a table's rows, and f[P] of some of them before and after it was made on purpose.

        The rows are a mixture of such ones and of others. Where they are cut so that a part of those made stays, at
        most as many of them can be such ones: the lowest such share, less what may pass by chance. The ratio of
        densities rises with the score; it is found again after what probably is such a row was taken out of the others.
        Where rows score as high before it was made, or most score low after it, it cannot be told, and no row is taken
        for such a one.

        Args:
          levels: the parts of those made that are tried.
        Source: for the share see `demix_jax.classifier.mixture`; a mixture with one known component: Bordes, Delmas &
          Vandekerkhove 2006.
        """
        from sklearn.isotonic import IsotonicRegression

        count = len(rows)
        cuts = np.quantile(made, 1 - np.array(levels))
        passed = np.array([np.mean(rows >= cut) for cut in cuts])
        share = np.min(passed / levels)
        few, half = (np.quantile(made, 1 - part) for part in (0.25, 0.5))
        if half < _CLEAR:  # others may pass; the more of those made stay, the more of them
            share = min(share, 2 * np.mean(rows >= few) / 0.25 - np.mean(rows >= half) / 0.5)
        chance = CHANCE_SHARE + CHANCE_ROWS / count
        if share <= chance or half < _TOLD or np.mean(before >= cuts.min()) > _MOST_BEFORE:
            return cls(np.zeros(1), np.zeros(1))
        share -= chance * chance / share
        # One imagined row at the top: with few rows no score is proof.
        values = np.concatenate([made, rows, [max(rows.max(), made.max())]])
        is_made = np.repeat([1.0, 0.0], [len(made), count + 1])
        probability = np.zeros(count)
        for _ in range(_NUM_PASSES):
            others = np.append(1 - probability, 1.0)
            weight = np.concatenate([np.full(len(made), 1 / len(made)), others / others.sum()])
            part = IsotonicRegression().fit(values, is_made, sample_weight=weight).predict(rows)
            odds = share / (1 - share) * part / np.maximum(1 - part, 1e-9)
            probability = odds / (1 + odds)
        score, first = np.unique(rows, return_index=True)
        return cls(score, probability[first])

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """f64[n] for scores f[n]."""
        return np.interp(score, self.score, self.probability)
