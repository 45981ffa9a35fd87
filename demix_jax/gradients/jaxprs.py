"""JAX's intermediate language, reduced to what the gradient tracer needs; whatever depends on the version is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core

# Calls that mean the same when their body is pasted in place. custom_jvp and custom_vjp do not: their body is not
# what is differentiated.
_TRANSPARENT = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "core_closed_call", "remat2", "remat", "checkpoint"}
)

_DEBUG_INFO = core.DebugInfo("jit", "per-example loss", None, None)


def is_literal(atom: Any) -> bool:
    return isinstance(atom, core.Literal)


def aval(atom: Any) -> Any:
    """Shape and dtype of a variable or literal, which the public types do not promise."""
    return atom.aval


def matmul_precision() -> str:
    """Of matrix products whose author asked for none: as JAX is configured, or else f32 in full.

    Left to itself, an accelerator rounds the factors of such products to fewer bits.
    """
    settings: Any = jax.config
    return settings.jax_default_matmul_precision or "highest"


def trace(function: Callable, *args: Any) -> core.ClosedJaxpr:
    """`function` as one flat jaxpr: nested calls pasted in; loops, branches and custom derivatives left whole."""
    with jax.default_matmul_precision(matmul_precision()):
        return flatten(jax.make_jaxpr(function)(*args))


def flatten(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """`closed` with the bodies of transparent calls pasted in."""
    if not any(eqn.primitive.name in _TRANSPARENT for eqn in closed.jaxpr.eqns):
        return closed
    return jax.make_jaxpr(lambda *args: _evaluate_inline(closed.jaxpr, closed.consts, args))(
        *[jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in closed.jaxpr.invars]
    )


def _evaluate_inline(jaxpr: core.Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in _TRANSPARENT:
            body = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
            closed = body if isinstance(body, core.ClosedJaxpr) else core.ClosedJaxpr(body, ())
            outputs = _evaluate_inline(closed.jaxpr, closed.consts, read(values, eqn.invars))
        else:
            outputs = evaluate_equation(eqn, read(values, eqn.invars))
        write(values, eqn.outvars, outputs)
    return read(values, jaxpr.outvars)


def read(values: dict, atoms: Sequence[Any]) -> list[Any]:
    return [atom.val if is_literal(atom) else values[atom] for atom in atoms]


def write(values: dict, variables: Sequence[Any], outputs: Sequence[Any]) -> None:
    values.update(zip(variables, outputs, strict=True))


def evaluate_equation(eqn: core.JaxprEqn, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of one equation."""
    bound = {atom: value for atom, value in zip(eqn.invars, inputs, strict=True) if not is_literal(atom)}
    return evaluate_run([eqn], bound, eqn.outvars)


def evaluate_run(eqns: Sequence[core.JaxprEqn], values: dict, wanted: Sequence[Any]) -> list[Any]:
    """The `wanted` variables after evaluating `eqns` in order, given the `values` of the variables they read."""
    named = [var for var in wanted if not isinstance(var, core.DropVar)]
    effects = frozenset().union(*(eqn.effects for eqn in eqns))
    jaxpr = core.Jaxpr((), list(values), named, list(eqns), effects, _DEBUG_INFO)
    results = dict(zip(named, core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, ()))(*values.values()), strict=True))
    return [results.get(var) for var in wanted]


def has_body(eqn: core.JaxprEqn) -> bool:
    """Whether an equation runs others: a loop, a branch, a custom derivative."""
    return any(isinstance(leaf, (core.Jaxpr, core.ClosedJaxpr)) for leaf in jax.tree.leaves(list(eqn.params.values())))


def scan_inputs(eqn: core.JaxprEqn) -> tuple[int, int]:
    """How many of a scan's inputs are constants and how many are carried; the others are sliced."""
    if "ft_in" in eqn.params:  # JAX 0.11
        consts, carry, _ = eqn.params["ft_in"].unpack()
        return len(consts), len(carry)
    return eqn.params["num_consts"], eqn.params["num_carry"]


def live_equations(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
    """The equations that the outputs depend on, in order."""
    needed = {atom for atom in jaxpr.outvars if not is_literal(atom)}
    live = []
    for eqn in reversed(jaxpr.eqns):
        if any(var in needed for var in eqn.outvars):
            live.append(eqn)
            needed.update(atom for atom in eqn.invars if not is_literal(atom))
    return live[::-1]
