"""Where a loss stops being a model: the values through which all of the parameters' influence passes.

After such a cut no parameter is read, so loss = head(outputs(params, example), example). The last layer's result is
the first cut of a usual loss: logits, or a prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from demix_jax.gradients import jaxprs
from demix_jax.gradients.tracer import GradientPlan


class Cut(NamedTuple):
    """outputs(params, example) → f[C]; head(outputs, params, example) → f[], in which `params` is read no more.

    dtype: of the outputs. `head` takes them in f32, too, and keeps that up to where the loss computes in `dtype`.
    """

    outputs: Callable
    head: Callable
    size: int
    dtype: Any


@lru_cache(maxsize=128)
def cuts(plan: GradientPlan) -> tuple[Cut, ...]:
    """Every cut of the loss of `plan`, the one nearest to the parameters first."""
    jaxpr = plan.closed.jaxpr
    live = jaxprs.live_equations(jaxpr)
    last_read: dict[Any, int] = {}
    for number, eqn in enumerate(live):
        last_read.update((atom, number) for atom in eqn.invars if not jaxprs.is_literal(atom))
    last_read.update((atom, len(live)) for atom in jaxpr.outvars if not jaxprs.is_literal(atom))
    carrying = {jaxpr.invars[index] for index in plan.selected}
    found = []
    for number, eqn in enumerate(live):
        if not any(atom in carrying for atom in eqn.invars if not jaxprs.is_literal(atom)):
            continue
        carrying.update(var for var in eqn.outvars if not isinstance(var, core.DropVar))
        carrying = {var for var in carrying if last_read.get(var, -1) > number}
        if len(carrying) == 1:
            [var] = carrying
            if var in eqn.outvars and jnp.issubdtype(jaxprs.aval(var).dtype, jnp.floating):
                found.append(_cut(plan, live, number, var))
    return tuple(found)


def _cut(plan: GradientPlan, live: list, number: int, var: Any) -> Cut:
    closed = plan.closed
    inputs = [*closed.jaxpr.constvars, *closed.jaxpr.invars]

    def values(params, example):
        return [*closed.consts, *jax.tree.leaves(params), *jax.tree.leaves(example)]

    def outputs(params, example):
        bound = dict(zip(inputs, values(params, example), strict=True))
        return jaxprs.evaluate_run(live[: number + 1], bound, [var])[0].reshape(-1)

    def head(result, params, example):
        bound = dict(zip(inputs, values(params, example), strict=True))
        before = _without(live[: number + 1], var)
        for eqn in before:
            jaxprs.write(bound, eqn.outvars, jaxprs.evaluate_equation(eqn, jaxprs.read(bound, eqn.invars)))
        bound[var] = result.reshape(jaxprs.aval(var).shape)
        for eqn in live[number + 1 :]:
            jaxprs.write(bound, eqn.outvars, jaxprs.evaluate_equation(eqn, _operands(eqn, bound)))
        return jaxprs.read(bound, closed.jaxpr.outvars)[0]

    return Cut(outputs, head, jaxprs.aval(var).size, jaxprs.aval(var).dtype)


def _operands(eqn: core.JaxprEqn, values: dict) -> list[Any]:
    """What an equation reads: in the dtypes that the loss has there, unless only one is a floating-point number."""
    operands, avals = jaxprs.read(values, eqn.invars), [jaxprs.aval(atom) for atom in eqn.invars]
    if not jaxprs.has_body(eqn) and sum(jnp.issubdtype(aval.dtype, jnp.floating) for aval in avals) < 2:
        return operands
    both = zip(operands, avals, strict=True)
    return [x.astype(aval.dtype) if getattr(x, "dtype", aval.dtype) != aval.dtype else x for x, aval in both]


def _without(eqns: list, var: Any) -> list:
    return [eqn for eqn in eqns if var not in eqn.outvars]
