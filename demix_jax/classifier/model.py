"""The error network: a set encoder of influence vectors, encoders of row signals, and the table as context."""

from __future__ import annotations

from typing import NamedTuple

import chex
import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.classifier.layers import ISAB, PMA, masked_mean_and_std
from demix_jax.classifier.schema import NUM_RULES, NUM_WITHOUT, RULE_SIGNALS, SIGNALS, WITHOUT_SIGNALS
from demix_jax.common.error_types import ERROR_TYPES

_MIN_LOG_DENSITY = -6.0  # nats; lower densities are equivalent
_TINY = 1e-20  # added to a density before the logarithm; far below exp(_MIN_LOG_DENSITY)


@flax.struct.dataclass
class NetworkConfig:
    """Sizes of the error network; all are static.

    width, num_heads: of the set encoder.
    num_isabs, num_points: induced attention blocks between validation samples, and their inducing points; the paper has
      two 128-wide blocks with 32 points. num_seeds: pooling seeds.
    hidden: width of all layers per row.
    num_spaces, num_dimensions: spaces in which the densities of rows and probes are estimated.
    use_vectors, use_signals, use_context: parts that an ablation may switch off.
    """

    width: int = flax.struct.field(pytree_node=False, default=32)
    num_heads: int = flax.struct.field(pytree_node=False, default=2)
    num_isabs: int = flax.struct.field(pytree_node=False, default=0)
    num_points: int = flax.struct.field(pytree_node=False, default=8)
    num_seeds: int = flax.struct.field(pytree_node=False, default=2)
    hidden: int = flax.struct.field(pytree_node=False, default=160)
    num_spaces: int = flax.struct.field(pytree_node=False, default=8)
    num_dimensions: int = flax.struct.field(pytree_node=False, default=8)
    use_vectors: bool = flax.struct.field(pytree_node=False, default=True)
    use_signals: bool = flax.struct.field(pytree_node=False, default=True)
    use_context: bool = flax.struct.field(pytree_node=False, default=True)


