"""Load public interaction logs by name: MovieLens, Amazon reviews and the Yelp dataset.

Files are sought in DEMIX_DATA_DIR, then in the cache. MovieLens is downloaded from GroupLens, whose licence allows
research use and forbids redistribution. The publishers of the others ask users to fetch the files themselves.
"""

from __future__ import annotations

import io
import os
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.files import cache_dir
from demix_jax.data.kinds import column_of
from demix_jax.data.named import data_dir
from demix_jax.data.read import read_table
from demix_jax.data.sources.boundary import reading
from demix_jax.data.sources.compression import open_decompressed
from demix_jax.domains.recommendation.log import RecommendationData, read_recommendation_data

_MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/{name}.zip"
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_OCCUPATIONS_1M = (
    "other", "educator", "artist", "clerical", "student", "customer service", "doctor", "executive", "farmer",
    "homemaker", "K-12 student", "lawyer", "programmer", "retired", "sales", "scientist", "self-employed",
    "technician", "tradesman", "unemployed", "writer",
)  # fmt: skip


def load_recommendation(name: str, path: str | os.PathLike | None = None) -> RecommendationData:
    """Load a public log by name.

    Args:
      name: "movielens" (100k), "movielens-1m", "amazon" or "yelp".
      path: path of the files; None: they are sought in DEMIX_DATA_DIR and the cache.
        movielens: folder with ratings, users and items tables, or the original u.data, u.user and u.item.
        movielens-1m: folder with ratings.dat, users.dat and movies.dat.
        amazon: file of reviews of a 2018 category (.json, .json.gz or a table); meta_….json beside it is read too.
        yelp: folder of the academic dump (yelp_academic_dataset_review.json and its siblings).
    Returns:
      RecommendationData.
    Raises:
      InputError: the name is unknown, or files are missing and cannot be downloaded; the message names them.
    """
    if name not in _LOADERS:
        raise InputError(f"There is no log named {name!r}; the names are {', '.join(RECOMMENDATION_NAMES)}.")
    return _LOADERS[name](None if path is None else Path(path).expanduser())


def _load_movielens(path: Path | None) -> RecommendationData:
    folder = _folder(path, "movielens", ("ml-100k",), ("ratings.parquet", "u.data")) or _download("ml-100k")
    if (folder / "ratings.parquet").is_file():
        ratings, users, items = (read_table(folder / f"{name}.parquet") for name in ("ratings", "users", "items"))
    else:
        ratings = _delimited(folder / "u.data", "\t", ("user_id", "movie_id", "rating", "timestamp"))
        users = _delimited(folder / "u.user", "|", ("user_id", "age", "gender", "occupation", "zip_code"))
        names = ("movie_id", "movie_title", "release_date", "video_release_date", "imdb_url", *_GENRES_100K)
        items = _delimited(folder / "u.item", "|", names)
    genres = [name for name in _GENRES_100K if name in items.columns]
    return _movielens(ratings, users, items, items[genres].to_numpy(bool), genres)


def _load_movielens_1m(path: Path | None) -> RecommendationData:
    folder = _folder(path, "movielens-1m", ("ml-1m",), ("ratings.dat",)) or _download("ml-1m")
    ratings = _delimited(folder / "ratings.dat", "::", ("user_id", "movie_id", "rating", "timestamp"))
    users = _delimited(folder / "users.dat", "::", ("user_id", "gender", "age", "occupation", "zip_code"))
    items = _delimited(folder / "movies.dat", "::", ("movie_id", "movie_title", "genres"))
    users["occupation"] = np.array(_OCCUPATIONS_1M, dtype=object)[users["occupation"].to_numpy(int)]
    flags = items["genres"].str.get_dummies("|")
    return _movielens(ratings, users, items, flags.to_numpy(bool), list(flags.columns))


def _movielens(ratings, users, items, flags: np.ndarray, genres: list[str]) -> RecommendationData:
    """Data of either release; the category is the rarest genre of a movie, and the year comes from its title."""
    rarest_first = np.argsort(flags.sum(axis=0), kind="stable")
    rarest = np.array(genres, dtype=object)[rarest_first[flags[:, rarest_first].argmax(axis=1)]]
    year = pd.to_numeric(items["movie_title"].str.extract(r"\((\d{4})\)\s*$")[0], errors="coerce")
    table = pd.DataFrame({"movie_id": items["movie_id"], "genre": rarest, "year": year})
    table = table.assign(**{name: flags[:, g].astype(int) for g, name in enumerate(genres) if name != "unknown"})
    return read_recommendation_data(ratings, users=users.drop(columns="zip_code"), items=table, category="genre")


def _load_amazon(path: Path | None) -> RecommendationData:
    names = ("amazon_beauty_5core.parquet", "All_Beauty_5.json.gz", "All_Beauty_5.json", "All_Beauty.json.gz")
    if path is None:
        path = next((folder / name for folder in _places() for name in names if (folder / name).is_file()), None)
    if path is None or not path.is_file():
        raise _not_found("amazon", path, "reviews of a category, such as All_Beauty_5.json.gz,",
                         "https://nijianmo.github.io/amazon/")  # fmt: skip
    reviews = _json_lines(path) if ".json" in path.suffixes else read_table(path)
    reviews = reviews.filter(["reviewerID", "asin", "overall", "unixReviewTime"])
    category = path.name.split(".")[0].removesuffix("_5")
    meta = next((m for end in (".json.gz", ".json") if (m := path.with_name(f"meta_{category}{end}")).is_file()), None)
    return read_recommendation_data(reviews, items=None if meta is None else _amazon_items(_json_lines(meta)))


