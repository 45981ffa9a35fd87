"""The task model of preference pairs: LoRA adapters in the last layers of a frozen decoder, and an objective."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from demix_jax.domains.preference.decoder.llama import LlamaConfig, LlamaWeights, layer, rms_norm
from demix_jax.domains.preference.objectives import Objective, pair_loss

PyTree = Any

ADAPTER = "^adapter/"  # for `select=` of influence functions: the parameters that are trained


@dataclasses.dataclass(frozen=True)
class PreferenceModel:
    """Hashable, so that its methods can be compiled once and reused.

    Only the last `num_adapted` layers have adapters: what comes before them is the same whatever they are, so it is
    computed once per answer (`reading.read_pairs`) and an example starts from there.

    An example has two answers, each scored by itself:
      hidden f[2, T, H], states before the first adapted layer; read i32[2, R], used bool[2, R], targets i32[2, R], see
      `Places`; reference f32[2], log-likelihood of each answer under the frozen decoder; y i32[], the preferred one.

    Attributes:
      config: of the decoder. objective: BradleyTerry() or DPO(). num_adapted: layers with adapters. rank: of these.
    """

    config: LlamaConfig
    objective: Objective
    num_adapted: int = 1
    rank: int = 8

    def init(self, key: jax.Array) -> PyTree:
        """Fresh adapters; they change nothing until they are trained, since each B is zero."""
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
        """The part of the decoder's weights that an example goes through."""
        first = self.config.num_layers - self.num_adapted
        layers = [weights.layer(number) for number in range(first, self.config.num_layers)]
        vocabulary = {"vocabulary": weights.head} if self.objective.needs_vocabulary else {}
        return {"layers": layers, "norm": weights.norm} | vocabulary

    def scores(self, params: PyTree, example: PyTree) -> jax.Array:
        """Score f32[2] of each answer; params {"frozen", "adapter"}."""
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
      frozen: see `PreferenceModel.frozen`. adapters: one entry per layer of it, or None.
      hidden: f[n, T, H], states before these layers.
    """
    x = hidden.astype(jnp.float32)
    num = len(frozen["layers"])
    for number, weights in enumerate(frozen["layers"]):
        own = None if adapters is None else adapters[number]
        x = layer(config, weights, x, adapters=own, read=read if number == num - 1 else None)
    return rms_norm(x, frozen["norm"], config.epsilon)
