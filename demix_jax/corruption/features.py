"""Feature errors: which cells of a row are hit, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.columns import CategoryColumn, NumberColumn, describe, is_identifier, written
from demix_jax.corruption.groups import series_of

if TYPE_CHECKING:
    import pandas as pd

    Column = NumberColumn | CategoryColumn

DEFAULT_FEATURE_KINDS = ("outlier", "scale", "swap_category")

# factor and offset: inches, feet, miles, pounds, ounces and degrees Fahrenheit for their metric counterparts or back
_UNITS = (
    (2.54, 0.0), (1 / 2.54, 0.0), (3.2808, 0.0), (0.3048, 0.0), (1.6093, 0.0), (1 / 1.6093, 0.0), (2.2046, 0.0),
    (0.4536, 0.0), (28.35, 0.0), (1 / 28.35, 0.0), (1.8, 32.0), (1 / 1.8, -32 / 1.8),
)  # fmt: skip
_ATTEMPTS = 4  # draws for a cell until its value differs
_MAX_ROUNDS = 20  # rows that a draw did not change are replaced by others and drawn for again, at most so often


# What a kind does to the cells `rows` (i64[n]) of a column of numbers: f64[n] new values, NaN for a missing one.


def _outlier(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.mean + rng.choice((-1, 1), len(rows)) * rng.uniform(4.0, 6.0, len(rows)) * column.std


def _scale(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] * rng.choice((0.1, 10.0, 100.0), len(rows))


def _shift(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + rng.choice((-1, 1), len(rows)) * rng.uniform(1.5, 3.0, len(rows)) * column.std


def _noise(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + 3.0 * column.std * rng.standard_normal(len(rows))


def _sign(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return -column.values[rows]


def _other_level(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    number = len(column.levels)
    at = np.searchsorted(column.levels, column.values[rows])
    return column.levels[(at + rng.integers(1, number, len(rows))) % number]


def _any_number(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(column.values[~column.missing], len(rows))


def _median_or_zero(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), column.median if column.tick or rng.random() < 0.5 else 0.0)


def _no_number(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), np.nan)


def _as_before(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    before = column.values[rows - 1]
    return np.where(np.isfinite(before), before, column.values[rows])


def _at_limit(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    low, high = np.quantile(column.values[~column.missing], (0.02, 0.98))
    return np.where(column.values[rows] > column.median, high, low)


def _rounded(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([float(f"{value:.1g}") for value in column.values[rows].tolist()])


def _slipped_digit(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    draws = zip(column.values[rows].tolist(), rng.integers(0, 3, len(rows)), rng.random(len(rows)), strict=True)
    return np.array([_mistyped(value, way, place) for value, way, place in draws])


def _mistyped(value: float, way: int, place: float) -> float:
    """`value` with two neighbouring digits exchanged, one left out, or one doubled."""
    text = f"{value:.15g}"
    digits = [i for i, character in enumerate(text.split("e")[0]) if character.isdigit()]
    k = int(place * (len(digits) - 1))
    first, second = digits[k], digits[min(k + 1, len(digits) - 1)]
    if way == 0:
        characters = list(text)
        characters[first], characters[second] = text[second], text[first]
        return float("".join(characters))
    left_out = text[:first] + text[first + 1 :]
    if way == 1 and len(digits) > 1 and left_out.split("e")[0].strip("-+."):
        return float(left_out)
    return float(text[: first + 1] + text[first:])


def _stands_for_missing(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), rng.choice((-1.0, -9.0, -99.0, -999.0, 0.0, 99.0, 999.0, 9999.0)))


def _other_unit(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    factor, offset = _UNITS[int(rng.integers(len(_UNITS)))]
    return factor * column.values[rows] + offset


def _offset(column: NumberColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.values[rows] + rng.choice((-1, 1)) * rng.uniform(0.75, 2.5) * column.std


# The same for categories: object[n] new values, None for a missing one.


def _other_category(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    number = len(column.levels)
    return column.levels[(column.codes[rows] + rng.integers(1, number, len(rows))) % number]


def _any_category(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.levels[rng.choice(column.codes[column.codes >= 0], len(rows))]


def _mode(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return column.levels[np.full(len(rows), column.mode)]


def _no_category(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), None, dtype=object)


def _category_before(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    before = column.codes[rows - 1]
    return column.levels[np.where(before < 0, column.codes[rows], before)]


def _word_for_missing(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(rows), rng.choice(("unknown", "?", "other", "not known")), dtype=object)


def _typo(column: CategoryColumn, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    draws = zip(column.levels[column.codes[rows]], rng.integers(0, 5, len(rows)), rng.random(len(rows)), strict=True)
    new = np.empty(len(rows), dtype=object)
    new[:] = [_misspelt(text, way, place) if isinstance(text, str) else text for text, way, place in draws]
    return new


def _misspelt(text: str, way: int, place: float) -> str:
    """`text` with two characters exchanged, one left out, one doubled, the end cut off, or its case changed."""
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


_Change = Callable[..., np.ndarray]
NUMBER_KINDS: dict[str, _Change] = {
    "outlier": _outlier,
    "scale": _scale,
    "shift": _shift,
    "noise": _noise,
    "sign": _sign,
    "swap_category": _other_level,
    "permute": _any_number,
    "constant": _median_or_zero,
    "missing": _no_number,
    "stale": _as_before,
    "limit": _at_limit,
    "round": _rounded,
    "digit": _slipped_digit,
    "sentinel": _stands_for_missing,
    "unit": _other_unit,
    "offset": _offset,
}
CATEGORY_KINDS: dict[str, _Change] = {
    "swap_category": _other_category,
    "permute": _any_category,
    "constant": _mode,
    "missing": _no_category,
    "typo": _typo,
    "stale": _category_before,
    "sentinel": _word_for_missing,
}
_OF_DATES = ("outlier", "shift", "noise", "permute", "constant", "missing", "stale", "limit", "offset")
# "swap_columns" moves two cells of a row at once and is therefore no function of one column; see _exchange
FEATURE_KINDS = (*dict.fromkeys([*NUMBER_KINDS, *CATEGORY_KINDS]), "swap_columns")


def corrupt_features(
    table: pd.DataFrame,
    names: list[str],
    candidates: np.ndarray,
    count: int,
    kinds: tuple[str, ...],
    cell_share: float | tuple[float, float],
    rng: np.random.Generator,
    *,
    one_kind_per_row: bool = False,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Spoils cells of `count` rows.

    Args:
      table: N rows, clean.
      names: Q columns that may be hit.
      candidates: i64[n] rows that may be hit, in the order in which they are taken.
      count: how many rows; fewer are hit if no more can change.
      kinds: some of FEATURE_KINDS; a cell's kind is drawn among those that suit its column.
      cell_share: each cell of a chosen row is hit with this probability, at least one is; two numbers are the ends of a
        range from which each row's is drawn.
      one_kind_per_row: a kind is drawn per row, and another only for a cell that it does not suit.
    Returns:
      The table with errors and bool[N, Q], the cells whose value differs from before.
    Raises:
      InputError: none of the kinds suits any column.
    """
    columns = [describe(series_of(table, name)) for name in names]
    suits = [_suitable(column, kinds, columns) for column in columns]
    if not any(suits):
        raise InputError(
            f"feature_kinds ({', '.join(kinds)}) suit none of the columns {', '.join(map(str, names))}; "
            f"choose others among {', '.join(FEATURE_KINDS)}, or set feature_errors to 0."
        )
    can = np.zeros((len(table), len(names)), dtype=bool)
    new: list[np.ndarray] = []
    for q, (column, suitable) in enumerate(zip(columns, suits, strict=True)):
        if column is not None and suitable:
            can[:, q] = _can_change(column, suitable)
        new.append(np.zeros(len(table), dtype=np.float64 if isinstance(column, NumberColumn) else object))
    corrupted = np.zeros(can.shape, dtype=bool)
    pool = candidates[can[candidates].any(1)]
    draw = _KindsOfRows(kinds) if one_kind_per_row else _any_kind
    for _ in range(_MAX_ROUNDS):
        wanted = count - int(corrupted.any(1).sum())
        rows, pool = pool[:wanted], pool[wanted:]
        if not len(rows):
            break
        _spoil(columns, suits, rows, _drawn_cells(can[rows], cell_share, rng), new, corrupted, draw, rng)
        pool = np.concatenate([pool, rows[~corrupted[rows].any(1)]])
    result = table.copy()
    for name, column, values, hit in zip(names, columns, new, corrupted.T, strict=True):
        if column is not None and hit.any():
            result[name] = written(series_of(table, name), column, np.flatnonzero(hit), values[hit])
    return result, corrupted


