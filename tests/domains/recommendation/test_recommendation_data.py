"""Click samples: what they say of the past, how they are split, and what is said of bad input."""

import io
import os
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recommendation_logs import make_log, named_rows, write_yelp_dump

from demix_jax import InputError
from demix_jax.domains.recommendation import load_recommendation, make_samples, read_recommendation_data

LOG, USERS, ITEMS = make_log()


@pytest.fixture(scope="module")
def samples():
    return make_samples(read_recommendation_data(LOG, users=USERS, items=ITEMS), max_history=5)


def test_what_a_sample_says_of_its_past_by_a_plain_loop(samples):
    table = samples.table
    genre = ITEMS.set_index(ITEMS["item_id"].astype(str))["genre"]
    price = ITEMS.set_index(ITEMS["item_id"].astype(str))["price"]
    log = LOG.assign(user=LOG["user_id"].astype(str), item=LOG["item_id"].astype(str))
    number = {item: n for n, item in enumerate(log["item"].unique(), start=1)}
    for i in np.random.default_rng(0).choice(len(table), 60, replace=False):
        row = table.iloc[i]
        before = log[log["timestamp"] < row["timestamp"]]
        own = before[before["user"] == row["user"]]
        last = list(own["item"])[-5:]
        assert samples.history[i][samples.history[i] > 0].tolist() == [number[item] for item in last]
        assert row["history_length"] == len(own)
        popularity = (before["item"] == row["item"]).sum() * len(number) / len(before)
        np.testing.assert_allclose(row["popularity"], popularity)
        met = before[before["item"] == row["item"]]["timestamp"]
        idle = (row["timestamp"] - met.max()) / 86_400 if len(met) else 3_650
        np.testing.assert_allclose(row["days_since_item_met"], idle)
        np.testing.assert_allclose(row["days_since_click"], (row["timestamp"] - own["timestamp"].max()) / 86_400)
        share = np.mean([genre[item] == genre[row["item"]] for item in last])
        np.testing.assert_allclose(row["history_share_of_genre"], share)
        gap = price[row["item"]] - np.mean([price[item] for item in last])
        np.testing.assert_allclose(row["above_history_price"], gap)


