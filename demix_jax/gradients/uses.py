"""Where a loss uses its parameters: which uses have a gradient of the form Σ_t a_t δ_tᵀ, and how to read a and δ off.

A use is found on the jaxpr, from shapes alone. Three uses are factored: a matrix product with the parameter (with its
bias, when one is added next), a lookup of its rows, and either of them inside a scan. Every other use is `dense`.
Letters: B blocks (independent weights of one stacked parameter), T positions, C inputs, F outputs, V rows of a table.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from demix_jax.gradients import jaxprs

# A rearrangement of an array's entries: ("transpose", axes) and ("reshape", shape) in the order they are applied.
Steps = tuple[tuple[str, tuple[int, ...]], ...]


def rearrange(array: Any, steps: Steps, *, leading: int = 0) -> Any:
    """`array` with `steps` applied to all but its first `leading` axes."""
    for name, value in steps:
        if name == "reshape":
            array = array.reshape(*array.shape[:leading], *value)
        else:
            array = array.transpose(*range(leading), *(axis + leading for axis in value))
    return array


def arrange_back(array: Any, steps: Steps, shape: tuple[int, ...], *, leading: int = 0) -> Any:
    """The inverse of `rearrange` for arrays that had `shape`."""
    shapes = [shape]
    for name, value in steps:
        shapes.append(value if name == "reshape" else tuple(shapes[-1][axis] for axis in value))
    for (name, value), before in zip(reversed(steps), reversed(shapes[:-1]), strict=True):
        if name == "reshape":
            array = array.reshape(*array.shape[:leading], *before)
        else:
            inverse = sorted(range(len(value)), key=value.__getitem__)
            array = array.transpose(*range(leading), *(axis + leading for axis in inverse))
    return array


@dataclass(frozen=True)
class ParameterView:
    """Parameter number `param`, its entries rearranged by `steps`; `axes` says where a broadcast put them, if any."""

    param: int
    shape: tuple[int, ...]
    steps: Steps = ()
    axes: tuple[int, ...] | None = None

    def then(self, name: str, value: tuple[int, ...]) -> ParameterView:
        shape = value if name == "reshape" else tuple(self.shape[axis] for axis in value)
        return (
            self
            if (name == "reshape" and value == self.shape)
            else replace(self, steps=(*self.steps, (name, value)), shape=shape)
        )


@dataclass(frozen=True)
class Use:
    """One factored use of a parameter in an equation.

    kind: "product", "rows", or "scan" around an `inner` use of the scan's body.
    steps: from the parameter to f[B, C, F] ("rows": the table as it is, f[V, ...]).
    result: shape and dtype of the equation's output, whose cotangent is δ.
    input_steps: from the other operand to a, f[B, T, C]. output_steps: from the output to f[B, T, F].
    bias, bias_steps: parameter added to the output next, and its steps to f[B, 1, F].
    stacked: a scan hands out one slice of the parameter per step (else the whole to every step).
    """

    eqn: int
    param: int
    kind: str
    steps: Steps
    result: jax.ShapeDtypeStruct
    operand: int = 0
    input_steps: Steps = ()
    output_steps: Steps = ()
    bias: int | None = None
    bias_steps: Steps = ()
    inner: Use | None = None
    stacked: bool = False

    def activations(self, raw: Any) -> Any:
        """f[B, T, C] from what the equation recorded ("rows": i32[T] ids)."""
        if self.inner is None:
            return raw.reshape(-1) if self.kind == "rows" else rearrange(raw, self.input_steps)
        return self._merge(jax.vmap(self.inner.activations)(raw))

    def cotangents(self, raw: Any) -> Any:
        """f[B, T, F] from the cotangent of the equation's output ("rows": f[T, F])."""
        if self.inner is None:
            rows = (math.prod(self.input_steps[0][1]), -1) if self.kind == "rows" else ()
            return raw.reshape(rows) if self.kind == "rows" else rearrange(raw, self.output_steps)
        return self._merge(jax.vmap(self.inner.cotangents)(raw))

    def innermost(self) -> Use:
        return self if self.inner is None else self.inner.innermost()

    def _merge(self, array: Any) -> Any:
        if self.innermost().kind == "rows":
            return array.reshape(-1, *array.shape[2:])
        if self.stacked:
            return array.reshape(-1, *array.shape[2:])
        moved = jnp.moveaxis(array, 0, 1)
        return moved.reshape(moved.shape[0], -1, moved.shape[3])


