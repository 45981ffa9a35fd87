"""Arguments that several commands take, and whether those that a task needs were given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from demix_jax.common.checks import InputError

Train = Annotated[
    Path,
    typer.Argument(help="Table, as .csv or .parquet; or preference pairs.", metavar="TRAIN", show_default=False),
]
Label = Annotated[str | None, typer.Option(help="Name of the column that a model is to predict.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness; the same seed gives the same result.")]


_NEEDED = {
    "TRAIN": "a file to diagnose",
    "--label": "the name of the column that a model is to predict",
    "--interactions": "an interaction log",
    "--model": "the folder or the .gguf file of a decoder",
}


def check_given(needed: Mapping[str, object], unfit: Mapping[str, object], task: str) -> None:
    """InputError where something that the task needs was not given, or something that does not go with it was."""
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{' and '.join(missing)} {verb} missing; {task} needs {' and '.join(_NEEDED[name] for name in missing)}."
        )
    extra = [name for name, value in unfit.items() if value is not None]
    if extra:
        raise InputError(f"{' and '.join(extra)} does not go with {task}; leave it out.")
