"""Read and check an interaction log with its user and item tables."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.data.inspect_column import inspect_column
from demix_jax.data.inspected_table import refuse_duplicate_names
from demix_jax.data.kinds import MISSING_TEXT, as_dates, column_of, levels, nature, raw_numbers
from demix_jax.data.read import as_table

Table = pd.DataFrame | str | os.PathLike

_USUAL_NAMES = {
    "user": ("user", "user_id", "userid", "uid", "reviewerid", "customer_id"),
    "item": ("item", "item_id", "itemid", "iid", "movie_id", "movieid", "asin", "product_id", "business_id"),
    "timestamp": ("timestamp", "time", "datetime", "date", "unixreviewtime"),
    "rating": ("rating", "overall", "stars", "score"),
}
_MIN_INTERACTIONS = 30


@dataclass(frozen=True)
class RecommendationData:
    """Interaction log with side features of its users and items.

    Attributes:
      log: one row per interaction, in order of time. Columns: user and item (text), seconds (f64), timestamp (as given)
        and clicked (bool; False where the rating is below `min_rating`).
      users, items: side features, with the ids as text index; without columns where no table was given. Columns that
        only name the user or item (text, or a different value in each row) are left out.
      category: item column with the item's category, or None.
      notes: sentences on the input that a person should read.
    """

    log: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    category: str | None
    notes: tuple[str, ...]


def read_recommendation_data(
    interactions: Table,
    *,
    users: Table | None = None,
    items: Table | None = None,
    category: str | None = None,
    min_rating: float | None = None,
) -> RecommendationData:
    """Read and check an interaction log and its side tables.

    Columns are found by their usual names, in upper or lower case: user, user_id or reviewerID; item, item_id,
    movie_id, asin or business_id; timestamp, time, date or unixReviewTime; rating, overall or stars.

    Args:
      interactions: a table or its path; one row per interaction, with user, item and time (seconds or a date).
      users, items: tables of side features or their paths; one row per user or item, with the same ids as the log.
        None: no side features.
      category: item column with the item's category; None: the first categorical column.
      min_rating: interactions with a lower rating count as seen but not clicked; None: every interaction is a click.
    Returns:
      RecommendationData.
    Raises:
      InputError: a column is missing or incomplete, a time cannot be read, an id occurs twice in a side table, a side
        table shares no id with the log, or there are fewer than 30 interactions.
    Example:
      >>> log = pd.DataFrame({"user_id": [1, 2] * 20, "item_id": list("abcde") * 8, "time": range(40)})
      >>> data = read_recommendation_data(log)
      >>> data.log.head(2)
        user item  seconds  timestamp  clicked
      0    1    a      0.0          0     True
      1    2    b      1.0          1     True
    """
    frame = _checked(interactions, "The interaction log")
    notes: list[str] = []
    log = _read_log(frame, min_rating, notes)
    sides = {}
    for role, table in (("user", users), ("item", items)):
        if table is None:
            notes.append(f"There is no table of {role}s, so they have no side features; give one with {role}s=.")
            sides[role] = pd.DataFrame(index=pd.Index(log[role].unique(), name=role))
        else:
            sides[role] = _read_side(_checked(table, f"The table of {role}s"), role, log, notes)
    return RecommendationData(
        log=log,
        users=sides["user"],
        items=sides["item"],
        category=_choose_category(sides["item"], category),
        notes=tuple(notes),
    )


def _checked(table: Table, what: str) -> pd.DataFrame:
    """The table, read if it is a path; `what` names it in error messages."""
    frame = as_table(table, what)
    refuse_duplicate_names(frame, what)
    return frame


def _find_column(frame: pd.DataFrame, role: str) -> str | None:
    """Name of the first column with one of the usual names of a role, such as "user"; None if there is none."""
    folded = {str(name).strip().lower(): name for name in frame.columns}
    return next((folded[name] for name in _USUAL_NAMES[role] if name in folded), None)


def _required_column(frame: pd.DataFrame, role: str, what: str) -> pd.Series:
    """The column of a role; InputError if it is missing or has missing values."""
    name = _find_column(frame, role)
    if name is None:
        names = ", ".join(map(str, frame.columns[:12]))
        raise InputError(
            f"{what} has no column for the {role}; its columns are {names}. Name one of them "
            f"{' or '.join(_USUAL_NAMES[role][:2])}."
        )
    column = column_of(frame, name)
    if missing := int(column.isna().sum()):
        raise InputError(f"{what} has no {role} in {missing} of {len(frame)} rows; drop these rows.")
    return column


def _read_log(frame: pd.DataFrame, min_rating: float | None, notes: list[str]) -> pd.DataFrame:
    """The log as in `RecommendationData`; appends to `notes`."""
    what = "The interaction log"
    stamp = _required_column(frame, "timestamp", what)
    log = pd.DataFrame(
        {
            "user": _as_ids(_required_column(frame, "user", what)),
            "item": _as_ids(_required_column(frame, "item", what)),
            "seconds": _seconds(stamp),
            "timestamp": stamp.to_numpy(),
            "clicked": True,
        }
    )
    if min_rating is not None:
        rating = raw_numbers(_required_column(frame, "rating", what))
        if np.isnan(rating).any():
            raise InputError(f"{what} has ratings that are not numbers; correct them, or do without min_rating.")
        high = rating >= min_rating
        if high.all() or not high.any():
            which = "Every" if high.all() else "No"
            raise InputError(f"{which} rating is at least {min_rating:g}; choose another min_rating.")
        log["clicked"] = high
    copies = log.duplicated(["user", "item", "seconds"]).to_numpy()
    if copies.any():
        notes.append(f"{copies.sum():,} interactions are listed twice (same user, item and time); copies were dropped.")
        log = log.loc[~copies, :]
    if len(log) < _MIN_INTERACTIONS:
        raise InputError(f"{what} has {len(log)} interactions; at least {_MIN_INTERACTIONS} are needed.")
    if (np.diff(log["seconds"]) < 0).any():
        notes.append("The interaction log was not in order of time; it was sorted.")
        log = log.iloc[np.argsort(log["seconds"].to_numpy(), kind="stable")]
    together = log.groupby(["user", "seconds"]).size().to_numpy()
    if same := int(together[together > 1].sum()):
        notes.append(
            f"{same:,} interactions share their time with another one of the same user, so that their order is unknown."
        )
    return log.reset_index(drop=True)


def _as_ids(column: pd.Series) -> np.ndarray:
    """object[N]: ids as text."""
    codes, texts = levels(column, MISSING_TEXT)
    if (codes < 0).any():
        raise InputError(f"The column {column.name!r} has blank ids in {(codes < 0).sum()} rows; drop these rows.")
    return np.array(texts, dtype=object)[codes]


def _seconds(stamp: pd.Series) -> np.ndarray:
    """f64[N]: dates as seconds since 1970; numbers as they are."""
    parsed = inspect_column(stamp.name, stamp, is_label=True).values
    if nature(parsed) == "date":
        dates = as_dates(parsed)
        values = np.where(dates.isna(), np.nan, dates.as_unit("ns").asi8 / 1e9)
    else:
        values = raw_numbers(parsed)
    unread = ~np.isfinite(values)
    if unread.any():
        example = stamp.iloc[int(np.argmax(unread))]
        raise InputError(
            f"{unread.sum()} of {len(stamp)} times in {stamp.name!r} cannot be read, such as {example!r}; give seconds "
            "since 1970 or dates like 2018-03-01 12:30:00."
        )
    return values


def _read_side(frame: pd.DataFrame, role: str, log: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Side features as in `RecommendationData`; appends to `notes`."""
    what = f"The table of {role}s"
    ids = _as_ids(_required_column(frame, role, what))
    side = frame.drop(columns=_find_column(frame, role)).set_axis(pd.Index(ids, name=role), axis=0)
    if side.index.has_duplicates:
        twice = side.index[side.index.duplicated()][0]
        raise InputError(f"{what} lists {role} {twice} more than once; give one row per {role}.")
    known = pd.Index(log[role].unique())
    unknown = known.difference(side.index)
    if len(unknown) == len(known):
        raise InputError(
            f"{what} has none of the log's {role}s: it lists {side.index[0]!r}, the log {known[0]!r}. Give both the "
            "same ids."
        )
    if len(unknown):
        shown = ", ".join(map(str, unknown[:3]))
        notes.append(
            f"{len(unknown):,} of {len(known):,} {role}s in the log are not in the table of {role}s (such as {shown}); "
            "their side features count as missing."
        )
    side.columns = [str(name) for name in side.columns]
    side = pd.DataFrame({name: inspect_column(name, column_of(side, name)).values for name in side.columns})
    inside = side.loc[side.index.intersection(known)]
    kinds = {name: inspect_column(name, column_of(inside, name)).column.kind for name in side.columns}
    unused = [name for name, kind in kinds.items() if kind in ("text", "identifier", "constant")]
    if unused:
        notes.append(f"No features, as they only name the {role} or never vary: {', '.join(unused)}.")
    lists = [name for name, kind in kinds.items() if kind in ("vector", "set")]
    if lists:
        notes.append(f"No features of the {role}, as lists are not used here: {', '.join(lists)}.")
    return side.drop(columns=[*unused, *lists])


def _choose_category(items: pd.DataFrame, requested: str | None) -> str | None:
    """The requested category column, else the first categorical column, else None."""
    if requested is not None:
        if requested not in items.columns:
            names = ", ".join(items.columns) or "none"
            raise InputError(
                f"The table of items has no feature {requested!r} to be the category; its features: {names}."
            )
        return requested
    kinds = ((name, inspect_column(name, column_of(items, name)).column.kind) for name in items.columns)
    return next((name for name, kind in kinds if kind == "category"), None)
