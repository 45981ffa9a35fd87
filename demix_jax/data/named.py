"""Six public tables that papers on data debugging use, by name, and a sample of one that ships with the package.

A table is looked up in DEMIX_DATA_DIR and then in the cache. Otherwise it is downloaded from the UCI repository or
OpenML. All six are licensed CC BY 4.0.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.files import cache_dir, write_table
from demix_jax.data.kinds import column_of, numbers_of
from demix_jax.data.read import read_table


@dataclass(frozen=True)
class _Source:
    """Where a table comes from.

    uci_id: number in the UCI repository. openml_id: a copy on OpenML with the same rows and order of columns.
    num_rows: number of rows that a download must have.
    columns: the original columns in order, without those of `unused`. label: the label column.
    unused: columns to leave out. renamed: other spellings of column names. clean: applied to the table as read.
    """

    uci_id: int
    openml_id: int | None
    num_rows: int
    columns: tuple[str, ...]
    label: str
    unused: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    clean: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame


def _clean_adult(frame: pd.DataFrame) -> pd.DataFrame:
    income = frame["income"].astype(str).str.strip().str.rstrip(".")  # labels of the original test part end in a dot
    return frame.assign(income=income)


def _clean_bank(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(y=frame["y"].astype(str).replace({"1": "no", "2": "yes"}))


def _clean_air_quality(frame: pd.DataFrame) -> pd.DataFrame:
    numbers = frame.select_dtypes("number")
    frame = frame.assign(**{name: numbers[name].mask(numbers[name] == -200) for name in numbers})
    return frame.dropna(subset=["C6H6(GT)"]).reset_index(drop=True)


def _sample_covertype(frame: pd.DataFrame) -> pd.DataFrame:
    """40,000 of the 581,012 rows, as many as the benchmarks use."""
    return frame if len(frame) <= 40_000 else frame.sample(40_000, random_state=0).reset_index(drop=True)


_CREDIT = (
    "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0", *(f"PAY_{i}" for i in range(2, 7)),
    *(f"BILL_AMT{i}" for i in range(1, 7)), *(f"PAY_AMT{i}" for i in range(1, 7)), "default_payment_next_month",
)  # fmt: skip

_SOURCES = {
    "adult": _Source(
        uci_id=2, openml_id=1590, num_rows=48_842,
        columns=(
            "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
            "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country",
            "income",
        ),
        label="income", renamed=(("class", "income"),), clean=_clean_adult,
    ),
    "bank": _Source(
        uci_id=222, openml_id=1461, num_rows=45_211,
        columns=(
            "age", "job", "marital", "education", "default", "balance", "housing", "loan", "contact", "day", "month",
            "duration", "campaign", "pdays", "previous", "poutcome", "y",
        ),
        label="y", renamed=(("day_of_week", "day"),), clean=_clean_bank,
    ),
    "credit": _Source(
        uci_id=350, openml_id=42477, num_rows=30_000,
        columns=_CREDIT, label="default_payment_next_month", unused=("ID",),
        renamed=(*((f"X{i + 1}", name) for i, name in enumerate(_CREDIT[:-1])), ("Y", _CREDIT[-1])),
    ),
    "covertype": _Source(
        uci_id=31, openml_id=1596, num_rows=581_012,
        columns=(
            "Elevation", "Aspect", "Slope", "Horizontal_Distance_To_Hydrology", "Vertical_Distance_To_Hydrology",
            "Horizontal_Distance_To_Roadways", "Hillshade_9am", "Hillshade_Noon", "Hillshade_3pm",
            "Horizontal_Distance_To_Fire_Points", *(f"Wilderness_Area{i}" for i in range(1, 5)),
            *(f"Soil_Type{i}" for i in range(1, 41)), "Cover_Type",
        ),
        label="Cover_Type", renamed=(("class", "Cover_Type"),), clean=_sample_covertype,
    ),
    "bike_sharing": _Source(
        uci_id=275, openml_id=None, num_rows=17_379,
        columns=(
            "season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp", "atemp", "hum",
            "windspeed", "cnt",
        ),
        label="cnt", unused=("instant", "dteday", "casual", "registered"),
    ),
    "air_quality": _Source(
        uci_id=360, openml_id=None, num_rows=9_357,
        columns=(
            "Date", "Time", "CO(GT)", "PT08.S1(CO)", "NMHC(GT)", "C6H6(GT)", "PT08.S2(NMHC)", "NOx(GT)",
            "PT08.S3(NOx)", "NO2(GT)", "PT08.S4(NO2)", "PT08.S5(O3)", "T", "RH", "AH",
        ),
        label="C6H6(GT)", clean=_clean_air_quality,
    ),
}  # fmt: skip

NAMES = tuple(_SOURCES)


def load_named(name: str) -> tuple[pd.DataFrame, str]:
    """A public table and the name of its label column.

    adult, bank, credit and covertype (40,000 rows) are for classification, bike_sharing and air_quality for regression.
    Columns that give the label away or number the rows are left out: casual, registered, instant and dteday of
    bike_sharing, and ID of credit. In air_quality, −200 becomes missing, and rows without a label are dropped.

    Raises:
      InputError: no such name; the table is not on this machine and cannot be downloaded; or it has other columns.
    """
    if name not in _SOURCES:
        raise InputError(f"There is no table named {name!r}; the names are {', '.join(NAMES)}.")
    source = _SOURCES[name]
    places = [folder / f"{name}.parquet" for folder in (data_dir(), cache_dir()) if folder is not None]
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        return source.clean(_arranged(read_table(found), source, str(found))), source.label
    frame, origin = _download(name, source, places)
    frame = _arranged(frame, source, origin)
    if len(frame) != source.num_rows:
        raise InputError(
            f"{origin} has {len(frame)} rows instead of {source.num_rows}; put the original table at {places[-1]}."
        )
    frame = source.clean(frame)
    write_table(places[-1], frame)
    return frame, source.label


def adult_sample() -> tuple[pd.DataFrame, str]:
    """10,000 rows of UCI Adult, sampled with stratification by label, and the label column "income".

    Source: Becker & Kohavi 1996, CC BY 4.0; ADULT.md beside the file says how the rows were sampled.
    """
    with resources.as_file(resources.files("demix_jax.data") / "adult_sample.parquet") as path:
        return read_table(path), "income"


def data_dir() -> Path | None:
    """The folder that DEMIX_DATA_DIR names, if any."""
    folder = os.environ.get("DEMIX_DATA_DIR")
    return Path(folder).expanduser() if folder else None


def _arranged(frame: pd.DataFrame, source: _Source, origin: str) -> pd.DataFrame:
    """The source's columns, by name, or by position if a copy has other names (V1, V2, …)."""
    frame = frame.drop(columns=[c for c in source.unused if c in frame.columns])
    known = frame.rename(columns=dict(source.renamed))
    if set(source.columns) <= set(known.columns):
        return known.loc[:, list(source.columns)]
    if origin.startswith("OpenML") and frame.shape[1] == len(source.columns):
        return frame.set_axis(list(source.columns), axis=1)
    lacking = [c for c in source.columns if c not in known.columns]
    raise InputError(f"{origin} lacks the columns {', '.join(lacking[:8])}; expected the original UCI table.")


