"""Feature errors: drawing the cells and the kinds of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.corruption.columns import CleanNumbers, Column, describe, written
from demix_jax.corruption.feature_kinds import (
    CATEGORY_KINDS,
    FEATURE_KINDS,
    NUMBER_KINDS,
    cells_that_can_change,
    is_swappable,
    suitable_kinds,
)
from demix_jax.corruption.groups import series_of
from demix_jax.corruption.options import FeatureErrors
from demix_jax.corruption.vectors import CleanVectors, cells_of, new_vectors

if TYPE_CHECKING:
    import pandas as pd

_ATTEMPTS = 4  # draws for a cell until its value changes
_MAX_ROUNDS = 20  # draws of rows until enough have changed


def corrupt_features(
    table: pd.DataFrame,
    candidates: np.ndarray,
    count: int,
    rng: np.random.Generator,
    *,
    names: list[str],
    errors: FeatureErrors,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Puts feature errors into `count` rows.

    Args:
      table: N rows, clean.
      candidates: i64[n], the rows that errors may fall on, in the order in which they are taken; where "drift" is the
        only kind, a stretch of them is taken instead.
      count: number of rows to corrupt; fewer are corrupted where no more can change.
      names: the Q columns that errors may fall on; they replace `errors.columns`.
      errors: kinds of errors and share of cells; its rate is not used.
    Returns:
      The corrupted table and bool[N, Q], the cells whose value changed.
    Raises:
      InputError: none of the kinds suits any column.
    """
    kinds = tuple(errors.kinds)
    columns, suitable = _described(table, names, kinds)
    if not any(suitable):
        raise InputError(
            f"FeatureErrors.kinds ({', '.join(kinds)}) suit none of the columns {', '.join(map(str, names))}; "
            f"choose others among {', '.join(FEATURE_KINDS)}, or set feature_errors to 0."
        )
    cells = _CorruptedCells.unchanged(columns, suitable, len(table))
    can_change = cells.can_change()
    pool = candidates[can_change[candidates].any(1)]
    if kinds == ("drift",):
        pool = _as_stretch(pool, rng)
    draw_kinds = _OneKindPerRow(kinds) if errors.one_kind_per_row else _any_kind
    for _ in range(_MAX_ROUNDS):
        wanted = count - int(cells.changed.any(1).sum())
        rows, pool = pool[:wanted], pool[wanted:]
        if not len(rows):
            break
        cells.corrupt(rows, _draw_cells(can_change[rows], errors.cell_share, rng), draw_kinds, rng)
        pool = np.concatenate([pool, rows[~cells.changed[rows].any(1)]])
    return cells.written_to(table, names), cells.changed


def suitable_feature_kinds(table: pd.DataFrame, names: list[str]) -> tuple[str, ...]:
    """Those of FEATURE_KINDS that suit at least one of the columns `names`."""
    _, suitable = _described(table, names, FEATURE_KINDS)
    return tuple(kind for kind in FEATURE_KINDS if any(kind in kinds for kinds in suitable))


def _described(
    table: pd.DataFrame, names: list[str], kinds: Sequence[str]
) -> tuple[list[Column | None], list[list[str]]]:
    """The columns `names`, clean, and for each those of `kinds` that suit it."""
    columns = [describe(series_of(table, name)) for name in names]
    num_swappable = sum(map(is_swappable, columns))
    return columns, [suitable_kinds(column, kinds, num_swappable) for column in columns]


def _as_stretch(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows i64[n] in ascending order from a random one on, and from the first on after the last."""
    return np.roll(np.sort(rows), -int(rng.integers(len(rows)))) if len(rows) else rows


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
class _CorruptedCells:
    """The cells of Q columns and the values that replace them.

    Attributes:
      columns: the clean columns; None for one that cannot be corrupted.
      suitable: the kinds of errors that suit each column.
      swappable: i64[S], positions of the columns that `is_swappable` accepts.
      values: new values of each column, f64[N] for numbers and else object[N]; `corrupt` writes to them.
      changed: bool[N, Q], the cells whose new value differs from the clean one; `corrupt` writes to it.
    """

    columns: list[Column | None]
    suitable: list[list[str]]
    swappable: np.ndarray
    values: list[np.ndarray]
    changed: np.ndarray

    @classmethod
    def unchanged(cls, columns: list[Column | None], suitable: list[list[str]], num_rows: int) -> _CorruptedCells:
        """The cells of `num_rows` rows before any error."""
        values = [
            np.zeros(num_rows, dtype=np.float64 if isinstance(column, CleanNumbers) else object) for column in columns
        ]
        changed = np.zeros((num_rows, len(columns)), dtype=bool)
        return cls(columns, suitable, np.flatnonzero([is_swappable(column) for column in columns]), values, changed)

    def can_change(self) -> np.ndarray:
        """bool[N, Q]: the cells to which at least one suitable kind can give another value."""
        can = np.zeros(self.changed.shape, dtype=bool)
        for q, (column, kinds) in enumerate(zip(self.columns, self.suitable, strict=True)):
            if column is not None and kinds:
                can[:, q] = cells_that_can_change(column, kinds)
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
        elif isinstance(column, CleanNumbers):
            more_decimals = 2 if kind in ("scale", "unit") else 0
            values = column.fitted(NUMBER_KINDS[kind](column, rows, rng), more_decimals)
            self.values[q][rows] = values
            self.changed[rows, q] = values != column.values[rows]
        elif isinstance(column, CleanVectors):
            vectors = new_vectors(kind, column, rows, rng)
            self.values[q][rows] = cells_of(vectors)
            self.changed[rows, q] = column.differs(vectors, rows)
        elif column is not None:
            values = CATEGORY_KINDS[kind](column, rows, rng)
            self.values[q][rows] = values
            self.changed[rows, q] = values != column.levels[column.codes[rows]]

    def _swap_columns(self, q: int, rows: np.ndarray, rng: np.random.Generator) -> None:
        """Swaps the cells `rows` of column `q` with unchanged cells of other number columns."""
        partners = self.swappable[self.swappable != q]
        drawn = partners[rng.integers(0, len(partners), len(rows))]
        first = cast(CleanNumbers, self.columns[q])
        for p in np.unique(drawn).tolist():
            at, second = rows[drawn == p], cast(CleanNumbers, self.columns[p])
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
