"""Training examples for the error classifier, and the interventions under which they are drawn."""

from __future__ import annotations

from typing import NamedTuple

import flax.struct
import jax
import numpy as np

from demix_jax.classifier.inputs import Probes, normal_scores, with_scores
from demix_jax.classifier.model import ContextInputs
from demix_jax.classifier.schema import FEATURE_SIGNALS, LABEL_SIGNALS, SHORTCUT_SIGNALS, SIGNALS, VECTOR_SIGNALS
from demix_jax.common.error_types import FEATURE_ERROR, LABEL_ERROR, PROBED_TYPES, ErrorType

_SHARE_WITHOUT_PROBES = 0.1  # of the draws of a world
_MIN_ROWS = 50  # of a resampled world; with fewer, all rows are kept

# Standard deviation of the noise that is added to each absolute signal, equal for all rows of a table: the level of the
# label signals must not identify the table. The level does show feature errors and shortcuts, as the strength of a rule
# does, so their noise is smaller. Normal scores have no level.
_LEVEL_NOISE = np.concatenate(
    [
        np.full(len(LABEL_SIGNALS), 0.45),
        np.full(len(FEATURE_SIGNALS), 0.3),
        np.full(len(SHORTCUT_SIGNALS), 0.1),
        np.full(len(VECTOR_SIGNALS), 0.3),
        np.zeros(len(SIGNALS)),
    ]
)


class View(NamedTuple):
    """Description of a world's N rows by one task model.

    vectors: f16[N, S, C]. signals: f32[N, F]. probes: of the same table by the same model; None without probes.
    """

    vectors: np.ndarray
    signals: np.ndarray
    probes: Probes | None = None


class World(NamedTuple):
    """A table with known errors, described by one or more task models.

    views: descriptions of the same rows. truth: bool[N, 3], in the order of ERROR_TYPES.
    facts: f32[T], see `table_facts`.
    table: name of the table from which the world was made; worlds of one table are held out together.
    """

    views: tuple[View, ...]
    truth: np.ndarray
    facts: np.ndarray
    table: str


@flax.struct.dataclass
class Interventions:
    """Interventions that leave the true error types unchanged, so that the networks learn what is invariant.

    mask_validation: each row is described by two random subsets of its validation samples.
    swap_models: the two views come from different task models (architecture, seed, length of training), and the class
      means of their embeddings are aligned.
    change_rates: rows are resampled so that the shares of the error types change.
    """

    mask_validation: bool = flax.struct.field(pytree_node=False, default=True)
    swap_models: bool = flax.struct.field(pytree_node=False, default=True)
    change_rates: bool = flax.struct.field(pytree_node=False, default=True)


class Batch(NamedTuple):
    """Two views of R rows of each of W worlds.

    vectors: f16[2, W, R, S, C]. mask: bool[2, W, S], validation samples that are present.
    signals: f32[2, W, R, 2F]. context: leaves with leading axes [2, W]. truth: f32[W, R, 3].
    """

    vectors: np.ndarray
    mask: np.ndarray
    signals: np.ndarray
    context: ContextInputs
    truth: np.ndarray


class _Variant(NamedTuple):
    """Rows of a world with one mix of error rates, and normal scores of signals among these rows.

    rows: i[n]. scores: f16[n, F] per view, of the rows. of_probes: f16[P, F] per view, of its probes; P = 0 without
      probes. Half precision saves memory; the noise of a world is larger than its rounding.
    """

    rows: np.ndarray
    scores: list[np.ndarray]
    of_probes: list[np.ndarray]


