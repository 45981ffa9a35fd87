"""Feature errors: which cells of a row are hit, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

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
# "swap_columns" moves two cells of a row at once and is therefore no function of one column; see _Cells
FEATURE_KINDS = (*dict.fromkeys([*NUMBER_KINDS, *CATEGORY_KINDS]), "swap_columns")


def corrupt_features(
    table: pd.DataFrame,
    candidates: np.ndarray,
    count: int,
    rng: np.random.Generator,
    *,
    names: list[str],
    kinds: tuple[str, ...],
    cell_share: float | tuple[float, float],
    one_kind_per_row: bool,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Puts feature errors into `count` rows.

    Args:
      table: N rows, clean.
      candidates: i64[n], the rows that errors may fall on, in the order in which they are taken.
      count: number of rows to corrupt; fewer are corrupted where no more can change.
      names: the Q columns that errors may fall on.
      kinds: some of FEATURE_KINDS; the kind of a cell is drawn among those that suit its column.
      cell_share: probability that a cell of a corrupted row changes; at least one does. Two numbers are a range from
        which each row's probability is drawn.
      one_kind_per_row: a kind is drawn for each row; cells that it does not suit get another.
    Returns:
      The corrupted table and bool[N, Q], the cells whose value changed.
    Raises:
      InputError: none of the kinds suits any column.
    """
    columns = [describe(series_of(table, name)) for name in names]
    suitable = [_suitable(column, kinds, columns) for column in columns]
    if not any(suitable):
        raise InputError(
            f"feature_kinds ({', '.join(kinds)}) suit none of the columns {', '.join(map(str, names))}; "
            f"choose others among {', '.join(FEATURE_KINDS)}, or set feature_errors to 0."
        )
    cells = _Cells.unchanged(columns, suitable, len(table))
    can_change = cells.can_change()
    pool = candidates[can_change[candidates].any(1)]
    draw_kinds = _OneKindPerRow(kinds) if one_kind_per_row else _any_kind
    for _ in range(_MAX_ROUNDS):
        missing = count - int(cells.changed.any(1).sum())
        rows, pool = pool[:missing], pool[missing:]
        if not len(rows):
            break
        cells.corrupt(rows, _draw_cells(can_change[rows], cell_share, rng), draw_kinds, rng)
        pool = np.concatenate([pool, rows[~cells.changed[rows].any(1)]])
    return cells.written_to(table, names), cells.changed


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


class _DrawKinds(Protocol):
    """Draws i64[n]: which of the `suitable` kinds each cell gets, for the cells `rows` (i64[n]) of one column."""

    def __call__(self, suitable: list[str], rows: np.ndarray, rng: np.random.Generator) -> np.ndarray: ...


