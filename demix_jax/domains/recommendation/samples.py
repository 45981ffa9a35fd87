"""Turn interactions into click samples: candidate item, earlier clicks, side features, clicked or not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import chex
import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError, check_seed
from demix_jax.domains.recommendation.candidates import SPLITS, Candidates, NumberedLog, add_negatives, subsample
from demix_jax.domains.recommendation.log import RecommendationData
from demix_jax.domains.recommendation.summaries import EventTimes, ItemFeatures, days_between

LABEL = "clicked"
IDENTIFIERS = ("user", "item", "timestamp")
_SPLIT_QUANTILES = (0.70, 0.85)  # quantiles of time at which the validation and the test split begin
_MIN_SAMPLES = 30


@dataclass(frozen=True)
class InteractionSamples:
    """N click samples, in order of time; U users, I items, histories of T clicks.

    Attributes:
      table: one row per sample, index 0 … N−1. Columns: user, item, timestamp; side features user_… and item_…;
        measures of the item against the strictly earlier log; clicked (0 or 1).
      split: object[N], "train", "valid" or "test".
      user, item: i32[N], numbers from 1.
      history: i32[N, T], numbers of the items clicked before, latest last; padded with 0 in front.
      features: item table as arrays.
      num_users, num_items: U and I.
      notes: sentences that a person should read.
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

    def __post_init__(self) -> None:
        chex.assert_shape([self.split, self.user, self.item], (len(self.table),))
        chex.assert_shape(self.history, (len(self.table), None))
        chex.assert_shape(self.features.category, (self.num_items + 1,))

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: np.ndarray) -> InteractionSamples:
        """The samples at `rows` (indices or a bool mask), with the table's index renumbered from 0."""
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
        """The samples of one split, "train", "valid" or "test"."""
        return self.take(self.split == split)

    def features_of(self, role: str) -> list[str]:
        """Columns of the table with side features of a role, "user" or "item"."""
        return [name for name in self.table.columns if name.startswith(f"{role}_")]

    def with_table(self, table: pd.DataFrame) -> InteractionSamples:
        """Samples with another table of side features and labels; comparisons with the history are recomputed."""
        columns = self.features.against_history(self._items_of(table), self.history)
        return replace(self, table=_label_last(table.assign(**columns)))

    def inputs(self, side: np.ndarray) -> dict[str, np.ndarray]:
        """Inputs of DIN and DIEN, see `networks.DIN`; `side` is the encoded table f32[N, D]."""
        return {
            "user": self.user,
            "item": self.item,
            "category": self.features.categories_of(self._items_of(self.table)),
            "history": self.history,
            "history_category": self.features.category[self.history],
            "side": side,
        }

    def _items_of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The items' side features in `table`, without the prefix of their names."""
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
    """Make click samples of a log, split by time: 70 % of the interactions train, 15 % valid, 15 % test.

    Each click is a sample with label 1. It comes with `negatives` samples with label 0, items already in the log that
    the user never met. An interaction with a rating below the minimum is itself a sample with label 0. Features on the
    past come from strictly earlier interactions (but see `random_ties`).

    Args:
      data: see `read_recommendation_data`.
      max_history: longest history; the latest clicks are kept.
      negatives: number of sampled items with label 0 per click.
      last_per_user: number of latest interactions to keep, per user and split; None: all.
      max_samples: largest number of samples per split; a random part is drawn if there are more. None: all.
      random_ties: order a user's simultaneous interactions at random. False: none of them is in another's history.
        True suits logs with days as times, where most interactions would otherwise have no history.
      seed: of all randomness.
    Returns:
      InteractionSamples.
    Raises:
      InputError: an option is out of range, or too few interactions have a history.
    Example:
      >>> from demix_jax.domains.recommendation.log import read_recommendation_data
      >>> log = pd.DataFrame({"user": [1, 2] * 20, "item": list("abcde") * 8, "time": range(40)})
      >>> samples = make_samples(read_recommendation_data(log), max_history=3, negatives=0)
      >>> len(samples), len(samples.part("train"))
      (38, 27)
      >>> samples.history[2]
      array([0, 1, 3], dtype=int32)
    """
    _check_options(max_history, negatives, last_per_user, max_samples)
    check_seed(seed)
    rng, notes = np.random.default_rng(seed), list(data.notes)
    users, items = pd.Index(data.log["user"].unique()), pd.Index(data.log["item"].unique())
    user, seconds = users.get_indexer(pd.Index(data.log["user"])), data.log["seconds"].to_numpy()
    log = NumberedLog(
        user=user,
        item=items.get_indexer(pd.Index(data.log["item"])),
        seconds=seconds,
        moment=_moments(user, seconds, random_ties, rng),
        clicked=data.log["clicked"].to_numpy(),
        num_users=len(users),
        num_items=len(items),
    )
    histories = _ClickHistories(log)
    number = _split_numbers(seconds)
    split = np.array(SPLITS, dtype=object)[number]

    rows = np.flatnonzero(histories.lengths(user, log.moment) > 0)
    if without := len(user) - len(rows):
        ties = "" if random_ties or not _has_ties(user, seconds) else "; random_ties=True would leave fewer without"
        notes.append(f"{without:,} interactions have no click of their user before them and make no samples{ties}.")
    if last_per_user is not None:
        rows = rows[_last_per_group(user[rows] * len(SPLITS) + number[rows], last_per_user)]
    if max_samples is not None:
        limit = max(1, int(max_samples / (1 + negatives * log.clicked.mean())))
        rows, sentences = subsample(rows, split, limit, rng)
        notes += sentences
    candidates, sentences = add_negatives(log, rows, negatives, rng)
    notes += sentences
    if len(candidates.row) < _MIN_SAMPLES:
        raise InputError(
            f"Only {len(candidates.row)} samples have a click of their user before them; at least {_MIN_SAMPLES} are "
            "needed. Give a longer log."
        )
    sample_user, sample_seconds = user[candidates.row], seconds[candidates.row]
    sample_moment = log.moment[candidates.row]
    table = _identifiers_and_side_features(data, candidates, items).assign(
        **_item_activity(log, candidates.item, sample_seconds),
        history_length=histories.lengths(sample_user, sample_moment),
        days_since_click=histories.days_since_last(sample_user, sample_moment, sample_seconds),
        **{LABEL: candidates.label},
    )
    samples = InteractionSamples(
        table=table,
        split=split[candidates.row],
        user=(sample_user + 1).astype(np.int32),
        item=(candidates.item + 1).astype(np.int32),
        history=histories.latest(sample_user, sample_moment, max_history),
        features=ItemFeatures.of(data.items.reindex(items), data.category),
        num_users=len(users),
        num_items=len(items),
        notes=tuple(notes),
    )
    return samples.with_table(table)