def usable_columns(table: pd.DataFrame, label: str) -> list[str]:
    """The columns that feature errors hit: all but the label and those that only number or name the rows."""
    features = [name for name in table.columns if name != label]
    return [name for name in features if not is_identifier(series_of(table, name))] or features


def _exchangeable(column: Column | None) -> bool:
    return isinstance(column, NumberColumn) and not column.tick and len(column.levels) != 2


def _suitable(column: Column | None, kinds: tuple[str, ...], columns: list[Column | None]) -> list[str]:
    """The kinds that make sense for a column; a number with two values is a category, a date has no sign or scale."""
    if column is None:
        return []
    if isinstance(column, CategoryColumn):
        return [k for k in kinds if k in CATEGORY_KINDS and (k not in ("typo", "sentinel") or column.open)]
    if column.tick:
        return [k for k in kinds if k in _OF_DATES]
    if len(column.levels) == 2:
        return [k for k in kinds if k in ("swap_category", "permute", "constant", "missing", "stale")]
    partners = sum(map(_exchangeable, columns)) > 1
    has_levels = len(column.levels) > 0
    return [
        k
        for k in kinds
        if (k in NUMBER_KINDS and (k != "swap_category" or has_levels)) or (k == "swap_columns" and partners)
    ]


def _can_change(column: Column, kinds: list[str]) -> np.ndarray:
    """bool[N]: the cells that at least one of the kinds can give another value."""
    can = ~column.missing
    if isinstance(column, CategoryColumn) and kinds == ["constant"]:
        can &= column.codes != column.mode
    if isinstance(column, NumberColumn) and kinds == ["constant"]:
        can &= (column.values != column.fitted(np.array(column.median))) | ((column.values != 0) & (not column.tick))
    if isinstance(column, NumberColumn) and set(kinds) <= {"scale", "sign"}:
        can &= column.values != 0
    return can


