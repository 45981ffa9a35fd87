"""What an influence matrix of a table-sized problem would take: the plan of a multi-layer perceptron, in sentences."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from demix_jax.checks import InputError
from demix_jax.curvature import EKFAC, Curvature, GaussNewton, Identity
from demix_jax.influence import InfluencePlan, influence_plan
from demix_jax.models import MLP, TaskModel
from demix_jax.progress import duration
from demix_jax.sizes import in_words

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
    params = model.init(jax.random.key(0), np.zeros(num_features))

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
