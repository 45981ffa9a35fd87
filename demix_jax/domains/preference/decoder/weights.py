"""The decoder as a value, and its weights assembled from the tensors of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.domains.preference.decoder.llama import LlamaConfig, LlamaWeights
from demix_jax.domains.preference.decoder.tokens import Tokens


class Decoder(NamedTuple):
    """A frozen language model: sizes, weights, tokenizer and name."""

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
    """Assemble bf16 weights from tensors that are stored as [out, in].

    Args:
      layer_tensor: (name of product or norm, layer number) -> tensor.
      embed: [V, H]. norm: [H].
      head: [V, H], or None where it is tied to the embedding.
      where: name of the model for error messages.
    Raises:
      InputError: the shape of a tensor contradicts the configuration.
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
