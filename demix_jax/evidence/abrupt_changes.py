"""How abruptly a share changes: what was made by a rule jumps where it begins, what is natural runs smoothly."""

from __future__ import annotations

import numpy as np

_LEAST_ROWS = 10  # of a window or a code to compare
_LARGEST = 30.0  # standard errors; larger steps say no more


def step_scores(member: np.ndarray, total: np.ndarray) -> np.ndarray:
    """How abruptly the odds of membership change at each boundary of B ordered bins, in standard errors.

    The change of the log-odds from the window before a boundary to the window after it, less what the windows around
    them change by: zero where the log-odds run straight. Windows are one bin or two, whichever shows more.

    Args:
      member, total: f64[..., B], rows of a bin that are members, and all its rows.
    Returns:
      f64[..., B - 1], positive where the odds rise; 0 where a window would be empty.
    """
    best = np.zeros((*member.shape[:-1], member.shape[-1] - 1))
    for width in (1, 2):
        log_odds, variance, rows = [], [], []
        for first in (-2 * width, -width, 0, width):  # of the four windows, from the boundary
            inside, of = (_window(array, first, width) for array in (member, total))
            log_odds.append(np.log((inside + 1.0) / (of - inside + 1.0)))
            variance.append(1.0 / (inside + 1.0) + 1.0 / (of - inside + 1.0))
            rows.append(of)
        outer = [rows[0] >= _LEAST_ROWS, rows[3] >= _LEAST_ROWS]
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
        score = np.where((rows[1] >= _LEAST_ROWS) & (rows[2] >= _LEAST_ROWS), change / np.sqrt(spread), 0.0)
        best = np.where(np.abs(score) > np.abs(best), score, best)
    return best


def largest_at_end(scores: np.ndarray, inside: np.ndarray) -> float:
    """The largest step f64[B - 1] in the direction of `inside` bool[B], where it begins or ends."""
    change = inside[1:].astype(float) - inside[:-1]
    return float(np.clip(np.max(scores * change, initial=0.0), 0.0, _LARGEST))


def gap_of_codes(member: np.ndarray, total: np.ndarray, inside: np.ndarray) -> float:
    """Distance of the nearest codes of the two groups in log-odds, relative to that of the groups as a whole."""
    log_odds = np.log((member + 1.0) / (total - member + 1.0))
    seen = total >= _LEAST_ROWS
    overall = np.log((member[inside].sum() + 1.0) / ((total - member)[inside].sum() + 1.0))
    overall -= np.log((member[~inside].sum() + 1.0) / ((total - member)[~inside].sum() + 1.0))
    if not (seen & inside).any() or not (seen & ~inside).any() or overall < 0.2:
        return 0.0
    return float(np.clip((log_odds[seen & inside].min() - log_odds[seen & ~inside].max()) / overall, -1.0, 1.0))


def _window(array: np.ndarray, first: int, width: int) -> np.ndarray:
    """Sums f64[..., B - 1] over `width` bins from `first` bins after each boundary on."""
    size = array.shape[-1]
    padded = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(2 * size, 2 * size)])
    parts = [padded[..., 2 * size + 1 + first + k : 2 * size + first + k + size] for k in range(width)]
    return np.sum(parts, axis=0)
