"""The tracer: from a loss and the shapes of its inputs to a function that returns factored gradients."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from demix_jax.gradients import jaxprs
from demix_jax.gradients.factored import Dense, FactoredGradients, Layout, Outer, Part, RowGradients
from demix_jax.gradients.uses import ParameterView, Use, find_uses, rearrange

logger = logging.getLogger("demix_jax")

PyTree = Any


@dataclass(frozen=True, eq=False)
class GradientPlan:
    """How to compute factored gradients of one loss for one set of shapes. Compared by identity: a static argument.

    closed: the flat loss, its inputs the leaves of the parameters, then those of an example.
    groups: uses of one parameter that share a block. dense: leaves whose gradient is formed in full.
    selected: numbers of the leaves that count.
    """

    closed: core.ClosedJaxpr
    uses: tuple[Use, ...]
    groups: tuple[tuple[Layout, tuple[tuple[int, bool], ...]], ...]
    dense: tuple[Part, ...]
    selected: tuple[int, ...]
    leaves: tuple[tuple[tuple[int, ...], Any], ...]
    structure: Any

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """What each block of the gradients holds."""
        return (*(layout for layout, _ in self.groups), *(_whole(part) for part in self.dense))

    @property
    def num_parameters(self) -> int:
        """P, over all blocks."""
        return sum(layout.size for layout in self.layouts)

    @property
    def num_blocks(self) -> int:
        return len(self.groups) + len(self.dense)

    def shape(self) -> FactoredGradients:
        """Shapes of the gradients of one example, all factors kept; found without computing anything."""
        return _shape(self)

    def gradients(self, params: PyTree, batch: PyTree) -> FactoredGradients:
        """Factored gradients of each example of `batch`, pytree with a leading axis N."""
        leaves = jax.tree.leaves(params)
        losses, blocks = jax.vmap(lambda example: self._one(leaves, example))(batch)
        return FactoredGradients(blocks, losses, self.leaves, self.structure)

    def loss(self, params: PyTree, example: PyTree) -> jax.Array:
        """The loss that was traced."""
        return core.jaxpr_as_fun(self.closed)(*jax.tree.leaves(params), *jax.tree.leaves(example))[0]

    def _one(self, leaves: Sequence[jax.Array], example: PyTree) -> tuple[jax.Array, tuple]:
        inputs = [*leaves, *jax.tree.leaves(example)]

        def loss_of(zeros, dense):
            values = list(inputs)
            for part, value in zip(self.dense, dense, strict=True):
                values[part.index] = value
            [loss], recorded = _evaluate(self.closed, values, self.uses, zeros)
            return loss, recorded

        zeros = [jnp.zeros(use.result.shape, use.result.dtype) for use in self.uses]
        dense = [jnp.asarray(leaves[part.index]) for part in self.dense]
        (loss, recorded), (cotangents, in_full) = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)(
            zeros, dense
        )
        factors = [
            (use.activations(raw), use.cotangents(cotangent))
            for use, raw, cotangent in zip(self.uses, recorded, cotangents, strict=True)
        ]
        blocks = [
            _block(layout, [(*factors[number], swapped) for number, swapped in members], self.uses[members[0][0]])
            for layout, members in self.groups
        ]
        blocks += [Dense(value.reshape(-1), (_whole(part),)) for part, value in zip(self.dense, in_full, strict=True)]
        return loss, tuple(blocks)


def _block(layout: Layout, factors: list, use: Use) -> Outer | RowGradients:
    if use.innermost().kind == "rows":
        ids = jnp.concatenate([ids for ids, _, _ in factors])
        rows = jnp.concatenate([rows for _, rows, _ in factors])
        inside = (ids >= 0) & (ids < layout.matrix[1])
        return RowGradients(jnp.clip(ids, 0, layout.matrix[1] - 1), jnp.where(inside[:, None], rows, 0), layout)
    ordered = [(delta, a) if swapped else (a, delta) for a, delta, swapped in factors]
    a = jnp.concatenate([a for a, _ in ordered], axis=1)
    delta = jnp.concatenate([delta for _, delta in ordered], axis=1)
    if layout.bias is not None:
        a = jnp.concatenate([a, jnp.ones((*a.shape[:2], 1), a.dtype)], axis=2)
    return Outer(a, delta, layout)


def _evaluate(closed: core.ClosedJaxpr, inputs: Sequence[Any], uses: Sequence[Use], zeros: Sequence[jax.Array]):
    """Outputs of `closed`, and what each use recorded; `zeros` are added to the results of the uses' equations."""
    values = dict(zip([*closed.jaxpr.constvars, *closed.jaxpr.invars], [*closed.consts, *inputs], strict=True))
    by_equation: dict[int, list[int]] = {}
    for number, use in enumerate(uses):
        by_equation.setdefault(use.eqn, []).append(number)
    recorded: list[Any] = [None] * len(uses)
    for index, eqn in enumerate(closed.jaxpr.eqns):
        arguments = jaxprs.read(values, eqn.invars)
        numbers = by_equation.get(index, [])
        if not numbers:
            outputs = jaxprs.evaluate_equation(eqn, arguments)
        elif uses[numbers[0]].kind == "scan":
            inner = [uses[number].inner for number in numbers]
            outputs, stacked = _evaluate_scan(eqn, arguments, inner, [zeros[number] for number in numbers])
            for number, value in zip(numbers, stacked, strict=True):
                recorded[number] = value
        else:
            [number] = numbers
            use = uses[number]
            [result] = jaxprs.evaluate_equation(eqn, arguments)
            recorded[number] = _looked_up(eqn, arguments) if use.kind == "rows" else arguments[1 - use.operand]
            outputs = [result + zeros[number]]
        jaxprs.write(values, eqn.outvars, outputs)
    return jaxprs.read(values, closed.jaxpr.outvars), recorded


