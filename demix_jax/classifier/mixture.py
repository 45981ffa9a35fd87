"""A table's rows as a mixture of rows like the probes and other rows: how many are like probes, and which."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_NUM_BINS = 64
_BANDWIDTH = 1.5  # bins
_LEVELS = np.linspace(0.1, 0.9, 33)  # shares of the probes that the cuts keep
_LEAST_DENSITY = 1e-3  # added to the share of the scores in each bin; smaller shares are noise


class Mixture(NamedTuple):
    """A mixture model of the scores of one error type in one table.

    share: upper bound of the share of the rows that are like the probes. half: the same from the median probe alone.
    grid: f64[B], ascending scores.
    log_ratio: f64[B], log density of the probes minus log density of the rows at these scores; it never falls.
    """

    share: float
    half: float
    grid: np.ndarray
    log_ratio: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, probes: np.ndarray) -> Mixture:
        """Fits the mixture to scores f[N] of a table's rows and f[P] of its probes; N, P ≥ 1.

        A cut keeps some share of the probes, and the same share of the rows that are like them. So the share of all
        rows above the cut, divided by that of the probes, is an upper bound of the mixture proportion. The lowest bound
        is close to the proportion where other rows have low scores.

        Source: mixture proportion estimation, Blanchard, Lee & Scott 2010; Garg et al. 2021, "Mixture Proportion
        Estimation and PU Learning: A Modern Approach".
        """
        from sklearn.isotonic import isotonic_regression

        ratio, uncertain = _shares_like(rows, probes)
        edges = np.linspace(*_range_of(np.concatenate([rows, probes])), _NUM_BINS + 1)
        of_rows, of_probes = _density(rows, edges), _density(probes, edges)
        log_ratio = np.log(of_probes + _LEAST_DENSITY) - np.log(of_rows + _LEAST_DENSITY)
        rising = isotonic_regression(log_ratio, sample_weight=of_rows + of_probes + 1e-6)
        share, half = ratio[np.argmin(ratio * uncertain)], ratio[len(_LEVELS) // 2]
        return cls(float(share), float(half), (edges[1:] + edges[:-1]) / 2, rising)

    def of_scores(self, scores: np.ndarray) -> np.ndarray:
        """f64[n], log density ratio at scores f[n]."""
        return np.interp(scores, self.grid, self.log_ratio)


def _shares_like(rows: np.ndarray, probes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per level, an upper bound of the share of `rows` like `probes`, and a factor that grows with its uncertainty."""
    cuts = np.quantile(probes, 1 - _LEVELS)
    of_rows, of_probes = ((np.sort(scores), len(scores)) for scores in (rows, probes))
    above, stay = (1 - np.searchsorted(ranked, cuts, "left") / count for ranked, count in (of_rows, of_probes))
    upper = above + np.sqrt(above * (1 - above) / len(rows)) + 0.5 / len(rows)
    return np.clip(upper / stay, 1e-4, 1.0), 1 + 1 / np.sqrt(len(probes) * stay)


def _range_of(scores: np.ndarray) -> tuple[float, float]:
    """Range of the scores f[n] without outliers, slightly widened."""
    lowest, highest = np.quantile(scores, [0.001, 0.999])
    margin = 0.05 * (highest - lowest) + 1e-3
    return lowest - margin, highest + margin


def _density(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """f64[B]: smoothed share of the scores in each bin; scores outside count in the outermost bins."""
    counts = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0] / len(scores)
    reach = int(4 * _BANDWIDTH)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _BANDWIDTH) ** 2)
    return np.convolve(np.pad(counts, reach, mode="reflect"), kernel / kernel.sum(), mode="valid")
