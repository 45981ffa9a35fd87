"""`demix-jax train-classifier`: clean tables in, the weights of an error classifier out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demix_jax.cli.arguments import Seed
from demix_jax.cli.compiling import check_platform
from demix_jax.common.checks import InputError
from demix_jax.common.files import check_writable


def train_classifier(
    *,
    out: Annotated[Path, typer.Option(help="Weights file to write, .safetensors.", show_default=False)],
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<file:label>",
            help="Clean table and its label column. Repeat it for more tables.",
            show_default=False,
        ),
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, metavar="<int>", help="Number of synthetic tables.")] = 100,
    worlds_per_table: Annotated[
        int, typer.Option(min=1, metavar="<int>", help="Corrupted versions of each table.")
    ] = 20,
    rows: Annotated[int, typer.Option(min=200, metavar="<int>", help="Most rows in a corrupted version.")] = 4000,
    steps: Annotated[int, typer.Option(min=1, metavar="<int>", help="Training steps of each network.")] = 700,
    members: Annotated[int, typer.Option(min=1, metavar="<int>", help="Networks in the ensemble.")] = 4,
    worlds: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps finished work. After an interruption, training resumes from there."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train an error classifier on clean tables.

    Known errors are put into clean and synthetic tables, and the classifier learns to find them. Pass the weights file
    to the option --classifier of a diagnosis.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"--out is {out}; end its name in .safetensors.")
    check_writable(out, folder=False)
    if worlds is not None:
        check_writable(worlds, folder=True)
    named = _named_tables(table or [])
    check_platform()

    from demix_jax.classifier import TrainingOptions
    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.common.wording import duration
    from demix_jax.data import read_table
    from demix_jax.meta_training.train import train_classifier as run
    from demix_jax.report.terminal import say

    tables = {name: (read_table(path), label) for name, (path, label) in named.items()}
    with ProgressDisplay() as progress:
        classifier = run(
            tables,
            worlds_per_table=worlds_per_table,
            num_synthetic=synthetic,
            num_rows=rows,
            seed=seed,
            options=TrainingOptions(num_members=members, num_steps=steps),
            worlds_dir=worlds,
            progress=progress,
        )
    classifier.save(out)
    card = classifier.card
    say(
        f"Trained on {card['num_worlds']:,} corrupted versions of {len(card['tables']):,} tables in "
        f"{duration(card['training_seconds'])}. Scores are honest only on other tables.",
        f"Written: {out}",
    )


def _named_tables(given: list[str]) -> dict[str, tuple[Path, str]]:
    """ "FILE:LABEL" texts as file name without suffix -> (file, label)."""
    tables: dict[str, tuple[Path, str]] = {}
    for text in given:
        file, colon, label = text.rpartition(":")
        if not (file and colon and label):
            raise InputError(f'--table is "{text}"; write the file and its label column as "FILE:LABEL".')
        if Path(file).stem in tables:
            raise InputError(f"two tables are called {Path(file).stem}; rename one of the files.")
        tables[Path(file).stem] = (Path(file), label)
    return tables
