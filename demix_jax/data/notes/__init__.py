"""Notes that a good colleague would give on a table: leaks, spellings of the label, columns that say little."""

from demix_jax.data.notes.gather import TableNotes, label_notes, table_notes
from demix_jax.data.notes.judged import flag_share_note
from demix_jax.data.notes.leaks import Leaks, find_leaks
from demix_jax.data.notes.repeats import Repeated, repeat_notes, repeated_columns
from demix_jax.data.notes.used_columns import class_size_note, column_notes

__all__ = [
    "Leaks",
    "Repeated",
    "TableNotes",
    "class_size_note",
    "column_notes",
    "find_leaks",
    "flag_share_note",
    "label_notes",
    "repeat_notes",
    "repeated_columns",
    "table_notes",
]
