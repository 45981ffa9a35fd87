"""What a person reads on the terminal after a diagnosis of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from demix_jax.error_types import ERROR_TYPES
from demix_jax.preference.explain import NAMES, headline
from demix_jax.report.findings import flagged
from demix_jax.report.terminal import make_console, say
from demix_jax.report.words import percent

if TYPE_CHECKING:
    from demix_jax.preference.diagnose import PairDiagnosis

ADVICE = {
    "label_error": "swap or drop",
    "feature_error": "trim or drop",
    "spurious_correlation": "keep and give weight: valuable, not wrong",
}


def print_diagnosis(diagnosis: PairDiagnosis, out: Path) -> None:
    """What was found, what to do, and where the files are; `out` is the folder that it was saved to."""
    say(f"{headline(diagnosis)[0]}.", headline(diagnosis)[1], "")
    console = make_console()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    table.add_column("Type")
    for name in ("Pairs", "Share", "Mean probability"):
        table.add_column(name, justify="right")
    table.add_column("What to do")
    for name in ERROR_TYPES:
        pairs = flagged(diagnosis.measured, name)
        p = diagnosis.table[f"p_{name}"].to_numpy(dtype=float)[pairs]
        mean = f"{p.mean():.2f}" if len(p) else "–"
        table.add_row(NAMES[name], f"{pairs.sum():,}", percent(float(pairs.mean())), mean, ADVICE[name])
    console.print(table)
    say(
        *(f"Note: {note}" for note in diagnosis.summary["notes"]),
        "",
        f"Open in a browser: {out / 'report.html'}",
        f"Also written: {out / 'diagnosis.csv'}, {out / 'summary.json'}",
        "Go on: the report shows how to repair the pairs in Python.",
    )
