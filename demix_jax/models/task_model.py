"""A task model: a network, its per-example loss, and what its outputs mean."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.models.losses import softmax_cross_entropy
from demix_jax.models.networks import MLP, FTTransformer

if TYPE_CHECKING:
    from demix_jax.data import Dataset

PyTree = Any

MODELS = ("mlp", "mlp-small", "ft-transformer")


@dataclasses.dataclass(frozen=True)
class TaskModel:
    """A network for one task; hashable, so that its methods can be compiled once and reused.

    Attributes:
      network: Flax module from features, f32[..., D] of a table, to f32[..., K] logits (regression: f32[..., 1]).
      task: "classification" (softmax cross-entropy on a class index) or "regression"
        (half the squared error of the standardised target).
    """

    network: nn.Module
    task: str

    def init(self, key: jax.Array, x: PyTree) -> PyTree:
        """Fresh parameters for samples with features like `x`, of which only the shapes matter."""
        return self.network.init(key, x)

    def apply(self, params: PyTree, x: PyTree) -> jax.Array:
        """Logits f32[..., K] or predictions f32[..., 1] for features x, f32[..., D] of a table."""
        return self.network.apply(params, x)  # pyright: ignore[reportReturnType]

    def outputs(self, params: PyTree, example: PyTree) -> jax.Array:
        """Outputs f32[K] for one example {"x": features, "y": scalar}."""
        return self.apply(params, example["x"])

    def output_loss(self, outputs: jax.Array, example: PyTree) -> jax.Array:
        """Loss f32[] of one example, given its outputs f32[K]; convex in the outputs."""
        if self.task == "regression":
            return 0.5 * jnp.square(outputs[0] - example["y"])
        return softmax_cross_entropy(outputs, example["y"])

    def loss(self, params: PyTree, example: PyTree) -> jax.Array:
        """Loss f32[] of one example {"x": features, "y": class index or standardised target}."""
        return self.output_loss(self.outputs(params, example), example)


def make_task_model(name: str, dataset: Dataset) -> TaskModel:
    """Task model by name for an encoded table.

    Args:
      name: "mlp" (256-128-64), "mlp-small" (64-32) or "ft-transformer" (width 64, 2 heads, 2 blocks).
      dataset: supplies the task, the number of classes and the columns of the tokenizer.
    Raises:
      InputError: unknown name.
    """
    if name not in MODELS:
        raise InputError(f"model {name!r} is not known; choose one of {', '.join(MODELS)}.")
    if name == "ft-transformer":
        network: nn.Module = FTTransformer(groups=dataset.groups, num_outputs=dataset.num_classes)
    else:
        widths = (256, 128, 64) if name == "mlp" else (64, 32)
        network = MLP(widths=widths, num_outputs=dataset.num_classes)
    return shared_task_model(network, dataset.task)  # pyright: ignore[reportArgumentType]: Flax makes modules hashable


@functools.lru_cache(maxsize=64)
def shared_task_model(network: nn.Module, task: str) -> TaskModel:
    """One object for equal models: methods of different objects are different functions to JAX's caches."""
    return TaskModel(network=network, task=task)
