"""Gauss–Newton curvature, inverted in sample space: no P × P matrix and no iteration."""

from __future__ import annotations

from functools import lru_cache, partial
from numbers import Integral
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.curvature.base import CurvatureProblem, Fitted, check_damping
from demix_jax.curvature.low_rank import check_size, fit_rows
from demix_jax.curvature.outputs import Cut, cuts
from demix_jax.gradients.factored import accumulating
from demix_jax.gradients.per_example import PyTree, num_examples
from demix_jax.gradients.stream import as_arrays
from demix_jax.gradients.tracer import GradientPlan, plan_for


@flax.struct.dataclass
class GaussNewton:
    """H = (1/n) Σ Jᵀ (∂²loss/∂outputs²) J over curvature samples, J the Jacobian of a sample's outputs.

    The outputs are found in the loss: the first value through which all parameters pass and in which the loss is
    convex — logits for a cross-entropy of any number of classes, the prediction for a squared error. A sample gives
    as many rows of G (H = GᵀG / n) as that second derivative has rank: K − 1 for a softmax of K classes, 1 for a
    binary cross-entropy or a squared error.

    Attributes:
      damping: λ > 0; None for a tenth of H's mean eigenvalue, its trace shared among as many eigenvalues as can
        differ from zero. The value in use is the `damping` of what `fit` returns, and goes to the log at info level.
      samples: how many training samples, evenly spread over the data, make up H; None for all. A subset is a Nyström
        approximation: directions that no chosen sample moves are damped by λ alone.
    Source: Schraudolph 2002, "Fast Curvature Matrix-Vector Products"; Martens 2020, §8, on its relation to Fisher's.
    """

    damping: float | None = None
    samples: int | None = flax.struct.field(pytree_node=False, default=None)

    def fit(self, problem: CurvatureProblem) -> Fitted:
        """Rows of G and a Cholesky factor of nλI + GGᵀ (or of GᵀG + nλI when P is the smaller).

        Raises:
          InputError: damping ≤ 0, samples < 1, no outputs found, or too many rows for memory.
        """
        check_damping(self.damping)
        chosen = curvature_samples(problem.train, self.samples)
        num = num_examples(chosen, "train")
        plan, batch = row_problem(problem, chosen)
        check_size(num_examples(batch, "train"), plan, "samples")
        return fit_rows(problem.gradients(batch, plan), num, self.damping, "GaussNewton", problem.mesh)


def curvature_samples(train: PyTree, samples: int | None) -> PyTree:
    """`samples` samples spread evenly over `train`, or all of them."""
    train = as_arrays(train)
    num = num_examples(train, "train")
    if samples is None:
        return train
    if not isinstance(samples, Integral) or samples < 1:
        raise InputError(f"samples is {samples!r}; pass a positive whole number of curvature samples, or None for all.")
    rows = np.arange(min(samples, num)) * num // min(samples, num)
    return jax.tree.map(lambda leaf: leaf[rows], train)


def _convex_outputs(problem: CurvatureProblem, chosen: PyTree) -> tuple[Cut, jax.Array]:
    """The first outputs in which the loss is convex on all samples, and f[n, r, C] whose rows square to its Hessian."""
    for cut in cuts(problem.plan):
        num = num_examples(chosen, "train")
        if num * cut.size**2 * 4 > 2**31:
            raise InputError(
                f"the loss has {cut.size} outputs per sample, too many for {num} curvature samples; pass fewer samples."
            )
        values, vectors = _output_curvature(cut, problem.params, chosen)
        values = np.asarray(values)
        largest = values.max()
        if largest > 0 and values.min() >= -max(1e-4, 2 * float(jnp.finfo(cut.dtype).eps)) * largest:
            kept = values.max(axis=0) > 1e-6 * largest
            roots = np.sqrt(np.maximum(values[:, kept], 0.0))
            return cut, jnp.asarray(vectors)[:, :, kept].transpose(0, 2, 1) * jnp.asarray(roots)[:, :, None]
    raise InputError(
        "found no outputs in which the loss is convex: its parameters reach it by several ways (a weight penalty in "
        "the loss?) or it is linear in them. Leave the penalty out, as damping stands for it, or use Hessian."
    )


@partial(jax.jit, static_argnums=0)
def _output_curvature(cut: Cut, params: PyTree, batch: PyTree) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues f[n, C], rising, and eigenvectors f[n, C, C] of the loss's second derivative in its outputs."""

    def one(example):
        (outputs,) = accumulating(cut.outputs(params, example))
        hessian = jax.hessian(cut.head)(outputs, params, example)
        return 0.5 * (hessian + hessian.T)

    hessians = jax.vmap(one)(batch)
    if hessians.shape[1] == 1:
        return hessians[:, :, 0], jnp.ones_like(hessians)
    return jnp.linalg.eigh(hessians)


def row_problem(problem: CurvatureProblem, samples: PyTree) -> tuple[GradientPlan, PyTree]:
    """The "loss" rowᵀ outputs, whose gradients are the rows of G, and its batch of n · r examples, sample by sample."""
    cut, vectors = _convex_outputs(problem, samples)
    repeated = jax.tree.map(lambda leaf: leaf.repeat(vectors.shape[1], axis=0), samples)
    batch = {"example": repeated, "row": vectors.reshape(-1, vectors.shape[2])}
    plan = plan_for(_row_loss(cut), problem.params, batch, problem.select)
    if plan.layouts != problem.plan.layouts:
        raise InputError("the loss reads its parameters after its outputs; use Hessian or EmpiricalFisher instead.")
    return plan, batch


@lru_cache(maxsize=128)
def _row_loss(cut: Cut) -> Any:
    def row_loss(params, example):
        outputs = cut.outputs(params, example["example"])
        return jnp.vdot(example["row"].astype(outputs.dtype), outputs)

    return row_loss
