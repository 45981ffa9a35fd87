"""Candidate items of click samples: interactions of the log, and items sampled as negatives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SPLITS = ("train", "valid", "test")
_MAX_DRAWS = 50  # attempts to find a sampled item that the user never met


class NumberedLog(NamedTuple):
    """L interactions as arrays, in order of time.

    user, item: i64[L], numbers from 0. seconds: f64[L]. moment: f64[L], orders the interactions of a user; equal
    moments have no order. clicked: bool[L].
    """

    user: np.ndarray
    item: np.ndarray
    seconds: np.ndarray
    moment: np.ndarray
    clicked: np.ndarray
    num_users: int
    num_items: int


class Candidates(NamedTuple):
    """row: i64[N], interaction that a sample comes from. item: i64[N], candidate item. label: i64[N]."""

    row: np.ndarray
    item: np.ndarray
    label: np.ndarray


def subsample(
    rows: np.ndarray, split: np.ndarray, limit: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[str]]:
    """Draw at most `limit` of the interactions `rows` per split; also returns notes on splits that were cut."""
    kept: list[np.ndarray] = []
    notes: list[str] = []
    for name in SPLITS:
        inside = rows[split[rows] == name]
        if len(inside) > limit:
            notes.append(f"Of {len(inside):,} interactions in the {name} split, {limit:,} drawn at random are sampled.")
            inside = rng.choice(inside, limit, replace=False)
        kept.append(inside)
    return np.sort(np.concatenate(kept)), notes


def add_negatives(
    log: NumberedLog, rows: np.ndarray, negatives: int, rng: np.random.Generator
) -> tuple[Candidates, list[str]]:
    """The interactions `rows` as candidates, each click followed by its sampled items; also returns notes."""
    first_seen = np.full(log.num_items, np.inf)
    np.minimum.at(first_seen, log.item, log.seconds)
    by_age = np.argsort(first_seen, kind="stable")
    num_known = np.searchsorted(first_seen[by_age], log.seconds, side="left")  # items that occurred strictly before
    met = np.unique(log.user.astype(np.int64) * log.num_items + log.item)
    clicks = np.repeat(rows[log.clicked[rows]], negatives)
    drawn = np.full(len(clicks), -1)
    pending = np.flatnonzero(num_known[clicks] > 0)  # draws that have no item yet
    for _ in range(_MAX_DRAWS):
        if not len(pending):
            break
        click = clicks[pending]
        drawn[pending] = by_age[rng.integers(0, num_known[click])]
        key = log.user[click].astype(np.int64) * log.num_items + drawn[pending]
        is_met = met[np.minimum(np.searchsorted(met, key), len(met) - 1)] == key
        drawn[pending[is_met]] = -1
        pending = pending[is_met]
    found = drawn >= 0
    notes: list[str] = []
    if num_missing := int((~found).sum()):
        notes.append(f"{num_missing:,} clicks have fewer negatives: their user had met nearly all items of that time.")
    row = np.concatenate([rows, clicks[found]])
    item = np.concatenate([log.item[rows], drawn[found]])
    label = np.concatenate([log.clicked[rows].astype(np.int64), np.zeros(int(found.sum()), np.int64)])
    order = np.argsort(row, kind="stable")
    return Candidates(row[order], item[order], label[order]), notes
