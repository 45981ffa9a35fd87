"""Task model of preference pairs: a frozen decoder with LoRA adapters in its last layers, and an objective."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from demix_jax.domains.preference.decoder.llama import LlamaConfig, LlamaWeights, layer, rms_norm
from demix_jax.domains.preference.objectives import Objective, pair_loss

PyTree = Any

ADAPTER = "^adapter/"  # the trained parameters, for `select=` of the influence functions


@dataclasses.dataclass(frozen=True)
class PreferenceModel:
    """Preference model with an `init`, `scores` and `loss`; hashable, so that its methods are compiled once.

    Only the last `num_adapted` layers have adapters. The layers before them never change, so their output is computed
    once per answer (`read_answers`), and an example starts from it.

    An example holds two answers, which are scored independently:
      hidden: f[2, T, H], hidden states before the first adapted layer.
      read: i32[2, R]. used: bool[2, R]. targets: i32[2, R]. See `Places`.
      reference: f32[2], log-likelihood of each answer under the frozen decoder.
      y: i32[], index of the preferred answer.

    Attributes:
      config: sizes of the decoder.
      objective: BradleyTerry() or DPO().
      num_adapted: number of layers with adapters, counted from the last.
      rank: of the adapters.
    """

    config: LlamaConfig
    objective: Objective
    num_adapted: int = 1
    rank: int = 8

    def init(self, key: jax.Array) -> PyTree:
        """Initial adapters; every matrix B is zero, so they leave the decoder unchanged."""
        shapes = self.config.shapes()
        keys = iter(jax.random.split(key, self.num_adapted * len(shapes)))
        layers = [
            {
                name: {
                    "a": jax.random.normal(next(keys), (rows, self.rank)) / rows**0.5,
                    "b": jnp.zeros((self.rank, columns)),
                }
                for name, (rows, columns) in shapes.items()
            }
            for _ in range(self.num_adapted)
        ]
        return {"layers": layers, "own": self.objective.init(self.config.width)}

    def frozen(self, weights: LlamaWeights) -> PyTree:
        """The weights of the decoder that an example passes through."""
        first = self.config.num_layers - self.num_adapted
        layers = [weights.layer(number) for number in range(first, self.config.num_layers)]
        vocabulary = {"vocabulary": weights.head} if self.objective.needs_vocabulary else {}
        return {"layers": layers, "norm": weights.norm} | vocabulary

    def scores(self, params: PyTree, example: PyTree) -> jax.Array:
        """Scores f32[2] of the two answers; params {"frozen", "adapter"}."""
        chex.assert_shape(example["hidden"], (2, None, self.config.width))
        chex.assert_equal_shape([example[name] for name in ("read", "used", "targets")])
        frozen, adapter = params["frozen"], params["adapter"]
        states = last_layers(self.config, frozen, adapter["layers"], example["hidden"], example["read"])
        return self.objective.scores(adapter["own"], frozen.get("vocabulary"), states, example)

    def loss(self, params: PyTree, example: PyTree) -> jax.Array:
        """Loss f32[] of one example."""
        return pair_loss(self.scores(params, example), example["y"])


def last_layers(
    config: LlamaConfig, frozen: PyTree, adapters: list[PyTree] | None, hidden: jax.Array, read: jax.Array
) -> jax.Array:
    """Normalised final states f32[n, R, H] at positions `read` i32[n, R].

    Args:
      frozen: weights of the last layers, see `PreferenceModel.frozen`.
      adapters: one entry per layer in `frozen`, or None.
      hidden: f[n, T, H], hidden states before these layers.
    """
    x = hidden.astype(jnp.float32)
    num = len(frozen["layers"])
    for number, weights in enumerate(frozen["layers"]):
        own = None if adapters is None else adapters[number]
        x = layer(config, weights, x, adapters=own, read=read if number == num - 1 else None)
    return rms_norm(x, frozen["norm"], config.epsilon)
