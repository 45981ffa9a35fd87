"""Clean tables to put errors into: the six named ones, 20 of R packages that no classifier was trained on, and others.

The table list of the R packages is held_out_tables.csv; none of them is in benchmarks/debugging/real_tables.csv.
"""

from __future__ import annotations

import csv
import functools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common.r_tables import load_r_table
from demix_jax import InputError
from demix_jax.data import NAMES, load_named
from demix_jax.data.kinds import column_of

TARGET = "target"
SYNTHETIC = (
    "two blobs a class",
    "four classes",
    "Friedman's function",
    "linear target",
    "labels by chance",
    "categories only",
)
_MOST_CLASSES = 20
_LISTED = Path(__file__).with_name("held_out_tables.csv")


def held_out_names() -> list[str]:
    """Names of the held-out tables: "package item"."""
    return list(_listed())


def is_held_out(name: str) -> bool:
    """Whether no classifier that ships with the package was trained on any version of the table."""
    return name not in NAMES


@functools.lru_cache(maxsize=4)
def load_table(name: str) -> tuple[pd.DataFrame, str]:
    """A clean table by name, and its label column.

    Raises:
      InputError: there is no table of this name.
    """
    if name in NAMES:
        return load_named(name)
    if name in SYNTHETIC:
        return _synthetic(name), TARGET
    if name not in _listed():
        raise InputError(f"There is no table '{name}'; the held-out tables are in held_out_tables.csv.")
    row = _listed()[name]
    frame = load_r_table(row["package"], row["item"], row["label"])
    label = column_of(frame, row["label"])
    if pd.api.types.is_float_dtype(label) and len(set(label)) <= _MOST_CLASSES and bool(np.all(label % 1 == 0)):
        frame = frame.assign(**{row["label"]: label.astype(int)})
    return frame, row["label"]


def is_class_table(name: str) -> bool:
    """Whether the label is a class."""
    frame, label = load_table(name)
    return has_classes(column_of(frame, label))


def has_classes(target: pd.Series) -> bool:
    """Whether a target is a class: not a number, or a whole number with few values."""
    if not pd.api.types.is_numeric_dtype(target) or pd.api.types.is_bool_dtype(target):
        return True
    return not pd.api.types.is_float_dtype(target) and len(set(target)) <= _MOST_CLASSES


def draw_rows(name: str, num_rows: int, seed: int) -> tuple[pd.DataFrame, str]:
    """At most `num_rows` random rows of a clean table, and its label column; the draw depends on name and seed."""
    frame, label = load_table(name)
    rng = np.random.default_rng([seed, 7, zlib.crc32(name.encode())])
    chosen = rng.permutation(len(frame))[:num_rows]
    return frame.take(chosen).reset_index(drop=True), label


@functools.cache
def _listed() -> dict[str, dict[str, str]]:
    with _LISTED.open(encoding="utf-8") as file:
        return {f"{row['package']} {row['item']}": row for row in csv.DictReader(file)}


def _synthetic(name: str) -> pd.DataFrame:
    """3,000 rows that scikit-learn draws."""
    from sklearn.datasets import make_classification, make_friedman1, make_regression

    rng, rows = np.random.default_rng(5), 3_000
    classes = {
        "n_samples": rows,
        "n_features": 12,
        "n_informative": 6,
        "class_sep": 1.5,
        "flip_y": 0,
        "random_state": 5,
    }
    x: Any
    y: Any
    if name == "two blobs a class":
        x, y = make_classification(n_classes=2, **classes)
    elif name == "four classes":
        x, y = make_classification(n_classes=4, n_clusters_per_class=1, **classes)
    elif name == "Friedman's function":
        x, y = make_friedman1(rows, noise=1.0, random_state=5)
    elif name == "linear target":
        x, y = make_regression(rows, 10, n_informative=5, noise=20.0, random_state=5)[:2]
    elif name == "labels by chance":
        x, y = rng.normal(size=(rows, 8)), rng.integers(0, 2, rows)
    else:
        return _categories(rng, rows)
    frame = pd.DataFrame(x.round(4), columns=[f"x{d}" for d in range(x.shape[1])])
    return frame.assign(**{TARGET: np.char.add("class ", y.astype(str)) if y.dtype.kind == "i" else y.round(4)})


def _categories(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Eight columns of three to six values; the label is drawn by the sum of effects of four of them."""
    codes = {f"c{d}": rng.integers(0, 3 + d % 4, rows) for d in range(8)}
    score = sum(rng.normal(size=6)[codes[f"c{d}"]] for d in range(4))
    label = np.where(1 / (1 + np.exp(-3 * score)) > rng.random(rows), "yes", "no")
    columns = {name: np.char.add("v", values.astype(str)) for name, values in codes.items()}
    return pd.DataFrame(columns).assign(**{TARGET: label})
