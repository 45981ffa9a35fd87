"""Decoder of the Llama architecture, as pure functions of a pytree of weights.

Influence needs the whole model as one traceable function in which the gradient engine finds the adapted products.
Model libraries hide their layers behind state, so the decoder is written out in JAX.

Letters: n sequences, T tokens, H hidden width, V vocabulary, R positions that are read.
"""

from __future__ import annotations

import dataclasses

import chex
import jax
import jax.numpy as jnp

_QUERIES = 128  # queries per block of attention; smaller blocks compute fewer masked scores
PRODUCTS = ("q", "k", "v", "o", "gate", "up", "down")  # matrices of a layer, each used as x @ W


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a decoder; hashable, so it can be a static argument.

    Attributes:
      num_layers, width, hidden: number of layers, hidden width H, width of the feed-forward block.
      num_heads, num_kv_heads, head_dim: query heads, key-value heads (grouped queries), width of a head.
      vocabulary: V.
      context: longest sequence that the model was trained on, in tokens.
      rope_base: base of the rotary embedding.
      epsilon: added to the mean square in the normalisation.
    """

    num_layers: int
    width: int
    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocabulary: int
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shape (in, out) of each matrix in PRODUCTS."""
        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        return {
            "q": (self.width, queries),
            "k": (self.width, keys),
            "v": (self.width, keys),
            "o": (queries, self.width),
            "gate": (self.width, self.hidden),
            "up": (self.width, self.hidden),
            "down": (self.hidden, self.width),
        }


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LlamaWeights:
    """Frozen weights, usually bf16.

    embed: [V, H]. layers: {product: [layers, in, out], "attention_norm" and "mlp_norm": [layers, H]}.
    norm: [H]. head: [V, H]; the embedding where the two are tied.
    """

    embed: jax.Array
    layers: dict[str, jax.Array]
    norm: jax.Array
    head: jax.Array

    def layer(self, number: int) -> dict[str, jax.Array]:
        """Weights of one layer."""
        return {name: leaf[number] for name, leaf in self.layers.items()}


def rms_norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    """Divide x f[..., H] by its root mean square and multiply by weight, in f32; the result has the dtype of x."""
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + epsilon)
    return (wide * scale * _expanded(weight.astype(jnp.float32), x.ndim)).astype(x.dtype)


def rotate(x: jax.Array, positions: jax.Array, base: float) -> jax.Array:
    """Rotary position embedding of x f[n, T, heads, D] at positions i[n, T]; pairs the two halves of a head.

    Source: Su et al. 2021, "RoFormer", eq. 34.
    """
    half = x.shape[-1] // 2
    frequency = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions.astype(jnp.float32)[..., None, None] * frequency[None, None, None]
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def layer(
    config: LlamaConfig,
    weights: dict[str, jax.Array],
    x: jax.Array,
    *,
    adapters: dict[str, dict[str, jax.Array]] | None = None,
    read: jax.Array | None = None,
) -> jax.Array:
    """One layer: attention and feed-forward block, each with a normalisation before it and a residual connection.

    Args:
      weights: see `LlamaWeights.layer`. x: f[n, T, H].
      adapters: LoRA matrices {product: {"a": f[in, r], "b": f[r, out]}}, added to the products of these names.
      read: i[n, R], positions to compute the output at; the others serve as keys and values only. None: all.
    Returns:
      f[n, T, H]; f[n, R, H] with `read`.
    Source: Touvron et al. 2023, "LLaMA"; Hu et al. 2022, "LoRA", eq. 3.
    """
    num, length, _ = x.shape
    everywhere = jnp.arange(length)[None]

    def product(name: str, value: jax.Array) -> jax.Array:
        out = multiply(value, weights[name])
        if adapters is not None and name in adapters:
            out = out + (value @ adapters[name]["a"]) @ adapters[name]["b"]
        return out

    normed = rms_norm(x, weights["attention_norm"], config.epsilon)
    keys = product("k", normed).reshape(num, length, config.num_kv_heads, config.head_dim)
    values = product("v", normed).reshape(num, length, config.num_kv_heads, config.head_dim)
    places = everywhere if read is None else read
    if read is not None:
        x, normed = (jnp.take_along_axis(array, read[..., None], axis=1) for array in (x, normed))
    queries = product("q", normed).reshape(num, places.shape[1], config.num_heads, config.head_dim)
    queries, keys = rotate(queries, places, config.rope_base), rotate(keys, everywhere, config.rope_base)
    if read is not None:
        mixed = attend(queries, keys, values, places)
    else:  # a block of queries attends to no later keys
        blocks = [slice(start, min(start + _QUERIES, length)) for start in range(0, length, _QUERIES)]
        mixed = jnp.concatenate(
            [attend(queries[:, b], keys[:, : b.stop], values[:, : b.stop], places[:, b]) for b in blocks], axis=1
        )
    x = x + product("o", mixed.reshape(num, places.shape[1], -1))
    normed = rms_norm(x, weights["mlp_norm"], config.epsilon)
    return x + product("down", jax.nn.silu(product("gate", normed)) * product("up", normed))


