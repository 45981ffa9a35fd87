"""`demix-jax repair`: a table and its diagnosis in, a repaired table out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from demix_jax.cli.arguments import Also, DiagnosisFile, Encoding, Label, Seed, Sheet, Spurious, Train
from demix_jax.cli.checks import check_outputs, diagnosis_file
from demix_jax.cli.compiling import check_platform


def repair(
    train: Train,
    *,
    label: Label,
    diagnosis: DiagnosisFile,
    out: Annotated[
        Path, typer.Option(help="File to write: with the suffix of TRAIN, .csv or .parquet.", show_default=False)
    ],
    label_errors: Annotated[
        Literal["relabel", "drop", "keep"], typer.Option(help="What happens to rows with a wrong label.")
    ] = "relabel",
    feature_errors: Annotated[
        Literal["impute", "drop", "keep"], typer.Option(help="What happens to rows with wrong features.")
    ] = "impute",
    spurious: Spurious = "reweight",
    also: Also = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    seed: Seed = 0,
) -> None:
    """Write a repaired copy of a table.

    Those rows are repaired that are likely wrong or likely break a shortcut: their flag is 1, and their band is not
    "look". The copy has one more column, sample_weight. In the format of TRAIN, every cell that was not repaired stays
    as it is written. TRAIN itself is not touched.
    """
    from demix_jax.data.sources.formats import check_suffix_to_write

    check_suffix_to_write(out, like=train)
    check_outputs(out, inputs={"TRAIN": train, "the diagnosis": diagnosis_file(diagnosis)})
    check_platform()

    from demix_jax.repairs import repair as repair_table
    from demix_jax.report.terminal import say

    repaired = repair_table(
        train,
        diagnosis,
        label=label,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        also=also,
        encoding=encoding,
        sheet=sheet,
        seed=seed,
    )
    repaired.save(out)
    say(*repaired.changes.sentences, f"Written: {out}")
