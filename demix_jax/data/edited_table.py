"""A table with changed cells, as it is written: every cell that was not changed stays as it is."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from demix_jax.common.files import atomic_paths, write_table
from demix_jax.data.inspected_table import Table
from demix_jax.data.kinds import column_of
from demix_jax.data.sources.formats import same_format
from demix_jax.data.sources.many_files import ManyFiles
from demix_jax.data.sources.source import Edits, NewCells
from demix_jax.data.write_cells import as_written, with_cells


class EditedTable(NamedTuple):
    """N rows and what is changed in them.

    table: before. after: the same rows and columns, parsed, with their changes. edits: as a `Source` takes them.
    added: new last columns, N values each.
    """

    table: Table
    after: pd.DataFrame
    edits: Edits
    added: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        table: Table,
        after: pd.DataFrame,
        rows: Mapping[Hashable, np.ndarray],
        *,
        dropped: np.ndarray | None = None,
        added: Mapping[str, np.ndarray] | None = None,
    ) -> EditedTable:
        """Changes of parsed values in the form of their columns.

        Args:
          table: N rows. after: the same, parsed, with new values.
          rows: column key -> ascending rows with a new value. dropped: bool[N], rows to leave out; None: none.
          added: name -> N numbers. A column of the table with this name gets them as its new values.
        """
        found = {column.name: column for column in (*table.columns, table.target_column)}
        cells = {
            str(key): NewCells(at, as_written(table, found[str(key)], at, column_of(after, key).iloc[at]))
            for key, at in rows.items()
        }
        of_text = table.source is not None and table.source.is_text
        own = {str(key) for key in table.written.columns}
        new: dict[str, Sequence[Any] | np.ndarray] = {}
        for name, values in (added or {}).items():
            texts = _number_texts(values, table) if of_text else values
            if name in own:
                cells[name] = NewCells(np.arange(len(table)), list(texts))
            else:
                new[name] = texts
        any_dropped = dropped if dropped is not None and dropped.any() else None
        return cls(table, after, Edits(cells=cells, dropped=any_dropped, added=new), added or {})

    def frame(self) -> pd.DataFrame:
        """The rows that stay, as written, with the added columns."""
        frame = self.table.written.copy(deep=False)
        for key in frame.columns:
            new = self.edits.cells.get(str(key))
            if new is not None and str(key) not in self.added:
                frame[key] = with_cells(column_of(frame, key), new.rows, new.values)
        return self._completed(frame)

    def parsed(self) -> pd.DataFrame:
        """The rows that stay, parsed, with the added columns."""
        return self._completed(self.after.copy(deep=False))

    def save(self, path: str | os.PathLike) -> None:
        """Write the table; in the format of its source, every cell that was not changed stays as it is.

        Raises:
          InputError: the format of `path` is neither that of the source nor .csv nor .parquet.
        """
        source, target = self.table.source, Path(path)
        if isinstance(source, ManyFiles) and not target.suffix:
            source.write_edited(target, self.edits)
        elif source is not None and same_format(source.path, target):
            with atomic_paths(target) as (name,):
                source.write_edited(name, self.edits)
        else:
            write_table(target, self.frame() if source is None or not source.is_text else self.parsed())

    def _completed(self, frame: pd.DataFrame) -> pd.DataFrame:
        for name, values in self.added.items():
            frame[name] = values
        return frame if self.edits.dropped is None else frame.iloc[np.flatnonzero(~self.edits.dropped)]


def changed_rows(before: pd.DataFrame, after: pd.DataFrame) -> dict[Hashable, np.ndarray]:
    """Column key -> ascending rows whose value differs between two tables of equal shape; missing values are equal."""
    changed = {}
    for key in before.columns:
        old, new = column_of(before, key), column_of(after, key)
        if not old.equals(new):
            old, new = old.astype(object), new.astype(object)
            same = (old == new) | (old.isna() & new.isna())
            changed[key] = np.flatnonzero(~same.to_numpy(bool))
    return {key: rows for key, rows in changed.items() if len(rows)}


def _number_texts(values: np.ndarray, table: Table) -> list[str]:
    """Numbers as texts, with the decimal mark of the table."""
    marks = [getattr(column.form, "mark", ".") for column in (*table.columns, table.target_column)]
    texts = [f"{value:.6g}" for value in values.tolist()]
    return [text.replace(".", ",") for text in texts] if "," in marks else texts
