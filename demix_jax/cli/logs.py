"""`demix-jax logs`: an interaction log in, its click samples and their diagnosis out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from demix_jax.cli.arguments import Classifier, DiagnosisFolder, Seed
from demix_jax.cli.checks import check_classifier, check_diagnosis_folder
from demix_jax.cli.compiling import check_platform
from demix_jax.cli.groups import command_group
from demix_jax.common.files import SAMPLES_FILE, write_table

log_commands = command_group("logs", about="Find errors in interaction logs.")


@log_commands.command()
def diagnose(
    log: Annotated[
        Path,
        typer.Argument(
            help="Interaction log with user, item and timestamp, as .csv or .parquet.",
            metavar="LOG",
            show_default=False,
        ),
    ],
    *,
    out: DiagnosisFolder,
    users: Annotated[Path | None, typer.Option(help="Table of the users' side features, with the log's ids.")] = None,
    items: Annotated[Path | None, typer.Option(help="Table of the items' side features, with the log's ids.")] = None,
    min_rating: Annotated[
        float | None, typer.Option(help="Lowest rating that counts as a click. Without it, every interaction does.")
    ] = None,
    random_ties: Annotated[
        bool,
        typer.Option(
            "--random-ties",
            help="Put a user's interactions of one moment in random order. Where times are days, most would have no "
            "history otherwise.",
        ),
    ] = False,
    model: Annotated[Literal["din", "dien"], typer.Option(help="Task model whose influence is computed.")] = "din",
    classifier: Classifier = "default",
    seed: Seed = 0,
) -> None:
    """Find the errors in an interaction log.

    LOG is turned into click samples. Each is judged: whether its label is wrong, whether its features are wrong, and
    whether it breaks a shortcut. The folder --out receives samples.csv, diagnosis.csv, summary.json and report.html.
    Repair samples.csv with `demix-jax repair`.
    """
    check_diagnosis_folder(out, SAMPLES_FILE, inputs={"LOG": log, "--users": users, "--items": items})
    check_platform()
    check_classifier(classifier)

    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.domains.recommendation import make_samples, read_recommendation_data
    from demix_jax.domains.recommendation.domain import diagnose_interactions
    from demix_jax.report.terminal import print_diagnosis

    data = read_recommendation_data(log, users=users, items=items, min_rating=min_rating)
    samples = make_samples(data, random_ties=random_ties, seed=seed).part("train")
    written = out / SAMPLES_FILE
    with ProgressDisplay() as progress:
        diagnosis = diagnose_interactions(
            samples, model=model, classifier=classifier, seed=seed, progress=progress, source=str(written)
        )
        write_table(written, samples.table)
        diagnosis.save(out)
    print_diagnosis(diagnosis, out)