class SetEncoder(nn.Module):
    """Embeds an influence vector as a set of validation samples; their order has no effect."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, vectors: jax.Array, mask: jax.Array) -> jax.Array:
        """f32[n, S, C], bool[n, S] -> f32[n, hidden]."""
        c = self.config
        influence = vectors[..., :1]
        mean, std = masked_mean_and_std(influence, mask)
        standard = (influence - mean[..., None, :]) / std[..., None, :]
        elements = jnp.concatenate([vectors, jnp.clip(standard, -4, 4)], axis=-1)
        elements = nn.Dense(c.width)(nn.relu(nn.Dense(c.width)(elements)))
        for _ in range(c.num_isabs):
            elements = ISAB(c.width, c.num_heads, c.num_points)(elements, mask)
        pooled = PMA(c.width, c.num_heads, c.num_seeds)(elements, mask)
        mean, std = masked_mean_and_std(elements, mask)
        pooled = pooled.reshape(*pooled.shape[:-2], -1)
        return nn.relu(nn.Dense(c.hidden)(jnp.concatenate([pooled, mean, std], axis=-1)))


class RuleEncoder(nn.Module):
    """Embeds the signals of the likeliest shortcuts, with the same layers for each rule.

    Which rule is the constructed one differs between tables, so what is learned about one rule must hold for all.
    """

    config: NetworkConfig

    @nn.compact
    def __call__(self, signals: jax.Array) -> jax.Array:
        """f32[n, 2F] -> f32[n, hidden]."""
        c = self.config
        rules = jnp.stack([_rule_inputs(signals, i) for i in range(NUM_RULES)], axis=-2)
        hidden = nn.relu(nn.Dense(c.hidden // 2)(nn.relu(nn.Dense(c.hidden // 2)(rules))))
        return jnp.concatenate([hidden.mean(axis=-2), hidden.max(axis=-2)], axis=-1)


_LABEL_INPUTS = tuple(f"{learner}_{name}" for learner in ("tree", "trusted", "network") for name in ("log_p", "margin"))


def _rule_inputs(signals: jax.Array, rule: int) -> jax.Array:
    """Signals of one rule, and those of the label: f32[n, 2F] -> f32[n, R]."""
    half = len(SIGNALS)
    own = [SIGNALS.index(f"rule{rule}_{name}") for name in RULE_SIGNALS]
    label = [SIGNALS.index(name) for name in _LABEL_INPUTS]
    both = [i + offset for offset in (0, half) for i in own + label]
    if rule < NUM_WITHOUT:
        without = [SIGNALS.index(f"without{rule}_{name}") for name in WITHOUT_SIGNALS]
        extra = signals[..., jnp.array([i + offset for offset in (0, half) for i in without])]
    else:
        extra = jnp.zeros((*signals.shape[:-1], 2 * len(WITHOUT_SIGNALS)), signals.dtype)
    return jnp.concatenate([signals[..., jnp.array(both)], extra], axis=-1)


class States(NamedTuple):
    """States of n rows. hidden: f32[n, hidden]. place: f32[n, spaces, dimensions], for density estimates."""

    hidden: jax.Array
    place: jax.Array


class Context(NamedTuple):
    """Context of a table.

    hidden: f32[hidden], summary of the table.
    rows, label_probes, feature_probes: f32[K or P, spaces, dimensions], places of K rows and P probes of each type.
    has_probes: f32[], 0 or 1.
    """

    hidden: jax.Array
    rows: jax.Array
    label_probes: jax.Array
    feature_probes: jax.Array
    has_probes: jax.Array


class ContextInputs(NamedTuple):
    """Inputs of a table's context.

    rows: f32[K, 2F], signals of some of its rows. label_probes, feature_probes: f32[P, 2F], signals of its probes.
    has_probes: f32[], 0 or 1; at 0 the given probes are ignored. facts: f32[T], see `table_facts`.
    """

    rows: jax.Array | np.ndarray
    label_probes: jax.Array | np.ndarray
    feature_probes: jax.Array | np.ndarray
    has_probes: jax.Array | np.ndarray | np.float32
    facts: jax.Array | np.ndarray


class ErrorNetwork(nn.Module):
    """Multi-label classifier of rows: an embedding and three logits per row.

    It works in three steps, so that tables of any length can be classified in blocks: `row_states`; `context` from a
    sample of the table's rows and from probes; and `classify`, which also estimates the densities of rows and probes
    around each row.
    """

    config: NetworkConfig

    def setup(self):
        c = self.config
        self.set_encoder, self.rule_encoder = SetEncoder(c), RuleEncoder(c)
        self.signal_layers = [nn.Dense(c.hidden), nn.Dense(c.hidden)]
        self.row_layer = nn.Dense(c.hidden)
        self.context_layers = [nn.Dense(c.hidden) for _ in range(3)]
        self.place_layer = nn.DenseGeneral((c.num_spaces, c.num_dimensions))
        self.head_layers = [nn.Dense(c.hidden), nn.Dense(c.hidden)]
        self.logits = nn.Dense(len(ERROR_TYPES))
        self.drop = nn.Dropout(0.2)

    def row_states(self, vectors, mask, signals, *, deterministic: bool = True) -> States:
        """f32[n, S, C], bool[n, S], f32[n, 2F] -> States of n rows."""
        parts = []
        if self.config.use_vectors:
            parts.append(self.set_encoder(vectors, mask))
        if self.config.use_signals:
            hidden = self.drop(signals, deterministic=deterministic)
            for layer in self.signal_layers:
                hidden = self.drop(nn.relu(layer(hidden)), deterministic=deterministic)
            parts += [hidden, self.rule_encoder(signals)]
        state = nn.relu(self.row_layer(jnp.concatenate(parts, axis=-1)))
        return States(state, self.place_layer(self._context_features(signals * self.config.use_signals)))

    def _context_features(self, signals: jax.Array) -> jax.Array:
        """f32[n, 2F] -> f32[n, hidden], with the same layers for classified rows and for rows of the context."""
        for layer in self.context_layers[:2]:
            signals = nn.relu(layer(signals))
        return signals

    def context(self, inputs: ContextInputs) -> Context:
        """Context of a table."""
        has_probes = jnp.asarray(inputs.has_probes)
        parts = (inputs.rows, inputs.label_probes, inputs.feature_probes)
        rows, label_probes, feature_probes = (self._context_features(jnp.asarray(part)) for part in parts)
        of_probes = [_mean_and_spread(part) * has_probes for part in (label_probes, feature_probes)]
        pooled = jnp.concatenate([_mean_and_spread(rows), *of_probes, has_probes[None], inputs.facts])
        hidden = nn.relu(self.context_layers[2](pooled * self.config.use_context))
        places = [self.place_layer(part) for part in (rows, label_probes, feature_probes)]
        return Context(
            hidden=hidden, rows=places[0], label_probes=places[1], feature_probes=places[2], has_probes=has_probes
        )

    def classify(self, states: States, context: Context, *, deterministic: bool = True) -> tuple[jax.Array, jax.Array]:
        """Embedding f32[n, hidden] and logits f32[n, 3] of n rows."""
        spread = jnp.broadcast_to(context.hidden, (*states.hidden.shape[:-1], context.hidden.shape[-1]))
        around = [log_density(states.place, context.rows)]
        for probes in (context.label_probes, context.feature_probes):
            around.append(log_density(states.place, probes) * context.has_probes)
        around = [part * self.config.use_context for part in around]
        hidden = nn.relu(self.head_layers[0](jnp.concatenate([states.hidden, spread, *around], axis=-1)))
        hidden = self.drop(hidden, deterministic=deterministic)
        embedding = self.head_layers[1](hidden)
        return embedding, self.logits(nn.relu(embedding))

    def __call__(self, vectors, mask, signals, context: ContextInputs, *, deterministic: bool = True):
        """All three steps: embedding and logits."""
        states = self.row_states(vectors, mask, signals, deterministic=deterministic)
        return self.classify(states, self.context(context), deterministic=deterministic)


def _mean_and_spread(hidden: jax.Array) -> jax.Array:
    """f32[n, H] -> f32[2H], mean and standard deviation over the rows."""
    variance = hidden.var(axis=0)
    varies = variance > 0  # the root has no derivative at 0, where a unit is inactive for all rows
    return jnp.concatenate([hidden.mean(axis=0), jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)])


def log_density(places: jax.Array, among: jax.Array) -> jax.Array:
    """Log of the Gaussian kernel density of points among others in H spaces, up to a constant, in nats.

    Args:
      places: f32[n, H, D]. among: f32[K, H, D].
    Returns:
      f32[n, H], not below −6.
    """
    chex.assert_equal_shape_suffix([places, among], 2)
    places, among = places.transpose(1, 0, 2), among.transpose(1, 2, 0)  # one matrix product per space
    squared = jnp.square(places).sum(axis=-1)[..., None] + jnp.square(among).sum(axis=1)[:, None] - 2 * places @ among
    near = jnp.log(jnp.exp(-0.5 * squared).mean(axis=-1) + _TINY).T
    return _MIN_LOG_DENSITY * jnp.tanh(near / _MIN_LOG_DENSITY)
