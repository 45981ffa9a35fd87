"""Networks for click-through prediction: DIN and DIEN, applied to one sample at a time."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from demix_jax.common.checks import InputError
from demix_jax.models.task_model import TaskModel, shared_task_model

Features = dict[str, jax.Array]


class ItemEmbedding(nn.Module):
    """Embedding of an item, concatenated with the embedding of its category.

    Attributes:
      num_items, num_categories: number of items and categories; number 0 stands for none.
      width: E, width of each embedding.
    """

    num_items: int
    num_categories: int
    width: int

    def setup(self) -> None:
        self.item = self.param("item", _small, (self.num_items + 1, self.width))
        self.category = self.param("category", _small, (self.num_categories + 1, self.width))

    def __call__(self, item: jax.Array, category: jax.Array) -> jax.Array:
        """Embeddings f32[..., 2 E] of items and categories i32[...]."""
        return jnp.concatenate([self.item[item], self.category[category]], axis=-1)


class DIN(nn.Module):
    """Deep Interest Network: the history is a sum of its items, weighted by attention to the candidate.

    There are two differences from the paper. Attention also sees how far back a click lies; otherwise the order of the
    clicks would not matter. And Dice is replaced by SiLU, its form without batch statistics, since the loss of a single
    sample has none.

    Attributes:
      num_users, num_items, num_categories: number of embeddings, without number 0.
      width: width of an embedding.
      attention: hidden width of the attention unit.
      widths: hidden widths of the head.

    Source: Zhou et al. 2018, "Deep Interest Network for Click-Through Rate Prediction".
    """

    num_users: int
    num_items: int
    num_categories: int
    width: int = 8
    attention: int = 32
    widths: tuple[int, ...] = (64, 32)

    @nn.compact
    def __call__(self, x: Features) -> jax.Array:
        """Logits f32[2] of no click and click.

        Args:
          x: one sample. user, item, category: i32[]. history, history_category: i32[T], padded with 0 in front.
            side: f32[D], the encoded table row.
        """
        embed = ItemEmbedding(self.num_items, self.num_categories, self.width)
        candidate, clicks = embed(x["item"], x["category"]), embed(x["history"], x["history_category"])
        # The paper concatenates candidate, click, their difference and their product. The difference is redundant in a
        # linear layer, and the candidate's share is computed only once. The same layer then costs a third.
        click_part = nn.Dense(self.attention, use_bias=False)(
            jnp.concatenate([clicks, candidate[None] * clicks, _recency(len(clicks))], axis=-1)
        )
        hidden = nn.silu(click_part + nn.Dense(self.attention)(candidate)[None])
        weight = nn.Dense(1)(hidden)[:, 0]
        weight = nn.softmax(weight, where=x["history"] > 0)
        return _Head(self.num_users, self.width, self.widths)(x, candidate, weight @ clicks)


class DIEN(nn.Module):
    """Deep Interest Evolution Network: a GRU over the history, then a GRU whose gates are scaled by attention.

    It lacks the paper's auxiliary loss, which compares each click with a sampled item.

    Attributes: as in `DIN`, and
      hidden: width of both GRUs.
      length: number of latest clicks that they read. On MovieLens-100k, 20 are better than 100 and cost an eighth.

    Source: Zhou et al. 2019, "Deep Interest Evolution Network for Click-Through Rate Prediction".
    """

    num_users: int
    num_items: int
    num_categories: int
    width: int = 8
    hidden: int = 16
    length: int = 20
    widths: tuple[int, ...] = (64, 32)

    @nn.compact
    def __call__(self, x: Features) -> jax.Array:
        """Logits f32[2] of no click and click; `x` as in `DIN.__call__`."""
        history, history_category = x["history"][-self.length :], x["history_category"][-self.length :]
        embed = ItemEmbedding(self.num_items, self.num_categories, self.width)
        candidate, clicks = embed(x["item"], x["category"]), embed(history, history_category)
        present = history > 0
        interests = GRU(self.hidden)(clicks, present.astype(clicks.dtype), present)
        query = nn.Dense(self.hidden, use_bias=False)(candidate)
        weight = nn.softmax(interests @ query, where=present)
        evolved = GRU(self.hidden)(interests, weight, present)[-1]
        return _Head(self.num_users, self.width, self.widths)(x, candidate, evolved)


class GRU(nn.Module):
    """Gated recurrent unit with a scale for the update gate of each step (AUGRU); scales of 1 give the usual GRU."""

    hidden: int

    @nn.compact
    def __call__(self, inputs: jax.Array, scale: jax.Array, present: jax.Array) -> jax.Array:
        """States f32[T, H] after each of the inputs f32[T, F]; a step not `present` (bool[T]) keeps the state."""
        projected = nn.Dense(3 * self.hidden)(inputs)
        shape = (self.hidden, 2 * self.hidden)
        gates = self.param("gates", nn.initializers.orthogonal(), shape)
        proposal = self.param("proposal", nn.initializers.orthogonal(), (self.hidden, self.hidden))

        def step(state: jax.Array, step_input: Any) -> tuple[jax.Array, jax.Array]:
            now, share, keep = step_input
            reset, update = jnp.split(nn.sigmoid(now[: 2 * self.hidden] + state @ gates), 2)
            proposed = jnp.tanh(now[2 * self.hidden :] + (reset * state) @ proposal)
            update = jnp.where(keep, share * update, 0.0)
            state = (1 - update) * state + update * proposed
            return state, state

        return jax.lax.scan(step, jnp.zeros(self.hidden), (projected, scale, present))[1]


class _Head(nn.Module):
    """Dense layers over the user's embedding, the candidate, the interest from the history, and the table row."""

    num_users: int
    width: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Features, candidate: jax.Array, interest: jax.Array) -> jax.Array:
        user = self.param("user", _small, (self.num_users + 1, self.width))[x["user"]]
        both = [candidate * interest] if candidate.shape == interest.shape else []
        hidden = jnp.concatenate([user, candidate, interest, *both, x["side"]])
        for width in self.widths:
            hidden = nn.silu(nn.Dense(width)(hidden))
        return nn.Dense(2)(hidden)


def _recency(length: int) -> jax.Array:
    """f32[T, 2]: how far back each click lies, as 1 / place and log(place) / 5; the last click has place 1."""
    place = jnp.arange(length, 0, -1, dtype=jnp.float32)
    return jnp.stack([1.0 / place, jnp.log(place) / 5.0], axis=-1)


_small = nn.initializers.normal(0.05)

_NETWORKS = {"din": DIN, "dien": DIEN}
CLICK_MODELS = tuple(_NETWORKS)


def make_click_model(name: str, num_users: int, num_items: int, num_categories: int) -> TaskModel:
    """Make the task model "din" or "dien" with embeddings for this number of users, items and categories.

    Raises:
      InputError: the name is unknown.
    """
    if name not in _NETWORKS:
        raise InputError(f"model {name!r} is not known; choose one of {', '.join(CLICK_MODELS)}.")
    network = _NETWORKS[name](num_users=num_users, num_items=num_items, num_categories=num_categories)
    return shared_task_model(network, "classification")  # pyright: ignore[reportArgumentType]: Flax makes modules hashable
