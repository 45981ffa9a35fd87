"""What a person reads on the terminal after a diagnosis of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demix_jax.domains.preference.words import PAIRS, repair_command
from demix_jax.report.terminal import print_types, say

if TYPE_CHECKING:
    from demix_jax.domains.preference.domain import PairDiagnosis


def print_diagnosis(diagnosis: PairDiagnosis, out: Path) -> None:
    """What was found, what to do, and where the files are; `out` is the folder that it was saved to."""
    print_types(diagnosis.measured, PAIRS)
    say(
        *(f"Note: {note}" for note in diagnosis.summary["notes"]),
        "",
        f"Open in a browser: {out / 'report.html'}",
        f"Also written: {out / 'diagnosis.csv'}, {out / 'summary.json'}",
        f"Go on: {repair_command(diagnosis, out)}",
    )
