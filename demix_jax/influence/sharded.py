"""The influence matrix on many devices: training samples along one axis of a mesh, validation samples along the other.

Every device runs the blocks of the one-device engine on its own share of the rows and columns, under `shard_map`;
parameters and curvature are on all of them. After `jax.distributed.initialize()` the devices may be those of many
hosts, each of which reads only the rows that its devices need.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from demix_jax.common.checks import InputError
from demix_jax.curvature import Directions
from demix_jax.gradients.factored import FactoredGradients
from demix_jax.gradients.meshes import EVERYWHERE, placed
from demix_jax.gradients.per_example import PyTree
from demix_jax.gradients.stream import Gradients, Span, as_arrays, block_gradients, head, not_finite, spans
from demix_jax.influence.blocks import InfluenceBlocks, fill_block, inverse_lengths

TRAIN_AXIS, VALID_AXIS = "train", "valid"


class Shares(NamedTuple):
    """How `num` samples are dealt out along one axis of a mesh: `each` to every device, the last ones repeated.

    axis: its name, None if the mesh has no such axis. length: how many a device takes at a time.
    """

    num: int
    axis: str | None
    devices: int
    each: int
    length: int

    @classmethod
    def of(cls, mesh: Mesh, axis: str, num: int, most: int) -> Shares:
        devices = mesh.shape.get(axis, 1)
        each = -(-num // devices)
        length = -(-each // -(-each // most))
        return cls(num, axis if axis in mesh.shape else None, devices, each, length)

    @property
    def spec(self) -> PartitionSpec:
        return PartitionSpec(self.axis)

    @property
    def padded(self) -> int:
        return self.devices * self.each

    def samples(self, start: int, stop: int, padded: int) -> np.ndarray:
        """Numbers of the samples that the devices take for [start, stop) of their shares, `padded` for each device."""
        within = np.minimum(np.arange(start, start + padded), stop - 1)
        numbers = np.arange(self.devices)[:, None] * self.each + within[None, :]
        return np.minimum(numbers, self.num - 1).reshape(-1)


def check_mesh(mesh: Mesh) -> None:
    """InputError unless the axes of `mesh` are named as they are here."""
    if not mesh.axis_names or set(mesh.axis_names) - {TRAIN_AXIS, VALID_AXIS}:
        raise InputError(
            f'mesh has the axes {mesh.axis_names}; name them "{TRAIN_AXIS}" and "{VALID_AXIS}", or one of these, as in '
            f'jax.make_mesh((4, 2), ("{TRAIN_AXIS}", "{VALID_AXIS}")).'
        )


def sharded_matrix(blocks: InfluenceBlocks, mesh: Mesh) -> jax.Array:
    """f[N, M] over the devices of `mesh`; see `influence_matrix`."""
    rows = Shares.of(mesh, TRAIN_AXIS, blocks.num_train, blocks.length)
    columns = Shares.of(mesh, VALID_AXIS, blocks.num_valid, blocks.most_columns)
    train = _Side(mesh, rows, _on_host(blocks.train, "train"), "train", blocks.train_gradients, blocks.cosine)
    valid = _Side(mesh, columns, _on_host(blocks.valid, "valid"), "valid", blocks.valid_gradients, blocks.cosine)
    fitted = placed(blocks.fitted, mesh, EVERYWHERE)
    params = placed(as_arrays(blocks.train_gradients.params), mesh, EVERYWHERE)
    layout = PartitionSpec(rows.axis, columns.axis)
    matrix = _zeros((rows.padded, columns.padded), blocks.dtype, NamedSharding(mesh, layout))
    for column in spans(columns.each, columns.length):
        directions = valid.computed(_normalized_directions, _direction_specs(columns.axis), column, params, fitted)
        for row in spans(rows.each, rows.length):
            gradients = train.computed(_normalized_rows, rows.spec, row, params, fitted)
            matrix = _filled(mesh, layout, matrix, gradients, directions, row.start, column.start)
    if matrix.shape == (rows.num, columns.num):
        return matrix
    even = PartitionSpec(*(side.axis if side.num % side.devices == 0 else None for side in (rows, columns)))
    return _trimmed(matrix, rows.num, columns.num, NamedSharding(mesh, even))


class _Side(NamedTuple):
    """The training or the validation samples of a matrix: what turns a span of every device's share into gradients."""

    mesh: Mesh
    shares: Shares
    batch: PyTree
    argument: str
    stream: Gradients
    cosine: bool

    def computed(self, finish: Callable, specs: Any, span: Span, params: PyTree, fitted: Any) -> Any:
        """finish(gradients, fitted, cosine) of the samples of `span`, which lies on the mesh as `specs` say.

        Raises:
          InputError: a gradient is not finite.
        """
        num = span.stop - span.start
        length = self.stream.pass_length(num)
        samples = self.shares.samples(span.start, span.stop, -(-num // length) * length)
        block = jax.tree.map(partial(_dealt_out, samples, NamedSharding(self.mesh, self.shares.spec)), self.batch)
        leaves, structure = jax.tree.flatten(fitted)
        arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
        others = tuple(None if isinstance(leaf, jax.Array) else leaf for leaf in leaves)
        result, broken = _computed(
            self.mesh, self.shares.spec, finish, specs, self.cosine, self.stream.statics(length), num, structure,
            others, params, arrays, block,
        )  # fmt: skip
        if int(broken) >= 0:
            raise not_finite(self.argument, int(samples[int(broken)]))
        return result


def _dealt_out(samples: np.ndarray, sharding: NamedSharding, leaf: np.ndarray) -> jax.Array:
    """The `samples` of one leaf over the devices; those of other processes' devices are not read."""

    def share(index: Any) -> np.ndarray:
        return leaf[samples[index[0]]]

    return jax.make_array_from_callback((len(samples), *leaf.shape[1:]), sharding, share)


def _normalized_rows(gradients: FactoredGradients, fitted: Any, cosine: bool) -> FactoredGradients:
    return gradients.scaled(inverse_lengths(gradients, fitted.solve(gradients))) if cosine else gradients


def _normalized_directions(gradients: FactoredGradients, fitted: Any, cosine: bool) -> Directions:
    directions = fitted.solve(gradients)
    return directions.scaled(inverse_lengths(gradients, directions)) if cosine else directions


def _direction_specs(axis: str | None) -> Directions:
    """The directions lie along an axis; the basis that they share is everywhere."""
    specs: Any = (PartitionSpec(axis), EVERYWHERE, PartitionSpec(None, axis))
    return Directions(*specs)


@partial(jax.jit, static_argnums=tuple(range(9)))
def _computed(mesh, along, finish, specs, cosine, statics, num, structure, others, params, arrays, block):
    """What `finish` makes of the gradients of every device's samples, and which sample is not finite (−1: all are)."""

    def local(params, arrays, block):
        given = iter(arrays)
        fitted = jax.tree.unflatten(structure, [next(given) if other is None else other for other in others])
        gradients, finite = block_gradients(*statics, params, block)
        return finish(head(gradients, num), fitted, cosine), finite

    result, finite = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(EVERYWHERE, EVERYWHERE, along),
        out_specs=(specs, along),
        check_vma=False,
    )(params, arrays, block)
    return result, jnp.where(finite.all(), -1, jnp.argmin(finite))


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _filled(mesh, layout, matrix, gradients, directions, row, column):
    """Each device's part of the matrix with the block at (`row`, `column`) of it."""
    specs = (layout, PartitionSpec(layout[0]), _direction_specs(layout[1]), EVERYWHERE, EVERYWHERE)
    return jax.shard_map(fill_block, mesh=mesh, in_specs=specs, out_specs=layout, check_vma=False)(
        matrix, gradients, directions, row, column
    )


def _zeros(shape: tuple[int, int], dtype: Any, sharding: NamedSharding) -> jax.Array:
    return jax.jit(lambda: jnp.zeros(shape, dtype), out_shardings=sharding)()


def _trimmed(matrix: jax.Array, num_rows: int, num_columns: int, sharding: NamedSharding) -> jax.Array:
    return jax.jit(lambda matrix: matrix[:num_rows, :num_columns], out_shardings=sharding)(matrix)


def _on_host(batch: PyTree, argument: str) -> PyTree:
    """The leaves as NumPy arrays, of which each process reads what its devices need."""
    for leaf in jax.tree.leaves(batch):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise InputError(
                f"{argument} lies on devices of several processes; pass NumPy arrays, the same in each process. They "
                "may be mapped from files: only the rows that a process needs are read."
            )
    return jax.tree.map(np.asarray, batch)
