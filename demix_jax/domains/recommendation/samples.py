"""From interactions to click samples: candidate, clicks before it, side features, and whether it was clicked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError, check_seed
from demix_jax.domains.recommendation.log import RecommendationData
from demix_jax.domains.recommendation.summaries import EventTimes, ItemFeatures, days_between

LABEL = "clicked"
IDENTIFIERS = ("user", "item", "timestamp")
SPLITS = ("train", "valid", "test")
_BEFORE = (0.70, 0.85)  # shares of the interactions that come before the validation and the test split
_ROUNDS = 50
_MIN_SAMPLES = 30


@dataclass(frozen=True)
class InteractionSamples:
    """N click samples, in order of time; U users, I items, histories of T clicks.

    Attributes:
      table: one row per sample, index 0 … N−1: user, item, timestamp; side features as user_… and item_…; summaries of
        the candidate against what came strictly before it; clicked (0 or 1).
      split: object[N], "train", "valid" or "test".
      user, item: i32[N], numbers from 1.
      history: i32[N, T], numbers of the items clicked before, the last of them at the end; 0 fills up the front.
      features: the items as arrays. num_users, num_items: U and I.
      notes: what a person should know.
    """

    table: pd.DataFrame
    split: np.ndarray
    user: np.ndarray
    item: np.ndarray
    history: np.ndarray
    features: ItemFeatures
    num_users: int
    num_items: int
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: np.ndarray) -> InteractionSamples:
        """The samples in these rows (indices or a bool mask), renumbered from 0."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(
            self,
            table=self.table.iloc[rows].reset_index(drop=True),
            split=self.split[rows],
            user=self.user[rows],
            item=self.item[rows],
            history=self.history[rows],
        )

    def part(self, split: str) -> InteractionSamples:
        """The samples of one split."""
        return self.take(self.split == split)

    def features_of(self, role: str) -> list[str]:
        """The columns of the table that are side features of the "user" or "item"."""
        return [name for name in self.table.columns if name.startswith(f"{role}_")]

    def with_table(self, table: pd.DataFrame) -> InteractionSamples:
        """These samples with changed side features or labels; what compares candidates with histories is done anew."""
        columns = self.features.against_history(self._items_of(table), self.history)
        return replace(self, table=_label_last(table.assign(**columns)))

    def inputs(self, side: np.ndarray) -> dict[str, np.ndarray]:
        """What DIN and DIEN take: see `demix_jax.models.DIN`. side: f32[N, D], the encoded table."""
        return {
            "user": self.user,
            "item": self.item,
            "category": self.features.categories_of(self._items_of(self.table)),
            "history": self.history,
            "history_category": self.features.category[self.history],
            "side": side,
        }

    def _items_of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The items' side features as `table` has them, under their own names."""
        names = list(self.features.columns)
        return pd.DataFrame({name: table[f"item_{name}"] for name in names}, index=table.index, columns=pd.Index(names))


