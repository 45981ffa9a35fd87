"""Arrays and inner products of gradients over a mesh of devices, those of this process or of several."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.ghost import blocked_gram_matrix, second_moment
from demix_jax.gradients.per_example import PyTree

EVERYWHERE = PartitionSpec()


def placed(tree: PyTree, mesh: Mesh, spec: PartitionSpec) -> PyTree:
    """The arrays of `tree`, which every process holds in full, laid out over `mesh`; other leaves as they are."""
    sharding = NamedSharding(mesh, spec)

    def place(leaf):
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            return leaf
        if jax.process_count() == 1:
            return jax.device_put(leaf, sharding)
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(place, tree)


def on_one_device(array: jax.Array, num: int) -> jax.Array:
    """The first `num` rows of an array that lies on many devices, whole on the first device of each process."""
    if array.is_fully_addressable:
        return jax.device_put(array, jax.local_devices()[0])[:num]
    everywhere = NamedSharding(array.sharding.mesh, EVERYWHERE)  # pyright: ignore[reportAttributeAccessIssue]
    whole = jax.jit(lambda array: array[:num], out_shardings=everywhere)(array)
    return whole.addressable_data(0)


def sharded_gram_matrix(rows: FactoredGradients, mesh: Mesh) -> jax.Array:
    """f[R, R] on one device: inner products of R gradients, every device of `mesh` having computed some rows."""
    return on_one_device(_gram_rows(mesh, _dealt_out(rows, mesh), placed(rows, mesh, EVERYWHERE)), _num(rows))


def sharded_second_moment(rows: FactoredGradients, mesh: Mesh) -> jax.Array:
    """f[P, P] on one device: Σ_r g_r g_rᵀ over R gradients, every device of `mesh` having summed some of them."""
    return on_one_device(_moment_sum(mesh, _dealt_out(rows, mesh)), rows.num_parameters)


def _num(rows: FactoredGradients) -> int:
    return rows.losses.shape[0]


def _dealt_out(rows: FactoredGradients, mesh: Mesh) -> FactoredGradients:
    """`rows` over all devices, filled up with zeros to a multiple of their number."""
    missing = -_num(rows) % mesh.size
    padded = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1)), rows)
    return placed(padded, mesh, PartitionSpec(mesh.axis_names))


@partial(jax.jit, static_argnums=0)
def _gram_rows(mesh: Mesh, own: FactoredGradients, rows: FactoredGradients) -> jax.Array:
    dealt = PartitionSpec(mesh.axis_names)
    return jax.shard_map(
        blocked_gram_matrix, mesh=mesh, in_specs=(dealt, EVERYWHERE), out_specs=dealt, check_vma=False
    )(own, rows)


@partial(jax.jit, static_argnums=0)
def _moment_sum(mesh: Mesh, own: FactoredGradients) -> jax.Array:
    def summed(own: FactoredGradients) -> jax.Array:
        return jax.lax.psum(second_moment(own), mesh.axis_names)

    dealt = PartitionSpec(mesh.axis_names)
    return jax.shard_map(summed, mesh=mesh, in_specs=dealt, out_specs=EVERYWHERE, check_vma=False)(own)
