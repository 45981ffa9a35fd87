"""Groups of rows defined by conditions on one or two columns; shortcuts and subgroup label noise use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

OF_ONE_COLUMN, OF_TWO_COLUMNS = ("value", "set", "threshold"), ("and", "xor")
GROUP_KINDS = OF_ONE_COLUMN + OF_TWO_COLUMNS

_MAX_SET = 20  # sets of values are drawn from columns with at most this many, so that a rule fits on a line
_MAX_VALUES = 50  # rules name values only of columns with at most this many, so that a person can read them


class Condition(NamedTuple):
    """A condition on one column: its value is one of `values`, or greater than `above`, or at most `at_most`.

    Exactly one of the three is given. A missing value fulfils no condition.
    """

    column: Any
    values: tuple[Any, ...] = ()
    above: float | None = None
    at_most: float | None = None

    def mask(self, table: pd.DataFrame) -> np.ndarray:
        """bool[N]: the rows of `table` that fulfil the condition."""
        series = series_of(table, self.column)
        if self.values:
            return series.isin(self.values).to_numpy(dtype=bool)
        numbers = to_floats(series)
        if self.above is not None:
            return numbers > self.above
        return numbers <= cast(float, self.at_most)

    def __str__(self) -> str:
        if self.values:
            return f"{self.column}={'|'.join(map(str, self.values))}"
        if self.above is not None:
            return f"{self.column}>{self.above:.12g}"
        return f"{self.column}<={self.at_most:.12g}"


class Group(NamedTuple):
    """The rows that fulfil one condition, or two that are joined by "and" (both hold) or "xor" (exactly one holds)."""

    conditions: tuple[Condition, ...]
    join: str = "and"

    def mask(self, table: pd.DataFrame) -> np.ndarray:
        """bool[N]: the rows of `table` in the group."""
        first, *rest = [condition.mask(table) for condition in self.conditions]
        for other in rest:
            first = first ^ other if self.join == "xor" else first & other
        return first

    def __str__(self) -> str:
        return {"and": " & ", "xor": " ^ "}[self.join].join(map(str, self.conditions))


def series_of(table: pd.DataFrame, name: Any) -> pd.Series:
    """One column of a table with unique column names."""
    return cast("pd.Series", table[name])


def is_number(series: pd.Series) -> bool:
    """Whether a column holds real numbers; truth values count as categories."""
    from pandas.api import types

    return types.is_numeric_dtype(series) and not types.is_bool_dtype(series) and series.dtype.kind != "c"


def to_floats(series: pd.Series) -> np.ndarray:
    """f64[N] of a column of numbers; missing values become NaN."""
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def candidate_groups(
    table: pd.DataFrame,
    columns: list[Any],
    kinds: tuple[str, ...],
    share: tuple[float, float],
    rng: np.random.Generator,
) -> list[Group]:
    """Draws groups whose share of the rows lies in the range `share`.

    Args:
      table: N rows; a random 20,000 of them decide if there are more.
      columns: the columns that conditions may be about.
      kinds: some of GROUP_KINDS.
      share: lowest and highest share of the rows.
      rng: draws sets of values, thresholds and pairs of columns.
    Returns:
      Groups, possibly none; the same state of `rng` gives the same groups in the same order.
    """
    if len(table) > 20_000:
        table = table.iloc[np.sort(rng.choice(len(table), 20_000, replace=False))]
    single: list[Condition] = []
    for column in columns:
        single += _conditions(series_of(table, column), kinds, rng)
    masks = np.array([condition.mask(table) for condition in single], dtype=bool).reshape(len(single), len(table))

    def in_range(mask: np.ndarray) -> bool:
        return share[0] <= mask.mean() <= share[1]

    found = []
    if set(kinds) & set(OF_ONE_COLUMN):
        found += [Group((condition,)) for condition, mask in zip(single, masks, strict=True) if in_range(mask)]
    for join in OF_TWO_COLUMNS:
        if join not in kinds or len(single) < 2:
            continue
        for first, second in rng.integers(0, len(single), (60, 2)):
            if single[first].column == single[second].column:
                continue
            joined = masks[first] ^ masks[second] if join == "xor" else masks[first] & masks[second]
            if in_range(joined):
                found.append(Group((single[first], single[second]), join))
    return found


def _conditions(series: pd.Series, kinds: tuple[str, ...], rng: np.random.Generator) -> list[Condition]:
    """Conditions on one column: single values, sets of values and thresholds."""
    from demix_jax.data.lists import holds_lists

    if holds_lists(series):
        return []
    column, for_pairs = series.name, bool(set(kinds) & set(OF_TWO_COLUMNS))
    try:
        counts = series.value_counts()
    except TypeError:  # unhashable values, such as dicts
        return []
    found: list[Condition] = []
    number = is_number(series)
    if 2 <= len(counts) <= _MAX_VALUES and (not number or len(counts) <= 10):
        values = counts.index.tolist()
        if "value" in kinds or for_pairs:
            found += [Condition(column, (value,)) for value in values[:5]]
        if "set" in kinds and 2 < len(values) <= _MAX_SET:
            for _ in range(3):
                chosen = rng.random(len(values)) < 0.5
                if chosen.any() and not chosen.all():
                    found.append(Condition(column, tuple(v for v, c in zip(values, chosen, strict=True) if c)))
    if number and len(counts) > 2 and ("threshold" in kinds or for_pairs):
        numbers = to_floats(series)
        finite = numbers[np.isfinite(numbers)]
        for cut in {float(f"{cut:.4g}") for cut in np.quantile(finite, rng.uniform(0.2, 0.8, 2))}:
            found += [Condition(column, above=cut), Condition(column, at_most=cut)]
    return found
