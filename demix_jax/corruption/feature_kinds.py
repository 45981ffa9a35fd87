"""Kinds of feature errors: what each does to the cells of a column, and which columns it suits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from demix_jax.corruption.columns import CleanCategories, CleanNumbers, Column
from demix_jax.corruption.text_kinds import TEXT_KINDS
from demix_jax.corruption.vectors import CleanVectors, suitable_vector_kinds

DEFAULT_FEATURE_KINDS = ("outlier", "scale", "swap_category")

# (factor, offset) between inches, feet, miles, pounds, ounces, degrees Fahrenheit and their metric counterparts
UNITS = (
    (2.54, 0.0), (1 / 2.54, 0.0), (3.2808, 0.0), (0.3048, 0.0), (1.6093, 0.0), (1 / 1.6093, 0.0), (2.2046, 0.0),
    (0.4536, 0.0), (28.35, 0.0), (1 / 28.35, 0.0), (1.8, 32.0), (1 / 1.8, -32 / 1.8),
)  # fmt: skip


# Kinds for columns of numbers. Each returns the new values (f64[n]; NaN: missing) of the cells `rows` (i64[n]).


def _outlier(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.mean + rng.choice((-1, 1), len(rows)) * rng.uniform(4.0, 6.0, len(rows)) * column.std


def _scale(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] * rng.choice((0.1, 10.0, 100.0), len(rows))


def _shift(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + rng.choice((-1, 1), len(rows)) * rng.uniform(1.5, 3.0, len(rows)) * column.std


def _noise(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + 3.0 * column.std * rng.standard_normal(len(rows))


def _sign(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return -column.values[rows]


def _other_level(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    num_levels = len(column.levels)
    at = np.searchsorted(column.levels, column.values[rows])
    return column.levels[(at + rng.integers(1, num_levels, len(rows))) % num_levels]


def _permute_numbers(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(column.values[~column.missing], len(rows))


def _median_or_zero(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), column.median if column.tick or rng.random() < 0.5 else 0.0)


def _missing_number(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), np.nan)


def _previous_number(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    before = column.values[rows - 1]
    return np.where(np.isfinite(before), before, column.values[rows])


def _limit(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    low, high = np.quantile(column.values[~column.missing], (0.02, 0.98))
    return np.where(column.values[rows] > column.median, high, low)


def _round(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([float(f"{value:.1g}") for value in column.values[rows].tolist()])


def _digit(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    draws = zip(column.values[rows].tolist(), rng.integers(0, 4, len(rows)), rng.random(len(rows)), strict=True)
    return np.array([_with_wrong_digit(value, way, place) for value, way, place in draws])


def _with_wrong_digit(value: float, way: int, place: float) -> float:
    """`value` with two neighbouring digits swapped, or a digit left out, doubled or replaced by another."""
    text = f"{value:.15g}"
    digits = [i for i, character in enumerate(text.split("e")[0]) if character.isdigit()]
    k = int(place * (len(digits) - (way == 0)))
    first, second = digits[k], digits[min(k + 1, len(digits) - 1)]
    if way == 0:
        characters = list(text)
        characters[first], characters[second] = text[second], text[first]
        return float("".join(characters))
    left_out = text[:first] + text[first + 1 :]
    if way == 1 and len(digits) > 1 and left_out.split("e")[0].strip("-+."):
        return float(left_out)
    if way == 2:
        return float(text[: first + 1] + text[first:])
    other = (int(text[first]) + 1 + int(997 * place) % 9) % 10
    return float(f"{text[:first]}{other}{text[first + 1 :]}")


def _sentinel_number(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), rng.choice((-1.0, -9.0, -99.0, -999.0, 0.0, 99.0, 999.0, 9999.0)))


def _unit(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    factor, offset = UNITS[int(rng.integers(len(UNITS)))]
    return factor * column.values[rows] + offset


def _offset(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + rng.choice((-1, 1)) * rng.uniform(0.75, 2.5) * column.std


def _drift(column: CleanNumbers, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An offset that grows with the position of a row among the rows, as of a sensor that loses its calibration."""
    growth = (np.argsort(np.argsort(rows, kind="stable"), kind="stable") + 1) / max(len(rows), 1)
    return column.values[rows] + rng.choice((-1, 1)) * (0.3 + rng.uniform(1.0, 4.0) * growth) * column.std


# Kinds for columns of categories. Each returns the new values (object[n]; None: missing) of the cells `rows` (i64[n]).