def _amazon_items(meta: pd.DataFrame) -> pd.DataFrame:
    """Item, category, brand and price from the published metadata, where prices are texts such as "$12.99"."""
    meta = meta.drop_duplicates("asin")
    items = pd.DataFrame({"asin": meta["asin"]})
    if "category" in meta:
        paths = [" > ".join(path[1:3]) if isinstance(path, list) and path else None for path in meta["category"]]
        items["category"] = _frequent(pd.Series(paths, index=meta.index, dtype=object).replace("", None))
    if "brand" in meta:
        items["brand"] = _frequent(column_of(meta, "brand").replace("", None))
    if "price" in meta:
        price = meta["price"].astype(str).str.extract(r"^\$([\d,]+\.?\d*)$")[0].str.replace(",", "")
        items["price"] = pd.to_numeric(price, errors="coerce")
    return items.dropna(axis=1, how="all")


def _load_yelp(path: Path | None) -> RecommendationData:
    stem = "yelp_academic_dataset_{}.json"
    folder = _folder(path, "yelp", (), (stem.format("review"),))
    if folder is None:
        raise _not_found("yelp", path, f"a folder yelp with {stem.format('review')}, …_business.json and …_user.json",
                         "https://business.yelp.com/data/resources/open-dataset/")  # fmt: skip
    reviews = _json_lines(folder / stem.format("review"), ("user_id", "business_id", "stars", "date"))
    business, user = folder / stem.format("business"), folder / stem.format("user")
    items = users = None
    if business.is_file():
        items = _json_lines(business, ("business_id", "categories", "city", "state"))
        items.insert(1, "category", _frequent(items.pop("categories").str.split(", ").str[0]))
        items["city"] = _frequent(column_of(items, "city"))
    if user.is_file():  # counts and mean stars date from the dump, so they would leak later reviews
        users = _json_lines(user, ("user_id", "yelping_since"))
    return read_recommendation_data(reviews, users=users, items=items)


_LOADERS: dict[str, Callable[[Path | None], RecommendationData]] = {
    "movielens": _load_movielens,
    "movielens-1m": _load_movielens_1m,
    "amazon": _load_amazon,
    "yelp": _load_yelp,
}
RECOMMENDATION_NAMES = tuple(_LOADERS)


def _places() -> list[Path]:
    """Folders in which public logs are sought."""
    return [folder for folder in (data_dir(), cache_dir()) if folder is not None]


def _folder(path: Path | None, name: str, others: Sequence[str], files: Sequence[str]) -> Path | None:
    """The first folder that holds one of `files`, or None; InputError if `path` is given and holds none of them."""
    folders = [path] if path is not None else [place / each for place in _places() for each in (name, *others)]
    found = next((folder for folder in folders if any((folder / file).is_file() for file in files)), None)
    if found is None and path is not None:
        raise InputError(f"{path} holds none of {', '.join(files)}; name the folder of the published files.")
    return found


def _not_found(name: str, path: Path | None, what: str, where: str) -> InputError:
    """The error that tells which files to fetch, and from where."""
    place = str(path) if path is not None else " or ".join(map(str, _places()))
    return InputError(f"The log {name} is not on this machine. Fetch it from {where} and put {what} at {place}.")


def _download(name: str) -> Path:
    """Download a MovieLens release into the cache, all of its files or none; returns its folder."""
    url, folder = _MOVIELENS_URL.format(name=name), cache_dir() / name
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        where = " or ".join(str(place / name) for place in _places())
        raise InputError(
            f"{name} is not on this machine and {url} could not be read ({error}). Connect to the network, or unpack "
            f"that file so that it lies at {where}."
        ) from error
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=cache_dir()) as beside:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(beside)
        except (zipfile.BadZipFile, EOFError) as error:
            raise InputError(f"The download of {url} is incomplete ({error}); try again.") from error
        try:
            os.replace(Path(beside) / name, folder)
        except OSError:  # an incomplete folder exists already
            os.replace(folder, Path(beside) / "before")
            os.replace(Path(beside) / name, folder)
    return folder


def _delimited(path: Path, separator: str, names: Sequence[str]) -> pd.DataFrame:
    """Read a MovieLens file, which has no header and is encoded in Latin-1."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; name the folder of all files of the release.")
    with reading(path, advice="fetch it again"):
        lines = path.read_text(encoding="latin-1").splitlines()
    frame = pd.DataFrame([line.split(separator) for line in lines if line], columns=pd.Index(names))
    numbers = ("user_id", "movie_id", "rating", "timestamp", "age", *_GENRES_100K)
    return frame.assign(**{name: pd.to_numeric(frame[name]) for name in frame.columns if name in numbers})


def _frequent(names: pd.Series, limit: int = 40) -> pd.Series:
    """Keep the `limit` most frequent names and replace the others, too many for categories, by "other"."""
    kept = names.value_counts().index[:limit]
    return names.where(names.isin(kept) | names.isna(), "other")


def _json_lines(path: Path, fields: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a file with one JSON object per line in chunks, keeping only `fields`."""
    parts = []
    with open_decompressed(path) as file, reading(path, "file of one JSON object per line", "fetch it again"):
        reader: Any = pd.read_json(file, lines=True, chunksize=100_000, dtype=cast(Any, False))
        for part in reader:
            parts.append(part if fields is None else part.filter(list(fields)))
    if not parts:
        raise InputError(f"{path} is empty; fetch it again.")
    return pd.concat(parts, ignore_index=True)
