"""Training of the error classifier: focal loss, agreement of two views, aligned class means, held-out calibration."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.classifier.calibrate import calibrate
from demix_jax.classifier.classifier import ErrorClassifier, load_classifier
from demix_jax.classifier.examples import Batch, ExampleSampler, Interventions, World
from demix_jax.classifier.model import ErrorNetwork, NetworkConfig
from demix_jax.common.keys import training_key

PyTree = Any


@flax.struct.dataclass
class TrainingOptions:
    """Options of `fit_classifier`; all are static.

    num_members: networks in the ensemble; each is trained without a share of the tables and calibrated on it.
    num_steps, learning_rate, weight_decay: of AdamW with a cosine schedule.
    focus: exponent of the focal loss on negatives (Ridnik et al. 2021); positives are not down-weighted.
    agreement: weight of the divergence between the predictions from the two views of a row.
    contrastive, alignment: weights of the paper's intervention losses, which are 0.1 each there.
    contrast_rows: whether the contrastive loss separates every row from every other, as in the paper, instead of
      from rows with other error types. That lowers average precision (`benchmarks.debugging.ablation`), since it
      separates rows with the same errors.
    """

    num_members: int = flax.struct.field(pytree_node=False, default=4)
    num_steps: int = flax.struct.field(pytree_node=False, default=700)
    learning_rate: float = flax.struct.field(pytree_node=False, default=1.5e-3)
    weight_decay: float = flax.struct.field(pytree_node=False, default=0.5)
    focus: float = flax.struct.field(pytree_node=False, default=1.0)
    agreement: float = flax.struct.field(pytree_node=False, default=1.0)
    contrastive: float = flax.struct.field(pytree_node=False, default=0.1)
    alignment: float = flax.struct.field(pytree_node=False, default=0.1)
    contrast_rows: bool = flax.struct.field(pytree_node=False, default=False)


def fit_classifier(
    worlds: list[World],
    *,
    seed: int,
    config: NetworkConfig | None = None,
    interventions: Interventions | None = None,
    options: TrainingOptions | None = None,
    networks_dir: str | os.PathLike | None = None,
    on_step: Callable[[int], None] = lambda steps: None,
) -> ErrorClassifier:
    """Trains an ensemble of error networks on worlds with known errors, and calibrates each on held-out tables.

    Args:
      worlds: from at least two tables, since each network is calibrated on tables that it has not seen.
      seed: of initial weights and batches.
      config, interventions, options: sizes and training of the networks; None for the defaults.
      networks_dir: folder in which each trained network is kept. An interrupted call with the same worlds and options
        continues after the last one. None keeps none.
      on_step: called with the number of optimiser steps since the last call.
    Returns:
      ErrorClassifier; its `card` says what it was trained on.
    Raises:
      ValueError: fewer than two tables.
    """
    config, interventions = config or NetworkConfig(), interventions or Interventions()
    options = options or TrainingOptions()
    tables = sorted({world.table for world in worlds})
    if len(tables) < 2:
        raise ValueError(f"worlds come from {len(tables)} table; give at least 2, one to calibrate on.")
    mean, scale = _mean_and_scale(worlds)
    card = {
        "tables": tables,
        "num_worlds": len(worlds),
        "num_rows": int(sum(len(world.truth) for world in worlds)),
        "interventions": dataclasses.asdict(interventions),
        "options": dataclasses.asdict(options),
        "seed": seed,
    }

    def train(member: int, fold: set[str]) -> ErrorClassifier:
        started = time.perf_counter()
        rng = np.random.default_rng([seed, member])
        inside = [world for world in worlds if world.table not in fold]
        sampler = ExampleSampler(rng, inside, mean, scale, interventions)
        recipe = _Recipe(ErrorNetwork(config), options, interventions)
        params = _train_network(recipe, sampler, rng, on_step)
        params = jax.tree.map(lambda leaf: leaf[None], params)
        own = {"training_seconds": time.perf_counter() - started}
        return ErrorClassifier.uncalibrated(config, params, mean, scale, own)

    networks, digest = [], _digest(card, config, mean, scale)
    for member, fold in enumerate(_table_folds(seed, tables, min(options.num_members, len(tables)))):
        kept = None if networks_dir is None else Path(networks_dir) / f"network-{digest}-{member}.safetensors"
        if kept is not None and kept.is_file():
            networks.append(load_classifier(kept))
            on_step(options.num_steps)
            continue
        networks.append(train(member, fold))
        if kept is not None:
            networks[-1].save(kept)
    params = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(network.params for network in networks))
    card["training_seconds"] = round(sum(network.card["training_seconds"] for network in networks), 1)
    return _calibrated(ErrorClassifier.uncalibrated(config, params, mean, scale, card), worlds)


def _mean_and_scale(worlds: list[World]) -> tuple[np.ndarray, np.ndarray]:
    """f32[F] each, over the signals of all rows; their joint array is freed on return."""
    stacked = np.concatenate([view.signals for world in worlds for view in world.views])
    return stacked.mean(axis=0), stacked.std(axis=0) + 1e-6


def _digest(card: dict, config: NetworkConfig, mean: np.ndarray, scale: np.ndarray) -> str:
    """Hash that identifies a training run, from its card, its sizes and the moments of its worlds' signals."""
    known = json.dumps([card, dataclasses.asdict(config)]).encode()
    return hashlib.sha256(known + mean.tobytes() + scale.tobytes()).hexdigest()[:16]


