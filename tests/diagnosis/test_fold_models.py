"""Fold models: padded validation samples and padded classes leave no trace in what they return."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from demix_jax.diagnosis.fold_models import NetworkFolds
from demix_jax.models import MLP, TaskModel


@pytest.fixture(scope="module")
def models():
    """Two folds of an untrained network with four outputs, of which three are classes; 40 samples."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32)
    model = TaskModel(MLP((5,), 4), "classification")
    keys = jax.random.split(jax.random.key(0), 2)
    params = jax.vmap(lambda key: model.init(key, {"x": x[0]}))(keys)
    return NetworkFolds(model=model, params=params, x=x, y=y, valid_loss=np.zeros(2), num_outputs=3)


def test_padded_classes_are_cut_off(models):
    rows = np.array([3, 1, 4])
    every = dataclasses.replace(models, num_outputs=None).outputs(1, rows)
    assert every.shape == (3, 4)
    np.testing.assert_array_equal(models.outputs(1, rows), every[:, :3])


def test_influence_is_minus_the_cosine_of_the_gradients(models):
    """Five validation samples are padded to 64; no padding may be returned."""
    rows, valid = np.arange(10), np.array([30, 12, 39, 7, 8])
    params = jax.tree.map(lambda leaf: leaf[1], models.params)

    def gradients(samples):
        of_each = [jax.grad(models.model.loss)(params, {"x": models.x[i], "y": models.y[i]}) for i in samples]
        return np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(one)]) for one in of_each])

    of_rows, of_valid = gradients(rows), gradients(valid)
    lengths = np.linalg.norm(of_rows, axis=1)
    want = -(of_rows / lengths[:, None]) @ (of_valid / np.linalg.norm(of_valid, axis=1)[:, None]).T
    got, got_lengths = models.influence(1, rows, valid)
    np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_allclose(got_lengths, lengths, rtol=1e-4)
