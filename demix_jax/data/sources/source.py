"""`Source`, the interface of a table as it is written, and `Edits` to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class NewCells:
    """New values of E cells of a column: rows i64[E], ascending; values, one per row.

    A source of text takes texts, which it quotes where needed. Another source takes values of the column's type.
    """

    rows: np.ndarray
    values: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Edits:
    """Changes to a table of N rows.

    Attributes:
      cells: column name -> new values.
      dropped: bool[N], rows to leave out; None: no row.
      added: name of a new column -> N values, texts or numbers; new columns come last, in this order.
    """

    cells: Mapping[str, NewCells] = dataclasses.field(default_factory=dict)
    dropped: np.ndarray | None = None
    added: Mapping[str, Sequence[Any] | np.ndarray] = dataclasses.field(default_factory=dict)


class Source(Protocol):
    """A table of N rows as it is written; nothing is converted.

    Attributes:
      path: the file or folder; None for a table in memory.
      names: of the columns, in order.
      is_text: whether every cell is text, as in a CSV file; else cells have the types of the file.
    """

    @property
    def path(self) -> Path | None: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def is_text(self) -> bool: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on how the file was read, complete once `batches` has reached the end."""
        ...

    def batches(self, num_rows: int) -> Iterator[pa.Table]:
        """The rows in order, about `num_rows` at a time; each batch has the columns `names`.

        Raises:
          InputError: the file is damaged or no table; the message names the file, the place and what to do.
        """
        ...

    def estimated_cells(self) -> int:
        """Rows times columns, without reading the whole file."""
        ...

    def write_edited(self, out: Path, edits: Edits) -> None:
        """Write the table with `edits` to `out`, in the format of the source; every other cell stays as it is."""
        ...
