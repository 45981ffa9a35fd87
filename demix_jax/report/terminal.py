"""Terminal output of commands; plain text if the output is not a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import percent
from demix_jax.report.parts import headline, not_judged

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis


def make_console() -> Console:
    """Console on standard output, wide enough for tables if the output goes to a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def say(*lines: str) -> None:
    """Print lines unchanged, without markup or wrapping."""
    console = make_console()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def print_diagnosis(diagnosis: Diagnosis, out: Path) -> None:
    """Print findings, advice, files and the next command; `out` is the folder of the saved diagnosis."""
    print_types(diagnosis)
    say(
        *(f"Note: {note}" for note in diagnosis.summary.notes),
        "",
        f"Open in a browser: {out / 'report.html'}",
        f"Also written: {out / 'diagnosis.csv'}, {out / 'summary.json'}",
        f"Go on: {diagnosis.presentation.repair_command(diagnosis, out)}",
    )


def print_types(diagnosis: Diagnosis) -> None:
    """Print the headline, a table of the error types with both bands, and notes on doubtful types."""
    words, summary = diagnosis.presentation.words, diagnosis.summary
    first, second = headline(diagnosis)
    say(f"{first}.", second, "")
    console = make_console()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    table.add_column("Type")
    for name in ("Likely", "Share", "Mean probability", "Worth a look"):
        table.add_column(name, justify="right")
    table.add_column("What to do")
    for name in ERROR_TYPES:
        likely, mean = summary.likely[name], summary.mean_probability[name]
        figures = (f"{likely:,}", percent(likely / summary.rows), "–" if mean is None else f"{mean:.2f}")
        advice = words.advice[name]
        if not_judged(diagnosis, name):
            figures, advice = ("–", "–", "–"), f"{words.labels} cannot be judged here"
        table.add_row(words.names[name], *figures, f"{summary.look[name]:,}", advice)
    console.print(table)