def _any_kind(suitable: list[str], rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws each cell's kind independently."""
    return rng.integers(0, len(suitable), len(rows))


class _OneKindPerRow:
    """Draws an order of preference among the kinds for each row; a cell gets the first that suits its column."""

    def __init__(self, kinds: tuple[str, ...]):
        self.kinds, self.ranks = kinds, {}

    def __call__(self, suitable: list[str], rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for row in rows.tolist():
            if row not in self.ranks:
                self.ranks[row] = rng.permutation(len(self.kinds))
        among = [self.kinds.index(kind) for kind in suitable]
        return np.array([self.ranks[row][among].argmin() for row in rows.tolist()], dtype=np.int64)


def _draw_cells(
    can_change: np.ndarray, cell_share: float | tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """bool[n, Q]: the cells to change, each with probability `cell_share` and at least one per row."""
    share = np.asarray(cell_share)
    if share.ndim:
        share = rng.uniform(share[0], share[1], (len(can_change), 1))
    draw = np.where(can_change, rng.random(can_change.shape), 2.0)
    chosen = draw < share
    chosen[np.arange(len(can_change)), draw.argmin(1)] = True
    return chosen & can_change


@dataclass(frozen=True)
class _Cells:
    """The cells of Q columns and the values that replace them.

    Attributes:
      columns: the clean columns; None for one that cannot be corrupted.
      suitable: the kinds of errors that suit each column.
      values: new values of each column, f64[N] for numbers and else object[N]; `corrupt` writes to them.
      changed: bool[N, Q], the cells whose new value differs from the clean one; `corrupt` writes to it.
    """

    columns: list[Column | None]
    suitable: list[list[str]]
    values: list[np.ndarray]
    changed: np.ndarray

    @classmethod
    def unchanged(cls, columns: list[Column | None], suitable: list[list[str]], num_rows: int) -> _Cells:
        """The cells of `num_rows` rows before any error."""
        values = [
            np.zeros(num_rows, dtype=np.float64 if isinstance(column, NumberColumn) else object) for column in columns
        ]
        return cls(columns, suitable, values, np.zeros((num_rows, len(columns)), dtype=bool))

    def can_change(self) -> np.ndarray:
        """bool[N, Q]: the cells to which at least one suitable kind can give another value."""
        can = np.zeros(self.changed.shape, dtype=bool)
        for q, (column, kinds) in enumerate(zip(self.columns, self.suitable, strict=True)):
            if column is not None and kinds:
                can[:, q] = _can_change(column, kinds)
        return can

    def corrupt(self, rows: np.ndarray, chosen: np.ndarray, draw_kinds: _DrawKinds, rng: np.random.Generator) -> None:
        """Gives the cells `chosen` (bool[n, Q]) of `rows` (i64[n]) new values; draws again where a value stays."""
        for q, kinds in enumerate(self.suitable):
            waiting = rows[chosen[:, q]]
            for _ in range(_ATTEMPTS):
                waiting = waiting[~self.changed[waiting, q]]
                if not len(waiting):
                    break
                drawn = draw_kinds(kinds, waiting, rng)
                for index, kind in enumerate(kinds):
                    if len(of_kind := waiting[drawn == index]):
                        self._apply(kind, q, of_kind, rng)

    def _apply(self, kind: str, q: int, rows: np.ndarray, rng: np.random.Generator) -> None:
        """Applies one kind of error to the cells `rows` of column `q`."""
        column = self.columns[q]
        if kind == "swap_columns":
            self._swap_columns(q, rows, rng)
        elif isinstance(column, NumberColumn):
            more_decimals = 2 if kind in ("scale", "unit") else 0
            values = column.fitted(NUMBER_KINDS[kind](column, rows, rng), more_decimals)
            self.values[q][rows] = values
            self.changed[rows, q] = values != column.values[rows]
        elif column is not None:
            values = CATEGORY_KINDS[kind](column, rows, rng)
            self.values[q][rows] = values
            self.changed[rows, q] = values != column.levels[column.codes[rows]]

    def _swap_columns(self, q: int, rows: np.ndarray, rng: np.random.Generator) -> None:
        """Swaps the cells `rows` of column `q` with unchanged cells of other number columns."""
        partners = [p for p, column in enumerate(self.columns) if p != q and _exchangeable(column)]
        drawn = rng.integers(0, len(partners), len(rows))
        first = cast(NumberColumn, self.columns[q])
        for index, p in enumerate(partners):
            at, second = rows[drawn == index], cast(NumberColumn, self.columns[p])
            at = at[~self.changed[at, p] & ~second.missing[at]]
            to_first, to_second = first.fitted(second.values[at]), second.fitted(first.values[at])
            both = (to_first != first.values[at]) & (to_second != second.values[at])
            self.values[q][at[both]], self.values[p][at[both]] = to_first[both], to_second[both]
            self.changed[at[both], q] = self.changed[at[both], p] = True

    def written_to(self, table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
        """A copy of `table` with the changed cells in its columns `names`."""
        result = table.copy()
        for name, column, values, changed in zip(names, self.columns, self.values, self.changed.T, strict=True):
            if column is not None and changed.any():
                rows = np.flatnonzero(changed)
                result[name] = written(series_of(table, name), column, rows, values[rows])
        return result


def _can_change(column: Column, kinds: list[str]) -> np.ndarray:
    """bool[N]: the cells to which at least one of the kinds can give another value."""
    can = ~column.missing
    if isinstance(column, CategoryColumn) and kinds == ["constant"]:
        can &= column.codes != column.mode
    if isinstance(column, NumberColumn) and kinds == ["constant"]:
        can &= (column.values != column.fitted(np.array(column.median))) | ((column.values != 0) & (not column.tick))
    if isinstance(column, NumberColumn) and set(kinds) <= {"scale", "sign"}:
        can &= column.values != 0
    return can
