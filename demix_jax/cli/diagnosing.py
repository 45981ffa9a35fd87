"""`demix-jax diagnose`: a table in, a diagnosis out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from demix_jax.cli.arguments import (
    Classifier,
    DiagnosisFolder,
    Encoding,
    Groups,
    Identifier,
    Ignore,
    Kinds,
    Label,
    Missing,
    Seed,
    Sheet,
    Time,
    Train,
    given_kinds,
)
from demix_jax.cli.checks import check_classifier, check_diagnosis_folder
from demix_jax.cli.compiling import check_platform

_MANY_CELLS = 10_000_000  # rows times columns; a table with as many is diagnosed out of core


def diagnose(
    train: Train,
    *,
    label: Label,
    out: DiagnosisFolder,
    valid: Annotated[
        Path | None, typer.Option(help="Trusted validation table. Without it, TRAIN is cross-fitted.")
    ] = None,
    task: Annotated[
        Literal["auto", "classification", "regression"], typer.Option(help="Kind of label; auto decides by its values.")
    ] = "auto",
    model: Annotated[
        Literal["mlp", "mlp-small", "ft-transformer"], typer.Option(help="Task model whose influence is computed.")
    ] = "mlp",
    classifier: Classifier = "default",
    kind: Kinds = None,
    ignore: Ignore = None,
    identifier: Identifier = None,
    groups: Groups = None,
    time: Time = None,
    missing: Missing = None,
    encoding: Encoding = None,
    sheet: Sheet = None,
    out_of_core: Annotated[
        bool | None,
        typer.Option(
            "--out-of-core/--in-memory",
            help="Read TRAIN in parts and fit models on a sample of its rows, or load it whole. Without either, tables "
            "from ten million cells on are read in parts.",
        ),
    ] = None,
    fit_rows: Annotated[int, typer.Option(help="Rows in the sample of an out-of-core diagnosis.")] = 50_000,
    seed: Seed = 0,
) -> None:
    """Find the errors in a table.

    Each row of TRAIN is judged: whether its label is wrong, whether its features are wrong, and whether it breaks a
    shortcut. The folder --out receives diagnosis.csv, summary.json and report.html.
    """
    check_diagnosis_folder(out, inputs={"TRAIN": train, "--valid": valid})
    check_platform()
    check_classifier(classifier)

    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.data.sources.open import open_source
    from demix_jax.report.terminal import print_diagnosis

    options: dict[str, Any] = {
        "label": label,
        "valid": valid,
        "task": task,
        "model": model,
        "classifier": classifier,
        "seed": seed,
        "kinds": given_kinds(kind),
        "ignore": ignore,
        "id": identifier,
        "groups": groups,
        "time": time,
        "missing": missing,
        "encoding": encoding,
        "sheet": sheet,
    }
    if out_of_core is None:
        large = open_source(train, encoding=encoding, sheet=sheet).estimated_cells() >= _MANY_CELLS
    else:
        large = out_of_core
    with ProgressDisplay() as progress:
        if large:
            from demix_jax.domains.tables.out_of_core import diagnose_out_of_core

            result = diagnose_out_of_core(train, out=out, fit_rows=fit_rows, progress=progress, **options)
            diagnosis = result.sample
        else:
            from demix_jax.domains.tables.domain import diagnose as diagnose_table

            diagnosis = diagnose_table(train, progress=progress, **options)
            diagnosis.save(out)
    print_diagnosis(diagnosis, out)
