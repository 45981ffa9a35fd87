"""`demix-jax diagnose`: tables, interaction logs and preference pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from demix_jax.cli.arguments import Seed, check_given
from demix_jax.cli.compiling import check_platform
from demix_jax.common.checks import InputError
from demix_jax.common.files import DIAGNOSIS_FILES, SAMPLES_FILE, check_writable, same_file, write_table

_MANY_CELLS = 10_000_000  # rows times columns, from which on a table is diagnosed out of core


def diagnose(
    out: Annotated[Path, typer.Option(help="Folder for what is written.", show_default=False)],
    train: Annotated[
        Path | None,
        typer.Argument(help="Table, as .csv or .parquet; or preference pairs.", metavar="TRAIN", show_default=False),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Name of the column that a model is to predict.")] = None,
    valid: Annotated[
        Path | None, typer.Option(help="Trusted validation samples; without them TRAIN is cross-fitted.")
    ] = None,
    task: Annotated[
        Literal["auto", "classification", "regression", "recommendation", "preference"],
        typer.Option(
            help="What the label is. recommendation takes --interactions instead of TRAIN and --label; preference, a "
            "file of pairs of answers to prompts and --model."
        ),
    ] = "auto",
    interactions: Annotated[
        Path | None, typer.Option(help="Interaction log with user, item and timestamp, for recommendation.")
    ] = None,
    users: Annotated[Path | None, typer.Option(help="Side features of users, by the same id.")] = None,
    items: Annotated[Path | None, typer.Option(help="Side features of items, by the same id.")] = None,
    min_rating: Annotated[
        float | None, typer.Option(help="Interactions rated lower were not clicked; without it all are clicks.")
    ] = None,
    random_ties: Annotated[
        bool,
        typer.Option(
            "--random-ties",
            help="Put a user's interactions of one moment in a random order; for logs whose times are days, most of "
            "which would else have no history.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Task model: mlp (default) or ft-transformer; for recommendation din (default) or dien; for "
            "preference the folder or file of a decoder."
        ),
    ] = None,
    classifier: Annotated[
        str, typer.Option(help='Error classifier: a weights file, or "default" for the one that comes along.')
    ] = "default",
    out_of_core: Annotated[
        bool | None,
        typer.Option(
            "--out-of-core/--in-memory",
            help="Read TRAIN a few thousand rows at a time and fit models on a sample of it; by default from ten "
            "million cells on.",
        ),
    ] = None,
    fit_rows: Annotated[int, typer.Option(help="Rows in that sample.")] = 50_000,
    seed: Seed = 0,
) -> None:
    """Tell for every row of TRAIN whether its label or its features are wrong or it breaks a shortcut.

    Writes diagnosis.csv, summary.json and report.html to the folder --out; for recommendation also samples.csv, the
    click samples that the log was made into.
    """
    of_table = {"TRAIN": train, "--label": label, "--valid": valid, "--out-of-core": out_of_core}
    of_log = {"--users": users, "--items": items, "--min-rating": min_rating, "--random-ties": random_ties or None}
    if task == "recommendation":
        check_given({"--interactions": interactions}, of_table, "--task recommendation")
    elif task == "preference":
        needed = {"TRAIN": train, "--model": model}
        unfit = {"--label": label, "--out-of-core": out_of_core, "--interactions": interactions, **of_log}
        check_given(needed, unfit, "--task preference")
    else:
        needed = {"TRAIN": train, "--label": label}
        check_given(needed, {"--interactions": interactions, **of_log}, f"--task {task}")
    inputs = [path for path in (train, valid, interactions, users, items) if path is not None]
    check_writable(out, folder=True)
    for name in (*DIAGNOSIS_FILES, *([SAMPLES_FILE] if interactions else [])):
        check_writable(out / name, folder=False)
        if any(same_file(out / name, path) for path in inputs):
            raise InputError(f"{out / name} is an input; it would be overwritten. Choose another folder for --out.")

    from demix_jax.classifier import load_classifier
    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.data.table import num_cells

    check_platform()
    load_classifier(classifier)
    options: dict[str, Any] = {"classifier": classifier, "seed": seed} | ({} if model is None else {"model": model})
    with ProgressDisplay() as progress:
        options["progress"] = progress
        if interactions is not None:
            log = {"interactions": interactions, "users": users, "items": items, "min_rating": min_rating}
            show = _diagnose_log(log, random_ties, out, options)
        elif task == "preference":
            show = _diagnose_pairs(cast(Path, train), out, options | {"valid": valid})
        else:
            options |= {"label": label, "valid": valid, "task": task}
            large = num_cells(cast(Path, train)) >= _MANY_CELLS if out_of_core is None else out_of_core
            if large:
                options["fit_rows"] = fit_rows
            show = (_diagnose_large if large else _diagnose_table)(cast(Path, train), out, options)
    show()


def _diagnose_table(train: Path, out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """Diagnose a table and save what was found; returns what prints it."""
    from demix_jax.domains.tables.domain import diagnose as run
    from demix_jax.report.terminal import print_diagnosis

    diagnosis = run(train, **options)
    diagnosis.save(out)
    return partial(print_diagnosis, diagnosis, out)


def _diagnose_large(train: Path, out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """The same for a table that need not fit in memory."""
    from demix_jax.domains.tables.out_of_core import diagnose_out_of_core
    from demix_jax.report.terminal import print_diagnosis

    return partial(print_diagnosis, diagnose_out_of_core(train, out=out, **options).sample, out)


def _diagnose_log(log: dict[str, Any], random_ties: bool, out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """The same for the click samples of a log, which are written to `out`, so that they can be repaired."""
    from demix_jax.domains.recommendation import make_samples, read_recommendation_data
    from demix_jax.domains.recommendation.domain import diagnose_interactions
    from demix_jax.report.terminal import print_diagnosis

    samples = make_samples(read_recommendation_data(**log), random_ties=random_ties, seed=options["seed"])
    part = samples.part("train")
    write_table(out / SAMPLES_FILE, part.table)
    diagnosis = diagnose_interactions(part, source=str(out / SAMPLES_FILE), **options)
    diagnosis.save(out)
    return partial(print_diagnosis, diagnosis, out)


def _diagnose_pairs(train: Path, out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """The same for preference pairs."""
    from demix_jax.domains.preference import diagnose as run
    from demix_jax.report.terminal import print_diagnosis

    diagnosis = run(train, **options)
    diagnosis.save(out)
    return partial(print_diagnosis, diagnosis, out)
