"""Notes on a diagnosed table: a label that cannot be judged, and more flags than is plausible."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demix_jax.data import Table
    from demix_jax.diagnosis.result import Diagnosis


def with_judged_notes(diagnosis: Diagnosis, table: Table) -> Diagnosis:
    """The diagnosis with the notes that only its result allows, before all others."""
    from demix_jax.data.notes import flag_share_note, unpredictable_label_note

    summary = diagnosis.summary
    unpredictable = unpredictable_label_note(summary.validation, table.target)
    doubt = summary.label_doubt or unpredictable
    found = (flag_share_note(summary.wrong_rows / summary.rows, table, doubt), unpredictable)
    notes = tuple(note for note in found if note is not None)
    return dataclasses.replace(
        diagnosis, summary=dataclasses.replace(summary, notes=(*notes, *summary.notes), label_doubt=doubt)
    )
