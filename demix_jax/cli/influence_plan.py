"""`demix-jax plan`: what an influence matrix of a table-sized problem would take, in sentences."""

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
    """Of the one hidden layer of a perceptron with about so many parameters."""
    width = round((num_parameters - num_classes) / (num_features + 1 + num_classes))
    if width < 1:
        raise InputError(
            f"{num_parameters} parameters are too few for a hidden layer between {num_features} features and "
            f"{num_classes} classes; pass more parameters or fewer features."
        )
    return width


def sentences(plan: InfluencePlan, path: Path | None) -> list[str]:
    """What a person wants to know of a plan."""
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