def find_uses(jaxpr: core.Jaxpr, tracked: dict[Any, ParameterView]) -> tuple[list[Use], set[int]]:
    """The factored uses of the `tracked` inputs of a flat `jaxpr`, and the parameters that are used in another way."""
    live = jaxprs.live_equations(jaxpr)
    index = {id(eqn): number for number, eqn in enumerate(jaxpr.eqns)}
    readers = Counter(atom for eqn in live for atom in eqn.invars if not jaxprs.is_literal(atom))
    readers.update(atom for atom in jaxpr.outvars if not jaxprs.is_literal(atom))
    views, products, uses, dense = dict(tracked), {}, [], set()
    for eqn in live:
        inputs = [None if jaxprs.is_literal(atom) else views.get(atom) for atom in eqn.invars]
        if not any(inputs):
            continue
        name = eqn.primitive.name
        if name == "stop_gradient":
            continue
        view = _viewed(eqn, inputs)
        if view is not None:
            views[eqn.outvars[0]] = view
            continue
        if name == "scan":
            found, others = _scan_uses(eqn, index[id(eqn)], inputs)
            uses += found
            dense |= others
            continue
        tracked_inputs = [number for number, entry in enumerate(inputs) if entry is not None]
        if len(tracked_inputs) == 1:
            [operand] = tracked_inputs
            [view] = [entry for entry in inputs if entry is not None]
            if name in _FACTORED:
                use = _FACTORED[name](eqn, operand, view)
                if use is not None:
                    use = replace(use, eqn=index[id(eqn)], operand=operand)
                    products[eqn.outvars[0]] = len(uses)
                    uses.append(use)
                    continue
            if name in ("add", "add_any"):
                other = eqn.invars[1 - operand]
                number = None if jaxprs.is_literal(other) else products.get(other)
                if (
                    number is not None
                    and readers[other] == 1
                    and jaxprs.aval(other).shape == jaxprs.aval(eqn.outvars[0]).shape
                ):
                    merged = _with_bias(uses[number], view, jaxprs.aval(eqn.outvars[0]).shape)
                    if merged is not None:
                        uses[number] = merged
                        continue
        dense |= {entry.param for entry in inputs if entry is not None}
    for atom in jaxpr.outvars:
        if not jaxprs.is_literal(atom) and atom in views:
            dense.add(views[atom].param)
    return uses, dense


def _viewed(eqn: core.JaxprEqn, inputs: Sequence[ParameterView | None]) -> ParameterView | None:
    """What `eqn` makes of its only input, when that is the same entries in another order, precision or broadcast."""
    name, [view, *rest] = eqn.primitive.name, inputs
    if view is None or rest:
        return None
    shape = jaxprs.aval(eqn.outvars[0]).shape
    if name == "convert_element_type":
        return view if jnp.issubdtype(eqn.params["new_dtype"], jnp.floating) else None
    if name in ("copy", "copy_p", "optimization_barrier"):
        return view
    if view.axes is not None:
        return None
    if name == "transpose":
        return view.then("transpose", tuple(eqn.params["permutation"]))
    if (name in ("reshape", "squeeze", "expand_dims") and eqn.params.get("dimensions") is None) or name == "squeeze":
        return view.then("reshape", shape)
    if name == "broadcast_in_dim":
        if math.prod(shape) == math.prod(view.shape):
            return view.then("reshape", shape)
        kept = [axis for axis, size in enumerate(view.shape) if size != 1]
        axes = tuple(eqn.params["broadcast_dimensions"][axis] for axis in kept)
        return replace(view.then("reshape", tuple(view.shape[axis] for axis in kept)), axes=axes)
    return None


def _product_use(eqn: core.JaxprEqn, operand: int, view: ParameterView) -> Use | None:
    """x @ W in any arrangement of axes."""
    if view.axes is not None:
        return None
    other, output = jaxprs.aval(eqn.invars[1 - operand]), jaxprs.aval(eqn.outvars[0])
    if not jnp.issubdtype(other.dtype, jnp.floating):
        return None
    contracting, batch = eqn.params["dimension_numbers"]
    param_contract, other_contract = tuple(contracting[operand]), tuple(contracting[1 - operand])
    param_batch, other_batch = tuple(batch[operand]), tuple(batch[1 - operand])
    param_free = _rest(len(view.shape), param_contract + param_batch)
    other_free = _rest(len(other.shape), other_contract + other_batch)
    blocks = math.prod(view.shape[axis] for axis in param_batch)
    inputs = math.prod(view.shape[axis] for axis in param_contract)
    outputs = math.prod(view.shape[axis] for axis in param_free)
    positions = math.prod(other.shape[axis] for axis in other_free)
    arranged = view.then("transpose", param_batch + param_contract + param_free)
    num_batch, num_param, num_other = len(batch[0]), len(param_free), len(other_free)
    from_output = tuple(range(num_batch))
    if operand == 0:
        from_output += tuple(range(num_batch + num_param, num_batch + num_param + num_other))
        from_output += tuple(range(num_batch, num_batch + num_param))
    else:
        from_output += tuple(range(num_batch, num_batch + num_other + num_param))
    return Use(
        eqn=0,
        param=view.param,
        kind="product",
        steps=(*arranged.steps, ("reshape", (blocks, inputs, outputs))),
        result=jax.ShapeDtypeStruct(output.shape, output.dtype),
        input_steps=(
            ("transpose", other_batch + other_free + other_contract),
            ("reshape", (blocks, positions, inputs)),
        ),
        output_steps=(("transpose", from_output), ("reshape", (blocks, positions, outputs))),
    )


