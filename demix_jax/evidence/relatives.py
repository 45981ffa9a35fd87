"""Which columns of a wide table are related, and in which order the codes of a category come."""

from __future__ import annotations

import numpy as np

from demix_jax.data.bins import NUM_SPECIAL

_MAX_ROWS = 512  # from which relations are estimated, evenly spaced
_COLUMNS_AT_ONCE = 256


def code_places(codes: np.ndarray, num_codes: tuple[int, ...], ordered: np.ndarray) -> np.ndarray:
    """Place of every code in the order of its column.

    Ranges of a number keep their order, between the codes for extremely low and extremely high values. The codes of a
    category are ordered along the direction in which the rest of their rows differs most. The last code, for missing
    cells, comes last.

    Args:
      codes: i32[N, Q]. num_codes: per column. ordered: bool[Q], columns whose codes are ranges of a number.
    Returns:
      i32[Q, B], B the largest number of codes; a code that a column does not have is its own place.
    Source: correspondence analysis, Benzécri 1973.
    """
    sample = _sample(codes)
    places = np.tile(np.arange(max(num_codes), dtype=np.int32), (len(num_codes), 1))
    for q in np.flatnonzero(ordered):
        num_ranges = num_codes[q] - NUM_SPECIAL
        places[q, :num_ranges] += 1
        places[q, num_ranges] = 0
    scores = standard_scores(places[np.arange(len(num_codes)), sample], np.array(num_codes))
    for q in np.flatnonzero(~ordered):
        present = num_codes[q] - 1
        if present > 2:
            order = np.argsort(_direction(sample[:, q], present, np.delete(scores, q, axis=1)), kind="stable")
            places[q, order] = np.arange(present)
    return places


def most_related(places: np.ndarray, num_codes: np.ndarray, count: int) -> np.ndarray:
    """The columns with the largest absolute correlation to each column.

    Every pair is compared, but only by a product of matrices: 10,000 columns take a few seconds.

    Args:
      places: i32[N, Q], see `code_places`. num_codes: i32[Q]. count: k, at most Q − 1 are found.
    Returns:
      i32[Q, k], ascending.
    """
    scores = standard_scores(_sample(places), num_codes)
    num_columns = scores.shape[1]
    count = min(count, num_columns - 1)
    related = np.empty((num_columns, count), np.int32)
    for start in range(0, num_columns, _COLUMNS_AT_ONCE):
        part = np.arange(start, min(start + _COLUMNS_AT_ONCE, num_columns))
        alike = np.abs(scores[:, part].T @ scores)
        alike[np.arange(len(part)), part] = -1.0
        related[part] = np.sort(np.argpartition(-alike, count - 1, axis=1)[:, :count], axis=1)
    return related


def standard_scores(places: np.ndarray, num_codes: np.ndarray) -> np.ndarray:
    """f32[n, Q]: mean ranks of places i32[n, Q], with mean 0 and length 1; missing cells, in the last place, are 0."""
    result = np.zeros(places.shape, np.float32)
    for q, (of_column, num) in enumerate(zip(places.T, num_codes, strict=True)):
        present = of_column != num - 1
        counts = np.bincount(of_column[present], minlength=num)
        rank = (np.cumsum(counts) - counts / 2)[of_column[present]]
        rank = rank - rank.mean() if len(rank) else rank
        length = np.sqrt(np.square(rank).sum())
        if length > 0:
            result[present, q] = rank / length
    return result


def _direction(codes: np.ndarray, num: int, scores: np.ndarray) -> np.ndarray:
    """f64[num]: where each code i32[n] below `num` stands along the direction in which the scores f32[n, Q] differ."""
    present = codes < num
    counts = np.bincount(codes[present], minlength=num)
    is_code = (np.arange(num)[:, None] == codes).astype(np.float32)
    means = (is_code @ scores) / np.maximum(counts, 1)[:, None]
    weighted = means * np.sqrt(counts)[:, None]
    _, vectors = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    first = vectors[:, -1] / np.sqrt(np.maximum(counts, 1))
    return first if first[np.argmax(np.abs(first))] > 0 else -first


def _sample(codes: np.ndarray) -> np.ndarray:
    return codes[np.linspace(0, len(codes) - 1, min(len(codes), _MAX_ROWS)).astype(int)]
