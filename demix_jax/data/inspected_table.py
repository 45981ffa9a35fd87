"""A table whose columns are inspected once, when it comes in; all later steps read the findings."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from demix_jax.common.checks import InputError
from demix_jax.data.kinds import Column, column_of, infer_column


@dataclass(frozen=True)
class Table:
    """A table of N rows and what was found in its columns; made by `inspect_table`.

    Attributes:
      frame: the source, never modified.
      label: key of the label column in `frame`; it need not be a string.
      columns: what was found in each feature column, in table order, without the label column.
    """

    frame: pd.DataFrame
    label: Hashable
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def target(self) -> pd.Series:
        """The label column."""
        return column_of(self.frame, self.label)

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """The keys of the feature columns in `frame`, in table order."""
        return _feature_keys(self.frame, self.label)

    def features(self) -> Iterator[tuple[Hashable, Column, pd.Series]]:
        """Key, finding and values of each feature column."""
        for key, column in zip(self.keys, self.columns, strict=True):
            yield key, column, column_of(self.frame, key)

    def take(self, rows: np.ndarray) -> Table:
        """The table of these rows i[n], with the findings of the whole table."""
        return replace(self, frame=self.frame.iloc[rows])

    def with_frame(self, frame: pd.DataFrame, changed: Collection[Hashable]) -> Table:
        """The table with another source; only changed columns are inspected again.

        Args:
          frame: has the same columns. changed: keys of those whose values may differ.
        """
        return Table(
            frame,
            self.label,
            tuple(
                infer_column(key, column_of(frame, key)) if key in changed else column
                for key, column in zip(self.keys, self.columns, strict=True)
            ),
        )


def inspect_table(frame: pd.DataFrame, label: object) -> Table:
    """Infer the kind of each feature column.

    Args:
      frame: N rows. label: name of the label column.
    Raises:
      InputError: two columns of one name, or no column `label`.
    """
    refuse_duplicate_names(frame, "The table")
    key = resolve_label(frame, label)
    columns = (infer_column(name, column_of(frame, name)) for name in _feature_keys(frame, key))
    return Table(frame, key, tuple(columns))


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
    for key in frame.columns:
        if key == label or str(key) == str(label):
            return key
    names = [str(c) for c in frame.columns]
    folded = {n.strip().lower(): n for n in names}
    close = difflib.get_close_matches(str(label).strip().lower(), list(folded), n=1, cutoff=0.5)
    hint = f"did you mean {folded[close[0]]!r}?" if close else f"the columns are {shortened(names)}."
    raise InputError(f"The table has no column {str(label)!r}; {hint}")


def shortened(names: list[str], limit: int = 8) -> str:
    """The first `limit` names in quotes, and the number of further names."""
    shown = ", ".join(repr(n) for n in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _feature_keys(frame: pd.DataFrame, label: Hashable) -> tuple[Hashable, ...]:
    return tuple(key for key in frame.columns if key is not label and key != label)
