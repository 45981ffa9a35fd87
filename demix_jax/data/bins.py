"""A number as one of a few ranges, and on a normal scale: what every column that has an order shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NUM_BINS = 16
NUM_SPECIAL = 3  # codes after those of the ranges: extremely low, extremely high, missing
NUM_QUANTILES = 1000
CLIP = 3.0  # standard normal units; ±3 keeps one wild value from dominating a gradient
FAR_FENCE = 3.0  # Tukey's far fence: this many interquartile ranges outside the quartiles
_LARGEST = 1e18  # keeps a robust z-score, and its square, finite in f32


@dataclass(frozen=True)
class Bins:
    """Ranges of a number, then codes for extremely low, extremely high and missing.

    edges: f64[B−1], ascending; range b is edges[b−1] < v ≤ edges[b].
    single: f64[B], the value of a range that held just one value when fitted, else NaN.
    low, high: fences; a value beyond them is extreme.
    median, spread: centre and robust standard deviation.
    """

    edges: np.ndarray
    single: np.ndarray
    low: float
    high: float
    median: float
    spread: float

    @classmethod
    def fit(cls, values: np.ndarray) -> Bins:
        """Bins for f64[N] with NaN where missing; at least one value must be present.

        Up to 16 distinct values get one range each. Otherwise the ranges lie between 16-quantiles, and a value that
        makes up an eighth of the rows (no capital gain) gets its own, so at most 24 ranges in all.
        """
        present = np.sort(values[np.isfinite(values)])
        distinct, counts = np.unique(present, return_counts=True)
        if len(distinct) <= NUM_BINS:
            edges = distinct[:-1]
        else:
            at = np.arange(1, NUM_BINS) / NUM_BINS
            quantiles = np.quantile(present, at, method="inverted_cdf")
            common = np.flatnonzero(counts >= len(present) / 8)
            edges = np.unique(np.concatenate([quantiles, distinct[common], distinct[common[common > 0] - 1]]))
            edges = edges[edges < distinct[-1]]
        place = np.searchsorted(edges, distinct)
        alone = np.bincount(place, minlength=len(edges) + 1) == 1
        single = np.full(len(edges) + 1, np.nan)
        single[place] = distinct
        low, high = _fences(present)
        with np.errstate(over="ignore", invalid="ignore"):
            q1, median, q3 = np.quantile(present, [0.25, 0.5, 0.75])
            spread = (q3 - q1) / 1.349 if q3 > q1 else present.std()  # 1.349: the IQR of a standard normal
        return cls(edges, np.where(alone, single, np.nan), low, high, float(median), float(spread))

    @property
    def num_codes(self) -> int:
        return len(self.single) + NUM_SPECIAL

    def codes(self, values: np.ndarray) -> np.ndarray:
        """i32[N] codes of f64[N]."""
        num_ranges = len(self.single)
        codes = np.searchsorted(self.edges, values, side="left")
        codes = np.where(values < self.low, num_ranges, codes)
        codes = np.where(values > self.high, num_ranges + 1, codes)
        return np.where(np.isfinite(values), codes, num_ranges + 2).astype(np.int32)

    def robust_z(self, values: np.ndarray) -> np.ndarray:
        """f32[N]: distance from the median in robust standard deviations; 0 where missing."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            z = (values - self.median) / self.spread
        return np.clip(np.nan_to_num(z, nan=0.0), -_LARGEST, _LARGEST).astype(np.float32)

    def code_name(self, name: str, code: int, show: Callable[[float], str]) -> str:
        """The code in words; `show` prints a value."""
        last = len(self.single) - 1
        if code > last:
            return f"{name} " + ("extremely low", "extremely high", "missing")[code - last - 1]
        if np.isfinite(self.single[code]):
            return f"{name} = {show(self.single[code])}"
        if code == 0:
            return f"{name} ≤ {show(self.edges[0])}"
        if code == last:
            return f"{name} > {show(self.edges[-1])}"
        return f"{show(self.edges[code - 1])} < {name} ≤ {show(self.edges[code])}"


def _fences(present: np.ndarray) -> tuple[float, float]:
    """Below and above which a value is extreme, from sorted f64[N].

    Three interquartile ranges outside the quartiles (Tukey 1977, "far out"). Where the middle half is unusually
    narrow for the middle 80 % (hours per week: 40 to 45, yet many work 20), the latter sets the scale. Where most
    values are the same, 6 standard deviations from the mean or the outermost 0.1 %, whichever marks fewer.
    """
    tail_low, p10, q1, q3, p90, tail_high = np.quantile(present, [0.001, 0.1, 0.25, 0.75, 0.9, 0.999])
    with np.errstate(over="ignore", invalid="ignore"):
        scale = max(q3 - q1, (p90 - p10) / 1.9)  # 1.9: their ratio for a normal
        if q3 > q1 and scale > 0:
            low, high = q1 - FAR_FENCE * scale, q3 + FAR_FENCE * scale
        else:
            mean, std = present.mean(), present.std()
            low, high = min(mean - 6 * std, tail_low), max(mean + 6 * std, tail_high)
    low, high = np.nan_to_num([low, high], nan=0.0)
    return float(low), float(high)


def number_text(value: float) -> str:
    """A number as a person would write it: whole numbers in full, others with four significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}" if abs(value) < 1e15 else f"{value:.3g}"


@dataclass(frozen=True)
class QuantileNormal:
    """Monotone map of a number to a standard normal through its ranks; tied values share their middle rank.

    scikit-learn's QuantileTransformer sends a value that is both common and the smallest (no capital gain) to the far
    end of the scale; the middle rank keeps it near the centre.
    """

    knots: np.ndarray
    scores: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> QuantileNormal:
        """Fit on f64[N] with NaN where missing; keeps at most 1,000 knots."""
        from scipy.special import ndtri

        present = np.sort(values[np.isfinite(values)])
        knots, first, counts = np.unique(present, return_index=True, return_counts=True)
        ranks = (first + counts / 2) / len(present)
        if len(knots) > NUM_QUANTILES:
            wanted = np.linspace(ranks[0], ranks[-1], NUM_QUANTILES)
            keep = np.unique(np.searchsorted(ranks, wanted).clip(0, len(ranks) - 1))
            knots, ranks = knots[keep], ranks[keep]
        return cls(knots, np.clip(ndtri(ranks), -CLIP, CLIP))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """f32[N] within ±3; 0 (the median) where missing."""
        return np.nan_to_num(np.interp(values, self.knots, self.scores)).astype(np.float32)
