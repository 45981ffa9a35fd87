"""The note on a diagnosed table that calls more rows wrong than is plausible."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demix_jax.data import Table
    from demix_jax.diagnosis.result import Diagnosis


def with_judged_notes(diagnosis: Diagnosis, table: Table) -> Diagnosis:
    """The diagnosis with the note that only its result allows, before all others."""
    from demix_jax.data.notes import flag_share_note

    summary = diagnosis.summary
    note = flag_share_note(summary.wrong_rows / summary.rows, table, summary.label_doubt)
    if note is None:
        return diagnosis
    return dataclasses.replace(diagnosis, summary=dataclasses.replace(summary, notes=(note, *summary.notes)))
