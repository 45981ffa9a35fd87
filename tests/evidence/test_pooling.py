"""Pools of two predictions: the weights, checked against a search and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from demix_jax.common.target import ClassTarget, RegressionTarget
from demix_jax.evidence.pooling import Pool

THREE = ClassTarget((0, 1, 2))


def opinions(num_rows=2_000, scales=(1.0, 1.0), seed=0):
    """Labels drawn from softmax(u + v), and two models of which one knows u and the other v, times a scale."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, num_rows, 3)) * 1.5
    y = np.array([rng.choice(3, p=p) for p in softmax(u + v, axis=1)])
    return y, softmax(scales[0] * u, axis=1), softmax(scales[1] * v, axis=1)


def test_a_pool_is_a_weighted_geometric_mean():
    first, second = np.array([[0.5, 0.25, 0.25]]), np.array([[0.25, 0.5, 0.25]])
    np.testing.assert_allclose(
        Pool(0.5, 0.5)(first, second, THREE), [[np.sqrt(2), np.sqrt(2), 1]] / (1 + 2 * np.sqrt(2))
    )
    np.testing.assert_allclose(Pool(1.0, 0.0)(first, second, THREE), first)
    np.testing.assert_allclose(Pool(2.0, 0.0)(first, second, THREE), [[4 / 6, 1 / 6, 1 / 6]])


def test_weights_are_those_that_made_the_labels():
    """The label follows softmax(u + v); models that overstate u by 2 and understate v by 2 have weights ½ and 2."""
    pool = Pool.fit(*opinions(scales=(2.0, 0.5)), THREE)
    np.testing.assert_allclose(pool, (0.5, 2.0), rtol=0.15)


def test_weights_have_the_least_loss_of_a_search():
    y, first, second = opinions(400, seed=3)
    rows, steps = np.arange(400), np.linspace(0, 2, 41)
    losses = {(a, b): -np.log(Pool(a, b)(first, second, THREE)[rows, y]).sum() for a in steps for b in steps}
    best = min(losses, key=lambda weights: losses[weights])
    np.testing.assert_allclose(Pool.fit(y, first, second, THREE), best, atol=0.08)


def test_a_model_that_knows_nothing_has_no_weight():
    y, first, _ = opinions()
    noise = softmax(np.random.default_rng(9).normal(size=first.shape), axis=1)
    pool = Pool.fit(y, first, noise, THREE)
    assert pool.second < 0.1 < pool.first


def test_few_rows_leave_the_weights_near_one_half():
    y, first, second = opinions(2)
    np.testing.assert_allclose(Pool.fit(y, first, second, THREE), (0.5, 0.5), atol=0.25)


def test_impossible_classes_are_pooled_without_infinite_numbers():
    first = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    pool = Pool.fit(np.array([1, 1]), first, first, THREE)
    assert np.isfinite(pool(first, first, THREE)).all()


def test_a_target_has_the_share_of_least_absolute_error():
    """By hand: y = 0.25 f + 0.75 s."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 500, 1))
    y = (0.25 * first + 0.75 * second)[:, 0]
    pool = Pool.fit(y, first, second, RegressionTarget())
    np.testing.assert_allclose(pool, (0.25, 0.75), atol=1e-9)
    np.testing.assert_allclose(pool(first, second, RegressionTarget())[:, 0], y, atol=1e-6)
