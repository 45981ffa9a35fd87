"""Empirical Fisher curvature: the mean outer product of the training samples' own gradients."""

from __future__ import annotations

import flax.struct

from demix_jax.curvature.base import CurvatureProblem, Fitted, check_damping
from demix_jax.curvature.gauss_newton import curvature_samples
from demix_jax.curvature.low_rank import check_size, fit_rows
from demix_jax.gradients.per_example import num_examples


@flax.struct.dataclass
class EmpiricalFisher:
    """H = (1/n) Σ ∇ℓ_i ∇ℓ_iᵀ over curvature samples, inverted in sample space.

    Attributes:
      damping: λ > 0; None as in `GaussNewton`.
      samples: how many training samples, evenly spread over the data, make up H; None for all.
    Source: Kunstner et al. 2019, "Limitations of the Empirical Fisher Approximation", on when not to use it.
    """

    damping: float | None = None
    samples: int | None = flax.struct.field(pytree_node=False, default=None)

    def fit(self, problem: CurvatureProblem) -> Fitted:
        """The samples' gradients and a Cholesky factor; InputError as `GaussNewton.fit`."""
        check_damping(self.damping)
        chosen = curvature_samples(problem.train, self.samples)
        num = num_examples(chosen, "train")
        check_size(num, problem.plan, "samples")
        return fit_rows(problem.gradients(chosen), num, self.damping, "EmpiricalFisher", problem.mesh)
