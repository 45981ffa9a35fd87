"""Worlds made of random numbers in which each error type leaves a plain trace, to train tiny classifiers on."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from demix_jax.classifier import (
    ErrorClassifier,
    NetworkConfig,
    Probes,
    TrainingOptions,
    View,
    World,
    fit_classifier,
    table_facts,
)
from demix_jax.classifier.inputs import signal_inputs
from demix_jax.classifier.model import ContextInputs, ErrorNetwork
from demix_jax.classifier.schema import CHANNELS, FEATURE_SIGNALS, LABEL_SIGNALS, SHORTCUT_SIGNALS, SIGNALS
from demix_jax.common.target import ClassTarget

TINY = NetworkConfig(width=8, num_points=3, num_seeds=1, hidden=16)
# Signals that tell each type, and by how many spreads.
_TRACES = ((LABEL_SIGNALS, -1.5), (FEATURE_SIGNALS, 1.5), (SHORTCUT_SIGNALS, -1.0))

_NUM_PROBES = 60


def fabricated_world(seed: int, *, table: str | None = None, num_rows: int = 200, set_size: int = 20) -> World:
    """Two views of random rows, whose signals are shifted as in _TRACES where a row has an error of that type."""
    rng = np.random.default_rng(seed)
    truth = rng.random((num_rows, 3)) < rng.uniform(0.1, 0.3, 3)
    views = []
    known = np.arange(_NUM_PROBES)[:, None] % 2 == np.arange(3)
    for _ in range(2):
        of_rows, of_probes = (_described(rng, errors, set_size) for errors in (truth, known))
        views.append(View(*of_rows, Probes(*of_probes, known)))
    facts = table_facts(num_rows, 5, ClassTarget((0, 1)))
    return World(tuple(views), truth, facts, table or f"table {seed}")


def _described(rng: np.random.Generator, truth: np.ndarray, set_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and signals of rows with these errors."""
    vectors = rng.normal(0, 0.3, (len(truth), set_size, len(CHANNELS)))
    vectors[..., 0] += 0.5 * truth[:, :1]
    signals = rng.normal(size=(len(truth), len(SIGNALS)))
    for t, (names, shift) in enumerate(_TRACES):
        signals[:, np.isin(SIGNALS, names)] += shift * truth[:, t : t + 1]
    return vectors.astype(np.float16), signals.astype(np.float32)


def tiny_classifier(*, seed: int = 0, num_steps: int = 60, **options) -> ErrorClassifier:
    """A classifier trained for a moment on fabricated worlds of four tables."""
    worlds = [fabricated_world(s) for s in range(4)]
    chosen = TrainingOptions(num_members=2, num_steps=num_steps, learning_rate=1e-2)
    return fit_classifier(worlds, seed=seed, config=TINY, options=chosen, **options)


def untrained_classifier() -> ErrorClassifier:
    """A classifier of random weights, steep enough that it flags some rows and not others."""
    world = fabricated_world(0)
    vectors, signals, _ = world.views[0]
    mean, scale = signals.mean(axis=0), signals.std(axis=0)
    both = signal_inputs(signals, mean, scale)
    mask = np.ones(vectors.shape[:2], bool)
    network = ErrorNetwork(TINY)
    context = ContextInputs(
        rows=both, label_probes=both, feature_probes=both, has_probes=np.float32(1), facts=world.facts
    )
    params = jax.jit(network.init)(jax.random.key(0), vectors.astype(np.float32), mask, both, context)
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    single = ErrorClassifier.uncalibrated(TINY, params, mean, scale, {"tables": ["table 0"]})
    steep = single.calibration._replace(slopes=8 * single.calibration.slopes)
    return dataclasses.replace(single, calibration=steep)
