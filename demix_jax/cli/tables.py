"""`demix-jax repair`, `inject` and `demo`: tables in, other tables out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from demix_jax.checks import InputError
from demix_jax.cli.arguments import Label, Seed, Train
from demix_jax.error_types import ERROR_TYPES
from demix_jax.files import atomic_paths, check_writable, same_file, table_suffix, write_table

if TYPE_CHECKING:
    import pandas as pd


def repair(
    train: Train,
    label: Label,
    diagnosis: Annotated[Path, typer.Option(help="diagnosis.csv that `diagnose` wrote.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet.", show_default=False)],
    label_errors: Annotated[
        Literal["relabel", "drop", "keep"], typer.Option(help="Rows with a wrong label.")
    ] = "relabel",
    feature_errors: Annotated[
        Literal["impute", "drop", "keep"], typer.Option(help="Rows with wrong features.")
    ] = "impute",
    spurious: Annotated[
        Literal["reweight", "keep"], typer.Option(help="Rows that break a shortcut; they are never dropped.")
    ] = "reweight",
    seed: Seed = 0,
) -> None:
    """Write a repaired copy of TRAIN with a sample_weight column; TRAIN stays as it is."""
    table_suffix(out)
    check_writable(out, folder=False)
    for name, path in (("TRAIN", train), ("the diagnosis", diagnosis)):
        if same_file(out, path):
            raise InputError(f"--out {out} is {name}, which is never overwritten; name another file.")

    from demix_jax.repair import repair as run
    from demix_jax.report.terminal import say

    repaired = run(
        train,
        diagnosis,
        label=label,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        seed=seed,
    )
    write_table(out, repaired.table)
    say(*repaired.changes.sentences, f"Written: {out}")


def inject(
    train: Train,
    label: Label,
    out: Annotated[Path, typer.Option(help="Folder for the corrupted table and truth.csv.", show_default=False)],
    label_errors: Annotated[float, typer.Option(help="Share of rows that get a wrong label.")] = 0.15,
    feature_errors: Annotated[float, typer.Option(help="Share of rows that get wrong features.")] = 0.15,
    spurious: Annotated[float, typer.Option(help="Share of rows that break the shortcut; 0 for none.")] = 0.15,
    shortcut: Annotated[
        str | None, typer.Option(help='The shortcut, as in "sex=Male -> >50K"; found in the table if not given.')
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write a corrupted copy of TRAIN, and truth.csv that says what was done to each row."""
    check_writable(out, folder=True)
    corrupted = out / ("corrupted.parquet" if train.suffix.lower() in (".parquet", ".pq") else "corrupted.csv")
    truth = out / "truth.csv"
    for path in (corrupted, truth):
        check_writable(path, folder=False)
        if same_file(path, train):
            raise InputError(f"{path} is TRAIN, which is never overwritten; choose another folder for --out.")

    from demix_jax.corruption import inject_errors
    from demix_jax.data import read_table
    from demix_jax.report.terminal import say

    table = read_table(train)
    injected = inject_errors(
        table,
        label=label,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        shortcut=shortcut,
        seed=seed,
    )
    _write_both(corrupted, injected.table, truth, injected.truth)
    say(f"{len(injected.table):,} of {len(table):,} rows kept.")
    say(*(f"{name}: {injected.truth[name].eq(1).sum():,} rows" for name in ERROR_TYPES))
    if injected.shortcut is not None:
        say(f"Shortcut: {injected.shortcut.text}")
    say(f"Written: {corrupted}, {truth}")


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder to keep the tables and the report in.")] = None,
    seed: Seed = 0,
) -> None:
    """Corrupt a table, diagnose and repair it, and compare with the truth; about a minute."""
    if out is not None:
        check_writable(out, folder=True)

    from demix_jax.demo import print_result, run
    from demix_jax.progress import ProgressDisplay
    from demix_jax.report.terminal import make_console

    with ProgressDisplay() as progress:
        result = run(seed=seed, out=out, progress=progress)
    print_result(result, make_console())


def _write_both(first: Path, first_table: pd.DataFrame, second: Path, second_table: pd.DataFrame) -> None:
    with atomic_paths(first, second) as (first_name, second_name):
        write_table(first_name, first_table)
        write_table(second_name, second_table)
