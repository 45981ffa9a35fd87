"""Discretises numbers into ranges and maps them to a normal scale; used for every ordered column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NUM_BINS = 16
NUM_SPECIAL = 3  # codes after those of the ranges: extremely low, extremely high, missing
NUM_QUANTILES = 1000
CLIP = 3.0  # standard normal units; ±3 keeps one extreme value from dominating a gradient
FAR_FENCE = 3.0  # Tukey's outer fence: this many interquartile ranges outside the quartiles
_LARGEST = 1e18  # keeps a robust z-score, and its square, finite in f32


@dataclass(frozen=True)
class Bins:
    """B ranges of a number, then codes for extremely low, extremely high and missing.

    edges: f64[B−1], ascending; range b is edges[b−1] < v ≤ edges[b].
    single: f64[B], the value of a range with one distinct value in the fitted column, else NaN.
    low, high: fences; a value outside them is extreme.
    median, spread: median and robust standard deviation.
    """

    edges: np.ndarray
    single: np.ndarray
    low: float
    high: float
    median: float
    spread: float

    @classmethod
    def fit(cls, values: np.ndarray) -> Bins:
        """Fit on f64[N] with NaN where missing; at least one value must be present.

        Up to 16 distinct values get one range each. Otherwise the edges are the 16-quantiles. In addition, a value
        that makes up an eighth of the rows (a capital gain of 0) gets its own range. This gives at most 24 ranges.
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
        return cls(
            edges=edges,
            single=np.where(alone, single, np.nan),
            low=low,
            high=high,
            median=float(median),
            spread=float(spread),
        )

    @property
    def num_codes(self) -> int:
        """Number of codes: the ranges and three special codes."""
        return len(self.single) + NUM_SPECIAL

    def codes(self, values: np.ndarray) -> np.ndarray:
        """i32[N] codes of f64[N]."""
        num_ranges = len(self.single)
        codes = np.searchsorted(self.edges, values, side="left")
        codes = np.where(values < self.low, num_ranges, codes)
        codes = np.where(values > self.high, num_ranges + 1, codes)
        return np.where(np.isfinite(values), codes, num_ranges + 2).astype(np.int32)

    def robust_z(self, values: np.ndarray) -> np.ndarray:
        """f32[N]: signed distance of f64[N] from the median in robust standard deviations; 0 where missing."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            z = (values - self.median) / self.spread
        return np.clip(np.nan_to_num(z, nan=0.0), -_LARGEST, _LARGEST).astype(np.float32)

    def code_name(self, name: str, code: int, show: Callable[[float], str]) -> str:
        """The code of column `name` in words, as "age ≤ 28"; `show` formats a value."""
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
    """Lower and upper fence of sorted values f64[N]; values outside them are extreme.

    The fences lie three interquartile ranges outside the quartiles. The middle half can be unusually narrow compared
    with the middle 80 % (hours per week: 40 to 45, yet many work 20). The latter then sets the scale. If most values
    are equal, the fences lie 6 standard deviations from the mean or at the outermost 0.1 %, whichever is farther out.
    Source: Tukey 1977, Exploratory Data Analysis, values "far out".
    """
    tail_low, p10, q1, q3, p90, tail_high = np.quantile(present, [0.001, 0.1, 0.25, 0.75, 0.9, 0.999])
    with np.errstate(over="ignore", invalid="ignore"):
        scale = max(q3 - q1, (p90 - p10) / 1.9)  # 1.9: their ratio for a normal distribution
        if q3 > q1 and scale > 0:
            low, high = q1 - FAR_FENCE * scale, q3 + FAR_FENCE * scale
        else:
            mean, std = present.mean(), present.std()
            low, high = min(mean - 6 * std, tail_low), max(mean + 6 * std, tail_high)
    low, high = np.nan_to_num([low, high], nan=0.0)
    return float(low), float(high)


def number_text(value: float) -> str:
    """A number for people to read: whole numbers in full, others with four significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}" if abs(value) < 1e15 else f"{value:.3g}"


@dataclass(frozen=True)
class QuantileNormal:
    """Monotone map of numbers to a standard normal distribution by rank; tied values get their mean rank.

    A value may be both the smallest and the most common (a capital gain of 0). scikit-learn's QuantileTransformer maps
    it to the far end of the scale; the mean rank keeps it near the centre.

    knots: f64[T], ascending values. scores: f64[T], what they are mapped to; values between knots are interpolated.
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
