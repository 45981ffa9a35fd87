"""How much memory the diagnosis of a wide table needs, and the refusal of one that needs too much."""

from __future__ import annotations

from demix_jax.common.checks import InputError

_MANY_COLUMNS = 1_000  # tables with fewer are long rather than wide; they are diagnosed by a sample of their rows
_LIMIT = 4 << 30  # bytes
# Measured on tables of numbers; see `diagnosis_bytes`.
_AT_LEAST = 450 << 20  # libraries and compiled programs
_BYTES_PER_COLUMN = 150 << 10  # task models and their gradients, models of the columns
_BYTES_PER_CELL = 200  # codes, features, evidence and signals of a cell


def diagnosis_bytes(num_rows: int, num_columns: int) -> int:
    """Estimated memory for the diagnosis of a table of numbers, in bytes."""
    return _AT_LEAST + num_columns * (_BYTES_PER_COLUMN + num_rows * _BYTES_PER_CELL)


def refuse_too_wide(num_rows: int, num_columns: int) -> None:
    """Raise InputError if a table of more than 1,000 columns needs more than 4 GB; call it before any work.

    Args:
      num_rows: rows that are in memory at once. num_columns: columns of the table, without the label.
    """
    needed = diagnosis_bytes(num_rows, num_columns)
    if num_columns > _MANY_COLUMNS and needed > _LIMIT:
        fitting = (_LIMIT - _AT_LEAST) // (_BYTES_PER_COLUMN + num_rows * _BYTES_PER_CELL)
        raise InputError(
            f"The table has {num_columns:,} columns and {num_rows:,} rows, whose diagnosis needs about "
            f"{needed / 2**30:.1f} GB of memory; at most {_LIMIT >> 30} GB are used, which is enough for about "
            f"{max(fitting, _MANY_COLUMNS):,} of these columns. Leave out columns that say little about the label, or "
            "give a sample of the rows."
        )
