"""Decoder weights and their tokenizer from a local folder (safetensors) or a GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.domains.preference.decoder.llama import LlamaConfig, LlamaWeights
from demix_jax.domains.preference.decoder.tokens import Tokens


class Decoder(NamedTuple):
    """A frozen language model: its sizes, its weights, its tokenizer, and the name it goes by."""

    config: LlamaConfig
    weights: LlamaWeights
    tokens: Tokens
    name: str


def assemble(
    config: LlamaConfig,
    layer_tensor: Callable[[str, int], np.ndarray],
    *,
    embed: np.ndarray,
    norm: np.ndarray,
    head: np.ndarray | None,
    where: str,
) -> LlamaWeights:
    """bf16 weights from tensors stored as [out, in].

    Args:
      layer_tensor: (product or norm, number of the layer) -> tensor. head: None where it is the embedding.
      where: names the model in complaints.
    Raises:
      InputError: a tensor's shape is not what the configuration says.
    """
    products = config.shapes()
    layers = {}
    for name in (*products, "attention_norm", "mlp_norm"):
        expected = products[name][::-1] if name in products else (config.width,)
        stack = []
        for number in range(config.num_layers):
            tensor = layer_tensor(name, number)
            if tensor.shape != expected:
                raise InputError(
                    f"{where}: {name} of layer {number} has shape {tensor.shape}, but its configuration says "
                    f"{expected}; the files belong to different models."
                )
            stack.append(jnp.asarray(tensor.T, jnp.bfloat16))
        layers[name] = jnp.stack(stack)
    table = jnp.asarray(embed, jnp.bfloat16)
    own_head = table if head is None else jnp.asarray(head, jnp.bfloat16)
    return LlamaWeights(table, layers, jnp.asarray(norm, jnp.bfloat16), own_head)