def make_samples(
    data: RecommendationData,
    *,
    max_history: int = 100,
    negatives: int = 1,
    last_per_user: int | None = None,
    max_samples: int | None = 10_000,
    random_ties: bool = False,
    seed: int = 0,
) -> InteractionSamples:
    """Click samples of a log, split by time: 70 % of the interactions train, 15 % valid, 15 % test.

    A click is a sample of label 1; beside it stand `negatives` samples of label 0, items in the log by then that the
    user never met. An interaction rated too low for a click is a sample of label 0 itself. Everything that a sample
    says of its past comes strictly before it (but see random_ties), and no sample's own interaction counts in it.

    Args:
      data: see `read_recommendation_data`.
      max_history: T at most, the latest clicks.
      negatives: sampled items of label 0 for each click.
      last_per_user: only so many of the latest interactions of each user in each split; None: all.
      max_samples: of each split, drawn at random; None: all.
      random_ties: put a user's interactions of one moment, whose order is unknown, in a random one; False: none of them
        is in another's history. For logs whose times are days, of which most would else have no history.
      seed: of the draws.
    Raises:
      InputError: an option out of range, or too few interactions have a history.
    """
    _check_options(max_history, negatives, last_per_user, max_samples)
    check_seed(seed)
    rng, notes, log = np.random.default_rng(seed), list(data.notes), data.log
    users, items = pd.Index(log["user"].unique()), pd.Index(log["item"].unique())
    user = users.get_indexer(pd.Index(log["user"]))
    item = items.get_indexer(pd.Index(log["item"]))
    seconds, clicked = log["seconds"].to_numpy(), log["clicked"].to_numpy()
    moment = _moments(user, seconds, random_ties, rng)
    past = _Clicks(user[clicked], item[clicked], seconds[clicked], moment[clicked], len(users))
    number = _split_numbers(seconds)
    split = np.array(SPLITS, dtype=object)[number]

    rows = np.flatnonzero(past.lengths(user, moment) > 0)
    if without := len(log) - len(rows):
        ties = "" if random_ties or not _has_ties(user, seconds) else "; random_ties=True would leave fewer without"
        notes.append(f"{without:,} interactions have no click of their user before them and make no samples{ties}.")
    if last_per_user is not None:
        rows = rows[_last_per_group(user[rows] * len(SPLITS) + number[rows], last_per_user)]
    rows = _thinned(rows, split, max_samples, 1 + negatives * clicked.mean(), rng, notes)
    candidates = _with_negatives(rows, user, item, seconds, clicked, len(items), negatives, rng, notes)
    if len(candidates.row) < _MIN_SAMPLES:
        raise InputError(
            f"Only {len(candidates.row)} samples have a click of their user before them; at least {_MIN_SAMPLES} are "
            "needed. Give a longer log."
        )
    who, at, since = user[candidates.row], seconds[candidates.row], moment[candidates.row]
    table = _described(data, candidates, items).assign(
        **_of_item(EventTimes(item, seconds, len(items)), seconds, candidates.item, at),
        history_length=past.lengths(who, since),
        days_since_click=past.days_since_last(who, since, at),
        **{LABEL: candidates.label},
    )
    samples = InteractionSamples(
        table,
        split[candidates.row],
        (who + 1).astype(np.int32),
        (candidates.item + 1).astype(np.int32),
        past.latest(who, since, max_history),
        ItemFeatures.of(data.items.reindex(items), data.category),
        len(users),
        len(items),
        tuple(notes),
    )
    return samples.with_table(table)


@dataclass(frozen=True)
class _Candidates:
    """row: i64[N] the interaction beside which a sample stands. item: i64[N]. label: i64[N]."""

    row: np.ndarray
    item: np.ndarray
    label: np.ndarray


