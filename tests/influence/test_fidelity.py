"""Retraining and the scores from it, against closed forms, scipy and hand-made cases."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from demix_jax import InputError, influence_matrix
from demix_jax.curvature import GaussNewton, Identity
from demix_jax.influence import fidelity

PENALTY = 0.1


def squared_error(params, example):
    return 0.5 * jnp.square(example["x"] @ params["w"] - example["y"])


def ridge_fit(key, train, weights):
    """The exact minimiser of Σ w ℓ / N + PENALTY/2 ‖w‖²."""
    del key
    x, num = train["x"], train["x"].shape[0]
    hessian = (x.T * weights[None, :]) @ x / num + PENALTY * jnp.eye(x.shape[1])
    return {"w": jnp.linalg.solve(hessian, x.T @ (weights * train["y"]) / num)}


def noisy_ridge_fit(key, train, weights):
    params = ridge_fit(key, train, weights)
    return {"w": params["w"] + 0.01 * jax.random.normal(key, params["w"].shape)}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5, 0.0]) + rng.normal(size=60)).astype(np.float32)
    return {"x": x[:50], "y": y[:50]}, {"x": x[50:], "y": y[50:]}


@pytest.fixture(scope="module")
def subsets(data):
    return fidelity.retrain_on_subsets(
        jax.random.key(1), ridge_fit, squared_error, *data, num_subsets=24, fraction=0.8, at_once=7
    )


def ridge_influence(data, curvature):
    train, valid = data
    params = ridge_fit(None, train, jnp.ones(50))
    return np.asarray(influence_matrix(squared_error, params, train, valid, curvature=curvature))


def test_leave_one_out_is_a_loop_of_trainings(data):
    train, valid = data
    got = fidelity.retrain_without_each(
        jax.random.key(0), ridge_fit, squared_error, train, valid, rows=[3, 0, 49], at_once=2
    )
    x, y = train["x"].astype(np.float64), train["y"].astype(np.float64)

    def losses(keep):
        w = np.linalg.solve(x[keep].T @ x[keep] / 50 + PENALTY * np.eye(4), x[keep].T @ y[keep] / 50)
        return 0.5 * (valid["x"] @ w - valid["y"]) ** 2

    want = np.stack([losses(np.delete(np.arange(50), row)) - losses(np.arange(50)) for row in (3, 0, 49)])
    np.testing.assert_allclose(got.changes(), want, atol=2e-6)
    full = np.linalg.solve(x.T @ x / 50 + PENALTY * np.eye(4), x.T @ y / 50)
    np.testing.assert_allclose(got.full_params["w"], full[None], rtol=1e-4)


def test_influence_predicts_leave_one_out(data):
    retrained = fidelity.retrain_without_each(jax.random.key(0), ridge_fit, squared_error, *data)
    influence = ridge_influence(data, GaussNewton(damping=PENALTY))
    predicted, actual = retrained.predicted_changes(influence), retrained.changes()
    np.testing.assert_allclose(predicted, -influence / 50, rtol=1e-5, atol=1e-9)
    assert np.corrcoef(predicted.ravel(), actual.ravel())[0, 1] > 0.99
    slope = np.polyfit(predicted.ravel(), actual.ravel(), 1)[0]
    assert 0.9 < slope < 1.2  # leaving out does slightly more than its first-order prediction


def test_subsets_are_of_one_size_and_weighed_to_their_mean(subsets):
    chex.assert_shape([subsets.weights, subsets.losses], [(24, 50), (1, 24, 10)])
    assert ((subsets.weights > 0).sum(axis=1) == 40).all()
    np.testing.assert_allclose(subsets.weights.sum(axis=1), 50, rtol=1e-6)
    assert len({row.tobytes() for row in subsets.weights}) == 24


def spearman(left, right) -> float:
    return float(np.asarray(scipy.stats.spearmanr(left, right))[0])


def test_score_is_scipys_spearman_of_subset_sums(data, subsets):
    influence = ridge_influence(data, Identity())
    got = fidelity.linear_datamodelling_score(subsets, influence)
    member = subsets.weights > 0
    for j in range(10):
        sums = [influence[rows, j].sum(dtype=np.float64) for rows in member]
        want = spearman(sums, subsets.losses[0, :, j])
        assert abs(got[j] - want) < 1e-3  # rounding may swap two nearly equal sums


def test_rank_correlation_shares_ranks_of_ties():
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 4, (2, 30, 5)).astype(float)
    want = [spearman(left[:, j], right[:, j]) for j in range(5)]
    np.testing.assert_allclose(fidelity._rank_correlation(left, right), want, atol=1e-12)
    np.testing.assert_array_equal(fidelity._rank_correlation(left, np.ones_like(right)), 0.0)


def test_the_right_curvature_scores_best_and_the_sign_counts(data, subsets):
    exact = ridge_influence(data, GaussNewton(damping=PENALTY))
    rng = np.random.default_rng(0)
    scores = fidelity.compare_influences(
        subsets, {"noise": rng.normal(size=exact.shape), "exact": exact, "turned": -exact}, num_resamples=20
    )
    assert scores.names == ("exact", "noise", "turned")
    assert scores.lds[0] > 0.9
    np.testing.assert_allclose(scores.lds[2], -scores.lds[0], atol=1e-6)
    assert (scores.low < scores.high).all()
    assert scores.by_name()["turned"] == {"lds": scores.lds[2], "low": scores.low[2], "high": scores.high[2]}
    figure = fidelity.plot_comparison(scores, title="ridge")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["turned", "noise", "exact"]


def test_seeds_give_a_ceiling(data):
    retrained = fidelity.retrain_on_subsets(
        jax.random.key(0), noisy_ridge_fit, squared_error, *data, num_subsets=12, num_seeds=2
    )
    chex.assert_shape(retrained.losses, (2, 12, 10))
    assert not np.array_equal(retrained.losses[0], retrained.losses[1])
    scores = fidelity.compare_influences(retrained, {}, num_resamples=10)
    assert scores.names == (fidelity.CEILING,) and scores.lds[0] > 0.8


def test_adam_reaches_the_optimum(data):
    train, _ = data
    fit = fidelity.AdamFit(
        squared_error, lambda key: {"w": jax.random.normal(key, (4,))}, steps=800, learning_rate=0.05, penalty=PENALTY
    )
    weights = jnp.linspace(0.0, 2.0, 50)
    want = ridge_fit(None, train, weights)["w"]
    np.testing.assert_allclose(fit(jax.random.key(0), train, weights)["w"], want, atol=1e-4)
    batched = fidelity.AdamFit(fit.loss, fit.init, steps=800, learning_rate=0.05, batch_size=25, penalty=PENALTY)
    np.testing.assert_allclose(batched(jax.random.key(0), train, weights)["w"], want, atol=0.1)


def diverging_fit(key, train, weights):
    return {"w": ridge_fit(key, train, weights)["w"] * jnp.inf}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(fidelity.retrain_on_subsets, fraction=1.0), "fraction is 1.0 of 50"),
        (partial(fidelity.retrain_on_subsets, fraction=0.0), "fraction is 0.0"),
        (partial(fidelity.retrain_on_subsets, num_subsets=2), "num_subsets is 2"),
        (partial(fidelity.retrain_on_subsets, num_seeds=0), "num_seeds is 0"),
        (partial(fidelity.retrain_without_each, rows=[50]), "from 0 to 49"),
        (partial(fidelity.retrain_without_each, rows=[]), "from 0 to 49"),
    ],
)
def test_bad_options_are_refused(data, call, message):
    with pytest.raises(InputError, match=message):
        call(jax.random.key(0), ridge_fit, squared_error, *data)


def test_divergence_and_wrong_shapes_are_refused(data, subsets):
    with pytest.raises(InputError, match="diverged"):
        fidelity.retrain_without_each(jax.random.key(0), diverging_fit, squared_error, *data, rows=[0])
    with pytest.raises(InputError, match=r"shape \(10, 50\)"):
        fidelity.linear_datamodelling_score(subsets, np.zeros((10, 50)))
