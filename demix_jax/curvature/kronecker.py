"""Kronecker-factored curvature: each weight's block of the Gauss–Newton matrix in the eigenbasis of A ⊗ S."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.curvature.base import CurvatureProblem, Directions, check_damping
from demix_jax.curvature.gauss_newton import curvature_samples, row_problem
from demix_jax.gradients.factored import Block, Dense, FactoredGradients, Outer, accumulating
from demix_jax.gradients.ghost import accumulated_dtype, write_rows
from demix_jax.gradients.per_example import PyTree, num_examples
from demix_jax.gradients.stream import Gradients, block_length, num_bytes, spans, tail

logger = logging.getLogger("demix_jax")

# A side longer than this keeps its own axes as basis: only the diagonal of its covariance counts.
_LONGEST_SIDE = 4096

# Right-hand sides that are rotated at a time.
_RIGHT_HAND_SIDES = 64


@flax.struct.dataclass
class KFAC:
    """H block by block: E[a aᵀ] ⊗ E[δ δᵀ] for each weight matrix, cross terms between weights left out.

    a and δ are those of the Gauss–Newton rows (see `GaussNewton`), so no labels are sampled. With T positions the
    expectation of a aᵀ is over positions too. Parameters that are not in a matrix product get their own covariance.

    Attributes:
      damping: λ > 0, added to the eigenvalues of H itself; None for a tenth of their mean.
      samples: how many training samples, evenly spread over the data, make up H; None for all.
    Source: Martens & Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature".
    """

    damping: float | None = None
    samples: int | None = flax.struct.field(pytree_node=False, default=None)

    def fit(self, problem: CurvatureProblem) -> FittedKronecker:
        """Eigenbases and eigenvalues of each block; InputError for damping ≤ 0 or no outputs found."""
        return _fit(problem, self.damping, self.samples, corrected=False, name="KFAC")


@flax.struct.dataclass
class EKFAC:
    """`KFAC` with each eigenvalue replaced by the rows' true second moment along its eigenvector.

    Attributes:
      damping, samples: as in `KFAC`.
    Source: George et al. 2018, "Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis";
      Grosse et al. 2023, "Studying Large Language Model Generalization with Influence Functions".
    """

    damping: float | None = None
    samples: int | None = flax.struct.field(pytree_node=False, default=None)

    def fit(self, problem: CurvatureProblem) -> FittedKronecker:
        """As `KFAC.fit`, with a second pass over the rows."""
        return _fit(problem, self.damping, self.samples, corrected=True, name="EKFAC")


class Eigen(NamedTuple):
    """One block: eigenvectors of A, f[B, C, C], and of S, f[B, F, F] (None: the axes themselves); values f[B, C, F]."""

    inputs: jax.Array | None
    outputs: jax.Array | None
    values: jax.Array

    def rotate(self, full: jax.Array) -> jax.Array:
        """f[M, B, C, F] into the eigenbasis."""
        if self.inputs is not None:
            full = jnp.einsum("mbcf,bcd->mbdf", full, self.inputs, precision="highest")
        if self.outputs is not None:
            full = jnp.einsum("mbcf,bfg->mbcg", full, self.outputs, precision="highest")
        return full

    def rotate_back(self, full: jax.Array) -> jax.Array:
        transposed = [None if basis is None else basis.transpose(0, 2, 1) for basis in (self.inputs, self.outputs)]
        return Eigen(transposed[0], transposed[1], self.values).rotate(full)


@flax.struct.dataclass
class FittedKronecker:
    """eigen: per layout of the plan, in `order` by the number of its leaf. damping: the λ in use."""

    eigen: tuple[Eigen, ...]
    damping: jax.Array
    order: tuple[int, ...] = flax.struct.field(pytree_node=False)

    @property
    def in_full(self) -> bool:
        return True

    def solve(self, gradients: FactoredGradients) -> Directions:
        return Directions(_solve(self, gradients))


@jax.jit
def _solve(fitted: FittedKronecker, gradients: FactoredGradients) -> FactoredGradients:
    def rows(gradients):
        solved, full, start = [], gradients.full(), 0
        for block in gradients.blocks:
            for layout in block.layouts:
                eigen = fitted.eigen[fitted.order.index(layout.kernel.index)]
                part = full[:, start : start + layout.size].reshape(-1, *layout.matrix)
                part = eigen.rotate_back(eigen.rotate(part) / (eigen.values[None] + fitted.damping))
                solved.append(part.reshape(part.shape[0], -1))
                start += layout.size
        return jnp.concatenate(solved, axis=1)

    num = gradients.losses.shape[0]
    empty = jnp.zeros((num, gradients.num_parameters), accumulated_dtype(gradients))
    return gradients.with_full(write_rows(empty, rows, gradients, min(num, _RIGHT_HAND_SIDES), 0, 0))


def _fit(problem: CurvatureProblem, damping: float | None, samples: int | None, *, corrected: bool, name: str):
    check_damping(damping)
    chosen = curvature_samples(problem.train, samples)
    num = num_examples(chosen, "train")
    plan, batch = row_problem(problem, chosen)
    stream = Gradients(plan, problem.params, (False,) * plan.num_blocks, problem.memory)
    sums = _summed(stream, batch, problem.memory, _covariances)
    num_rows = num_examples(batch, "train")  # a is the same for all rows of a sample, δ adds up over them
    eigen = tuple(_eigen(None if a is None else a / num_rows, delta / num) for a, delta in sums)
    if corrected:
        moments = _summed(stream, batch, problem.memory, _second_moments, eigen)
        eigen = tuple(one._replace(values=total / num) for one, total in zip(eigen, moments, strict=True))
    if damping is None:
        total = sum(float(one.values.sum()) for one in eigen)
        value = 0.1 * total / plan.num_parameters
        if not value > 0:
            raise InputError("the curvature is zero for every sample; pass a damping, or check the parameters.")
        logger.info("%s: damping set to %.3e, a tenth of the mean eigenvalue.", name, value)
    else:
        value = damping
    order = tuple(layout.kernel.index for layout in plan.layouts)
    return FittedKronecker(eigen, jnp.asarray(value, eigen[0].values.dtype), order)


def _summed(stream: Gradients, batch: PyTree, memory: int, of_block: Callable, *arguments: Any) -> list:
    """Sum over all rows of what `of_block` makes of each block of gradients."""
    num = num_examples(batch, "train")
    forming = 4 * stream.plan.num_parameters
    length = block_length(4 * num_bytes(stream.shape()) + 3 * forming, num, memory)
    total = None
    for span in spans(num, length):
        gradients = stream.of(batch, span, length, "train")
        if span.seen:
            gradients = tail(gradients, span.stop - span.start - span.seen)
        part = of_block(*arguments, gradients)
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    assert total is not None
    return total


@jax.jit
def _covariances(gradients: FactoredGradients) -> list:
    return [_covariance(block) for block in gradients.blocks]


def _covariance(block: Block) -> tuple[jax.Array | None, jax.Array]:
    """Sums over rows: of a aᵀ, f[B, C, C] or its diagonal f[B, C] (averaged over positions), and of δ δᵀ."""
    if isinstance(block, Outer):
        return _side(block.a) / block.positions, _side(block.delta)
    if isinstance(block, Dense):
        return None, _side(block.values[:, None, None, :])
    counts = jnp.zeros(block.layout.matrix[1], jnp.float32).at[block.ids].add(1.0)
    return counts[None, :] / block.positions, _side(block.rows[:, None])


def _side(vectors: jax.Array) -> jax.Array:
    """f[B, C, C] from f[N, B, T, C], or the diagonal f[B, C] when C is large."""
    (vectors,) = accumulating(vectors)
    if vectors.shape[3] > _LONGEST_SIDE:
        return jnp.sum(vectors * vectors, axis=(0, 2))
    return jnp.einsum("nbtc,nbtd->bcd", vectors, vectors, precision="highest")


def _eigen(inputs: jax.Array | None, outputs: jax.Array) -> Eigen:
    basis_out, values_out = _decomposed(outputs)
    if inputs is None:
        return Eigen(None, basis_out, values_out[:, None, :])
    basis_in, values_in = _decomposed(inputs)
    return Eigen(basis_in, basis_out, values_in[:, :, None] * values_out[:, None, :])


def _decomposed(covariance: jax.Array) -> tuple[jax.Array | None, jax.Array]:
    if covariance.ndim == 2:
        return None, covariance
    values, basis = jnp.linalg.eigh(covariance)
    return basis, jnp.maximum(values, 0.0)


@jax.jit
def _second_moments(eigen: tuple[Eigen, ...], gradients: FactoredGradients) -> list[jax.Array]:
    moments = []
    for block, one in zip(gradients.blocks, eigen, strict=True):
        [layout] = block.layouts
        if isinstance(block, Outer) and block.positions == 1:  # squares of a product are products of squares
            moments.append(jnp.einsum("nbc,nbf->bcf", *_rotated_squares(one, block), precision="highest"))
            continue
        rotated = one.rotate(block.full().reshape(-1, *layout.matrix))
        moments.append(jnp.sum(rotated * rotated, axis=0))
    return moments


def _rotated_squares(eigen: Eigen, block: Outer) -> tuple[jax.Array, jax.Array]:
    """Squares of a, f[N, B, C], and of δ, f[N, B, F], in the eigenbasis."""
    sides = []
    for vectors, basis in ((block.a, eigen.inputs), (block.delta, eigen.outputs)):
        (side,) = accumulating(vectors[:, :, 0])
        if basis is not None:
            side = jnp.einsum("nbc,bcd->nbd", side, basis, precision="highest")
        sides.append(side * side)
    return sides[0], sides[1]
