"""All notes on a table before it is diagnosed."""

from __future__ import annotations

from typing import NamedTuple

from demix_jax.data.inspected_table import Table
from demix_jax.data.label_spellings import spelling_note
from demix_jax.data.notes.leaks import find_leaks
from demix_jax.data.notes.repeats import repeat_notes, repeated_columns
from demix_jax.data.notes.used_columns import class_size_note, column_notes


class TableNotes(NamedTuple):
    """Sentences for the user, most important first.

    label_doubt: the reason that wrong labels cannot be seen in this table, also in `sentences`; None if they can.
    """

    sentences: tuple[str, ...]
    label_doubt: str | None = None


def table_notes(table: Table, *, task: str) -> TableNotes:
    """What a good colleague would say of a table that passed `check_table`.

    The notes depend on what the table holds, not on the order of its rows and columns.

    Args:
      table: N rows. task: "classification" or "regression".
    """
    repeated = repeated_columns(table)
    leaks = find_leaks(table, repeated, task=task)
    sentences = [*leaks.certain, *leaks.possible, *label_notes(table, task=task)]
    sentences += [*repeat_notes(repeated), *column_notes(table)]
    return TableNotes(tuple(sentences), leaks.certain[0] if leaks.certain else None)


def label_notes(table: Table, *, task: str) -> list[str]:
    """Sentences on the label's spellings and on classes of few rows."""
    if task != "classification":
        return []
    target, spellings = table.written_target, table.spellings
    found = (spelling_note(target, spellings), class_size_note(target, spellings))
    return [sentence for sentence in found if sentence is not None]
