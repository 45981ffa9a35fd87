"""How abruptly a share changes along a column: rules make it jump at their ends, natural trends are smooth."""

from __future__ import annotations

import numpy as np

_MIN_ROWS = 10  # of a window or a code that is compared
_LARGEST = 30.0  # standard errors; larger steps carry no more evidence


def step_scores(member: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Change of the log-odds of membership at each boundary of B ordered bins, in standard errors.

    The score compares the window before a boundary with the window after it, and subtracts the mean trend on both
    sides. It is zero where the log-odds follow a straight line. Windows are one or two bins wide, whichever gives the
    larger score.

    Args:
      member, total: f64[..., B], members per bin, and all rows per bin.
    Returns:
      f64[..., B - 1], positive where the odds rise; 0 where a window has too few rows.
    """
    best = np.zeros((*member.shape[:-1], member.shape[-1] - 1))
    for width in (1, 2):
        log_odds, variance, rows = [], [], []
        for first in (-2 * width, -width, 0, width):  # of the four windows, counted from the boundary
            inside, of = (_window(array, first, width) for array in (member, total))
            log_odds.append(np.log((inside + 1.0) / (of - inside + 1.0)))
            variance.append(1.0 / (inside + 1.0) + 1.0 / (of - inside + 1.0))
            rows.append(of)
        outer = [rows[0] >= _MIN_ROWS, rows[3] >= _MIN_ROWS]
        known = np.maximum(outer[0].astype(float) + outer[1], 1.0)
        before, after = outer[0] / known, outer[1] / known
        change = (
            (log_odds[2] - log_odds[1]) - before * (log_odds[1] - log_odds[0]) - after * (log_odds[3] - log_odds[2])
        )
        spread = (
            variance[1] * (1 + before) ** 2
            + variance[2] * (1 + after) ** 2
            + variance[0] * before**2
            + variance[3] * after**2
        )
        score = np.where((rows[1] >= _MIN_ROWS) & (rows[2] >= _MIN_ROWS), change / np.sqrt(spread), 0.0)
        best = np.where(np.abs(score) > np.abs(best), score, best)
    return best


def largest_at_end(scores: np.ndarray, inside: np.ndarray) -> float:
    """Largest step at an end of a group of bins, in the direction of the group.

    Args:
      scores: f64[B - 1] from `step_scores`. inside: bool[B], bins in the group.
    """
    change = inside[1:].astype(float) - inside[:-1]
    return float(np.clip(np.max(scores * change, initial=0.0), 0.0, _LARGEST))


def gap_of_codes(member: np.ndarray, total: np.ndarray, inside: np.ndarray) -> float:
    """Gap in log-odds between the closest codes of a group and its complement, over the gap between both as a whole.

    Args:
      member, total: f64[A], members per code, and all rows per code. inside: bool[A], codes in the group.
    Returns:
      In [−1, 1]; 0 where the groups hardly differ or one of them has too few rows.
    """
    log_odds = np.log((member + 1.0) / (total - member + 1.0))
    seen = total >= _MIN_ROWS
    overall = np.log((member[inside].sum() + 1.0) / ((total - member)[inside].sum() + 1.0))
    overall -= np.log((member[~inside].sum() + 1.0) / ((total - member)[~inside].sum() + 1.0))
    if not (seen & inside).any() or not (seen & ~inside).any() or overall < 0.2:
        return 0.0
    return float(np.clip((log_odds[seen & inside].min() - log_odds[seen & ~inside].max()) / overall, -1.0, 1.0))


def _window(array: np.ndarray, first: int, width: int) -> np.ndarray:
    """f64[..., B - 1]: sums over `width` bins that start `first` bins after each boundary."""
    size = array.shape[-1]
    padded = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(2 * size, 2 * size)])
    parts = [padded[..., 2 * size + 1 + first + k : 2 * size + first + k + size] for k in range(width)]
    return np.sum(parts, axis=0)
