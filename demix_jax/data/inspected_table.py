"""A table whose columns are inspected once, when it comes in; all later steps read the findings."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.common.read_options import ReadOptions
from demix_jax.common.wording import shortened
from demix_jax.data.inspect_column import Inspected, inspect_column, parse
from demix_jax.data.kinds import Column, column_of
from demix_jax.data.label_spellings import label_spellings

if TYPE_CHECKING:
    from demix_jax.data.sources.source import Source


@dataclass(frozen=True)
class Table:
    """A table of N rows, as written and as parsed; made by `inspect_table`.

    Attributes:
      written: the rows as they were given or are written, never modified.
      frame: the same rows and columns, parsed; every later step reads them.
      label: key of the label column in both; it need not be a string.
      columns: what was found in each column but the label, in table order.
      target_column: what was found in the label column.
      spellings: rarer spelling of a class -> the commonest one; `frame` has only the latter.
      notes: sentences for the user on how the table was read.
      options: what the user said of the table. source: where it was read from; None for a table in memory.
    """

    written: pd.DataFrame
    frame: pd.DataFrame
    label: Hashable
    columns: tuple[Column, ...]
    target_column: Column
    spellings: Mapping[Any, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    options: ReadOptions = ReadOptions()  # noqa: RUF009
    source: Source | None = None

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def target(self) -> pd.Series:
        """The label column, parsed."""
        return column_of(self.frame, self.label)

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """The keys of all columns but the label, in table order."""
        return _feature_keys(self.frame, self.label)

    @property
    def written_target(self) -> pd.Series:
        """The label column, parsed, with every spelling of a class."""
        return parse(self.target_column, column_of(self.written, self.label))

    def respelt(self, written: pd.DataFrame | None = None) -> np.ndarray:
        """bool[N], rows whose label is a rarer spelling of its class; of `written` rows, or of these if None."""
        written = self.written if written is None else written
        if not self.spellings:
            return np.zeros(len(written), bool)
        as_given = parse(self.target_column, column_of(written, resolve_label(written, self.label)))
        return as_given.isin(list(self.spellings)).to_numpy(bool)

    def features(self) -> Iterator[tuple[Hashable, Column, pd.Series]]:
        """Key, finding and parsed values of each column but the label."""
        for key, column in zip(self.keys, self.columns, strict=True):
            yield key, column, column_of(self.frame, key)

    def take(self, rows: np.ndarray) -> Table:
        """The table of these rows i[n], with the findings of the whole table."""
        return replace(self, written=self.written.iloc[rows], frame=self.frame.iloc[rows])

    def with_frame(self, frame: pd.DataFrame) -> Table:
        """The table with other parsed values of the same rows and columns, and the same findings."""
        return replace(self, frame=frame)

    @property
    def parser(self) -> RowParser:
        """Parses further rows as this table was parsed."""
        found = {column.name: column for column in (*self.columns, self.target_column)}
        return RowParser({key: found[str(key)] for key in self.frame.columns}, self.label, self.spellings)


class RowParser(NamedTuple):
    """Parses rows of tables with the columns of an inspected table.

    columns: column key -> what was found. label, spellings: as in `Table`.
    """

    columns: Mapping[Hashable, Column]
    label: Hashable
    spellings: Mapping[Any, Any]

    def of(self, keys: Collection[Hashable]) -> RowParser:
        """The parser of these columns alone."""
        return self._replace(columns={key: column for key, column in self.columns.items() if key in keys})

    def __call__(self, written: pd.DataFrame) -> pd.DataFrame:
        """Rows as given, as written or parsed already, parsed.

        Columns that the inspected table lacks are left out; columns that `written` lacks are absent.
        """
        names, parsed = {str(key): key for key in written.columns}, {}
        for key, column in self.columns.items():
            if str(key) in names:
                values = parse(column, column_of(written, names[str(key)]))
                parsed[key] = _united(values, self.spellings) if key == self.label else values
        return pd.DataFrame(parsed, index=written.index, copy=False)


def inspect_table(
    frame: pd.DataFrame,
    label: object,
    options: ReadOptions | None = None,
    *,
    source: Source | None = None,
    notes: tuple[str, ...] = (),
) -> Table:
    """Find the kind of every column and parse its values.

    Args:
      frame: N rows, as given or as written. label: name of the label column.
      options: what the user says of the table. source: where the rows were read from. notes: on how they were read.
    Raises:
      InputError: two columns of one name, no column `label`, or no column that an option names.
    """
    options = options or ReadOptions()
    refuse_duplicate_names(frame, "The table")
    key = resolve_label(frame, label)
    _check_named(frame, options, key)
    found: dict[Hashable, Inspected] = {}
    for name in frame.columns:
        kind = options.kinds.get(str(name))
        of_column = {"kind": kind, "missing": options.missing, "is_label": name == key}
        found[name] = inspect_column(name, column_of(frame, name), **of_column)
    found = {name: _as_told(one, options, name == key) for name, one in found.items()}
    target = found[key].values
    spellings = label_spellings(target) if options.kinds.get(str(key)) is None else {}
    parsed = {name: _united(one.values, spellings) if name == key else one.values for name, one in found.items()}
    return Table(
        written=frame,
        frame=pd.DataFrame(parsed, index=frame.index, copy=False),
        label=key,
        columns=tuple(found[name].column for name in _feature_keys(frame, key)),
        target_column=found[key].column,
        spellings=spellings,
        notes=(*notes, *(f"{one.column.name}: {note}" for one in found.values() for note in one.notes)),
        options=options,
        source=source,
    )


def as_inspected(table: Table | pd.DataFrame, label: object = None) -> Table:
    """`table` itself, or the inspected table if it is a DataFrame.

    Args:
      table: Table or DataFrame. label: name of the label column; may be left out for a Table, which knows its label.
    Raises:
      InputError: as `inspect_table`.
      ValueError: `table` is a Table with another label.
    """
    if not isinstance(table, Table):
        return inspect_table(table, label)
    if label is not None and label != table.label and str(label) != str(table.label):
        raise ValueError(f"The table was inspected for the label {table.label!r}, got {label!r}; inspect it again.")
    return table


def refuse_duplicate_names(frame: pd.DataFrame, what: str) -> None:
    """Raise InputError if two columns of `frame` have one name; `what` names the table in the message."""
    names = pd.Index([str(c) for c in frame.columns])
    twice = list(dict.fromkeys(names[names.duplicated()]))
    if twice:
        raise InputError(f"{what} has more than one column named {shortened(twice)}; rename or drop the copies.")


def resolve_label(frame: pd.DataFrame, label: object) -> Hashable:
    """The key of the column `label` in `frame`; it need not be a string.

    Raises:
      InputError: no such column; the message names the closest one.
    """
    return _key_of(frame, label, "column")


def _key_of(frame: pd.DataFrame, name: object, what: str) -> Hashable:
    for key in frame.columns:
        if key == name or str(key) == str(name):
            return key
    names = [str(c) for c in frame.columns]
    folded = {n.strip().lower(): n for n in names}
    close = difflib.get_close_matches(str(name).strip().lower(), list(folded), n=1, cutoff=0.5)
    hint = f"did you mean {folded[close[0]]!r}?" if close else f"the columns are {shortened(names)}."
    raise InputError(f"The table has no {what} {str(name)!r}; {hint}")


def _check_named(frame: pd.DataFrame, options: ReadOptions, label: Hashable) -> None:
    """InputError if an option speaks of a column that the table lacks, or makes no feature of the label."""
    for option, names in options.named_columns().items():
        for name in names:
            key = _key_of(frame, name, f"column for {option}:")
            if key == label and option != "kind":
                raise InputError(f"The column {name!r} is the label and cannot be used for {option}; name another one.")


def _as_told(found: Inspected, options: ReadOptions, is_label: bool) -> Inspected:
    """Columns that the user says are no features are not used."""
    name = found.column.name
    if is_label or name not in options.no_features:
        return found
    kind = "ignored" if name in options.ignore else "identifier"
    return found._replace(column=replace(found.column, kind=kind), notes=())


def _united(target: pd.Series, spellings: Mapping[Any, Any]) -> pd.Series:
    """The label column with the commonest spelling of each class."""
    if not spellings:
        return target
    return target.map(lambda value: spellings.get(value, value), na_action="ignore").astype(target.dtype)


def _feature_keys(frame: pd.DataFrame, label: Hashable) -> tuple[Hashable, ...]:
    return tuple(key for key in frame.columns if key is not label and key != label)
