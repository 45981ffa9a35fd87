"""Arguments that several commands take.

The help of a required argument is a noun phrase: it also explains the argument where it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from demix_jax.common.checks import InputError
from demix_jax.common.read_options import KINDS

Train = Annotated[
    Path,
    typer.Argument(
        help="Table: a file such as .csv, .parquet or .xlsx, or a folder or quoted pattern of files.",
        metavar="TRAIN",
        show_default=False,
    ),
]
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
Also = Annotated[
    Literal["look"] | None,
    typer.Option(
        help="Repair also what is only worth a look; by default only what is likely wrong.", show_default=False
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="<int>", help="Random seed; the same seed gives the same result.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="COLUMN=KIND",
        help=f"What a column holds, if it is not recognised: {', '.join(KINDS)}. May be repeated.",
    ),
]
Ignore = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="Column that is not to be used. May be repeated.")
]
Identifier = Annotated[
    str | None, typer.Option("--id", metavar="COLUMN", help="Column that names the rows; it leads in diagnosis.csv.")
]
Groups = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column whose equal values mark rows that belong together, such as a person."),
]
Time = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of times; each block in time is judged by models of earlier blocks."),
]
Missing = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help='Text that means missing, such as "n/k". May be repeated.')
]
Encoding = Annotated[str | None, typer.Option(help="Encoding of a text file, such as cp1252; recognised by default.")]
Sheet = Annotated[str | None, typer.Option(help="Sheet of a workbook; by default the first one with content.")]


def given_kinds(words: list[str] | None) -> dict[str, str]:
    """Column -> kind, from COLUMN=KIND as typed; a column's name may contain the sign.

    Raises:
      InputError: a word lacks the sign, or a column is named twice.
    """
    kinds: dict[str, str] = {}
    for word in words or ():
        name, sign, kind = word.rpartition("=")
        if not sign or not name:
            raise InputError(f"--kind is {word!r}; expected COLUMN=KIND, such as zip=category.")
        if kinds.setdefault(name, kind) != kind:
            raise InputError(f"--kind gives {name!r} two kinds, {kinds[name]} and {kind}; keep one of them.")
    return kinds