class _Clicks:
    """Each user's clicks in order of time; `moment` orders them, equal ones without an order."""

    def __init__(self, user, item, seconds, moment: np.ndarray, num_users: int) -> None:
        order = np.lexsort((moment, user))
        self._item, self._seconds = item[order], seconds[order]
        self._times = EventTimes(user, moment, num_users)
        self._start = np.searchsorted(user[order], np.arange(num_users))

    def lengths(self, user: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """i64[n]: clicks of the users strictly before the moments."""
        return self._times.before(user, moment)

    def latest(self, user: np.ndarray, moment: np.ndarray, limit: int) -> np.ndarray:
        """i32[n, T]: numbers, from 1, of the last `limit` items clicked strictly before, 0 in front of shorter ones."""
        length = self.lengths(user, moment)
        back = np.arange(min(limit, int(length.max(initial=1))))[::-1]
        place = (self._start[user] + length)[:, None] - 1 - back
        present = back < length[:, None]
        return np.where(present, self._item[np.maximum(place, 0)] + 1, 0).astype(np.int32)

    def days_since_last(self, user: np.ndarray, moment: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """f64[n] from the last click strictly before the moment, of which there is one, to the time in `seconds`."""
        last = self._start[user] + self.lengths(user, moment) - 1
        return days_between(self._seconds[last], seconds)


def _check_options(max_history: int, negatives: int, last_per_user: int | None, max_samples: int | None) -> None:
    bounds = (
        ("max_history", max_history, 1),
        ("negatives", negatives, 0),
        ("last_per_user", last_per_user, 1),
        ("max_samples", max_samples, _MIN_SAMPLES),
    )
    for name, value, least in bounds:
        if value is not None and (isinstance(value, bool) or value != int(value) or value < least):
            raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}.")


def _moments(user: np.ndarray, seconds: np.ndarray, random_ties: bool, rng: np.random.Generator) -> np.ndarray:
    """f64[N]: what orders each user's interactions, the time or a place in which equal times stand at random."""
    if not random_ties:
        return seconds
    place = np.empty(len(seconds))
    place[np.lexsort((rng.random(len(seconds)), seconds, user))] = np.arange(len(seconds))
    return place


def _has_ties(user: np.ndarray, seconds: np.ndarray) -> bool:
    order = np.lexsort((seconds, user))
    return bool(((np.diff(user[order]) == 0) & (np.diff(seconds[order]) == 0)).any())


def _split_numbers(seconds: np.ndarray) -> np.ndarray:
    """i64[N]: 0, 1 or 2; interactions of one moment fall into one split."""
    cuts = np.quantile(seconds, _BEFORE, method="higher")
    return np.searchsorted(cuts, seconds, side="left")


def _last_per_group(group: np.ndarray, limit: int) -> np.ndarray:
    """bool[n]: the last `limit` entries of each group."""
    backwards = pd.Series(group[::-1]).groupby(group[::-1]).cumcount().to_numpy()[::-1]
    return backwards < limit


def _thinned(rows, split, max_samples, per_row, rng, notes) -> np.ndarray:
    """At most as many interactions of each split as make `max_samples` samples."""
    if max_samples is None:
        return rows
    kept, limit = [], max(1, int(max_samples / per_row))
    for name in SPLITS:
        inside = rows[split[rows] == name]
        if len(inside) > limit:
            notes.append(f"Of {len(inside):,} interactions in the {name} split, {limit:,} drawn at random are sampled.")
            inside = rng.choice(inside, limit, replace=False)
        kept.append(inside)
    return np.sort(np.concatenate(kept))


def _with_negatives(rows, user, item, seconds, clicked, num_items, negatives, rng, notes) -> _Candidates:
    """The interactions as candidates, and after each click its sampled items."""
    first_seen = np.full(num_items, np.inf)
    np.minimum.at(first_seen, item, seconds)
    by_age = np.argsort(first_seen, kind="stable")
    known = np.searchsorted(first_seen[by_age], seconds, side="left")  # items that came up strictly before
    met = np.unique(user.astype(np.int64) * num_items + item)
    beside = np.repeat(rows[clicked[rows]], negatives)
    drawn = np.full(len(beside), -1)
    waiting = np.flatnonzero(known[beside] > 0)
    for _ in range(_ROUNDS):
        if not len(waiting):
            break
        which = beside[waiting]
        drawn[waiting] = by_age[rng.integers(0, known[which])]
        key = user[which].astype(np.int64) * num_items + drawn[waiting]
        place = np.minimum(np.searchsorted(met, key), len(met) - 1)
        is_met = met[place] == key
        drawn[waiting[is_met]] = -1
        waiting = waiting[is_met]
    if none := int((drawn < 0).sum()):
        notes.append(f"{none:,} clicks have fewer negatives: their user had met nearly all items of that time.")
    beside, drawn = beside[drawn >= 0], drawn[drawn >= 0]
    row = np.concatenate([rows, beside])
    label = np.concatenate([clicked[rows].astype(np.int64), np.zeros(len(beside), np.int64)])
    order = np.argsort(row, kind="stable")
    return _Candidates(row[order], np.concatenate([item[rows], drawn])[order], label[order])


def _described(data: RecommendationData, candidates: _Candidates, items: pd.Index) -> pd.DataFrame:
    """Who, what, when, and the side features of both."""
    of_log = data.log.iloc[candidates.row].reset_index(drop=True)
    who, which = of_log["user"].to_numpy(), items.to_numpy()[candidates.item]
    ids = pd.DataFrame({"user": who, "item": which, "timestamp": of_log["timestamp"]})
    sides = (("user", data.users.reindex(who)), ("item", data.items.reindex(which)))
    return pd.concat([ids, *(side.reset_index(drop=True).add_prefix(f"{role}_") for role, side in sides)], axis=1)


def _of_item(events: EventTimes, seconds: np.ndarray, which: np.ndarray, at: np.ndarray) -> dict[str, np.ndarray]:
    """What the log says of items `which` strictly before the moments `at`.

    popularity: the item's interactions over those of the average item. days_since_item_met: by anyone.
    """
    so_far = np.searchsorted(seconds, at, side="left")
    return {
        "popularity": events.before(which, at) * events.num_keys / np.maximum(so_far, 1),
        "days_since_item_met": events.days_since_last(which, at),
    }


def _label_last(table: pd.DataFrame) -> pd.DataFrame:
    return table.reindex(columns=[*(name for name in table.columns if name != LABEL), LABEL])
