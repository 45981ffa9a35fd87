"""What is usual in each column by itself: how rare a value is, whether it stands apart or repeats; the commonest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BEYOND = 2.0  # robust standard deviations; a gap nearer to the median is no tail's
_LEAST_GAP = 0.1
_LEAST_DISTINCT = 50  # with fewer distinct values, that one is far commoner than others means little
_NEIGHBOURS = 5  # distinct values on each side, which a value's count is compared to
_LEAST_REPEATED = 1.0
_LEAST_COMMON = 0.005  # of the rows; what fewer hold is not what a column is filled with


class Commonest(NamedTuple):
    """The commonest value of each of Q columns, which a missing one might have been replaced by.

    codes: i32[Q], of it. values: f32[Q], its robust z; NaN in a column without numbers. share: f64[Q], of the rows with
    that code, those that hold it; 0 where no value is common.
    """

    codes: np.ndarray
    values: np.ndarray
    share: np.ndarray

    @classmethod
    def fit(cls, codes: np.ndarray, num_codes: tuple[int, ...], robust_z: np.ndarray) -> Commonest:
        """Of rows with codes i32[N, Q] of `num_codes` per column, and robust_z f32[N, Q], see `Dataset`."""
        found = []
        for code, num, z in zip(codes.T, num_codes, robust_z.T, strict=True):
            present, value = code != num - 1, np.nan
            if z.any():
                values, counts = np.unique(z[present], return_counts=True)
                value = values[np.argmax(counts)]
                present &= z == value
            counts = np.bincount(code[present], minlength=num)
            most = int(np.argmax(counts))
            is_common = counts[most] > max(1, _LEAST_COMMON * len(code))
            found.append((most, value, counts[most] / np.sum(code == most) if is_common else 0.0))
        common, values, share = np.array(found).reshape(-1, 3).T
        return cls(common.astype(np.int32), values.astype(np.float32), share)

    def held(self, codes: np.ndarray, robust_z: np.ndarray) -> np.ndarray:
        """bool[n, Q]: cells with codes i32[n, Q] and robust_z f32[n, Q] that hold it."""
        same = np.isnan(self.values) | (robust_z == self.values)
        return (codes == self.codes) & same & (self.share > 0)


class Usual(NamedTuple):
    """What is usual in each of Q columns.

    rarity: for each column f32[A], −log of each code's share, less its mean over rows.
    tail: f64[Q, 2, 2], for its low and its high end: the last robust z before the widest gap, counted away from the
      median, and how wide the gap is on the scale of log(1 + z); (∞, 0) where there is none.
    repeated: for each column of numbers with many values, those that are commoner than the values next to them, as
      ascending f32[d] robust z, and by how much f32[d], in nats.
    """

    rarity: tuple[np.ndarray, ...]
    tail: np.ndarray
    repeated: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def fit(cls, codes: np.ndarray, num_codes: tuple[int, ...], robust_z: np.ndarray) -> Usual:
        """Of rows with codes i32[N, Q] of `num_codes` per column, and robust_z f32[N, Q], see `Dataset`."""
        rarity, tail, repeated = [], [], []
        for code, num, z in zip(codes.T, num_codes, robust_z.T, strict=True):
            share = (np.bincount(code, minlength=num) + 1.0) / (len(code) + num)
            rarity.append((-np.log(share) + np.mean(np.log(share[code]))).astype(np.float32))
            ordered = np.sort(z[code != num - 1]) if z.any() else z[:0]  # present numbers: others have z = 0
            tail.append([_widest_gap(-ordered[::-1]), _widest_gap(ordered)])
            repeated.append(_repeated(ordered))
        return cls(tuple(rarity), np.array(tail).reshape(-1, 2, 2), tuple(repeated))

    def rarities(self, codes: np.ndarray) -> np.ndarray:
        """f32[n, Q] of codes i32[n, Q]: how much rarer each is than its column's codes are on average, in nats."""
        return np.stack([rarity[code] for rarity, code in zip(self.rarity, codes.T, strict=True)], axis=1)

    def missing(self, codes: np.ndarray) -> np.ndarray:
        """bool[n, Q]: cells without a value; every column's last code stands for that."""
        return codes == np.array([len(rarity) - 1 for rarity in self.rarity])

    def gaps(self, robust_z: np.ndarray) -> np.ndarray:
        """f32[n, Q]: width of the gap between a value f32[n, Q] and the bulk of its column; 0 within the bulk."""
        low, high = self.tail[:, 0], self.tail[:, 1]
        below = np.where(-robust_z > low[:, 0], low[:, 1], 0.0)
        return np.where(robust_z > high[:, 0], high[:, 1], below).astype(np.float32)

    def repeats(self, codes: np.ndarray, robust_z: np.ndarray) -> np.ndarray:
        """f32[n, Q]: how much commoner each value is than those next to it, in nats; 0 for the usual and missing."""
        result, missing = np.zeros(robust_z.shape, np.float32), self.missing(codes)
        for q, (values, excess) in enumerate(self.repeated):
            if len(values):
                at = np.minimum(np.searchsorted(values, robust_z[:, q]), len(values) - 1)
                known = (values[at] == robust_z[:, q]) & ~missing[:, q]
                result[known, q] = excess[at[known]]
        return result


def _widest_gap(ordered: np.ndarray) -> tuple[float, float]:
    """Where the upper tail of ascending f32[n] ends before its widest gap, and the gap; weighed by what lies beyond."""
    first = max(int(np.searchsorted(ordered, _BEYOND)) - 1, len(ordered) // 2)
    tail = np.log1p(np.maximum(ordered[first:].astype(np.float64), 0.0))
    if len(tail) < 2:
        return np.inf, 0.0
    gaps = np.diff(tail)
    widest = int(np.argmax(gaps * np.log1p(np.arange(len(gaps), 0, -1))))
    return (float(ordered[first + widest]), float(gaps[widest])) if gaps[widest] >= _LEAST_GAP else (np.inf, 0.0)


def _repeated(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, counts = np.unique(ordered, return_counts=True)
    if len(values) < _LEAST_DISTINCT:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    padded = np.pad(np.cumsum(counts, dtype=np.float64), (1, 0))
    at = np.arange(len(values))
    low, high = np.maximum(at - _NEIGHBOURS, 0), np.minimum(at + _NEIGHBOURS + 1, len(values))
    around = (padded[high] - padded[low] - counts) / (high - low - 1)
    excess = np.log((counts + 1.0) / (around + 1.0))
    common = excess >= _LEAST_REPEATED
    return values[common].astype(np.float32), excess[common].astype(np.float32)
