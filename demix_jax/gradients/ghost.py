"""Ghost inner products: Gram matrices of per-example gradients from their factors.

⟨Σ_t a_t δ_tᵀ, Σ_s a'_s δ'_sᵀ⟩ = Σ_{t,s} (a_t · a'_s)(δ_t · δ'_s): T² (C + F) multiply-adds instead of C · F, without
forming a gradient. Where that is dearer the gradients are formed, one block of examples at a time.
Source: Wang et al. 2024, "Data Shapley in One Training Run", §4; Li et al. 2022, "LLMs Can Be Strong DP Learners".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from demix_jax.gradients.factored import Block, Dense, FactoredGradients, Outer, RowGradients, accumulating, sum_dtype

# A product of two small Gram matrices is bound by memory: writing, reading and adding them costs about as much as
# this many multiply-adds per pair (measured on two x86 cores; of little weight elsewhere).
_PASS_COST = 64

# A row fetched from a table costs per entry about as much as this many multiply-adds of a matrix product (as above).
_FETCH_COST = 32
_FETCHED_ON_CPU = (64, 16)  # examples of either side at a time: what they fetch stays in cache
_FETCHED_ON_ACCELERATOR = (1_024, 64)  # at most; fewer where they would fetch more numbers than these:
_MOST_FETCHED = 2**28

# Numbers in an intermediate: products of factors then stay in cache on a CPU, and fill an accelerator; gradients
# formed on the way are so many that each of the others is read seldom.
_PRODUCTS_ON_CPU, _PRODUCTS_ON_ACCELERATOR = 2**20, 2**25
_FORMED_ON_CPU, _FORMED_ON_ACCELERATOR = 2**24, 2**28


def formed_blocks(left: FactoredGradients, right: FactoredGradients) -> tuple[bool, ...]:
    """Per block, from shapes alone: whether inner products are cheaper with the gradients formed in full."""
    return tuple(not _ghost_is_cheaper(*pair) for pair in zip(left.blocks, right.blocks, strict=True))


def form(gradients: FactoredGradients, which: tuple[bool, ...]) -> FactoredGradients:
    """`gradients` with the blocks marked in `which` formed in full and joined into one block, which comes last."""
    pairs = list(zip(gradients.blocks, which, strict=True))
    kept = [block for block, chosen in pairs if not chosen]
    formed = [block for block, chosen in pairs if chosen]
    if formed:
        full = [block.full() for block in formed]
        layouts = tuple(layout for block in formed for layout in block.layouts)
        kept.append(Dense(full[0] if len(full) == 1 else jnp.concatenate(full, axis=1), layouts))
    return replace(gradients, blocks=tuple(kept))


def gram_matrix(left: FactoredGradients, right: FactoredGradients) -> jax.Array:
    """Inner products of every gradient of `left` with every gradient of `right`.

    Args:
      left, right: gradients of the same loss and parameters, N and M of them.
    Returns:
      f32[N, M] (f64 if the factors are).
    """
    total = None
    for left_block, right_block in zip(left.blocks, right.blocks, strict=True):
        if _ghost_is_cheaper(left_block, right_block):
            product = _ghost_product(left_block, right_block)
        else:
            product = _matmul(left_block.full(), right_block.full())
        total = product if total is None else total + product
    if total is None:
        return jnp.zeros((left.losses.shape[0], right.losses.shape[0]), jnp.float32)
    return total


@jax.jit
def blocked_gram_matrix(left: FactoredGradients, right: FactoredGradients) -> jax.Array:
    """`gram_matrix`, a few rows at a time, so that its intermediates stay small whatever the size."""
    total = jnp.zeros((left.losses.shape[0], right.losses.shape[0]), accumulated_dtype(left, right))
    length = rows_per_block(left, right)
    return write_rows(total, lambda part: gram_matrix(part, right), left, length, 0, 0)


@jax.jit
def second_moment(gradients: FactoredGradients) -> jax.Array:
    """f[P, P]: Σ_i g_i g_iᵀ over the parameters that the blocks hold."""
    full = gradients.full()
    return jnp.matmul(full.T, full, precision="highest")


def write_rows(
    total: jax.Array,
    rows: Callable[[FactoredGradients], jax.Array],
    gradients: FactoredGradients,
    length: int,
    row: Any,
    column: Any,
) -> jax.Array:
    """`total` with rows(gradients), f[n, m], at (`row`, `column`); computed from `length` gradients at a time.

    To be called under jit: one program then holds the loop, and its intermediates stay in cache.
    """
    num = gradients.losses.shape[0]

    def write(number, total):
        start = jnp.minimum(number * length, num - length)  # the last block reaches back, so that all are equally long
        part = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), gradients)
        return jax.lax.dynamic_update_slice(total, rows(part), (row + start, jnp.asarray(column, start.dtype)))

    if length == num:
        return jax.lax.dynamic_update_slice(total, rows(gradients), (row, column))
    return jax.lax.fori_loop(0, math.ceil(num / length), write, total)


def rows_per_block(left: FactoredGradients, right: FactoredGradients) -> int:
    """How many gradients of `left` to multiply with all of `right` at a time; from shapes alone."""
    on_cpu = jax.default_backend() == "cpu"
    products, formed = right.losses.shape[0], 1
    for pair in zip(left.blocks, right.blocks, strict=True):
        if _ghost_is_cheaper(*pair):
            block, other = pair
            assert not isinstance(block, Dense) and not isinstance(other, Dense)
            positions = block.positions * other.positions * block.layout.matrix[0]
            if isinstance(block, RowGradients) and isinstance(other, RowGradients) and _is_fetched(block, other):
                positions = 1  # works in blocks of its own
            products = max(products, positions * right.losses.shape[0])
        elif not isinstance(pair[0], Dense):
            formed += sum(layout.size for layout in pair[0].layouts)
    most = min(
        (_PRODUCTS_ON_CPU if on_cpu else _PRODUCTS_ON_ACCELERATOR) // products,
        (_FORMED_ON_CPU if on_cpu else _FORMED_ON_ACCELERATOR) // formed,
    )
    return min(left.losses.shape[0], max(16, most))


def accumulated_dtype(*gradients: FactoredGradients) -> Any:
    """The dtype of inner products: f32 at least."""
    leaves = [leaf for leaf in jax.tree.leaves([one.blocks for one in gradients])]
    floating = [leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return sum_dtype(*floating)


def paired_products(left: FactoredGradients, right: FactoredGradients) -> jax.Array:
    """f32[N]: inner product of each gradient of `left` with the one of the same number of `right`."""
    total = jnp.zeros(left.losses.shape[0], jnp.float32)
    for left_block, right_block in zip(left.blocks, right.blocks, strict=True):
        if (
            isinstance(left_block, Outer)
            and isinstance(right_block, Outer)
            and left_block.positions == right_block.positions == 1
        ):
            products = [
                jnp.sum(jnp.multiply(*accumulating(*pair)), axis=(2, 3))
                for pair in ((left_block.a, right_block.a), (left_block.delta, right_block.delta))
            ]
            total = total + jnp.sum(products[0] * products[1], axis=1)
        elif (
            isinstance(left_block, RowGradients)
            and isinstance(right_block, RowGradients)
            and _is_sparser(left_block, right_block)
        ):
            total = total + _paired_rows(left_block, right_block)
        else:
            total = total + jnp.sum(jnp.multiply(*accumulating(left_block.full(), right_block.full())), axis=1)
    return total


def _ghost_is_cheaper(left: Block, right: Block) -> bool:
    if isinstance(left, Outer) and isinstance(right, Outer):
        blocks, inputs, outputs = left.layout.matrix
        pairs = left.positions * right.positions
        passes = _PASS_COST * (1 if pairs == 1 and blocks == 1 else 2 * pairs)
        return pairs * (inputs + outputs) + passes < inputs * outputs
    if isinstance(left, RowGradients) and isinstance(right, RowGradients):
        _, inputs, outputs = left.layout.matrix
        return min(_compare_cost(left, right), _fetch_cost(left)) < inputs * outputs
    return False


def _compare_cost(left: RowGradients, right: RowGradients) -> int:
    """Of the ghost inner product of every position with every other, per pair of examples."""
    return left.positions * right.positions * (left.layout.matrix[2] + 2 * _PASS_COST)


def _fetch_cost(left: RowGradients) -> int:
    """Of `_fetched_product`, per pair of examples."""
    return left.positions * left.layout.matrix[2] * _FETCH_COST


def _is_fetched(left: RowGradients, right: RowGradients) -> bool:
    return _fetch_cost(left) < _compare_cost(left, right)


def _is_sparser(left: RowGradients, right: RowGradients) -> bool:
    """Whether comparing all positions of two examples takes fewer numbers than their tables hold."""
    return left.positions * right.positions < math.prod(left.layout.matrix)


def _paired_rows(left: RowGradients, right: RowGradients) -> jax.Array:
    """f[N]: inner product of each gradient of `left` with the one of the same number of `right`."""
    same = left.ids[:, :, None] == right.ids[:, None, :]
    products = jnp.einsum("itf,isf->its", *accumulating(left.rows, right.rows), precision="highest")
    return jnp.sum(products * same, axis=(1, 2))


def _fetched_product(left: RowGradients, right: RowGradients) -> jax.Array:
    """f[N, M]: what the examples of `left` looked up, from the gradients of a few of `right` at a time.

    The latter lie in a table of only the rows that those few looked up, so neither time nor memory grow with V.
    """
    num, others = left.ids.shape[0], right.ids.shape[0]
    of_left, of_right = _fetched_at_a_time(left)
    left_ids, left_rows, right_ids, right_rows = (
        _in_parts(array, length)
        for array, length in (
            (left.ids, of_left), (left.rows, of_left), (right.ids, of_right), (right.rows, of_right),
        )
    )  # fmt: skip
    left_rows, right_rows = accumulating(left_rows, right_rows)
    size = right_ids.shape[1] * right_ids.shape[2]

    def few(part):
        ids, rows = part
        known = jnp.unique(ids.ravel(), size=size, fill_value=left.layout.matrix[1])
        number = jnp.arange(ids.shape[0])[:, None]
        table = jnp.zeros((size + 1, rows.shape[2], ids.shape[0]), rows.dtype)
        table = table.at[jnp.searchsorted(known, ids), :, number].add(rows)

        def fetch(part):
            ids, rows = part
            place = jnp.searchsorted(known, ids)
            place = jnp.where(known[jnp.minimum(place, size - 1)] == ids, place, size)  # the last row stays zero
            return jnp.einsum("itf,itfj->ij", rows, table[place], precision="highest")

        return jax.lax.map(fetch, (left_ids, left_rows)).reshape(-1, ids.shape[0])

    products = jax.lax.map(few, (right_ids, right_rows))
    return jnp.moveaxis(products, 0, 1).reshape(products.shape[1], -1)[:num, :others]


def _fetched_at_a_time(left: RowGradients) -> tuple[int, int]:
    """How many examples of either side `_fetched_product` takes at a time."""
    if jax.default_backend() == "cpu":
        return _FETCHED_ON_CPU
    of_left, of_right = _FETCHED_ON_ACCELERATOR
    of_one = left.positions * left.layout.matrix[2] * of_right
    return max(16, min(of_left, _MOST_FETCHED // of_one)), of_right


def _in_parts(array: jax.Array, length: int) -> jax.Array:
    """f[N, ...] as f[N / length, length, ...], filled up with zeros."""
    length = min(length, array.shape[0])
    missing = -array.shape[0] % length
    filled = jnp.concatenate([array, jnp.zeros((missing, *array.shape[1:]), array.dtype)])
    return filled.reshape(-1, length, *array.shape[1:])


def _ghost_product(left: Block, right: Block) -> jax.Array:
    if isinstance(left, RowGradients) and isinstance(right, RowGradients):
        if _is_fetched(left, right):
            return _fetched_product(left, right)
        same = left.ids[:, :, None, None] == right.ids[None, None, :, :]
        products = jnp.einsum("itf,jsf->itjs", *accumulating(left.rows, right.rows), precision="highest")
        return jnp.sum(products * same, axis=(1, 3))
    assert isinstance(left, Outer) and isinstance(right, Outer)
    if left.a.shape[1:3] == right.a.shape[1:3] == (1, 1):
        gram_a = _matmul(left.a[:, 0, 0], right.a[:, 0, 0])
        return gram_a * _matmul(left.delta[:, 0, 0], right.delta[:, 0, 0])
    gram_a = jnp.einsum("ibtc,jbsc->bitjs", *accumulating(left.a, right.a), precision="highest")
    gram_delta = jnp.einsum("ibtf,jbsf->bitjs", *accumulating(left.delta, right.delta), precision="highest")
    return jnp.sum(gram_a * gram_delta, axis=(0, 2, 4))


def _matmul(left: jax.Array, right: jax.Array) -> jax.Array:
    """left @ right.T, summed in f32 at least."""
    left, right = accumulating(left, right)
    return jnp.matmul(left, right.T, precision="highest")
