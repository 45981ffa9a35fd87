"""The peer that the paper describes: its channels, its set transformer, its losses, trained on the same worlds.

Channels: cosine influence, feature similarity, label similarity, and the loss of the validation sample. A set
transformer with two induced blocks of width 128, four heads and 32 inducing points, focal loss, a contrastive loss
between two random halves of the validation samples and aligned class means between two task models, 0.1 each. Its
text leaves some sizes open; where it does, what was chosen is stated here and nothing was tuned.

Source: Deng, Shen, Shi & Chai 2026, "DeMix: Debugging Training Data with Mixed Data Error Types by Investigating
Influence Vectors", arXiv 2606.11616.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.numpy import load_file, save_file

from demix_jax.classifier.decision import best_f1
from demix_jax.classifier.examples import World
from demix_jax.classifier.layers import ISAB, PMA
from demix_jax.classifier.schema import CHANNELS
from demix_jax.classifier.train import alignment_loss, contrastive_loss
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import atomic_paths
from demix_jax.data.folds.plan import fold_blocks
from demix_jax.diagnosis.description import SET_SIZE
from demix_jax.diagnosis.vectors import feature_similarity

if TYPE_CHECKING:
    from demix_jax import Diagnosis
    from demix_jax.data import Dataset

_CHANNELS = [CHANNELS.index(name) for name in ("influence", "feature_similarity", "label_similarity")]
_FIT = CHANNELS.index("validation_fit")
_BATCH = 256
_FOCUS = 2.0  # of the focal loss (Lin et al. 2017)
_BLOCK = 1_024


class PaperNetwork(nn.Module):
    """Set transformer over an influence vector: f32[n, S, 4] -> embedding f32[n, 128] and logits f32[n, 3]."""

    @nn.compact
    def __call__(self, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        elements = nn.Dense(128)(vectors)
        for _ in range(2):
            elements = ISAB(128, 4, 32)(elements)
        embedding = PMA(128, 4, 1)(elements)[..., 0, :]
        return embedding, nn.Dense(len(ERROR_TYPES))(nn.relu(nn.Dense(128)(embedding)))


def paper_channels(vectors: np.ndarray) -> np.ndarray:
    """f32[n, S, 4] of this package's influence vectors f[n, S, C]."""
    loss = -np.log(np.maximum(vectors[..., _FIT].astype(np.float32), 1e-3))
    return np.concatenate([vectors[..., _CHANNELS].astype(np.float32), loss[..., None]], axis=-1)


def train_paper_recipe(
    worlds: Sequence[World], *, steps: int, seed: int, on_step: Callable[[int], None] = lambda steps: None
) -> Any:
    """Parameters of a `PaperNetwork` after `steps` batches of 256 rows, each row seen by two task models."""
    rng = np.random.default_rng(seed)
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, steps), weight_decay=1e-4)

    def loss_of(params, first, second, truth):
        (embedding, logits), (other, other_logits) = _outputs(params, first), _outputs(params, second)
        loss = sum(optax.sigmoid_focal_loss(z, truth, gamma=_FOCUS).mean() for z in (logits, other_logits))
        return (
            loss
            + 0.1 * contrastive_loss(embedding, other, jnp.eye(len(embedding), dtype=bool))
            + 0.1 * alignment_loss(embedding, other, truth).mean()
        )

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, first, second, truth):
        updates, state = optimizer.update(jax.grad(loss_of)(params, first, second, truth), state, params)
        return optax.apply_updates(params, updates), state

    params = PaperNetwork().init(jax.random.key(seed), np.zeros((1, 8, 4), np.float32))
    state = optimizer.init(params)
    for i in range(steps):
        parts = [_rows(rng, worlds[int(rng.integers(len(worlds)))], _BATCH // 4) for _ in range(4)]
        first, second, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
        params, state = step(params, state, first, second, truth)
        if (i + 1) % 10 == 0:
            jax.block_until_ready(params)
            on_step(10)
    return jax.tree.map(np.asarray, params)


def _rows(rng: np.random.Generator, world: World, count: int):
    """Two views of some rows of a world, each of another task model and another half of the validation samples."""
    rows = rng.integers(len(world.truth), size=count)
    views = []
    for view in rng.permutation(len(world.views)):
        vectors = world.views[view].vectors
        columns = rng.permutation(vectors.shape[1])[: max(1, vectors.shape[1] // 2)]
        views.append(paper_channels(vectors[rows[:, None], np.resize(columns, 64)]))
    return views[0], views[-1], world.truth[rows].astype(np.float32)


def paper_flags(params: Any, dataset: Dataset, diagnosis: Diagnosis) -> np.ndarray:
    """bool[N, 3], from the influence that a diagnosis computed.

    Cut where the expected F1 on these rows is largest, which is kinder to it than one half: the focal loss leaves few
    rows above that.
    """
    probability = np.zeros((len(dataset.y), len(ERROR_TYPES)), np.float32)
    loss = -np.log(np.maximum(diagnosis.evidence.p_given_label, 1e-3))
    for f, rows, padded in fold_blocks(diagnosis.fold, len(diagnosis.validation_rows), _BLOCK):
        valid = diagnosis.validation_rows[f][:SET_SIZE]
        influence = diagnosis.influence[padded, : len(valid)]
        channels = (
            influence,
            feature_similarity(dataset.x[padded], dataset.x[valid]),
            dataset.target.label_similarity(dataset.y[padded], dataset.y[valid]),
            np.broadcast_to(loss[valid], influence.shape),
        )
        logits = _logits(params, np.stack(channels, axis=-1).astype(np.float32))
        probability[rows] = np.asarray(jax.nn.sigmoid(logits))[: len(rows)]
    return probability >= [best_f1(probability[:, t]).threshold for t in range(len(ERROR_TYPES))]


@jax.jit
def _logits(params: Any, vectors: jax.Array) -> jax.Array:
    return _outputs(params, vectors)[1]


def _outputs(params: Any, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Embedding f32[n, 128] and logits f32[n, 3]."""
    return cast("tuple[jax.Array, jax.Array]", PaperNetwork().apply(params, vectors))


def save_params(params: Any, path: Path) -> None:
    """Write the parameters as one safetensors file, whole or not at all."""
    flat = {jax.tree_util.keystr(key): np.asarray(leaf) for key, leaf in jax.tree_util.tree_leaves_with_path(params)}
    with atomic_paths(path) as (temporary,):
        save_file(flat, temporary)


def load_params(path: Path) -> Any:
    """Read what `save_params` wrote."""
    flat = load_file(path)
    shapes = jax.eval_shape(PaperNetwork().init, jax.random.key(0), jnp.zeros((1, 8, 4)))
    return jax.tree_util.tree_map_with_path(lambda key, leaf: flat[jax.tree_util.keystr(key)], shapes)
