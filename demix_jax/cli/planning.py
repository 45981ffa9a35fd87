"""`demix-jax plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from demix_jax.checks import InputError
from demix_jax.cli.compiling import check_platform


def plan(
    train_samples: Annotated[int, typer.Option(min=1, help="N, rows to find the influence of.", show_default=False)],
    valid_samples: Annotated[int, typer.Option(min=1, help="M, rows to find it on.", show_default=False)],
    features: Annotated[int, typer.Option(min=1, help="Of the model, columns encoded.")] = 100,
    widths: Annotated[str, typer.Option(help="Hidden layers of the model.")] = "64,32",
    parameters: Annotated[
        int | None, typer.Option(min=1, help="P; one hidden layer that gives about so many, in place of --widths.")
    ] = None,
    classes: Annotated[int, typer.Option(min=2, help="Of the label.")] = 2,
    curvature: Annotated[Literal["identity", "gauss-newton", "ek-fac"], typer.Option(help="H.")] = "identity",
    curvature_samples: Annotated[int, typer.Option(min=1, help="Training samples that make up H.")] = 4096,
    normalize: Annotated[Literal["cosine", "none"], typer.Option(help="Cosines, or losses per weight.")] = "cosine",
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="On disk.")] = "float32",
    memory: Annotated[int | None, typer.Option(min=1, help="Bytes to work in; chosen if not given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that the matrix would go to.")] = None,
) -> None:
    """Predict time, memory and disk of an influence matrix, after a few seconds of calibration.

    Refuses, with what to change, a matrix that does not fit.
    """
    from demix_jax.plan import CURVATURES, plan_perceptron, sentences, width_for
    from demix_jax.report.terminal import say

    check_platform()
    if parameters is None:
        hidden = _numbers("--widths", widths)
    else:
        hidden = (width_for(parameters, features, classes),)
    result = plan_perceptron(
        train_samples,
        valid_samples,
        num_features=features,
        widths=hidden,
        num_classes=classes,
        curvature=CURVATURES[curvature](curvature_samples),
        normalize=None if normalize == "none" else normalize,
        dtype=dtype,
        path=out,
        memory=memory,
    )
    say(*sentences(result, out))


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """ "64,32" as (64, 32)."""
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f'{option} is "{text}"; write positive numbers with commas between them, as in "64,32".')
    return tuple(int(part) for part in parts)
