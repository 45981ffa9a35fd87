"""Shortcuts: a group goes with one side of the label in all rows but a few; made by leaving rows out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.natural.tables import has_classes
from demix_jax.data.kinds import column_of

SHORTCUT_KINDS = ("threshold", "value", "two columns")
_TRIES = 40
_SHARES = (0.15, 0.85)  # of the rows, that a group may have


def make_shortcut(
    features: pd.DataFrame, target: pd.Series, kind: str, rate: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows i64[n] that stay so that a share `rate` of them breaks "group ⇔ label side", and bool[n], which do.

    Of random groups of the kind, the one is taken that tells least of the label as yet; if the table has no such group,
    one of another kind.

    Args:
      features: N rows. target: classes or numbers. kind: of SHORTCUT_KINDS. rate: below 1.
    """
    side = _side(target, rng)
    group, least = side, np.inf
    for each in (kind, *(other for other in SHORTCUT_KINDS if other != kind)):
        for _ in range(_TRIES):
            marked = _group(features, each, rng)
            if marked is not None and _SHARES[0] < marked.mean() < _SHARES[1]:
                association = abs(marked[side].mean() - marked[~side].mean())
                if association < least:
                    group, least = marked, association
        if np.isfinite(least):
            break
    return _thinned(group != side, rate, rng)


def _thinned(broken: np.ndarray, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    minority, majority = rng.permutation(np.flatnonzero(broken)), rng.permutation(np.flatnonzero(~broken))
    keep = min(len(minority), round(rate * len(majority) / (1 - rate)))
    rest = len(majority) if keep == round(rate * len(majority) / (1 - rate)) else round(keep * (1 - rate) / rate)
    stay = np.sort(np.concatenate([minority[:keep], majority[:rest]]))
    return stay, broken[stay]


def _side(target: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """bool[N]: one of the two commonest classes, or above the median."""
    if has_classes(target):
        common = target.value_counts().index[:2]
        return (target == common[int(rng.integers(len(common)))]).to_numpy(bool)
    return (target > target.median()).to_numpy(bool)


def _group(features: pd.DataFrame, kind: str, rng: np.random.Generator) -> np.ndarray | None:
    """bool[N] of a random group of rows; None where the column that was drawn cannot mark one."""
    name = str(rng.choice(features.columns))
    if kind == "two columns":
        first, second = (_group(features, str(rng.choice(SHORTCUT_KINDS[:2])), rng) for _ in range(2))
        return None if first is None or second is None else first & second
    column = column_of(features, name)
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if kind == "threshold":
        if not is_number:
            return None
        return (column > column.quantile(rng.uniform(0.3, 0.7))).to_numpy(bool, na_value=False)
    if is_number and len(set(column)) > 20:
        return None
    text = column.astype(str)
    return (text == rng.choice(text.value_counts().index[:5])).to_numpy(bool)
