"""Wrong cells: of another row, exchanged, another unit, a digit, noise, the row before, a drift, mistyped."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.natural.number_noise import wrong_numbers
from demix_jax.data.kinds import column_of

FEATURE_KINDS = ("another row", "exchanged", "unit", "digit", "noise", "row before", "drift", "mistyped")
_NUM_CELLS = (1, 4)  # wrong cells in a row: one to three
_OF_NUMBERS = ("exchanged", "unit", "digit", "noise", "drift")
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def spoil_rows(
    features: pd.DataFrame, kind: str, candidates: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Wrong cells in `count` of the candidate rows, or in as many as can have such; and bool[N], rows that have.

    A kind that suits no column of the table (typing where there are numbers only) gives way to "another row". A drift
    needs rows in a stretch: it takes the first candidates in the order of the table.

    Args:
      features: N rows, without the label. kind: of FEATURE_KINDS. candidates: row numbers, in random order.
    """
    numbers = [name for name in features.columns if _is_number(column_of(features, name))]
    texts = [name for name in features.columns if _has_texts(column_of(features, name))]
    usable = texts if kind == "mistyped" else numbers if kind in _OF_NUMBERS else list(features.columns)
    if len(usable) < (2 if kind == "exchanged" else 1):
        kind, usable = "another row", list(features.columns)
    if kind == "drift":
        usable = [usable[int(rng.integers(len(usable)))]]  # one column drifts
    columns = {name: _as_array(column_of(features, name)) for name in usable}
    spoiled = {name: values.copy() for name, values in columns.items()}
    rows = _stretch(candidates, count, rng) if kind == "drift" else candidates
    constant = rng.choice([0.01, 0.1, 10.0, 100.0, 1000.0]) if kind == "unit" else 0.0
    wrong = np.zeros(len(features), bool)
    for place, row in enumerate(rows):
        if wrong.sum() == count:
            break
        names = rng.permutation(usable)[: int(rng.integers(*_NUM_CELLS))]
        for name, value in _cells(kind, columns, names, int(row), place / max(1, count), constant, rng):
            wrong[row] |= not _same(columns[name][row], value)
            spoiled[name][row] = value
    result = features.assign(**{str(name): _like(spoiled[name], column_of(features, name)) for name in spoiled})
    return result, wrong


def _cells(kind, columns, names, row, progress, factor, rng) -> list[tuple]:
    """(column, new value) of the wrong cells of one row. progress: 0 to 1 along a drift."""
    num_rows = len(next(iter(columns.values())))
    if kind == "another row":
        other = rng.integers(num_rows, size=len(names))
        return [(name, columns[name][o]) for name, o in zip(names, other, strict=True)]
    if kind == "row before":
        return [(name, columns[name][row - 1]) for name in names]
    if kind == "exchanged":
        first, second = rng.permutation(list(columns))[:2]
        return [(first, columns[second][row]), (second, columns[first][row])]
    if kind == "mistyped":
        return [(name, _mistyped(columns[name][row], rng)) for name in names]
    if kind == "drift":
        offset = 0.5 + 2.5 * progress  # in standard deviations
        return [(name, columns[name][row] + offset * np.nanstd(columns[name])) for name in names]
    known = [name for name in names if np.isfinite(columns[name][row])]
    if kind == "unit":
        return [(name, columns[name][row] * factor) for name in known]
    if kind == "noise":
        step = rng.choice([-1, 1], len(known)) * rng.uniform(1, 3, len(known))
        return [(name, columns[name][row] + s * np.nanstd(columns[name])) for name, s in zip(known, step, strict=True)]
    return [
        (name, wrong_numbers(pd.Series([columns[name][row]]), "digit", 1.0, rng).to_numpy(float)[0]) for name in known
    ]


def _stretch(candidates: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Neighbouring rows, from a random one on, in the order of the table; then the others."""
    ordered = np.sort(candidates)
    start = int(rng.integers(max(1, len(ordered) - count + 1)))
    return np.roll(ordered, -start)


def _mistyped(text, rng: np.random.Generator):
    """A text with a letter too many, one too few or another letter."""
    if not isinstance(text, str) or not text:
        return text
    at, letter = int(rng.integers(len(text))), str(rng.choice(_LETTERS))
    middle = rng.choice([text[at] + letter, "", letter])
    return text[:at] + middle + text[at + 1 :]


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _has_texts(column: pd.Series) -> bool:
    return any(isinstance(value, str) for value in column.head(50))


def _as_array(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=float if _is_number(column) else object, na_value=np.nan, copy=True)


def _like(values: np.ndarray, column: pd.Series) -> pd.Series:
    """A column as it was: whole numbers stay whole if they can."""
    if not _is_number(column):
        return pd.Series(values, index=column.index, dtype=object).infer_objects()
    whole = pd.api.types.is_integer_dtype(column) and bool(np.all(values % 1 == 0))
    return pd.Series(values, index=column.index).astype("int64" if whole else float)


def _same(before, after) -> bool:
    return bool(before == after) or (bool(pd.isna(before)) and bool(pd.isna(after)))