def recalibrate(classifier: ErrorClassifier, worlds: list[World]) -> ErrorClassifier:
    """Calibrates the same networks anew, on worlds of the tables in their training set.

    Args:
      classifier: from `fit_classifier`; its card says which tables each network was trained without.
      worlds: each is used for the network that has not seen its table; worlds of other tables are ignored.
    Returns:
      ErrorClassifier; its card says on how many worlds it was calibrated.
    """
    known = [world for world in worlds if world.table in classifier.card["tables"]]
    card = classifier.card | {"calibrated_on": len(known)}
    return dataclasses.replace(_calibrated(classifier, known), card=card)


def _calibrated(classifier: ErrorClassifier, worlds: list[World]) -> ErrorClassifier:
    """The classifier, calibrated with each network on the worlds of tables that it has not seen."""
    unseen = [
        (alone, [world for world in worlds if world.table in tables]) for alone, tables in held_out_tables(classifier)
    ]
    return dataclasses.replace(classifier, calibration=calibrate(unseen))


def held_out_tables(classifier: ErrorClassifier) -> list[tuple[ErrorClassifier, set[str]]]:
    """Each network of a classifier from `fit_classifier` as an uncalibrated classifier, and the tables it never saw."""
    card = classifier.card
    folds = _table_folds(card["seed"], card["tables"], classifier.num_networks)
    each = []
    for member, fold in enumerate(folds):
        params = jax.tree.map(lambda leaf, member=member: leaf[member : member + 1], classifier.params)
        of_signals = (classifier.signal_mean, classifier.signal_scale)
        each.append((ErrorClassifier.uncalibrated(classifier.config, params, *of_signals, {}), fold))
    return each


def _table_folds(seed: int, tables: list[str], count: int) -> list[set[str]]:
    """Tables that are held out from each of `count` networks; half of them from a single network."""
    order = np.random.default_rng(seed).permutation(len(tables))
    return [{tables[i] for i in order[f :: max(2, count)]} for f in range(count)]


class _Recipe(NamedTuple):
    """Network and training options; static, so that all networks of an ensemble share one compiled step."""

    network: ErrorNetwork
    options: TrainingOptions
    interventions: Interventions


def _train_network(
    recipe: _Recipe, sampler: ExampleSampler, rng: np.random.Generator, on_step: Callable[[int], None]
) -> PyTree:
    options = recipe.options
    key, key_init = jax.random.split(training_key(int(rng.integers(2**31))))
    batch = sampler.draw()
    vectors, mask = batch.vectors[0, 0].astype(np.float32), batch.mask[0, :1]
    context = jax.tree.map(lambda part: part[0, 0], batch.context)
    params = recipe.network.init(key_init, vectors, mask, batch.signals[0, 0], context)
    opt_state = _optimizer(options).init(params)
    for i in range(options.num_steps):
        key_step = jax.random.fold_in(key, i)
        params, opt_state = _step(recipe, params, opt_state, key_step, sampler.draw())
        if (i + 1) % 20 == 0 or i + 1 == options.num_steps:
            jax.block_until_ready(params)
            on_step(20 if (i + 1) % 20 == 0 else (i + 1) % 20)
    return jax.tree.map(np.asarray, params)


