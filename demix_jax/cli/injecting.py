"""`demix-jax inject`: a clean table in, a corrupted one and its truth out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from demix_jax.cli.arguments import Encoding, Label, Seed, Sheet, Train
from demix_jax.cli.checks import check_outputs
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import atomic_paths, check_writable, write_table
from demix_jax.common.read_options import ReadOptions

if TYPE_CHECKING:
    import pandas as pd


def inject(
    train: Train,
    *,
    label: Label,
    out: Annotated[Path, typer.Option(help="Folder for the corrupted table and truth.csv.", show_default=False)],
    label_errors: Annotated[float, typer.Option(help="Share of rows that get a wrong label.")] = 0.15,
    label_kind: Annotated[
        str, typer.Option(help='How labels go wrong, such as "uniform", "boundary", "annotator" or "rule".')
    ] = "uniform",
    feature_errors: Annotated[float, typer.Option(help="Share of rows that get wrong features.")] = 0.15,
    spurious: Annotated[float, typer.Option(help="Share of rows that break the shortcut; 0 for no shortcut.")] = 0.15,
    shortcut: Annotated[
        str | None, typer.Option(help='Shortcut, as in "sex=Male -> >50K". Without it, one is found in TRAIN.')
    ] = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    seed: Seed = 0,
) -> None:
    """Write a copy of a table with known errors.

    The errors of each row are recorded in truth.csv. TRAIN stays as it is.
    """
    from demix_jax.data.sources.formats import suffix_to_write

    check_writable(out, folder=True)
    corrupted, truth = out / f"corrupted{suffix_to_write(train)}", out / "truth.csv"
    check_outputs(corrupted, truth, inputs={"TRAIN": train})

    from demix_jax.corruption import LabelErrors, SpuriousCorrelation, inject_errors
    from demix_jax.data.edited_table import EditedTable, changed_rows
    from demix_jax.data.read import read_inspected

    table = read_inspected(train, label, ReadOptions.of(encoding=encoding, sheet=sheet))
    injected = inject_errors(
        table.frame,
        label=label,
        label_errors=LabelErrors(label_errors, label_kind),
        feature_errors=feature_errors,
        spurious=SpuriousCorrelation(spurious, shortcut=shortcut),
        seed=seed,
    )
    rows = injected.truth["source_row"].to_numpy()
    after = _in_place(table.frame, injected.table, rows)
    dropped = ~np.isin(np.arange(len(table)), rows)
    edited = EditedTable.of(table, after, changed_rows(table.frame, after), dropped=dropped)
    with atomic_paths(corrupted, truth) as (first, second):
        edited.save(first)
        write_table(second, injected.truth)
    kept = f"{len(injected.table):,} of {len(table):,} rows kept."
    text = None if injected.shortcut is None else injected.shortcut.text
    say_injected(kept, injected.truth, corrupted, truth, noun="rows", shortcut=text)


def _in_place(frame: pd.DataFrame, part: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """`frame` with the values of `part` in `rows` i[n]."""
    import pandas as pd

    from demix_jax.data.kinds import column_of

    columns = {}
    for key in frame.columns:
        column = column_of(frame, key)
        whole = column.astype(object).to_numpy(copy=True)
        whole[rows] = column_of(part, key).astype(object)
        columns[key] = pd.Series(whole, index=frame.index).astype(column_of(part, key).dtype)
    return pd.DataFrame(columns, index=frame.index)


def say_injected(kept: str, truth: pd.DataFrame, *written: Path, noun: str, shortcut: str | None) -> None:
    """Print how many samples were kept, how many got each error, and where the files are.

    Args:
      kept: a sentence. truth: flags by error type, one row per sample. written: the files.
      noun: what several samples are called. shortcut: the shortcut in words, None if there is none.
    """
    from demix_jax.report.terminal import say

    say(kept, *(f"{name}: {truth[name].eq(1).sum():,} {noun}" for name in ERROR_TYPES))
    if shortcut is not None:
        say(f"Shortcut: {shortcut}")
    say(f"Written: {', '.join(map(str, written))}")
