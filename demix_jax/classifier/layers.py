"""Attention over sets: MAB, SAB, ISAB and PMA, with a mask for absent elements."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class MAB(nn.Module):
    """Multihead Attention Block: queries attend to a set, then a residual feed-forward layer.

    Source: Lee et al. 2019, "Set Transformer", eq. 6; layer normalisation before each part.
    """

    width: int
    num_heads: int

    @nn.compact
    def __call__(self, queries: jax.Array, elements: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """f32[..., A, W], f32[..., S, W], bool[..., S] of present elements -> f32[..., A, W]."""
        if mask is not None:
            mask = mask[..., None, None, :]
        attend = nn.MultiHeadDotProductAttention(self.num_heads, qkv_features=self.width)
        hidden = queries + attend(nn.LayerNorm()(queries), nn.LayerNorm()(elements), mask=mask)
        return hidden + nn.Dense(self.width)(nn.relu(nn.Dense(self.width)(nn.LayerNorm()(hidden))))


class SAB(nn.Module):
    """Set Attention Block: every element attends to every other; cost S². Source: Lee et al. 2019, eq. 8."""

    width: int
    num_heads: int

    @nn.compact
    def __call__(self, elements: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """f32[..., S, W], bool[..., S] -> f32[..., S, W]."""
        return MAB(self.width, self.num_heads)(elements, elements, mask)


class ISAB(nn.Module):
    """Induced Set Attention Block: elements exchange through a few learned points; cost S × points.

    Source: Lee et al. 2019, eq. 9-10.
    """

    width: int
    num_heads: int
    num_points: int

    @nn.compact
    def __call__(self, elements: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """f32[..., S, W], bool[..., S] -> f32[..., S, W]."""
        points = self.param("points", nn.initializers.normal(1.0), (self.num_points, self.width))
        points = jnp.broadcast_to(points, (*elements.shape[:-2], *points.shape))
        summary = MAB(self.width, self.num_heads)(points, elements, mask)
        return MAB(self.width, self.num_heads)(elements, summary)


class PMA(nn.Module):
    """Pooling by Multihead Attention: learned seeds read the set. Source: Lee et al. 2019, eq. 11."""

    width: int
    num_heads: int
    num_seeds: int

    @nn.compact
    def __call__(self, elements: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """f32[..., S, W], bool[..., S] -> f32[..., num_seeds, W]."""
        seeds = self.param("seeds", nn.initializers.normal(1.0), (self.num_seeds, self.width))
        seeds = jnp.broadcast_to(seeds, (*elements.shape[:-2], *seeds.shape))
        return MAB(self.width, self.num_heads)(seeds, elements, mask)


def masked_mean_and_std(elements: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation over the present elements: f32[..., S, W], bool[..., S] -> 2 × f32[..., W]."""
    weight = mask[..., None].astype(elements.dtype)
    count = jnp.maximum(weight.sum(axis=-2), 1.0)
    mean = (elements * weight).sum(axis=-2) / count
    centred = (elements - mean[..., None, :]) * weight
    return mean, jnp.sqrt(jnp.square(centred).sum(axis=-2) / count + 1e-6)