def _gather_use(eqn: core.JaxprEqn, operand: int, view: ParameterView) -> Use | None:
    """table[ids], whole rows."""
    numbers, output = eqn.params["dimension_numbers"], jaxprs.aval(eqn.outvars[0])
    rank = len(view.shape)
    whole_rows = (
        operand == 0
        and not view.steps
        and view.axes is None
        and rank > 0
        and tuple(numbers.collapsed_slice_dims) == (0,)
        and tuple(numbers.start_index_map) == (0,)
        and not numbers.operand_batching_dims
        and tuple(eqn.params["slice_sizes"]) == (1, *view.shape[1:])
        and tuple(numbers.offset_dims) == tuple(range(output.ndim - rank + 1, output.ndim))
    )
    return _rows_use(view, output, output.shape[: output.ndim - rank + 1]) if whole_rows else None


def _dynamic_slice_use(eqn: core.JaxprEqn, operand: int, view: ParameterView) -> Use | None:
    """table[id], one whole row."""
    sizes = tuple(eqn.params["slice_sizes"])
    whole_row = operand == 0 and not view.steps and view.axes is None and sizes == (1, *view.shape[1:])
    return _rows_use(view, jaxprs.aval(eqn.outvars[0]), (1,)) if whole_row else None


def _rows_use(view: ParameterView, output: Any, ids_shape: tuple[int, ...]) -> Use:
    return Use(
        eqn=0,
        param=view.param,
        kind="rows",
        steps=(),
        result=jax.ShapeDtypeStruct(output.shape, output.dtype),
        input_steps=(("reshape", ids_shape),),
    )


_FACTORED = {"dot_general": _product_use, "gather": _gather_use, "dynamic_slice": _dynamic_slice_use}


def _with_bias(use: Use, view: ParameterView, shape: tuple[int, ...]) -> Use | None:
    """`use` with `view` as its bias, if `view` has one entry per output and none per position."""
    if use.kind != "product" or use.bias is not None:
        return None
    axes = tuple(range(len(view.shape))) if view.axes is None else view.axes
    kept = [number for number, size in enumerate(view.shape) if size != 1]
    _, order = use.output_steps[0]
    blocks, _, outputs = use.output_steps[1][1]
    moved = [axis for axis in order if shape[axis] != 1]
    trailing, size = [], 1
    while moved and size < outputs:
        trailing.insert(0, moved.pop())
        size *= shape[trailing[0]]
    if blocks != 1 or size != outputs or [axes[number] for number in kept] != trailing:
        return None
    return replace(use, bias=view.param, bias_steps=(*view.steps, ("reshape", (1, 1, outputs))))


def _scan_uses(eqn: core.JaxprEqn, number: int, inputs: Sequence[ParameterView | None]) -> tuple[list[Use], set[int]]:
    """Uses inside a scan's body, of parameters that enter whole (constants) or one slice per step."""
    num_consts, num_carry = jaxprs.scan_inputs(eqn)
    length = eqn.params["length"]
    body = jaxprs.flatten(eqn.params["jaxpr"])
    first_slice = num_consts + num_carry
    tracked, outer, dense = {}, {}, set()
    for position, (view, var) in enumerate(zip(inputs, body.jaxpr.invars, strict=True)):
        if view is None:
            continue
        twice = view.param in outer
        if num_consts <= position < first_slice or view.axes is not None or twice:
            dense.add(view.param)
            continue
        outer[view.param] = (view, position >= first_slice)
        tracked[var] = ParameterView(view.param, tuple(jaxprs.aval(var).shape))
    found, others = find_uses(body.jaxpr, tracked)
    dense |= others
    uses = []
    for inner in found:
        view, stacked = outer[inner.param]
        if stacked and inner.innermost().kind == "rows":
            dense.add(inner.param)
            continue
        steps, bias, bias_steps = inner.steps, inner.bias, inner.bias_steps
        if bias is not None and outer[bias][1] != stacked:
            dense.add(bias)
            bias, bias_steps = None, ()
        if stacked:
            steps, bias_steps = _on_stack(steps, length), _on_stack(bias_steps, length)
        if bias is not None:
            bias_steps = outer[bias][0].steps + bias_steps
        uses.append(
            Use(
                eqn=number,
                param=inner.param,
                kind="scan",
                steps=view.steps + steps,
                result=jax.ShapeDtypeStruct((length, *inner.result.shape), inner.result.dtype),
                bias=bias,
                bias_steps=bias_steps,
                inner=inner,
                stacked=stacked,
            )
        )
    return uses, dense


def _on_stack(steps: Steps, length: int) -> Steps:
    """`steps` for one slice, as steps for the stack of `length` slices; the blocks of all slices follow each other."""
    if not steps:
        return ()
    lifted = [
        (name, (length, *value) if name == "reshape" else (0, *(axis + 1 for axis in value))) for name, value in steps
    ]
    blocks, *matrix = steps[-1][1]
    return (*lifted, ("reshape", (length * blocks, *matrix)))


def _rest(rank: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(rank) if axis not in axes)
