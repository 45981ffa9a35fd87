"""Clean values and statistics of a column, and writing new values back to the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from demix_jax.corruption.groups import is_number, series_of, to_floats
from demix_jax.corruption.vectors import CleanVectors
from demix_jax.corruption.words import are_free_texts, is_free_text

if TYPE_CHECKING:
    import pandas as pd

_FEW_LEVELS = 10  # whole numbers with at most this many distinct values may be category codes
_MAX_DECIMALS = 6


@dataclass(frozen=True)
class CleanNumbers:
    """A column of numbers, or of dates as numbers of time units.

    Attributes:
      values: f64[N], clean; NaN where missing.
      levels: f64[L], the distinct values in ascending order if they are at most ten whole numbers; else empty.
      mean, std, median: of the finite values.
      decimals: largest number of decimals of a value, up to six; None: more than six.
      tick: time unit that new dates are rounded to (a day if all dates are midnights); 0.0 for numbers.
      limits: lowest and highest number that the column can hold.
      precision: float type in which the column stores its numbers (f64 for whole numbers and dates).
    """

    values: np.ndarray
    levels: np.ndarray
    mean: float
    std: float
    median: float
    decimals: int | None
    tick: float
    limits: tuple[float, float]
    precision: np.dtype

    @property
    def missing(self) -> np.ndarray:
        """bool[N]: the cells without a finite value."""
        return ~np.isfinite(self.values)

    def fitted(self, new: np.ndarray, more_decimals: int = 0) -> np.ndarray:
        """`new` (f64[n]) rounded like the clean values and clipped to the range of the column's dtype."""
        if self.tick:
            new = np.round(new / self.tick) * self.tick
        elif self.decimals is not None:
            new = np.round(new, self.decimals + more_decimals if self.decimals else 0)
        return np.clip(new, *self.limits).astype(self.precision).astype(np.float64)


@dataclass(frozen=True)
class CleanCategories:
    """A column of texts, truth values, sets or other hashable values.

    Attributes:
      codes: i64[N], positions in `levels`; -1 where missing.
      levels: object[L], the distinct values.
      mode: the most frequent code.
      takes_new_texts: whether the column can hold texts that are not among its levels.
      free_text: whether it can, and its levels are texts of several words.
    """

    codes: np.ndarray
    levels: np.ndarray
    mode: int
    takes_new_texts: bool
    free_text: bool

    @property
    def missing(self) -> np.ndarray:
        """bool[N]: the cells without a value."""
        return self.codes < 0


Column = CleanNumbers | CleanCategories | CleanVectors


def describe(series: pd.Series) -> Column | None:
    """Describes a column; None if it is constant, empty, or holds unhashable values (dicts)."""
    import pandas as pd

    from demix_jax.data.lists import holds_lists

    if holds_lists(series):
        return _lists(series)
    if isinstance(series.dtype, pd.DatetimeTZDtype) or series.dtype.kind == "M":
        return _dates(series)
    if is_number(series):
        return _numbers(series)
    try:
        codes, levels = pd.factorize(series)
    except TypeError:
        return None
    if len(levels) < 2:
        return None
    return _categories(series, codes, np.asarray(levels, dtype=object))


def _categories(series: pd.Series, codes: np.ndarray, levels: np.ndarray) -> CleanCategories:
    import pandas as pd

    has_texts = any(isinstance(level, str) for level in levels)
    takes_new_texts = has_texts and not isinstance(series.dtype, pd.CategoricalDtype)
    return CleanCategories(
        codes=codes,
        levels=levels,
        mode=int(np.bincount(codes[codes >= 0]).argmax()),
        takes_new_texts=takes_new_texts,
        free_text=takes_new_texts and are_free_texts(levels),
    )


def _lists(series: pd.Series) -> CleanCategories | CleanVectors | None:
    """A column of vectors, or of sets as categories; None if it is constant."""
    import pandas as pd

    from demix_jax.data.lists import as_sets, as_vectors, kind_of_lists

    kind = kind_of_lists(series)
    if kind == "vector":
        return CleanVectors.of(as_vectors(series))
    sets = np.empty(len(series), object)
    sets[:] = as_sets(series)
    codes, levels = pd.factorize(sets)
    return (
        None if kind == "constant" or len(levels) < 2 else _categories(series, codes, np.asarray(levels, dtype=object))
    )


def is_identifier(series: pd.Series) -> bool:
    """Whether a column only identifies rows: distinct short texts, or distinct whole numbers in ascending order."""
    from demix_jax.data.lists import holds_lists

    if series.dtype.kind in "fbM" or len(series) < 2 or holds_lists(series):
        return False
    try:
        if not series.is_unique:
            return False
    except TypeError:
        return False
    return series.is_monotonic_increasing if is_number(series) else not is_free_text(series)


