"""A tiny untrained decoder that reads bytes, and made-up preference pairs, for tests without downloads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.domains.preference import Decoder, Message, Pair, Pairs, make_pairs
from demix_jax.domains.preference.decoder.llama import PRODUCTS, LlamaConfig, LlamaWeights
from demix_jax.domains.preference.decoder.tokens import Tokens

CONFIG = LlamaConfig(
    num_layers=2, width=32, hidden=48, num_heads=4, num_kv_heads=2, head_dim=8, vocabulary=257, context=1024
)
_TOPICS = ("bread", "rivers", "chess", "violins", "bees", "glass", "maps", "tea", "bridges", "winter")
_GOOD = (
    "First gather what you need, then go step by step.",
    "It helps to read a little about its history before you start.",
    "Most people learn it best from somebody who has done it for years.",
    "Take your time, and note down what worked and what did not.",
    "In the end practice matters more than any rule.",
)


def tiny_decoder() -> Decoder:
    """Two layers, width 32, bytes as tokens."""
    return Decoder(CONFIG, random_weights(jax.random.key(0), CONFIG), byte_tokens(), "tiny")


def random_weights(key: jax.Array, config: LlamaConfig, dtype: Any = jnp.bfloat16) -> LlamaWeights:
    """Weights of an untrained model, normal with the variance of one over their inputs."""
    keys = iter(jax.random.split(key, len(PRODUCTS) + 1))
    layers = {
        name: jax.random.normal(next(keys), (config.num_layers, *shape), jnp.float32) / shape[0] ** 0.5
        for name, shape in config.shapes().items()
    }
    ones = jnp.ones((config.num_layers, config.width))
    layers |= {"attention_norm": ones, "mlp_norm": ones}
    embed = jax.random.normal(next(keys), (config.vocabulary, config.width), jnp.float32)
    weights = LlamaWeights(embed, layers, jnp.ones(config.width), embed / config.width**0.5)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), weights)


def byte_tokens() -> Tokens:
    """UTF-8 bytes as tokens, 256 for the end."""
    return Tokens(lambda text: list(text.encode()), end=256, chat=False, closing=frozenset(b".!?\n"))


def made_pairs(count: int, seed: int = 0) -> Pairs:
    """Pairs whose chosen answers speak of the prompt's topic; lengths vary either way."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        topic, other = (str(t) for t in rng.choice(_TOPICS, 2, replace=False))

        def answer(about: str) -> str:
            told = rng.choice(_GOOD, int(rng.integers(2, 5)), replace=False)
            return f"To learn about {about} you need some patience. {' '.join(told)}"

        pairs.append(Pair((Message("user", f"How do I learn about {topic}?"),), answer(topic), answer(other)))
    return make_pairs(pairs)