class _ClickHistories:
    """The clicks of each user, ordered by `moment`."""

    def __init__(self, log: NumberedLog) -> None:
        user, moment = log.user[log.clicked], log.moment[log.clicked]
        order = np.lexsort((moment, user))
        self._item, self._seconds = log.item[log.clicked][order], log.seconds[log.clicked][order]
        self._times = EventTimes(user, moment, log.num_users)
        self._start = np.searchsorted(user[order], np.arange(log.num_users))

    def lengths(self, user: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """i64[n]: number of clicks of each user strictly before the moment."""
        return self._times.before(user, moment)

    def latest(self, user: np.ndarray, moment: np.ndarray, limit: int) -> np.ndarray:
        """i32[n, T]: numbers from 1 of the last `limit` items clicked strictly before; padded with 0 in front."""
        length = self.lengths(user, moment)
        back = np.arange(min(limit, int(length.max(initial=1))))[::-1]
        place = (self._start[user] + length)[:, None] - 1 - back
        present = back < length[:, None]
        return np.where(present, self._item[np.maximum(place, 0)] + 1, 0).astype(np.int32)

    def days_since_last(self, user: np.ndarray, moment: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """f64[n]: days from the last click strictly before the moment, which must exist, to the time `seconds`."""
        last = self._start[user] + self.lengths(user, moment) - 1
        return days_between(self._seconds[last], seconds)


def _check_options(max_history: int, negatives: int, last_per_user: int | None, max_samples: int | None) -> None:
    """InputError if an option is not a whole number or too small."""
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
    """f64[L]: orders the interactions of a user, by time or, with `random_ties`, by rank with ties broken at random."""
    if not random_ties:
        return seconds
    place = np.empty(len(seconds))
    place[np.lexsort((rng.random(len(seconds)), seconds, user))] = np.arange(len(seconds))
    return place


def _has_ties(user: np.ndarray, seconds: np.ndarray) -> bool:
    """Whether a user has two interactions at the same time."""
    order = np.lexsort((seconds, user))
    return bool(((np.diff(user[order]) == 0) & (np.diff(seconds[order]) == 0)).any())


def _split_numbers(seconds: np.ndarray) -> np.ndarray:
    """i64[L]: split of each interaction, 0, 1 or 2; simultaneous interactions are in the same split."""
    cuts = np.quantile(seconds, _SPLIT_QUANTILES, method="higher")
    return np.searchsorted(cuts, seconds, side="left")


def _last_per_group(group: np.ndarray, limit: int) -> np.ndarray:
    """bool[n]: True for the last `limit` entries of each group."""
    backwards = pd.Series(group[::-1]).groupby(group[::-1]).cumcount().to_numpy()[::-1]
    return backwards < limit


def _identifiers_and_side_features(data: RecommendationData, candidates: Candidates, items: pd.Index) -> pd.DataFrame:
    """Table of user, item, timestamp, and the side features of user and item."""
    interactions = data.log.iloc[candidates.row].reset_index(drop=True)
    user, item = interactions["user"].to_numpy(), items.to_numpy()[candidates.item]
    identifiers = pd.DataFrame({"user": user, "item": item, "timestamp": interactions["timestamp"]})
    sides = (("user", data.users.reindex(user)), ("item", data.items.reindex(item)))
    prefixed = (side.reset_index(drop=True).add_prefix(f"{role}_") for role, side in sides)
    return pd.concat([identifiers, *prefixed], axis=1)


def _item_activity(log: NumberedLog, item: np.ndarray, seconds: np.ndarray) -> dict[str, np.ndarray]:
    """Activity of items in the log strictly before the times `seconds`.

    popularity: interactions of the item, relative to the average item. days_since_item_met: since the last interaction
    of any user.
    """
    events = EventTimes(log.item, log.seconds, log.num_items)
    num_before = np.searchsorted(log.seconds, seconds, side="left")
    return {
        "popularity": events.before(item, seconds) * events.num_keys / np.maximum(num_before, 1),
        "days_since_item_met": events.days_since_last(item, seconds),
    }


def _label_last(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the label as its last column."""
    return table.reindex(columns=[*(name for name in table.columns if name != LABEL), LABEL])
