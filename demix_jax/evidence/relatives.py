"""Which columns of a wide table are related, and in which order the codes of a category come."""

from __future__ import annotations

import numpy as np

from demix_jax.data.encoders.bins import NUM_SPECIAL

_MAX_ROWS = 512  # from which relations are estimated, evenly spaced
_COLUMNS_AT_ONCE = 256
_NUM_DIRECTIONS = 64  # principal components of the other columns that order the codes of a category


def code_places(codes: np.ndarray, num_codes: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Place of every code in the order of its column.

    Ranges of a number keep their order, between the codes for extremely low and extremely high values. The codes of a
    category are ordered along the direction in which the rest of their rows differs most. The last code, for missing
    cells, comes last.

    Args:
      codes: i32[N, Q]. num_codes: i[Q]. ordered: bool[Q], columns whose codes are ranges of a number.
    Returns:
      i32[Q, B], B the largest number of codes; a code that a column does not have is its own place.
    Source: correspondence analysis, Benzécri 1973.
    """
    places = np.tile(np.arange(num_codes.max(), dtype=np.int32), (len(num_codes), 1))
    for q in np.flatnonzero(ordered):
        num_ranges = num_codes[q] - NUM_SPECIAL
        places[q, :num_ranges] += 1
        places[q, num_ranges] = 0
    categories = np.flatnonzero(~ordered & (num_codes > 3))  # two codes have an order, whichever comes first
    if len(categories):
        sample = _sample(codes)
        scores = standard_scores(places[np.arange(len(num_codes)), sample], num_codes)
        size, vectors = np.linalg.eigh((scores @ scores.T).astype(np.float64))
        rows = (vectors * np.sqrt(np.maximum(size, 0.0)))[:, -_NUM_DIRECTIONS:]
        for q in categories:
            order = np.argsort(_direction(sample[:, q], num_codes[q] - 1, rows), kind="stable")
            places[q, order] = np.arange(num_codes[q] - 1)
    return places


def most_related(places: np.ndarray, num_codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The columns with the largest absolute correlation to each column, and which of these are no chance finds.

    The largest of Q correlations to unrelated columns is about √(2 log Q / N); √(3 log Q / N) is rarely exceeded. Every
    pair is compared, but only by a product of matrices: 10,000 columns take a few seconds.

    Args:
      places: i32[N, Q], see `code_places`. num_codes: i[Q]. count: k, at most Q − 1 are found.
    Returns:
      i32[Q, k], ascending, and bool[Q, k].
    Source: the universal threshold, Donoho & Johnstone 1994.
    """
    scores = standard_scores(_sample(places), num_codes)
    num_rows, num_columns = scores.shape
    count = min(count, num_columns - 1)
    least = np.sqrt(3 * np.log(num_columns) / max(num_rows, 1))
    related, is_close = np.empty((num_columns, count), np.int32), np.empty((num_columns, count), bool)
    for start in range(0, num_columns, _COLUMNS_AT_ONCE):
        part = np.arange(start, min(start + _COLUMNS_AT_ONCE, num_columns))
        alike = np.abs(scores[:, part].T @ scores)
        alike[np.arange(len(part)), part] = -1.0
        related[part] = np.sort(np.argpartition(-alike, count - 1, axis=1)[:, :count], axis=1)
        is_close[part] = np.take_along_axis(alike, related[part], axis=1) > least
    return related, is_close


def standard_scores(places: np.ndarray, num_codes: np.ndarray) -> np.ndarray:
    """f32[n, Q]: mean ranks of places i32[n, Q], with mean 0 and length 1; missing cells, in the last place, are 0."""
    num_columns, most = len(num_codes), int(num_codes.max())
    each = np.arange(num_columns)
    counts = np.bincount((places + each * most).ravel(), minlength=num_columns * most).reshape(num_columns, most)
    counts[each, num_codes - 1] = 0
    rank = np.cumsum(counts, axis=1) - counts / 2
    rank -= (counts * rank).sum(axis=1, keepdims=True) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rank[each, num_codes - 1] = 0.0
    length = np.sqrt((counts * np.square(rank)).sum(axis=1, keepdims=True))
    return (rank / np.where(length > 1e-9, length, np.inf)).astype(np.float32)[each, places]


def _direction(codes: np.ndarray, num: int, rows: np.ndarray) -> np.ndarray:
    """f64[num]: where each code i32[n] below `num` stands along the direction in which the rows f64[n, D] differ."""
    present = codes < num
    counts = np.bincount(codes[present], minlength=num)
    sums = (np.arange(num)[:, None] == codes).astype(np.float64) @ rows
    weighted = sums / np.sqrt(np.maximum(counts, 1))[:, None]
    _, vectors = np.linalg.eigh(weighted @ weighted.T)
    first = vectors[:, -1] / np.sqrt(np.maximum(counts, 1))
    return first if first[np.argmax(np.abs(first))] > 0 else -first


def _sample(codes: np.ndarray) -> np.ndarray:
    return codes[np.linspace(0, max(len(codes) - 1, 0), min(len(codes), _MAX_ROWS)).astype(int)]