def test_nothing_of_a_sample_changes_with_what_came_later(samples):
    """The log cut off behind a moment gives the same rows up to it, but for the negatives drawn anew."""
    cut = LOG["timestamp"].quantile(0.6)
    earlier = make_samples(read_recommendation_data(LOG.loc[LOG["timestamp"] <= cut], users=USERS, items=ITEMS))
    names = ["user", "item", "timestamp", "days_since_item_met", "history_length", "days_since_click",
             "history_share_of_genre"]  # fmt: skip
    clicks = [s.table.loc[(s.table["clicked"] == 1) & (s.table["timestamp"] <= cut)] for s in (samples, earlier)]
    wanted = clicks[0][names[:-1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(clicks[1][names[:-1]].reset_index(drop=True), wanted)


def test_negatives_were_in_the_log_by_then_and_are_never_met(samples):
    table = samples.table
    assert 0.45 < table["clicked"].mean() < 0.55
    met = set(zip(LOG["user_id"].astype(str), LOG["item_id"].astype(str), strict=True))
    first = pd.Series(LOG.groupby(LOG["item_id"].astype(str))["timestamp"].min())
    for row in named_rows(table.loc[table["clicked"] == 0]):
        assert (row.user, row.item) not in met
        assert first[row.item] < row.timestamp


def test_splits_follow_time(samples):
    stamps = {name: samples.part(name).table["timestamp"] for name in ("train", "valid", "test")}
    assert stamps["train"].max() <= stamps["valid"].min() and stamps["valid"].max() <= stamps["test"].min()
    share = (LOG["timestamp"] <= stamps["train"].max()).mean()
    assert 0.68 < share < 0.72


def test_last_per_user_and_the_cap():
    data = read_recommendation_data(LOG, users=USERS, items=ITEMS)
    last = make_samples(data, last_per_user=1, negatives=0)
    assert last.part("test").table["user"].is_unique
    newest = pd.Series(LOG.groupby(LOG["user_id"].astype(str))["timestamp"].max())
    test = last.part("test").table
    assert test["timestamp"].tolist() == [newest[user] for user in test["user"]]
    few = make_samples(data, max_samples=60)
    assert len(few.part("train")) == 60 and any("drawn at random" in note for note in few.notes)


def test_interactions_of_one_moment_may_be_put_in_a_random_order():
    days = LOG.assign(timestamp=LOG["timestamp"] // (4 * 10**6))
    data = read_recommendation_data(days, users=USERS, items=ITEMS)
    apart, mixed = (make_samples(data, random_ties=ties, max_samples=None) for ties in (False, True))
    assert any("random_ties=True" in note for note in apart.notes)
    lengths = mixed.table[mixed.table["clicked"] == 1].groupby("user")["history_length"]
    clicks = days.groupby(days["user_id"].astype(str)).size()
    assert np.all(lengths.agg(sorted) == clicks.map(lambda n: [*range(1, n)]))
    number = {item: n for n, item in enumerate(data.log["item"].unique(), start=1)}
    met = data.log.groupby("user")[["item", "seconds"]].agg(list)
    later = []
    for row, history in zip(named_rows(mixed.table), mixed.history, strict=True):
        items, times = met.loc[row.user]
        earlier = {number[item] for item, time in zip(items, times, strict=True) if time < row.timestamp}
        together = {number[item] for item, time in zip(items, times, strict=True) if time == row.timestamp}
        seen = set(history[history > 0].tolist())
        assert earlier <= seen <= earlier | together - {number[row.item]}
        later.append(len(seen - earlier))
        assert (row.days_since_click == 0) == (later[-1] > 0)
    assert max(later) > 1


def test_ratings_below_the_asked_one_are_no_clicks():
    samples = make_samples(read_recommendation_data(LOG, items=ITEMS, min_rating=4), negatives=0)
    rating = LOG.assign(user=LOG["user_id"].astype(str), item=LOG["item_id"].astype(str))
    joined = samples.table.merge(rating, on=["user", "item", "timestamp"])
    assert np.all(joined["clicked"] == (joined["rating"] >= 4)) and bool(joined["clicked"].nunique() == 2)
    liked = set(map(tuple, rating.loc[rating["rating"] >= 4, ["user", "item"]].to_numpy()))
    numbers = {n: item for n, item in zip(samples.item, samples.table["item"], strict=True)}
    for user, history in zip(samples.table["user"], samples.history, strict=True):
        assert all((user, numbers[n]) in liked for n in history if n in numbers)


def test_a_changed_item_feature_changes_what_it_is_compared_by(samples):
    table = samples.table.assign(item_price=1_000.0)
    changed = samples.with_table(table).table
    gap = changed["above_history_price"] - samples.table["above_history_price"]
    np.testing.assert_allclose(gap, 1_000 - samples.table["item_price"])


def test_no_comparison_with_a_history_of_which_nothing_is_known():
    unpriced = ITEMS.assign(price=ITEMS["price"].where(ITEMS["item_id"] % 2 == 0))
    samples = make_samples(read_recommendation_data(LOG, users=USERS, items=unpriced), max_history=1)
    last = dict(zip(samples.item, samples.table["item"].astype(int) % 2, strict=True))
    odd = np.array([last.get(number, 0) == 1 for number in samples.history[:, -1]])
    assert odd.any() and samples.table.loc[odd, "above_history_price"].isna().all()


def test_dates_as_text_and_times_in_any_order():
    dates = (pd.Timestamp("2020-01-01") + pd.to_timedelta(LOG.loc[:, "timestamp"], "s")).astype(str)
    shuffled = LOG.assign(timestamp=dates).sample(frac=1, random_state=0)
    data = read_recommendation_data(shuffled, users=USERS, items=ITEMS)
    assert any("sorted" in note for note in data.notes)
    plain = read_recommendation_data(LOG, users=USERS, items=ITEMS)
    assert data.log["item"].tolist() == plain.log["item"].tolist()


NOTES = {
    "unknown user": (LOG, USERS[USERS["user_id"] > 3], ITEMS, "not in the table of users"),
    "no side tables": (LOG, None, None, "no table of items"),
    "duplicates": (pd.concat([LOG, LOG[:7]]), USERS, ITEMS, "7 interactions are listed twice"),
    "equal times": (LOG.assign(timestamp=LOG["timestamp"] // 10**6), USERS, ITEMS, "share their time"),
    "only names": (LOG, USERS, ITEMS, "only name the user or never vary: name"),
}


@pytest.mark.parametrize("case", NOTES)
def test_input_that_can_be_used_gets_a_note(case):
    log, users, items, words = NOTES[case]
    samples = make_samples(read_recommendation_data(log, users=users, items=items))
    assert any(words in note for note in samples.notes), samples.notes
    assert any("no click of their user before" in note for note in samples.notes)


COMPLAINTS = {
    "no user": (LOG.drop(columns="user_id"), USERS, ITEMS, "no column for the user"),
    "missing id": (
        LOG.assign(user_id=LOG["user_id"].astype(float).mask(LOG["user_id"] == 3)),
        USERS,
        ITEMS,
        "no user in",
    ),
    "times": (LOG.assign(timestamp="soon"), USERS, ITEMS, "cannot be read, such as 'soon'"),
    "too short": (LOG[:10], USERS, ITEMS, "has 10 interactions; at least 30"),
    "other ids": (LOG, USERS.assign(user_id=USERS["user_id"] + 10**6), ITEMS, "none of the log's users"),
    "user twice": (LOG, pd.concat([USERS, USERS[:1]]), ITEMS, "lists user 0 more than once"),
    "not a table": ([1, 2], USERS, ITEMS, "is a list"),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_input_that_cannot_be_used_gets_a_sentence(case):
    log, users, items, words = COMPLAINTS[case]
    with pytest.raises(InputError, match=words):
        read_recommendation_data(log, users=users, items=items)


def test_no_sample_without_a_history():
    once = LOG.drop_duplicates("user_id").reset_index(drop=True)
    with pytest.raises(InputError, match="Only 0 samples have a click"):
        make_samples(read_recommendation_data(once, users=USERS, items=ITEMS))
    with pytest.raises(InputError, match="negatives must be a whole number"):
        make_samples(read_recommendation_data(LOG), negatives=-1)
    with pytest.raises(InputError, match="no feature 'colour'"):
        read_recommendation_data(LOG, items=ITEMS, category="colour")


def test_yelp_dump(tmp_path):
    write_yelp_dump(tmp_path / "yelp")
    data = load_recommendation("yelp", tmp_path / "yelp")
    assert data.category == "category" and set(data.items["category"]) == {"comedy", "drama", "horror", "war"}
    samples = make_samples(data)
    plain = make_samples(read_recommendation_data(LOG, users=USERS, items=ITEMS))
    clicks = [s.table.loc[s.table["clicked"] == 1] for s in (samples, plain)]
    assert clicks[0]["item"].str[1:].tolist() == clicks[1]["item"].tolist()
    assert clicks[0]["history_length"].tolist() == clicks[1]["history_length"].tolist()


def write_movielens_1m(folder):
    """The log in the form of MovieLens-1M."""
    folder.mkdir()
    lines = [f"{r.user_id + 1}::{r.item_id + 1}::{r.rating}::{r.timestamp}" for r in named_rows(LOG)]
    (folder / "ratings.dat").write_text("\n".join(lines), encoding="latin-1")
    people = [f"{r.user_id + 1}::{r.gender}::{25 + r.user_id % 3}::{r.user_id % 21}::00000" for r in named_rows(USERS)]
    (folder / "users.dat").write_text("\n".join(people), encoding="latin-1")
    movies = [
        f"{r.item_id + 1}::Café {r.item_id} ({1990 + r.item_id % 20})::{r.genre}|Drama" for r in named_rows(ITEMS)
    ]
    (folder / "movies.dat").write_text("\n".join(movies), encoding="latin-1")


def test_movielens_1m_and_amazon_in_their_published_forms(tmp_path):
    folder = tmp_path / "ml-1m"
    write_movielens_1m(folder)
    data = load_recommendation("movielens-1m", folder)
    assert len(data.log) == len(LOG) and data.items.loc["1", "year"] == 1990
    assert data.items.loc["1", "genre"] == ITEMS["genre"].iloc[0] and data.users.loc["2", "occupation"] == "educator"
    reviews = LOG.rename(columns={"user_id": "reviewerID", "item_id": "asin", "timestamp": "unixReviewTime"})
    reviews.to_json(tmp_path / "All_Beauty_5.json", orient="records", lines=True)
    meta = pd.DataFrame({"asin": ITEMS["item_id"].astype(str), "price": [f"${p}" for p in ITEMS["price"]]})
    meta.to_json(tmp_path / "meta_All_Beauty.json", orient="records", lines=True)
    data = load_recommendation("amazon", tmp_path / "All_Beauty_5.json")
    np.testing.assert_allclose(data.items["price"], ITEMS["price"])


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIX_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, words in (("amazon", "All_Beauty_5.json.gz"), ("yelp", "yelp_academic_dataset_review.json")):
        with pytest.raises(InputError, match=words):
            load_recommendation(name)
    with pytest.raises(InputError, match="the names are movielens"):
        load_recommendation("netflix")
    with pytest.raises(InputError, match="holds none of"):
        load_recommendation("movielens", tmp_path)


def zipped(folder):
    """The bytes of an archive of `folder`, with its name in front."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{folder.name}/{path.name}")
    return content.getvalue()


@pytest.mark.parametrize("leftover", [False, True])
def test_a_download_is_there_whole_or_not_at_all(tmp_path, monkeypatch, leftover):
    published, cache = tmp_path / "ml-1m", tmp_path / "cache" / "demix_jax"
    write_movielens_1m(published)
    monkeypatch.delenv("DEMIX_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if leftover:  # of a download that was interrupted before it was made in one step
        (cache / "ml-1m").mkdir(parents=True)
        (cache / "ml-1m" / "users.dat").write_text("1::F")
    content = zipped(published)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content[:-30]))
    with pytest.raises(InputError, match=r"The download of .* is incomplete"):
        load_recommendation("movielens-1m")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content))
    with monkeypatch.context() as interrupted:  # in the middle of unpacking
        interrupted.setattr(zipfile.ZipFile, "extractall", lambda self, to: _first_file_only(self, to))
        with pytest.raises(KeyboardInterrupt):
            load_recommendation("movielens-1m")
    assert not (cache / "ml-1m" / "ratings.dat").exists() and not list(cache.glob(".writing-*"))
    assert len(load_recommendation("movielens-1m").log) == len(LOG)
    assert sorted(path.name for path in cache.iterdir()) == ["ml-1m"]


def _first_file_only(archive, to):
    archive.extract("ml-1m/ratings.dat", to)
    raise KeyboardInterrupt


@pytest.mark.skipif(
    not (Path(os.environ.get("DEMIX_DATA_DIR", "")) / "movielens" / "ratings.parquet").is_file(), reason="no MovieLens"
)
def test_movielens_as_it_is():
    data = load_recommendation("movielens")
    assert len(data.log) == 100_000 and len(data.users) == 943 and len(data.items) == 1_682
    assert data.items.loc["1", "genre"] == "Animation" and data.items.loc["1", "year"] == 1995