def _optimizer(options: TrainingOptions) -> optax.GradientTransformation:
    warmup = min(100, options.num_steps // 5)
    schedule = optax.warmup_cosine_decay_schedule(0.0, options.learning_rate, warmup, options.num_steps + 1)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=options.weight_decay))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
def _step(recipe: _Recipe, params, opt_state, key, batch: Batch):
    """One step of the optimiser."""
    gradient = jax.grad(_batch_loss)(params, recipe, key, batch)
    updates, opt_state = _optimizer(recipe.options).update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def _batch_loss(params, recipe: _Recipe, key, batch: Batch) -> jax.Array:
    """Classification, agreement, contrastive and alignment losses of a batch, weighted and summed: f32[]."""
    options, interventions = recipe.options, recipe.interventions

    def one(vectors, mask, signals, context, key) -> Any:
        mask = jnp.broadcast_to(mask, vectors.shape[:2])
        inputs = (vectors.astype(jnp.float32), mask, signals, context)
        return recipe.network.apply(params, *inputs, deterministic=False, rngs={"dropout": key})

    truth = jnp.asarray(batch.truth)
    over_views = jax.vmap(jax.vmap(one))
    keys = jax.random.split(key, batch.mask.shape[:2])
    embedding, logits = over_views(batch.vectors, batch.mask, batch.signals, batch.context, keys)
    loss = asymmetric_loss(logits, truth[None], options.focus).mean()
    if interventions.mask_validation or interventions.swap_models:
        loss += options.agreement * disagreement(*logits).mean()
    if interventions.mask_validation:
        alike = same_types(truth)
        if options.contrast_rows:
            alike &= jnp.eye(truth.shape[1], dtype=bool)
        loss += options.contrastive * jax.vmap(contrastive_loss)(embedding[0], embedding[1], alike).mean()
    if interventions.swap_models:
        loss += options.alignment * jax.vmap(alignment_loss)(embedding[0], embedding[1], truth).mean()
    return loss


def asymmetric_loss(logits: jax.Array, truth: jax.Array, focus: float) -> jax.Array:
    """Cross-entropy f32[...] with negatives weighted by p^focus. Source: Ridnik et al. 2021, eq. 6."""
    positive = truth * jax.nn.log_sigmoid(logits)
    negative = (1 - truth) * jax.nn.log_sigmoid(-logits) * jax.nn.sigmoid(logits) ** focus
    return -(positive + negative)


def disagreement(first: jax.Array, second: jax.Array) -> jax.Array:
    """Jeffreys divergence f32[...] of the probabilities from two views, given their logits f32[...]."""
    return (jax.nn.sigmoid(first) - jax.nn.sigmoid(second)) * (first - second)


def same_types(truth: jax.Array) -> jax.Array:
    """bool[..., R, R]: which pairs of rows have the same error types f32[..., R, 3]."""
    return (truth[..., :, None, :] == truth[..., None, :, :]).all(axis=-1)


def contrastive_loss(first: jax.Array, second: jax.Array, alike: jax.Array, temperature: float = 0.2) -> jax.Array:
    """Contrastive loss f32[] of two views of the same R rows.

    Args:
      first, second: f32[R, E], embeddings. alike: bool[R, R], pairs that should be near each other.
    Source: Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2; with an identity matrix as `alike`, Chen et
      al. 2020.
    """
    chex.assert_equal_shape([first, second])
    # the constant is inside the root, so that an embedding of zeros has a derivative
    first, second = (v / jnp.sqrt(jnp.square(v).sum(axis=1, keepdims=True) + 1e-12) for v in (first, second))
    similarity = first @ second.T / temperature
    share = alike / alike.sum(axis=1, keepdims=True)
    both = (optax.softmax_cross_entropy(similarity, share), optax.softmax_cross_entropy(similarity.T, share))
    return 0.5 * (both[0].mean() + both[1].mean())


def alignment_loss(first: jax.Array, second: jax.Array, truth: jax.Array) -> jax.Array:
    """Squared distance f32[] of the class means of two views f32[R, E], averaged over the error types that occur.

    truth: f32[R, 3].
    """
    weight = truth / jnp.maximum(truth.sum(axis=0, keepdims=True), 1.0)
    distance = jnp.square(weight.T @ (first - second)).mean(axis=1)
    return distance.sum() / jnp.maximum(truth.any(axis=0).sum(), 1)