def _drawn_cells(can: np.ndarray, cell_share: float | tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """bool[n, Q]: cells to hit, each with probability `cell_share` where possible, at least one a row."""
    share = np.asarray(cell_share)
    if share.ndim:
        share = rng.uniform(share[0], share[1], (len(can), 1))
    draw = np.where(can, rng.random(can.shape), 2.0)
    hit = draw < share
    hit[np.arange(len(can)), draw.argmin(1)] = True
    return hit & can


def _any_kind(suitable: list[str], rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """i64[n]: which of the suitable kinds hits the cells `rows` of a column."""
    return rng.integers(0, len(suitable), len(rows))


class _KindsOfRows:
    """Draws of kinds that prefer, in every column, the kinds that a row was hit with first."""

    def __init__(self, kinds: tuple[str, ...]):
        self.kinds, self.ranks = kinds, {}

    def __call__(self, suitable: list[str], rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """As `_any_kind`."""
        for row in rows.tolist():
            if row not in self.ranks:
                self.ranks[row] = rng.permutation(len(self.kinds))
        among = [self.kinds.index(kind) for kind in suitable]
        return np.array([self.ranks[row][among].argmin() for row in rows.tolist()], dtype=np.int64)


def _spoil(
    columns: list[Column | None],
    suits: list[list[str]],
    rows: np.ndarray,
    hit: np.ndarray,
    new: list[np.ndarray],
    corrupted: np.ndarray,
    draw: Callable[[list[str], np.ndarray, np.random.Generator], np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Writes new values for the cells `hit` (bool[n, Q]) of `rows` into `new`, and marks those that differ."""
    for q, (column, kinds) in enumerate(zip(columns, suits, strict=True)):
        if column is None:
            continue
        waiting = rows[hit[:, q]]
        for _ in range(_ATTEMPTS):
            waiting = waiting[~corrupted[waiting, q]]
            if not len(waiting):
                break
            drawn = draw(kinds, waiting, rng)
            for index, kind in enumerate(kinds):
                at = waiting[drawn == index]
                if not len(at):
                    continue
                if kind == "swap_columns":
                    _exchange(columns, q, at, new, corrupted, rng)
                elif isinstance(column, NumberColumn):
                    more = 2 if kind in ("scale", "unit") else 0
                    values = column.fitted(NUMBER_KINDS[kind](column, at, rng), more)
                    new[q][at] = values
                    corrupted[at, q] = values != column.values[at]
                else:
                    values = CATEGORY_KINDS[kind](column, at, rng)
                    new[q][at] = values
                    corrupted[at, q] = values != column.levels[column.codes[at]]


def _exchange(
    columns: list[Column | None],
    q: int,
    rows: np.ndarray,
    new: list[np.ndarray],
    corrupted: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Exchanges the cells of `rows` in column q with those of another column of numbers that nothing has hit yet."""
    partners = [p for p, column in enumerate(columns) if p != q and _exchangeable(column)]
    drawn = rng.integers(0, len(partners), len(rows))
    first = cast(NumberColumn, columns[q])
    for index, p in enumerate(partners):
        at, second = rows[drawn == index], cast(NumberColumn, columns[p])
        at = at[~corrupted[at, p] & ~second.missing[at]]
        to_first, to_second = first.fitted(second.values[at]), second.fitted(first.values[at])
        both = (to_first != first.values[at]) & (to_second != second.values[at])
        new[q][at[both]], new[p][at[both]] = to_first[both], to_second[both]
        corrupted[at[both], q] = corrupted[at[both], p] = True