def _looked_up(eqn: core.JaxprEqn, arguments: Sequence[Any]) -> jax.Array:
    """Row numbers that a lookup reads, as the equation treats numbers out of range: clipped, or −1 when dropped."""
    num_rows = jaxprs.aval(eqn.invars[0]).shape[0]
    ids = jnp.asarray(arguments[1])
    if eqn.primitive.name == "dynamic_slice" or "CLIP" in str(eqn.params["mode"]).upper():
        return jnp.clip(ids, 0, num_rows - 1).astype(jnp.int32)
    return jnp.where((ids >= 0) & (ids < num_rows), ids, -1).astype(jnp.int32)


def _evaluate_scan(eqn: core.JaxprEqn, arguments: Sequence[Any], uses: Sequence[Any], zeros: Sequence[jax.Array]):
    num_consts, num_carry = jaxprs.scan_inputs(eqn)
    body = jaxprs.flatten(eqn.params["jaxpr"])
    consts, carry, slices = (
        list(arguments[:num_consts]),
        list(arguments[num_consts : num_consts + num_carry]),
        list(arguments[num_consts + num_carry :]),
    )

    def step(carry, inputs):
        slices, zeros = inputs
        outputs, recorded = _evaluate(body, [*consts, *carry, *slices], uses, zeros)
        return outputs[:num_carry], (outputs[num_carry:], recorded)

    carry, (stacked, recorded) = jax.lax.scan(
        step, carry, (slices, list(zeros)), length=eqn.params["length"], reverse=eqn.params["reverse"],
        unroll=eqn.params["unroll"],
    )  # fmt: skip
    return [*carry, *stacked], recorded


def _whole(part: Part) -> Layout:
    return Layout(part, None, (1, 1, math.prod(part.shape)))


@lru_cache(maxsize=128)
def _shape(plan: GradientPlan) -> FactoredGradients:
    inputs = [jax.ShapeDtypeStruct(jaxprs.aval(var).shape, jaxprs.aval(var).dtype) for var in plan.closed.jaxpr.invars]
    count = len(plan.leaves)

    def one(leaves, example):
        loss, blocks = plan._one(leaves, example)
        return FactoredGradients(blocks, loss, plan.leaves, plan.structure)

    shapes = jax.eval_shape(one, inputs[:count], inputs[count:])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), shapes)


def plan_for(loss: Callable, params: PyTree, batch: PyTree, select: str | None = None) -> GradientPlan:
    """The plan for `loss` at the shapes of `params` and of one example of `batch`; made once per set of shapes."""
    params_leaves, params_structure = jax.tree.flatten(params)
    batch_leaves, batch_structure = jax.tree.flatten(batch)
    params_shapes = tuple((np.shape(leaf), _dtype(leaf)) for leaf in params_leaves)
    batch_shapes = tuple((np.shape(leaf)[1:], _dtype(leaf)) for leaf in batch_leaves)
    key = loss if _is_hashable(loss) else _ByIdentity(loss)
    settings = bool(jax.config.read("jax_enable_x64")), jaxprs.matmul_precision()
    return _plan(key, params_structure, params_shapes, batch_structure, batch_shapes, select, settings)


