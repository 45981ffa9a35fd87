"""Arguments that several commands take.

The help of a required argument is a noun phrase: it also explains the argument where it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Train = Annotated[Path, typer.Argument(help="Table, as .csv or .parquet.", metavar="TRAIN", show_default=False)]
Label = Annotated[str, typer.Option(help="Name of the column to predict.", show_default=False)]
DiagnosisFolder = Annotated[
    Path, typer.Option(help="Folder for diagnosis.csv, summary.json and report.html.", show_default=False)
]
DiagnosisFile = Annotated[
    Path, typer.Option(help="diagnosis.csv that `diagnose` wrote, or its folder.", show_default=False)
]
Classifier = Annotated[
    str, typer.Option(help='Error classifier: a weights file, or "default" for the one in the package.')
]
Spurious = Annotated[
    Literal["reweight", "keep"],
    typer.Option(help="What happens to those that break a shortcut; they are never dropped."),
]
Seed = Annotated[int, typer.Option(min=0, metavar="<int>", help="Random seed; the same seed gives the same result.")]
