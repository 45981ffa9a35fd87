"""A made-up interaction log with side tables, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

GENRES = ("comedy", "drama", "horror", "war")


def make_log(
    *, num_users: int = 60, num_items: int = 40, per_user: int = 12, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Interactions in order of time, users and items; each user mostly meets items of a favourite genre."""
    rng = np.random.default_rng(seed)
    genre = rng.integers(0, len(GENRES), num_items)
    favourite = rng.integers(0, len(GENRES), num_users)
    rows = []
    for user in range(num_users):
        liked = np.where(genre == favourite[user], 8.0, 1.0)
        for item in rng.choice(num_items, per_user, replace=False, p=liked / liked.sum()):
            rows.append((user, item, int(rng.integers(1, 10**7)), int(rng.integers(1, 6))))
    log = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "rating"]).sort_values("timestamp")
    users = pd.DataFrame(
        {
            "user_id": range(num_users),
            "gender": rng.choice(["F", "M"], num_users),
            "age": rng.integers(18, 70, num_users),
            "name": [f"user number {n}" for n in range(num_users)],
        }
    )
    items = pd.DataFrame(
        {
            "item_id": range(num_items),
            "genre": np.array(GENRES, dtype=object)[genre],
            "price": np.round(rng.gamma(2.0, 10.0, num_items), 2),
        }
    )
    return log.reset_index(drop=True), users, items


def named_rows(frame: pd.DataFrame) -> Iterable[Any]:
    """Rows as named tuples; pandas' types do not tell that columns are attributes."""
    return frame.itertuples()


def write_yelp_dump(folder: Path) -> None:
    """The same log in the form of Yelp's academic dump."""
    log, users, items = make_log()
    folder.mkdir(parents=True, exist_ok=True)
    reviews = [
        {
            "review_id": f"r{n}",
            "user_id": f"u{row.user_id}",
            "business_id": f"b{row.item_id}",
            "stars": float(row.rating),
            "useful": 0,
            "text": "Nice place.",
            "date": str(pd.Timestamp("2017-01-01") + pd.Timedelta(row.timestamp, "s")),
        }
        for n, row in enumerate(named_rows(log))
    ]
    business = [
        {
            "business_id": f"b{row.item_id}",
            "name": "A",
            "city": "Tempe" if row.item_id % 2 else "Reno",
            "state": "AZ",
            "stars": 4.0 + row.item_id % 3 / 2,
            "review_count": 10 + row.item_id,
            "categories": f"{row.genre}, Food",
        }
        for row in named_rows(items)
    ]
    people = [
        {"user_id": f"u{row.user_id}", "review_count": row.age, "yelping_since": "2012-03-01 10:00:00", "fans": 1,
         "average_stars": 3.5}
        for row in named_rows(users)
    ]  # fmt: skip
    for name, lines in (("review", reviews), ("business", business), ("user", people)):
        text = "\n".join(json.dumps(line) for line in lines)
        (folder / f"yelp_academic_dataset_{name}.json").write_text(text + "\n")
