"""Statistics of each column by itself: its commonest value, rare values, outlying values, and repeated numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_TAIL_FROM = 2.0  # robust standard deviations from the median; a gap closer to it belongs to the bulk
_MIN_GAP = 0.1
_MIN_DISTINCT = 50  # with fewer distinct values, one value that is far commoner than others means little
_NUM_NEIGHBOURS = 5  # distinct values on each side that a value's count is compared with
_MIN_EXCESS = 1.0  # nats
_MIN_COMMON_SHARE = 0.005  # of the rows; a column is not filled with a value that fewer rows hold


class Commonest(NamedTuple):
    """Commonest value of each of Q columns, by which a missing value may have been replaced.

    codes: i32[Q], its code. values: f32[Q], its robust z; NaN in a column without numbers.
    share: f64[Q], share of the rows with this code that hold exactly this value; 0 where no value is common.
    """

    codes: np.ndarray
    values: np.ndarray
    share: np.ndarray

    @classmethod
    def fit(cls, codes: np.ndarray, num_codes: tuple[int, ...], robust_z: np.ndarray) -> Commonest:
        """Finds the commonest values of N rows; arguments as in `Dataset`."""
        found = []
        for code, num, z in zip(codes.T, num_codes, robust_z.T, strict=True):
            present, value = code != num - 1, np.nan
            if z.any():
                values, counts = np.unique(z[present], return_counts=True)
                value = values[np.argmax(counts)]
                present &= z == value
            counts = np.bincount(code[present], minlength=num)
            most = int(np.argmax(counts))
            is_common = counts[most] > max(1, _MIN_COMMON_SHARE * len(code))
            found.append((most, value, counts[most] / np.sum(code == most) if is_common else 0.0))
        common, values, share = np.array(found).reshape(-1, 3).T
        return cls(common.astype(np.int32), values.astype(np.float32), share)

    def held(self, codes: np.ndarray, robust_z: np.ndarray) -> np.ndarray:
        """bool[n, Q]: cells that hold the commonest value, of rows with codes i32[n, Q] and robust_z f32[n, Q]."""
        same = np.isnan(self.values) | (robust_z == self.values)
        return (codes == self.codes) & same & (self.share > 0)


class Usual(NamedTuple):
    """Usual values of each of Q columns.

    rarity: per column f32[A], −log share of each code, minus its mean over the rows.
    tail: f64[Q, 2, 2], per column for its low and its high end: the last robust z before the widest gap, counted away
      from the median, and the width of the gap on the scale log(1 + z); (∞, 0) without a gap.
    repeated: per column f32[d] and f32[d], values that are much commoner than the values next to them: robust z in
      ascending order, and the excess in nats. Empty for columns with few distinct numbers.
    """

    rarity: tuple[np.ndarray, ...]
    tail: np.ndarray
    repeated: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def fit(cls, codes: np.ndarray, num_codes: tuple[int, ...], robust_z: np.ndarray) -> Usual:
        """Computes the statistics of N rows; arguments as in `Dataset`."""
        rarity, tail, repeated = [], [], []
        for code, num, z in zip(codes.T, num_codes, robust_z.T, strict=True):
            share = (np.bincount(code, minlength=num) + 1.0) / (len(code) + num)
            rarity.append((-np.log(share) + np.mean(np.log(share[code]))).astype(np.float32))
            ordered = np.sort(z[code != num - 1]) if z.any() else z[:0]  # present numbers: z is 0 elsewhere
            tail.append([_widest_gap(-ordered[::-1]), _widest_gap(ordered)])
            repeated.append(_repeated(ordered))
        return cls(tuple(rarity), np.array(tail).reshape(-1, 2, 2), tuple(repeated))

    def rarities(self, codes: np.ndarray) -> np.ndarray:
        """f32[n, Q]: how much rarer each code is than the codes of its column on average, in nats."""
        return np.stack([rarity[code] for rarity, code in zip(self.rarity, codes.T, strict=True)], axis=1)

    def missing(self, codes: np.ndarray) -> np.ndarray:
        """bool[n, Q]: missing cells; they have the last code of their column."""
        return codes == np.array([len(rarity) - 1 for rarity in self.rarity])

    def gaps(self, robust_z: np.ndarray) -> np.ndarray:
        """f32[n, Q]: width of the gap between each value and the bulk of its column; 0 within the bulk."""
        low, high = self.tail[:, 0], self.tail[:, 1]
        below = np.where(-robust_z > low[:, 0], low[:, 1], 0.0)
        return np.where(robust_z > high[:, 0], high[:, 1], below).astype(np.float32)

    def repeats(self, codes: np.ndarray, robust_z: np.ndarray) -> np.ndarray:
        """f32[n, Q]: how much commoner each value is than the values next to it, in nats; 0 unless in `repeated`."""
        result, missing = np.zeros(robust_z.shape, np.float32), self.missing(codes)
        for q, (values, excess) in enumerate(self.repeated):
            if len(values):
                at = np.minimum(np.searchsorted(values, robust_z[:, q]), len(values) - 1)
                known = (values[at] == robust_z[:, q]) & ~missing[:, q]
                result[known, q] = excess[at[known]]
        return result


def _widest_gap(ordered: np.ndarray) -> tuple[float, float]:
    """Last value before the widest gap in the upper tail of ascending f32[n], and its width; (∞, 0) without a gap.

    Gaps with more values beyond them have more weight.
    """
    first = max(int(np.searchsorted(ordered, _TAIL_FROM)) - 1, len(ordered) // 2)
    tail = np.log1p(np.maximum(ordered[first:].astype(np.float64), 0.0))
    if len(tail) < 2:
        return np.inf, 0.0
    gaps = np.diff(tail)
    widest = int(np.argmax(gaps * np.log1p(np.arange(len(gaps), 0, -1))))
    return (float(ordered[first + widest]), float(gaps[widest])) if gaps[widest] >= _MIN_GAP else (np.inf, 0.0)


def _repeated(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in ascending f32[n] much commoner than their neighbours, and their excess in nats: f32[d] each."""
    values, counts = np.unique(ordered, return_counts=True)
    if len(values) < _MIN_DISTINCT:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    padded = np.pad(np.cumsum(counts, dtype=np.float64), (1, 0))
    at = np.arange(len(values))
    low, high = np.maximum(at - _NUM_NEIGHBOURS, 0), np.minimum(at + _NUM_NEIGHBOURS + 1, len(values))
    around = (padded[high] - padded[low] - counts) / (high - low - 1)
    excess = np.log((counts + 1.0) / (around + 1.0))
    common = excess >= _MIN_EXCESS
    return values[common].astype(np.float32), excess[common].astype(np.float32)
