"""Networks for the paper's tabular tasks: multi-layer perceptrons and an FT-Transformer."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class MLP(nn.Module):
    """Dense layers with ReLU between them.

    Attributes:
      widths: hidden widths, first layer first.
      num_outputs: K logits, or 1 for regression.
    """

    widths: tuple[int, ...]
    num_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., D] -> f32[..., num_outputs]."""
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.num_outputs)(x)


class Tokenizer(nn.Module):
    """One dense layer per table column, computed as one matrix product.

    Row q of the left factor is x with all features outside group q set to zero.

    Attributes:
      groups: [start, stop) of each column's features in x. width: token width.
    """

    groups: tuple[tuple[int, int], ...]
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., D] -> f32[..., Q, width]."""
        places = np.arange(x.shape[-1])
        own = np.stack([(places >= start) & (places < stop) for start, stop in self.groups])
        kernel = self.param("kernel", self._initial_kernel, (x.shape[-1], self.width))
        bias = self.param("bias", nn.initializers.zeros, (len(self.groups), self.width))
        lead = (None,) * (x.ndim - 1)
        return jnp.where(own[lead], x[..., None, :], 0) @ kernel + bias[lead]

    def _initial_kernel(self, key: jax.Array, shape: tuple[int, int]) -> jax.Array:
        """Truncated normal with variance 1 / (number of features in the group) (LeCun et al. 1998)."""
        scale = np.ones((shape[0], 1), np.float32)
        for start, stop in self.groups:
            scale[start:stop] = (stop - start) ** -0.5
        return nn.initializers.truncated_normal(1.0)(key, shape) * scale / 0.8796257


class FTTransformer(nn.Module):
    """Feature-Tokenizer Transformer: one token per table column, then pre-norm attention blocks.

    Attributes:
      groups: [start, stop) of each table column's encoded features in x.
      num_outputs: K logits, or 1 for regression.
      width, num_heads, num_blocks: token width, attention heads and blocks; the paper uses 64, 2 and 2.

    Source: Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data".
    """

    groups: tuple[tuple[int, int], ...]
    num_outputs: int
    width: int = 64
    num_heads: int = 2
    num_blocks: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., D] -> f32[..., num_outputs]."""
        tokens = Tokenizer(self.groups, self.width)(x)
        summary = self.param("summary_token", nn.initializers.normal(0.02), (self.width,))
        summary = jnp.broadcast_to(summary, (*tokens.shape[:-2], 1, self.width))
        tokens = jnp.concatenate([tokens, summary], axis=-2)
        for _ in range(self.num_blocks):
            tokens = tokens + nn.MultiHeadDotProductAttention(self.num_heads)(nn.LayerNorm()(tokens))
            hidden = nn.Dense(2 * self.width)(nn.LayerNorm()(tokens))
            tokens = tokens + nn.Dense(self.width)(nn.relu(hidden))
        return nn.Dense(self.num_outputs)(nn.relu(nn.LayerNorm()(tokens[..., -1, :])))
