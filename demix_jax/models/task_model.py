"""Task models: a network, its per-example loss, and the meaning of its outputs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.common.wording import listed
from demix_jax.models.losses import LOSSES
from demix_jax.models.networks import MLP, FTTransformer

PyTree = Any

MODELS = ("mlp", "mlp-small", "ft-transformer")


class TaskModelLike(Protocol):
    """Interface of models whose influence is computed; `example` is one sample {"x": features, "y": label}.

    A user-defined object may wrap a Flax, Equinox, Haiku or plain JAX model. The functions must be pure, since
    they are traced by `jax.jit`, `jax.vmap` and `jax.grad`.
    """

    def init(self, key: jax.Array, example: PyTree, /) -> PyTree:
        """Fresh parameters, a pytree of floating-point arrays; only the shapes of `example` matter."""
        ...

    def apply(self, params: PyTree, x: PyTree, /) -> Any:
        """Outputs for one sample's features: logits f[K] of K classes, or a standardised target f[1]."""
        ...

    def loss(self, params: PyTree, example: PyTree, /) -> Any:
        """Loss f[] of one sample."""
        ...


@dataclasses.dataclass(frozen=True)
class TaskModel:
    """A network for one task; hashable, so that its methods are compiled once and reused.

    Attributes:
      network: Flax module from features, f32[..., D] of a table, to f32[..., K] logits (regression: f32[..., 1]).
      task: "classification" (softmax cross-entropy on a class index) or "regression"
        (half the squared error of the standardised target).
    """

    network: nn.Module
    task: str

    def init(self, key: jax.Array, example: PyTree) -> PyTree:
        """Fresh parameters for samples like `example` = {"x": features, …}; only the shapes matter."""
        return self.network.init(key, example["x"])

    def apply(self, params: PyTree, x: PyTree) -> jax.Array:
        """Logits f32[..., K] or predictions f32[..., 1] for features x, f32[..., D] of a table."""
        return self.network.apply(params, x)  # pyright: ignore[reportReturnType]

    def outputs(self, params: PyTree, example: PyTree) -> jax.Array:
        """Outputs f32[K] for one example {"x": features, "y": scalar}."""
        return self.apply(params, example["x"])

    def output_loss(self, outputs: jax.Array, example: PyTree) -> jax.Array:
        """Loss f32[] of one example, given its outputs f32[K]; convex in the outputs."""
        return LOSSES[self.task](outputs, example["y"])

    def loss(self, params: PyTree, example: PyTree) -> jax.Array:
        """Loss f32[] of one example {"x": features, "y": class index or standardised target}."""
        return self.output_loss(self.outputs(params, example), example)


def check_task_model(model: Any, example: PyTree | None = None, *, num_outputs: int = 1) -> None:
    """Check that an object is a task model, by shapes alone.

    Args:
      model: see `TaskModelLike`.
      example: one sample to trace the functions on; None: only check that they exist.
      num_outputs: K classes, or 1 for regression.
    Raises:
      InputError: a function is missing or fails, `model` has no hash, or outputs or loss have another shape.
    """
    name = type(model).__name__
    absent = [part for part in ("init", "apply", "loss") if not callable(getattr(model, part, None))]
    if absent:
        raise InputError(
            f"The task model is a {name} without {listed(absent)}; give one of {', '.join(MODELS)}, or an object "
            "with init(key, example), apply(params, x) and loss(params, example)."
        )
    try:
        hash(model)
    except TypeError:
        raise InputError(
            f"The task model, a {name}, cannot be hashed, so its compiled programs cannot be found again; make its "
            "class a frozen dataclass or leave out __eq__."
        ) from None
    if example is None:
        return
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    try:
        params = jax.eval_shape(model.init, key, example)
        outputs = jax.eval_shape(model.apply, params, example["x"])
        loss = jax.eval_shape(model.loss, params, example)
    except Exception as error:  # whatever the user's functions raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        shapes = ", ".join(f"{part}: {jnp.shape(leaf)}" for part, leaf in example.items())
        raise InputError(
            f"The task model, a {name}, cannot be traced on an example of shapes {shapes}: {reason}. Its init(key, "
            "example), apply(params, x) and loss(params, example) must be pure JAX functions of one example."
        ) from error
    if jnp.shape(outputs) != (num_outputs,):
        raise InputError(
            f"The task model's apply gives {_shape_of(outputs)}; expected one array of shape ({num_outputs},) for one "
            f"example: {'a logit for each class' if num_outputs > 1 else 'the standardised target'}."
        )
    if jnp.shape(loss) != ():
        raise InputError(f"The task model's loss gives {_shape_of(loss)}; expected one number for one example.")


def _shape_of(tree: PyTree) -> str:
    leaves = jax.tree.leaves(tree)
    return f"an array of shape {leaves[0].shape}" if len(leaves) == 1 else f"{len(leaves)} arrays"


class EncodedTable(Protocol):
    """The facts about an encoded table that a task model needs; `demix_jax.data.Dataset` provides them.

    task: "classification" or "regression". num_classes: K, or 1. groups: [start, stop) of each column's features.
    """

    @property
    def task(self) -> str: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def groups(self) -> tuple[tuple[int, int], ...]: ...


def make_task_model(name: str, table: EncodedTable) -> TaskModel:
    """Create a task model by name for an encoded table.

    Args:
      name: "mlp" (256-128-64), "mlp-small" (64-32) or "ft-transformer" (width 64, 2 heads, 2 blocks).
    Raises:
      InputError: unknown name.
    """
    check_model_name(name)
    if name == "ft-transformer":
        network: nn.Module = FTTransformer(groups=table.groups, num_outputs=table.num_classes)
    else:
        widths = (256, 128, 64) if name == "mlp" else (64, 32)
        network = MLP(widths=widths, num_outputs=table.num_classes)
    return shared_task_model(network, table.task)  # pyright: ignore[reportArgumentType]: Flax makes modules hashable


def check_model_name(name: str, names: Collection[str] = MODELS) -> None:
    """Raise InputError unless `name` is one of `names`."""
    if name not in names:
        raise InputError(f"model {name!r} is not known; choose one of {', '.join(names)}.")


@functools.lru_cache(maxsize=64)
def shared_task_model(network: nn.Module, task: str) -> TaskModel:
    """Return the same object for equal models, so that JAX's caches recognise its methods."""
    return TaskModel(network=network, task=task)
