"""Per-example gradients of any JAX loss: in full, or as the factors of the loss's matrix products."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.gradients import jaxprs
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.tracer import GradientPlan, leaf_dtype, leaf_names, plan_for

PyTree = Any
Loss = Callable[[PyTree, PyTree], jax.Array]

_NOT_NUMBERS = "OSUmM"  # kinds of NumPy's dtypes


def per_example_gradients(loss: Loss, params: PyTree, batch: PyTree) -> PyTree:
    """Gradient of each example's loss, formed in full: N times the size of the parameters.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `batch`.
      params: pytree of P floating-point entries in all.
      batch: pytree whose leaves share a leading axis N.
    Returns:
      Pytree like `params`, each leaf with a leading axis N.
    Raises:
      InputError: `params` has a leaf that is not floating-point, the leaves of `batch` disagree on N or are empty,
        or the loss is not a scalar.
    """
    checked_plan(loss, params, batch=batch)
    return _dense(loss, params, batch)


def factored_gradients(loss: Loss, params: PyTree, batch: PyTree, select: str | None = None) -> FactoredGradients:
    """Gradient of each example's loss, as factors (a, δ) wherever a parameter is used in a matrix product.

    `loss` is traced once for its shapes. A gradient Σ_t a_t δ_tᵀ of a product is kept as a and δ, that of a lookup as
    ids and rows; what is used in any other way (normalisation scales, convolutions, a weight that is both looked up
    and multiplied) is kept in full, with a line in the log at debug level.

    Args:
      loss: maps (params, example) to a scalar; `example` is one slice of `batch`.
      params: pytree of P floating-point entries in all.
      batch: pytree whose leaves share a leading axis N.
      select: regular expression; only parameters whose path (as "params/Dense_0/kernel") it matches anywhere count.
    Returns:
      FactoredGradients of N examples; `.to_dense()` gives what `per_example_gradients` does.
    Raises:
      InputError: as `per_example_gradients`, and when `select` matches no parameter.
    Source: Li et al. 2022, "Large Language Models Can Be Strong Differentially Private Learners", §4.
    """
    plan = checked_plan(loss, params, select, batch=batch)
    return _factored(plan, params, batch)


@partial(jax.jit, static_argnums=0)
def _factored(plan: GradientPlan, params: PyTree, batch: PyTree) -> FactoredGradients:
    return plan.gradients(params, batch)


def _dense(loss: Loss, params: PyTree, batch: PyTree) -> PyTree:
    with jax.default_matmul_precision(jaxprs.matmul_precision()):
        return jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)


def checked_plan(loss: Loss, params: PyTree, select: str | None = None, **batches: PyTree) -> GradientPlan:
    """The plan for the last of `batches`, after checking all inputs; raises InputError with the argument's name."""
    _check_callable(loss)
    _check_pattern(select)
    names = leaf_names(params)
    if not names:
        raise InputError("params has no leaves; pass a pytree of floating-point arrays.")
    for name, leaf in zip(names, jax.tree.leaves(params), strict=True):
        dtype = leaf_dtype(leaf)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise InputError(
                f"params leaf '{name}' has dtype {dtype}, which has no gradient; pass floating-point leaves only and "
                "close over the others in the loss."
            )
    for argument, batch in batches.items():
        num_examples(batch, argument)
    plan = None
    for batch in batches.values():
        plan = _checked_loss(loss, params, batch, select, names)
    assert plan is not None
    return plan


def _check_callable(loss: Loss) -> None:
    """InputError unless `loss` is a function that two arguments can be passed to."""
    if not callable(loss):
        raise InputError(f"loss is {loss!r}; pass a function of (params, example) that returns a scalar.")
    try:
        signature = inspect.signature(loss)
    except ValueError:  # of what is not written in Python
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise InputError(
            f"loss takes {signature}; it must take (params, example), where example is one sample of the batch. Wrap "
            "it, as in `lambda params, example: loss(params, *example)` for a batch (x, y)."
        ) from None


def _check_pattern(select: str | None) -> None:
    """InputError unless `select` is None or a regular expression."""
    try:
        re.compile(select or "")
    except (TypeError, re.error) as error:
        raise InputError(f"select is {select!r}; pass a regular expression, or None ({error}).") from None


def _checked_loss(loss: Loss, params: PyTree, batch: PyTree, select: str | None, names: list[str]) -> GradientPlan:
    plan = plan_for(loss, params, batch, select)
    outputs = [(tuple(jaxprs.aval(atom).shape), jaxprs.aval(atom).dtype) for atom in plan.closed.jaxpr.outvars]
    if len(outputs) != 1 or outputs[0][0] != () or not jnp.issubdtype(outputs[0][1], jnp.floating):
        described = ", ".join(f"{dtype}{list(shape)}" for shape, dtype in outputs)
        raise InputError(
            f"loss returned ({described}) for one example; it must return one floating-point scalar, e.g. the mean "
            "of those values."
        )
    if select is not None and not plan.selected:
        raise InputError(f"select={select!r} matches none of the parameters; their paths are {', '.join(names)}.")
    return plan


def num_examples(batch: PyTree, argument: str) -> int:
    """N, the length of the leading axis that all leaves of `batch` share; InputError if they do not, or hold text."""
    leaves = jax.tree.leaves(batch)
    if not leaves:
        raise InputError(f"{argument} has no leaves; pass a pytree of arrays with a leading axis of samples.")
    lengths = []
    for name, leaf in zip(leaf_names(batch), leaves, strict=True):
        if np.ndim(leaf) == 0:
            raise InputError(f"{argument} leaf '{name}' is a scalar; each leaf needs a leading axis of samples.")
        dtype = leaf_dtype(leaf)
        if getattr(dtype, "kind", "") in _NOT_NUMBERS:
            raise InputError(
                f"{argument} leaf '{name}' has dtype {dtype}; JAX computes with numbers only: encode it or "
                "leave it out."
            )
        lengths.append((name, np.shape(leaf)[0]))
    for name, length in lengths:
        if length != lengths[0][1]:
            raise InputError(
                f"{argument} leaf '{lengths[0][0]}' has {lengths[0][1]} samples but leaf '{name}' has {length}; all "
                "leaves must have the same leading axis."
            )
    if lengths[0][1] == 0:
        raise InputError(f"{argument} is empty; pass at least one sample.")
    return lengths[0][1]