def usable_columns(table: pd.DataFrame, label: Any = None) -> list[Any]:
    """The columns that errors fall on: all but the label and those that only identify rows."""
    features = [name for name in table.columns if name != label]
    return [name for name in features if not is_identifier(series_of(table, name))] or features


def written(series: pd.Series, column: Column, rows: np.ndarray, new: np.ndarray) -> pd.Series:
    """`series` with the values `new` in `rows`.

    The dtype stays the same, except that whole numbers become floats and truth values become objects if one goes
    missing. A list in an Arrow column becomes an object.
    """
    import pandas as pd

    from demix_jax.data.lists import holds_lists

    if holds_lists(series):
        series = pd.Series(series.to_numpy(dtype=object), index=series.index, name=series.name)
    if isinstance(column, CleanNumbers) and column.tick:
        if isinstance(series.dtype, pd.DatetimeTZDtype):
            naive = series.dt.tz_convert("UTC").dt.tz_localize(None)
            return written(naive, column, rows, new).dt.tz_localize("UTC").dt.tz_convert(series.dt.tz)
        ticks = np.where(np.isnan(new), np.iinfo(np.int64).min, np.nan_to_num(new)).astype(np.int64)
        new = ticks.view(series.to_numpy().dtype)
    elif isinstance(series.dtype, np.dtype) and pd.isna(new).any():
        # the dtypes that pandas chooses when it reads a file with missing values
        if series.dtype.kind in "iu":
            series = series.astype(np.float64)
        elif series.dtype.kind == "b":
            series = series.astype(object)
    array = series.to_numpy(copy=True) if isinstance(series.dtype, np.dtype) else series.array.copy()
    array[rows] = new
    return pd.Series(array, index=series.index, name=series.name)


def _numbers(series: pd.Series) -> CleanNumbers | None:
    values = to_floats(series)
    finite = values[np.isfinite(values)]
    if not len(finite) or finite.min() == finite.max():
        return None
    decimals = num_decimals(finite)
    levels = np.unique(finite) if decimals == 0 else np.zeros(0)
    dtype = cast(np.dtype, getattr(series.dtype, "numpy_dtype", series.dtype))
    return CleanNumbers(
        values=values,
        levels=levels if len(levels) <= _FEW_LEVELS else np.zeros(0),
        mean=float(finite.mean()),
        std=float(finite.std()),
        median=float(np.median(finite)),
        decimals=decimals,
        tick=0.0,
        limits=_limits(dtype),
        precision=dtype if dtype.kind == "f" else np.dtype(np.float64),
    )


def num_decimals(numbers: np.ndarray) -> int | None:
    """The smallest number of decimals (0 to 6) with which all numbers can be written; None: more than six.

    A sample of about 1,000 numbers decides if there are more than 2,000 and not all are whole.
    """
    if np.array_equal(np.round(numbers), numbers):
        return 0
    sample = numbers if len(numbers) <= 2000 else numbers[:: len(numbers) // 1000]
    return next((d for d in range(1, _MAX_DECIMALS + 1) if np.array_equal(np.round(sample, d), sample)), None)


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """The lowest and highest number of a dtype that f64 represents, too."""
    if dtype.kind not in "iu":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    info = np.iinfo(dtype)
    highest = float(info.max)
    return float(info.min), highest if int(highest) <= info.max else float(np.nextafter(highest, 0))


def _dates(series: pd.Series) -> CleanNumbers | None:
    naive = series.dt.tz_convert("UTC").dt.tz_localize(None) if series.dt.tz is not None else series
    stamps = naive.to_numpy()
    per_second = int(np.timedelta64(1, "s") / np.timedelta64(1, np.datetime_data(stamps.dtype)[0]))
    ticks = stamps.view(np.int64)
    known = ticks[~np.isnat(stamps)]
    if not len(known) or known.min() == known.max():
        return None
    tick = next((t for t in (86_400 * per_second, 60 * per_second, per_second) if not np.any(known % t)), 1)
    century = 100 * 365.25 * 86_400 * per_second
    values = np.where(np.isnat(stamps), np.nan, ticks.astype(np.float64))
    known = known.astype(np.float64)
    return CleanNumbers(
        values=values,
        levels=np.zeros(0),
        mean=float(known.mean()),
        std=float(known.std()),
        median=float(np.median(known)),
        decimals=None,
        tick=float(tick),
        limits=(max(float(known.min()) - century, -9.2e18), min(float(known.max()) + century, 9.2e18)),
        precision=np.dtype(np.float64),
    )