def multiply(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Compute x @ matrix with x rounded to the matrix's dtype and sums in the dtype of x.

    Decoders are trained with bf16 products like these. CPUs with bf16 instructions compute them three times as fast.
    """
    return jnp.matmul(x.astype(matrix.dtype), matrix, preferred_element_type=x.dtype)


def attend(queries: jax.Array, keys: jax.Array, values: jax.Array, places: jax.Array) -> jax.Array:
    """Causal attention f[n, R, heads, D] of queries at positions `places` to keys at positions 0 … T − 1.

    The query heads that share a key head are stacked into one matrix. On CPUs, this is several times faster than
    `jax.nn.dot_product_attention`.

    Args:
      queries: f[n, R, heads, D].
      keys, values: f[n, T, key heads, D].
      places: i[n or 1, R].
    """
    num, length, _, width = queries.shape
    groups, known = keys.shape[2], keys.shape[1]
    stacked = queries.reshape(num, length, groups, -1, width).transpose(0, 2, 3, 1, 4)
    rows = stacked.reshape(num, groups, -1, width) / width**0.5
    scores = (rows @ keys.transpose(0, 2, 3, 1)).reshape(num, groups, -1, length, known)
    seen = (jnp.arange(known)[None, None] <= places[..., None])[:, None, None]
    share = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
    mixed = share.reshape(num, groups, -1, known) @ values.transpose(0, 2, 1, 3)
    return mixed.reshape(stacked.shape).transpose(0, 3, 1, 2, 4).reshape(queries.shape)


def first_layers(config: LlamaConfig, weights: LlamaWeights, tokens: jax.Array, num_layers: int) -> jax.Array:
    """Hidden states f32[n, T, H] after the first `num_layers` layers, for tokens i[n, T]."""
    first = jax.tree.map(lambda leaf: leaf[:num_layers], weights.layers)

    def step(x: jax.Array, one: dict[str, jax.Array]):
        return layer(config, one, x), None

    return jax.lax.scan(step, weights.embed[tokens].astype(jnp.float32), first)[0]


def log_likelihood(head: jax.Array, states: jax.Array, targets: jax.Array, *, block: int = 256) -> jax.Array:
    """Log-likelihood f32[m] of the next token at m positions, without storing the logits f[m, V].

    The states are rounded to the dtype of the head; the logits are f32.

    Args:
      head: f[V, H]. states: f[m, H], after the last normalisation. targets: i[m], the next tokens.
      block: number of positions whose logits are computed at once, in the forward and the backward pass.
    """
    chex.assert_equal_shape_prefix([states, targets], 1)
    num = states.shape[0]
    padding = -num % block
    states = jnp.pad(states, ((0, padding), (0, 0))).reshape(-1, block, states.shape[1])
    targets = jnp.pad(targets, (0, padding)).reshape(-1, block)

    @jax.checkpoint
    def one(part):
        x, y = part
        logits = jnp.einsum("th,vh->tv", x.astype(head.dtype), head, preferred_element_type=jnp.float32)
        picked = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
        return picked - jax.nn.logsumexp(logits, axis=1)

    return jax.lax.map(one, (states, targets)).reshape(-1)[:num]


def _expanded(vector: jax.Array, ndim: int) -> jax.Array:
    """The vector with axes of length 1 in front, `ndim` axes in all."""
    return vector.reshape((1,) * (ndim - 1) + vector.shape)