class ExampleSampler:
    """Draws batches of training worlds under the interventions.

    Args:
      rng: source of randomness.
      worlds: the training worlds.
      mean, scale: f32[F], standardisation of the signals.
      interventions: which of them to apply.
      num_worlds, num_rows, set_size, num_context, num_probes: W, R, S, K and P of a batch.
      num_variants: mixes of error rates per world under `change_rates`, the world's own included.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        worlds: list[World],
        mean: np.ndarray,
        scale: np.ndarray,
        interventions: Interventions,
        *,
        num_worlds: int = 24,
        num_rows: int = 32,
        set_size: int = 32,
        num_context: int = 256,
        num_probes: int = 64,
        num_variants: int = 3,
    ):
        self.rng, self.worlds, self.interventions = rng, worlds, interventions
        self.num_worlds, self.num_rows, self.set_size = num_worlds, num_rows, set_size
        self.num_context, self.num_probes = num_context, num_probes
        count = num_variants if interventions.change_rates else 1
        self.mean, self.scale = mean, scale
        self.variants = [[self._variant(world, natural=v == 0) for v in range(count)] for world in worlds]
        _, inverse, sizes = np.unique([w.table for w in worlds], return_inverse=True, return_counts=True)
        weight = 1 / np.sqrt(sizes[inverse])  # a table with many worlds counts more, but less than in proportion
        self.weight = weight / weight.sum()

    def draw(self) -> Batch:
        """Draws one batch."""
        picked = self.rng.choice(len(self.worlds), self.num_worlds, p=self.weight)
        worlds = [self._world(index) for index in picked]
        stacked = jax.tree.map(
            lambda *parts: np.stack(parts, axis=1), *(world._replace(truth=None) for world in worlds)
        )
        return stacked._replace(truth=np.stack([world.truth for world in worlds]))

    def _world(self, index: int) -> Batch:
        """Two views of random rows of one world: a Batch without the axis W."""
        world, rng = self.worlds[index], self.rng
        variant = self.variants[index][rng.integers(len(self.variants[index]))]
        picked = rng.choice(len(variant.rows), self.num_rows, replace=len(variant.rows) < self.num_rows)
        rows = variant.rows[picked]
        first = rng.integers(len(world.views))
        second = rng.integers(len(world.views)) if self.interventions.swap_models else first
        vectors, masks, signals, contexts = [], [], [], []
        context_rows = rng.integers(len(variant.rows), size=self.num_context)
        probes = self._probes(world.views[first].probes)
        for view in (first, second):
            described = world.views[view]
            columns, mask = self._validation_subset(described.vectors.shape[1])
            vectors.append(described.vectors[rows[:, None], columns])
            masks.append(mask)
            level = rng.normal(0, _LEVEL_NOISE).astype(np.float32)
            signals.append(self._inputs(described.signals[rows], variant.scores[view][picked]) + level)
            of_rows = (
                self._inputs(described.signals[variant.rows[context_rows]], variant.scores[view][context_rows]) + level
            )
            if probes is not None and described.probes is not None:
                known, scores = described.probes.signals, variant.of_probes[view]
                of_probes = {kind: self._inputs(known[i], scores[i]) + level for kind, i in probes.items()}
            else:
                of_probes = dict.fromkeys(PROBED_TYPES, np.zeros((self.num_probes, of_rows.shape[1]), np.float32))
            contexts.append(
                ContextInputs(
                    rows=of_rows,
                    label_probes=of_probes[LABEL_ERROR],
                    feature_probes=of_probes[FEATURE_ERROR],
                    has_probes=np.float32(probes is not None and described.probes is not None),
                    facts=world.facts,
                )
            )
        return Batch(
            vectors=np.stack(vectors),
            mask=np.stack(masks),
            signals=np.stack(signals),
            context=jax.tree.map(lambda *parts: np.stack(parts), *contexts),
            truth=world.truth[rows].astype(np.float32),
        )

    def _inputs(self, signals: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """f32[n, 2F], see `with_scores`."""
        return with_scores(signals, self.mean, self.scale, scores)

    def _probes(self, probes: Probes | None) -> dict[ErrorType, np.ndarray] | None:
        """Numbers i[P] of random probes of each probed type; None without probes.

        A tenth of the draws go without probes, so that the networks learn to do without them.
        """
        if probes is None or self.rng.random() < _SHARE_WITHOUT_PROBES:
            return None
        return {error_type: self.rng.choice(probes.rows_of(error_type), self.num_probes) for error_type in PROBED_TYPES}

    def _validation_subset(self, available: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers i[S] of validation samples, and bool[S], which are present; without the intervention the first S."""
        if not self.interventions.mask_validation:
            columns = np.arange(self.set_size) % available
            return columns, np.arange(self.set_size) < available
        columns = np.resize(self.rng.permutation(available), self.set_size)
        most = min(available, self.set_size)
        kept = self.rng.integers(max(1, min(16, most)), most + 1)
        return columns, np.arange(self.set_size) < kept

    def _variant(self, world: World, *, natural: bool) -> _Variant:
        """The rows of a world, or with natural=False a random subset with other error rates."""
        rows = np.arange(len(world.truth))
        if not natural:
            keep = np.exp(self.rng.normal(0, 1.0, world.truth.shape[1]))
            chance = np.where(world.truth, keep, 1.0).prod(axis=1)
            rows = rows[self.rng.random(len(rows)) < chance / chance.max()]
            if len(rows) < _MIN_ROWS:
                rows = np.arange(len(world.truth))
        scores, of_probes = [], []
        for view in world.views:
            of_rows = view.signals[rows]
            among = np.sort(of_rows, axis=0)
            scores.append(normal_scores(of_rows, among).astype(np.float16))
            of_view = view.signals[:0] if view.probes is None else view.probes.signals
            of_probes.append(normal_scores(of_view, among).astype(np.float16))
        return _Variant(rows, scores, of_probes)
