"""Posterior probability of a known mistake given its score, fitted on rows with injected mistakes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEVER = -30.0  # score of a row in which the mistake is impossible
CHANCE_SHARE, CHANCE_ROWS = 0.006, 4  # share and number of the rows that may look like a mistake by chance
_NUM_PASSES = 3
_CLEAR = 3.0  # nats; injected mistakes with a lower median score overlap with other rows
# Smallest median score of injected mistakes, in nats. A single category that holds its commonest value says less: on
# that evidence alone, a third of the rows of clean tables with few category columns were called filled in.
_MIN_MEDIAN = 2.0
_MAX_BEFORE = 0.25  # share of clear rows that may score like rows with the injected mistake


class Likelihood(NamedTuple):
    """Posterior probability of a mistake as a piecewise linear function of its score.

    score: f64[K], ascending. probability: f64[K].
    """

    score: np.ndarray
    probability: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, before: np.ndarray, made: np.ndarray, levels: tuple[float, ...]) -> Likelihood:
        """Fits the posterior to the scores of a table's rows and of rows with an injected mistake.

        The rows are a mixture of rows with the mistake and others. A cut that keeps a given share of the injected
        mistakes bounds the mixture proportion: at most as many rows above it can have the mistake. The lowest of these
        bounds, minus what may pass by chance, is the estimate. The ratio of the two densities is assumed to rise with
        the score. It is fitted several times, each time with the likely mistakes removed from the others. If rows score
        as high before the injection, or most score low after it, no row is given any probability.

        Args:
          rows: f[N], scores of the table's rows.
          before, made: f[P], scores of some of these rows before and after a mistake was injected into them.
          levels: shares of the injected mistakes that the cuts keep.
        Source: for the mixture proportion, `demix_jax.classifier.mixture`; for a mixture with one known component,
          Bordes, Delmas & Vandekerkhove 2006.
        """
        from sklearn.isotonic import IsotonicRegression

        num_rows = len(rows)
        cuts = np.quantile(made, 1 - np.array(levels))
        passed = np.array([np.mean(rows >= cut) for cut in cuts])
        proportion = np.min(passed / levels)
        quarter, median = (np.quantile(made, 1 - part) for part in (0.25, 0.5))
        if median < _CLEAR:  # other rows pass too, and more of them the lower the cut: extrapolate from two cuts
            proportion = min(proportion, 2 * np.mean(rows >= quarter) / 0.25 - np.mean(rows >= median) / 0.5)
        chance = CHANCE_SHARE + CHANCE_ROWS / num_rows
        if proportion <= chance or median < _MIN_MEDIAN or np.mean(before >= cuts.min()) > _MAX_BEFORE:
            return cls(np.zeros(1), np.zeros(1))
        proportion -= chance * chance / proportion
        # One imaginary row at the top: with few rows, no score is proof.
        values = np.concatenate([made, rows, [max(rows.max(), made.max())]])
        is_made = np.repeat([1.0, 0.0], [len(made), num_rows + 1])
        probability = np.zeros(num_rows)
        for _ in range(_NUM_PASSES):
            others = np.append(1 - probability, 1.0)
            weight = np.concatenate([np.full(len(made), 1 / len(made)), others / others.sum()])
            part = IsotonicRegression().fit(values, is_made, sample_weight=weight).predict(rows)
            odds = proportion / (1 - proportion) * part / np.maximum(1 - part, 1e-9)
            probability = odds / (1 + odds)
        score, first = np.unique(rows, return_index=True)
        return cls(score, probability[first])

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """f64[n], probabilities at scores f[n], interpolated linearly."""
        return np.interp(score, self.score, self.probability)
