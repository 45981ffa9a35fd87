"""The networks of the paper's tabular tasks: multi-layer perceptrons and an FT-Transformer."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


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


class FTTransformer(nn.Module):
    """Feature-Tokenizer Transformer: one token per table column, then pre-norm attention blocks.

    Attributes:
      groups: for each table column the [start, stop) of its encoded features in x.
      num_outputs: K logits, or 1 for regression.
      width, num_heads, num_blocks: token width and depth; the paper uses 64, 2 and 2.

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
        columns = [nn.Dense(self.width, name=f"token_{i}")(x[..., a:b]) for i, (a, b) in enumerate(self.groups)]
        summary = self.param("summary_token", nn.initializers.normal(0.02), (self.width,))
        columns.append(jnp.broadcast_to(summary, columns[0].shape))
        tokens = jnp.stack(columns, axis=-2)
        for _ in range(self.num_blocks):
            tokens = tokens + nn.MultiHeadDotProductAttention(self.num_heads)(nn.LayerNorm()(tokens))
            hidden = nn.Dense(2 * self.width)(nn.LayerNorm()(tokens))
            tokens = tokens + nn.Dense(self.width)(nn.relu(hidden))
        return nn.Dense(self.num_outputs)(nn.relu(nn.LayerNorm()(tokens[..., -1, :])))
