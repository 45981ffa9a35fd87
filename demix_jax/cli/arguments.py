"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Train = Annotated[Path, typer.Argument(help="Table, as .csv or .parquet.", metavar="TRAIN", show_default=False)]
Label = Annotated[str, typer.Option(help="Name of the column that a model is to predict.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness; the same seed gives the same result.")]
