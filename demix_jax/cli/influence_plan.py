"""`demix-jax plan`: time, memory and disk that the influence matrix of a table would take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import typer

from demix_jax.cli.compiling import check_platform
from demix_jax.common.checks import InputError
from demix_jax.common.wording import duration, in_words
from demix_jax.curvature import EKFAC, Curvature, GaussNewton, Identity
from demix_jax.influence import InfluencePlan, influence_plan
from demix_jax.models import MLP, TaskModel


def plan(
    *,
    train_samples: Annotated[
        int, typer.Option(min=1, metavar="<int>", help="Number of training samples, N.", show_default=False)
    ],
    valid_samples: Annotated[
        int, typer.Option(min=1, metavar="<int>", help="Number of validation samples, M.", show_default=False)
    ],
    features: Annotated[int, typer.Option(min=1, metavar="<int>", help="Features that the model reads.")] = 100,
    widths: Annotated[str, typer.Option(help="Widths of the model's hidden layers.")] = "64,32",
    parameters: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="<int>",
            help="Parameters of the model, P. Its one hidden layer is made to fit, in place of --widths.",
        ),
    ] = None,
    classes: Annotated[int, typer.Option(min=2, metavar="<int>", help="Classes of the label.")] = 2,
    curvature: Annotated[
        Literal["identity", "gauss-newton", "ek-fac"], typer.Option(help="Curvature that the influence uses.")
    ] = "identity",
    curvature_samples: Annotated[
        int, typer.Option(min=1, metavar="<int>", help="Training samples that the curvature is fitted on.")
    ] = 4096,
    normalize: Annotated[
        Literal["cosine", "none"], typer.Option(help="Unit of the influence: cosine, or change of loss per weight.")
    ] = "cosine",
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Type of the numbers on disk.")
    ] = "float32",
    memory: Annotated[
        int | None, typer.Option(min=1, metavar="<int>", help="Bytes to work in. Without it, chosen to fit.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that the matrix would be written to.")] = None,
) -> None:
    """Predict time, memory and disk of an influence matrix.

    A few seconds of calibration tell how fast this machine is. Where the matrix does not fit, the error says what to
    change.
    """
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


_DAMPING = 1e-2  # its value changes no time and no size

CURVATURES = {
    "identity": lambda samples: Identity(),
    "gauss-newton": lambda samples: GaussNewton(damping=_DAMPING, samples=samples),
    "ek-fac": lambda samples: EKFAC(damping=_DAMPING, samples=samples),
}


def plan_perceptron(
    num_train: int,
    num_valid: int,
    *,
    num_features: int,
    widths: tuple[int, ...],
    num_classes: int,
    curvature: Curvature,
    normalize: str | None,
    dtype: str,
    path: Path | None,
    memory: int | None,
) -> InfluencePlan:
    """`influence_plan` for a classifier with hidden layers of `widths`, from shapes alone."""
    model = TaskModel(MLP(widths, num_classes), "classification")
    params = model.init(jax.random.key(0), {"x": np.zeros(num_features)})

    def batch(num: int) -> dict:
        shape = jax.ShapeDtypeStruct
        return {"x": shape((num, num_features), np.float32), "y": shape((num,), np.int32)}

    return influence_plan(
        model.loss, params, batch(num_train), batch(num_valid),
        curvature=curvature, normalize=normalize, dtype=dtype, path=path, memory=memory,
    )  # fmt: skip


def width_for(num_parameters: int, num_features: int, num_classes: int) -> int:
    """Width that gives a perceptron with one hidden layer about `num_parameters` parameters."""
    width = round((num_parameters - num_classes) / (num_features + 1 + num_classes))
    if width < 1:
        raise InputError(
            f"{num_parameters} parameters are too few for a hidden layer between {num_features} features and "
            f"{num_classes} classes; pass more parameters or fewer features."
        )
    return width


def sentences(plan: InfluencePlan, path: Path | None) -> list[str]:
    """The plan as lines of text; `path` is where the matrix would be written, or None."""
    (num_train, num_valid), (rows, columns) = plan.grid
    lines = [
        f"{num_train:,} training × {num_valid:,} validation samples, {plan.num_parameters:,} parameters",
        f"Chunks: {plan.grid.num_chunks:,} of {rows:,} × {columns:,} samples, memory={plan.memory} "
        f"({in_words(plan.memory)})",
        f"Memory: {in_words(plan.peak_memory)} beyond what the program and the data take; the whole matrix in memory "
        f"would add {in_words(4 * num_train * num_valid)}",
        f"Disk: {in_words(plan.disk)}",
        f"Time: {duration(plan.seconds)} (compiling {duration(plan.compile_seconds)}, curvature "
        f"{duration(plan.fit_seconds)}, influence {duration(plan.compute_seconds)}"
        + ("" if path is None else f", data and disk {duration(plan.write_seconds)}")
        + ")",
    ]
    return lines