def _other_category(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    num_levels = len(column.levels)
    return column.levels[(column.codes[rows] + rng.integers(1, num_levels, len(rows))) % num_levels]


def _permute_categories(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.levels[rng.choice(column.codes[column.codes >= 0], len(rows))]


def _mode(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.levels[np.full(len(rows), column.mode)]


def _missing_category(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), None, dtype=object)


def _previous_category(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    before = column.codes[rows - 1]
    return column.levels[np.where(before < 0, column.codes[rows], before)]


def _sentinel_text(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), rng.choice(("unknown", "?", "other", "not known")), dtype=object)


def _typo(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    draws = zip(column.levels[column.codes[rows]], rng.integers(0, 5, len(rows)), rng.random(len(rows)), strict=True)
    new = np.empty(len(rows), dtype=object)
    new[:] = [_misspelt(text, way, place) if isinstance(text, str) else text for text, way, place in draws]
    return new


def _misspelt(text: str, way: int, place: float) -> str:
    """`text` with two characters swapped, one left out, one doubled, its second half cut off, or its case swapped."""
    at = int(place * (len(text) - 1))
    if way == 0:
        return text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :]
    if way == 1 and len(text) > 1:
        return text[:at] + text[at + 1 :]
    if way == 2:
        return text[: at + 1] + text[at:]
    if way == 3:
        return text[: max(1, (len(text) + 1) // 2)]
    return text.swapcase()


def _of_texts(kind: str) -> _NewValues:
    """A kind of TEXT_KINDS as one for columns; what is not a string stays."""

    def new_values(column: CleanCategories, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        new = column.levels[column.codes[rows]]
        are_texts = np.array([isinstance(value, str) for value in new], dtype=bool)
        new[are_texts] = TEXT_KINDS[kind](new[are_texts], rng)
        return new

    return new_values


_NewValues = Callable[..., np.ndarray]
NUMBER_KINDS: dict[str, _NewValues] = {
    "outlier": _outlier,
    "scale": _scale,
    "shift": _shift,
    "noise": _noise,
    "sign": _sign,
    "swap_category": _other_level,
    "permute": _permute_numbers,
    "constant": _median_or_zero,
    "missing": _missing_number,
    "stale": _previous_number,
    "limit": _limit,
    "round": _round,
    "digit": _digit,
    "sentinel": _sentinel_number,
    "unit": _unit,
    "offset": _offset,
    "drift": _drift,
}
CATEGORY_KINDS: dict[str, _NewValues] = {
    "swap_category": _other_category,
    "permute": _permute_categories,
    "constant": _mode,
    "missing": _missing_category,
    "typo": _typo,
    "stale": _previous_category,
    "sentinel": _sentinel_text,
    "other_text": _permute_categories,
    **{kind: _of_texts(kind) for kind in TEXT_KINDS},
}
_FREE_TEXT_KINDS = ("other_text", *TEXT_KINDS)
_DATE_KINDS = ("outlier", "shift", "noise", "permute", "constant", "missing", "stale", "limit", "offset", "drift")
# "swap_columns" changes two cells of a row at once, so it is not a function of one column; features.py implements it
FEATURE_KINDS = (*dict.fromkeys([*NUMBER_KINDS, *CATEGORY_KINDS]), "swap_columns")


def is_swappable(column: Column | None) -> bool:
    """Whether the kind "swap_columns" can swap cells of this column with another: numbers with more than two values."""
    return isinstance(column, CleanNumbers) and not column.tick and len(column.levels) != 2


def suitable_kinds(column: Column | None, kinds: Sequence[str], num_swappable: int) -> list[str]:
    """The kinds that suit a column.

    A number with two values counts as a category. Dates have neither sign nor scale. For vectors see
    `suitable_vector_kinds`.

    Args:
      column: None for a column that cannot be corrupted.
      kinds: some of FEATURE_KINDS.
      num_swappable: columns of the table that `is_swappable` accepts.
    """
    if column is None:
        return []
    if isinstance(column, CleanVectors):
        return suitable_vector_kinds(kinds)
    if isinstance(column, CleanCategories):
        left_out = set() if column.free_text else set(_FREE_TEXT_KINDS)
        left_out |= set() if column.takes_new_texts else {"typo", "sentinel"}
        return [k for k in kinds if k in CATEGORY_KINDS and k not in left_out]
    if column.tick:
        return [k for k in kinds if k in _DATE_KINDS]
    if len(column.levels) == 2:
        return [k for k in kinds if k in ("swap_category", "permute", "constant", "missing", "stale")]
    left_out = set() if len(column.levels) else {"swap_category"}
    of_numbers = {*NUMBER_KINDS, "swap_columns"} if num_swappable > 1 else set(NUMBER_KINDS)
    return [k for k in kinds if k in of_numbers - left_out]


def cells_that_can_change(column: Column, kinds: list[str]) -> np.ndarray:
    """bool[N]: the cells to which at least one of the kinds can give another value."""
    can = ~column.missing
    if isinstance(column, CleanCategories) and kinds == ["constant"]:
        can &= column.codes != column.mode
    if isinstance(column, CleanNumbers) and kinds == ["constant"]:
        can &= (column.values != column.fitted(np.array(column.median))) | ((column.values != 0) & (not column.tick))
    if isinstance(column, CleanNumbers) and set(kinds) <= {"scale", "sign"}:
        can &= column.values != 0
    if isinstance(column, CleanVectors) and set(kinds) <= {"scale", "sign", "constant"}:
        can &= (np.nan_to_num(column.values) != 0).any(axis=1)
    return can
