"""What a person reads on the terminal after a table was diagnosed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from demix_jax.common.files import suffix_to_write
from demix_jax.domains.tables.words import ROWS
from demix_jax.report.terminal import print_types, say

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis


def print_diagnosis(diagnosis: Diagnosis, train: Path, out: Path) -> None:
    """What was found, what to do, where the files are and how to go on.

    Args:
      diagnosis: what `demix_jax.diagnose` returned.
      train: the diagnosed file. out: the folder that the diagnosis was saved to.
    """
    print_types(diagnosis, ROWS)
    csv, target = shlex.quote(str(out / "diagnosis.csv")), f"repaired{suffix_to_write(train)}"
    command = f"demix-jax repair {shlex.quote(str(train))} --label {shlex.quote(str(diagnosis.label))}"
    say(
        *(f"Note: {note}" for note in diagnosis.summary["notes"]),
        "",
        f"Open in a browser: {out / 'report.html'}",
        f"Also written: {out / 'diagnosis.csv'}, {out / 'summary.json'}",
        f"Go on: {command} --diagnosis {csv} --out {target}",
    )