def _download(name: str, source: _Source, places: list[Path]) -> tuple[pd.DataFrame, str]:
    """The table as a server returns it, and the name of the server."""
    reasons = []
    try:
        from ucimlrepo import fetch_ucirepo  # pyright: ignore[reportMissingImports]

        return fetch_ucirepo(id=source.uci_id).data.original, f"UCI data set {source.uci_id}"
    except ImportError:
        reasons.append('ucimlrepo is not installed (pip install "demix_jax[datasets]")')
    except Exception as error:  # the client lets any error pass that a bad response causes
        reasons.append(f"UCI: {error}")
    if source.openml_id is not None:
        from sklearn.datasets import fetch_openml

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "Retrying": the message below gives the outcome
                bunch = cast(Any, fetch_openml(data_id=source.openml_id, as_frame=True, parser="auto"))
            return _plain(bunch.frame), f"OpenML data set {source.openml_id}"
        except Exception as error:  # network, server and cache errors have the same effect
            reasons.append(f"OpenML: {error}")
    where = " or ".join(str(place) for place in places)
    raise InputError(
        f"The table {name} is not on this machine and could not be downloaded ({'; '.join(reasons)}). Connect to the "
        f"network, or put {name}.parquet with the columns of https://archive.ics.uci.edu/dataset/{source.uci_id} "
        f"at {where}."
    )


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with categorical columns, which OpenML returns, converted to numbers or strings."""
    for name in frame.columns:
        column = column_of(frame, name)
        if isinstance(column.dtype, pd.CategoricalDtype):
            names = [str(c) for c in column.cat.categories]
            numbers = numbers_of(names)
            texts = np.array([*names, None], dtype=object)
            values = texts if np.isnan(numbers).any() else np.append(numbers, np.nan)
            plain = pd.Series(values[column.cat.codes.to_numpy()], index=frame.index)
            whole = values.dtype != object and plain.notna().all() and (plain % 1 == 0).all()
            frame = frame.assign(**{name: plain.astype("int64") if whole else plain})
    return frame