@lru_cache(maxsize=128)
def _plan(loss, params_structure, params_shapes, batch_structure, batch_shapes, select, settings) -> GradientPlan:
    del settings  # of JAX, which tracing reads by itself
    function = loss.loss if isinstance(loss, _ByIdentity) else loss
    params = jax.tree.unflatten(params_structure, [jax.ShapeDtypeStruct(*entry) for entry in params_shapes])
    example = jax.tree.unflatten(batch_structure, [jax.ShapeDtypeStruct(*entry) for entry in batch_shapes])
    closed = jaxprs.trace(function, params, example)
    names = leaf_names(params)
    chosen = [index for index, name in enumerate(names) if select is None or re.search(select, name)]
    tracked = {closed.jaxpr.invars[index]: ParameterView(index, params_shapes[index][0]) for index in chosen}
    uses, dense = find_uses(closed.jaxpr, tracked)
    groups, dense = _grouped(uses, dense, names, params_shapes)
    kept = sorted({number for _, members in groups for number, _ in members})
    renumbered = {number: position for position, number in enumerate(kept)}
    groups = tuple((layout, tuple((renumbered[n], swapped) for n, swapped in members)) for layout, members in groups)
    parts = tuple(
        Part(names[index], index, params_shapes[index][0], (("reshape", (1, 1, math.prod(params_shapes[index][0]))),))
        for index in sorted(dense)
    )
    for part in parts:
        logger.debug("%s: gradient formed in full (%d entries).", part.name, math.prod(part.shape))
    return GradientPlan(
        closed, tuple(uses[number] for number in kept), groups, parts, tuple(chosen), params_shapes, params_structure
    )


def _grouped(uses: list[Use], dense: set[int], names: list[str], shapes: Sequence) -> tuple[list, set[int]]:
    """Uses gathered by parameter into blocks; parameters whose uses do not fit one block join `dense`."""
    dense = set(dense)
    by_param: dict[int, list[int]] = {}
    for number, use in enumerate(uses):
        by_param.setdefault(use.param, []).append(number)
    biases = Counter(use.bias for use in uses if use.bias is not None)
    members = {}
    for param, numbers in by_param.items():
        swaps = None if param in dense else _fitting([uses[number] for number in numbers], shapes[param][0])
        if swaps is None or biases[param]:
            dense.add(param)
        else:
            members[param] = tuple(zip(numbers, swaps, strict=True))
    for use in uses:  # a bias rides along with the only product of one weight, and is used nowhere else
        if use.bias is not None and (
            use.param in dense or len(members[use.param]) > 1 or biases[use.bias] > 1 or use.bias in by_param
        ):
            dense.add(use.bias)
    groups = []
    for param, entries in members.items():
        if param in dense:
            continue
        use = uses[entries[0][0]]
        shape = shapes[param][0]
        if use.innermost().kind == "rows":
            matrix = (1, shape[0], math.prod(shape[1:]))
            groups.append((Layout(Part(names[param], param, shape, (("reshape", matrix),)), None, matrix), entries))
            continue
        blocks, inputs, outputs = use.steps[-1][1]
        bias = None
        if use.bias is not None and use.bias not in dense:
            bias = Part(names[use.bias], use.bias, shapes[use.bias][0], use.bias_steps)
        layout = Layout(
            Part(names[param], param, shape, use.steps), bias, (blocks, inputs + (bias is not None), outputs)
        )
        groups.append((layout, entries))
    return groups, dense


def _fitting(uses: list[Use], shape: tuple[int, ...]) -> list[bool] | None:
    """For each use, whether a and δ trade places to match the first; None if the uses do not fit one block."""
    first = uses[0]
    if len(uses) == 1:
        return [False]
    kinds = {use.innermost().kind for use in uses}
    if kinds == {"rows"}:
        return [False] * len(uses)
    if kinds != {"product"}:
        return None
    if all(use.steps == first.steps for use in uses):
        return [False] * len(uses)
    entries = np.arange(math.prod(shape)).reshape(shape)
    wanted = rearrange(entries, first.steps)
    swaps = []
    for use in uses:
        got = rearrange(entries, use.steps)
        if got.shape == wanted.shape and np.array_equal(got, wanted):
            swaps.append(False)
        elif np.array_equal(got.transpose(0, 2, 1), wanted):
            swaps.append(True)
        else:
            return None
    return swaps


def leaf_names(tree: PyTree) -> list[str]:
    """Path of each leaf, as "params/Dense_0/kernel"."""
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree.leaves_with_path(tree)]


class _ByIdentity:
    """A loss that cannot be hashed, compared by identity; holds it, so that the identity stays its own."""

    def __init__(self, loss: Callable) -> None:
        self.loss = loss

    def __hash__(self) -> int:
        return id(self.loss)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.loss is self.loss


def _is_hashable(loss: Callable) -> bool:
    try:
        hash(loss)
    except TypeError:
        return False
    return True


def leaf_dtype(leaf: Any) -> Any:
    """The dtype that `leaf` has by itself."""
    return getattr(leaf, "dtype", None) or np.asarray(leaf).dtype


def _dtype(leaf: Any) -> Any:
    """The dtype JAX gives `leaf`."""
    dtype = leaf_dtype(leaf)
    return jax.dtypes.canonicalize_dtype(dtype) if isinstance(dtype, np.dtype) else dtype
