"""Task models: forward passes by hand in NumPy, losses by SciPy, training against linear models."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from demix_jax.common.checks import InputError
from demix_jax.models import MLP, FTTransformer, TaskModel, make_task_model, ranking_error, train_task_model
from demix_jax.models.losses import softmax_cross_entropy
from demix_jax.models.training import _train_folds


def dense(x, params):
    return x @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"], np.float64)


def layer_norm(x, params):
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-6)
    return scaled * np.asarray(params["scale"], np.float64) + np.asarray(params["bias"], np.float64)


def attention(tokens, params):
    """Self-attention of tokens f[T, W], one head after the other."""
    parts = {name: np.asarray(params[name]["kernel"], np.float64) for name in ("query", "key", "value", "out")}
    shift = {name: np.asarray(params[name]["bias"], np.float64) for name in parts}
    result = np.broadcast_to(shift["out"], tokens.shape).copy()
    for head in range(parts["query"].shape[1]):
        q, k, v = (tokens @ parts[name][:, head] + shift[name][head] for name in ("query", "key", "value"))
        result += softmax(q @ k.T / np.sqrt(q.shape[1]), axis=1) @ v @ parts["out"][head]
    return result


def scrambled(params, seed=0):
    """Parameters without zeros and ones, so that no bias or scale goes untested."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32), params)


def test_mlp_forward_by_hand():
    network = MLP(widths=(5, 4), num_outputs=3)
    x = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    params = scrambled(jax.jit(network.init)(jax.random.key(0), x))
    layers = [params["params"][f"Dense_{i}"] for i in range(3)]
    hidden = np.maximum(dense(np.maximum(dense(x, layers[0]), 0), layers[1]), 0)
    np.testing.assert_allclose(np.asarray(network.apply(params, x)), dense(hidden, layers[2]), rtol=1e-4, atol=1e-5)


def test_ft_transformer_forward_by_hand():
    groups = ((0, 1), (1, 4), (4, 5))
    network = FTTransformer(groups=groups, num_outputs=2, width=8, num_heads=2, num_blocks=2)
    x = np.random.default_rng(0).normal(size=(5,)).astype(np.float32)
    params = scrambled(jax.jit(network.init)(jax.random.key(0), x))
    p = params["params"]
    kernel, bias = (np.asarray(p["Tokenizer_0"][name], np.float64) for name in ("kernel", "bias"))
    tokens = [x[a:b] @ kernel[a:b] + bias[i] for i, (a, b) in enumerate(groups)]
    tokens = np.stack([*tokens, np.asarray(p["summary_token"], np.float64)])
    for block in range(2):
        tokens = tokens + attention(
            layer_norm(tokens, p[f"LayerNorm_{2 * block}"]), p[f"MultiHeadDotProductAttention_{block}"]
        )
        hidden = dense(layer_norm(tokens, p[f"LayerNorm_{2 * block + 1}"]), p[f"Dense_{2 * block}"])
        tokens = tokens + dense(np.maximum(hidden, 0), p[f"Dense_{2 * block + 1}"])
    want = dense(np.maximum(layer_norm(tokens[-1], p["LayerNorm_4"]), 0), p["Dense_4"])
    got = jax.jit(network.apply)(params, np.stack([x, x[::-1]]))
    np.testing.assert_allclose(got[0], want, rtol=1e-3, atol=1e-4)


def test_classification_loss_is_softmax_cross_entropy():
    model = TaskModel(MLP((4,), 3), "classification")
    params = scrambled(jax.jit(model.init)(jax.random.key(0), {"x": np.zeros(2)}))
    x = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    y = np.array([0, 2, 1, 1, 0], np.int32)
    logits = np.asarray(model.apply(params, x), np.float64)
    want = -log_softmax(logits, axis=1)[np.arange(5), y]
    got = [model.loss(params, {"x": x[i], "y": y[i]}) for i in range(5)]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_classification_loss_keeps_the_gradient_of_a_sure_sample():
    for logits in ([20.0, -3.0], [-1.0, 18.0, 4.0, 2.0], [0.3, -0.2, 0.1], [200.0, -100.0], [-90.0, 30.0]):
        for label in range(len(logits)):
            exact = np.exp(np.array(logits) - max(logits))
            exact /= exact.sum()
            exact[label] = -np.delete(exact, label).sum()
            got = jax.grad(softmax_cross_entropy)(jnp.array(logits, jnp.float32), jnp.int32(label))
            np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-37)


def test_regression_loss_is_half_the_squared_error():
    model = TaskModel(MLP((4,), 1), "regression")
    params = scrambled(jax.jit(model.init)(jax.random.key(0), {"x": np.zeros(2)}))
    x = np.array([0.3, -1.0], np.float32)
    (prediction,) = model.apply(params, x)
    loss, slope = jax.value_and_grad(lambda y: model.loss(params, {"x": x, "y": y}))(jnp.float32(0.7))
    assert loss == pytest.approx(0.5 * (float(prediction) - 0.7) ** 2, rel=1e-5)
    assert slope == pytest.approx(0.7 - float(prediction), rel=1e-5)


class Encoded(NamedTuple):
    """What a task model must know of a table."""

    task: str
    num_classes: int
    groups: tuple[tuple[int, int], ...]


def test_models_by_name():
    dataset = Encoded("classification", 3, ((0, 2), (2, 3)))
    assert make_task_model("mlp", dataset).network == MLP((256, 128, 64), 3)
    assert make_task_model("mlp-small", dataset).network == MLP((64, 32), 3)
    assert make_task_model("ft-transformer", dataset).network == FTTransformer(((0, 2), (2, 3)), 3)
    assert make_task_model("mlp", dataset) is make_task_model("mlp", dataset), "compiled code would not be reused"
    with pytest.raises(InputError, match="'resnet' is not known; choose one of mlp, mlp-small, ft-transformer"):
        make_task_model("resnet", dataset)


MODEL = TaskModel(MLP((32,), 2), "classification")
ROWS = np.arange(600, dtype=np.int32)
TRAIN, VALID, TEST = np.stack([ROWS[:300], ROWS[100:400]]), np.stack([ROWS[300:400], ROWS[:100]]), ROWS[400:]


@pytest.fixture(scope="module")
def circle():
    """Two classes, inside and outside of a circle: no line tells them apart."""
    x = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
    return x, (np.square(x).sum(axis=1) > 1.4).astype(np.int32)


def train(x, y, train_rows=TRAIN, valid_rows=VALID, *, seed=0, model=MODEL, **options):
    arrays = jax.tree.map(jnp.asarray, ({"x": x, "y": y}, train_rows, valid_rows))
    return train_task_model(jax.random.key(seed), model, *arrays, batch_size=32, **options)


@pytest.fixture(scope="module")
def trained(circle):
    return train(*circle)


def fold(result, f):
    return jax.tree.map(lambda leaf: leaf[f], result.params)


def test_training_learns_what_a_linear_model_cannot(circle, trained):
    x, y = circle
    linear = LogisticRegression().fit(x[:300], y[:300]).score(x[TEST], y[TEST])
    assert linear < 0.75
    for f in range(2):
        accuracy = np.mean(np.argmax(MODEL.apply(fold(trained, f), x[TEST]), axis=1) == y[TEST])
        assert accuracy > 0.93


def test_validation_loss_is_that_of_the_parameters_returned(circle, trained):
    x, y = circle
    for f in range(2):
        logits = np.asarray(MODEL.apply(fold(trained, f), x[VALID[f]]), np.float64)
        want = -log_softmax(logits, axis=1)[np.arange(100), y[VALID[f]]].mean()
        assert float(trained.valid_loss[f]) == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("ties", [False, True])
def test_ranking_error_is_that_of_sklearn(ties):
    rng = np.random.default_rng(0)
    outputs, y, weights = rng.normal(size=(200, 2)), rng.integers(0, 2, 200), rng.uniform(size=200)
    outputs = np.round(outputs, 0 if ties else 9).astype(np.float32)
    losses = jnp.zeros(200)
    got = ranking_error(jnp.asarray(outputs), losses, jnp.asarray(y), jnp.asarray(weights))
    want = 1 - roc_auc_score(y, outputs[:, 1] - outputs[:, 0], sample_weight=weights)
    assert float(got) == pytest.approx(want, abs=1e-5)
    assert float(ranking_error(jnp.asarray(outputs), losses, jnp.ones(200, int), jnp.asarray(weights))) == 0.5


def test_training_stops_by_what_it_is_told(circle):
    """Of the epochs up to the stop, none ranks the validation samples better than the one whose parameters return."""
    x, y = circle
    rows = TRAIN[:1], VALID[:1]
    noisy = np.where(np.random.default_rng(1).random(600) < 0.25, 1 - y, y)

    def error(epochs):
        result = train(x, noisy, *rows, stop_by=ranking_error, max_epochs=epochs)
        logits = np.asarray(MODEL.apply(fold(result, 0), x[VALID[0]]))
        return 1 - roc_auc_score(noisy[VALID[0]], logits[:, 1] - logits[:, 0]), int(result.epochs[0])

    errors = [error(epochs)[0] for epochs in range(1, 9)]
    assert (np.diff(errors) <= 1e-7).all() and errors[-1] < errors[0]
    by_loss = train(x, noisy, *rows, max_epochs=8)
    logits = np.asarray(MODEL.apply(fold(by_loss, 0), x[VALID[0]]))
    assert 1 - roc_auc_score(noisy[VALID[0]], logits[:, 1] - logits[:, 0]) >= errors[-1] - 1e-7


def test_equal_keys_give_equal_parameters_and_folds_differ(circle, trained):
    again = train(*circle)
    chex.assert_trees_all_equal(trained, again)
    kernels = np.asarray(trained.params["params"]["Dense_0"]["kernel"])
    assert (kernels[0] != kernels[1]).any()
    other = train(*circle, seed=1)
    assert (kernels != np.asarray(other.params["params"]["Dense_0"]["kernel"])).any()


def test_tables_of_similar_size_share_a_program(circle, trained):
    x, y = circle
    before = _train_folds._cache_size()  # pyright: ignore[reportAttributeAccessIssue]
    again = train(x[:590], y[:590], TRAIN[:, :295], VALID[:, :90], max_epochs=2)
    assert _train_folds._cache_size() == before  # pyright: ignore[reportAttributeAccessIssue]
    chex.assert_trees_all_equal_shapes(again, trained)


def test_training_stops_early_where_nothing_can_be_learned(circle):
    x, _ = circle
    noise = np.random.default_rng(1).integers(0, 2, 600).astype(np.int32)
    result = train(x, noise)
    assert (np.asarray(result.epochs) < 40).all()


def test_rows_of_weight_zero_teach_nothing(circle):
    x, y = circle
    lied = y.copy()
    lied[50:300] = 1 - lied[50:300]
    weights = np.where((ROWS >= 50) & (ROWS < 300), 0.0, 1.0).astype(np.float32)
    rows = np.stack([TRAIN[0]] * 2), np.stack([VALID[0]] * 2)
    weighted = train(x, lied, *rows, weights=jnp.asarray(weights))
    misled = train(x, lied, *rows)
    right, wrong = (
        np.mean(np.argmax(MODEL.apply(fold(result, 0), x[TEST]), axis=1) == y[TEST]) for result in (weighted, misled)
    )
    assert right > 0.8 and wrong < 0.6


def test_regression_beats_a_line():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (600, 1)).astype(np.float32)
    y = (np.sin(2 * x[:, 0]) + 0.1 * rng.normal(size=600)).astype(np.float32)
    model = TaskModel(MLP((32,), 1), "regression")
    result = train(x, y, TRAIN[:1], VALID[:1], model=model, learning_rate=1e-2)
    error = np.mean(np.square(np.asarray(model.apply(fold(result, 0), x[TEST]))[:, 0] - y[TEST]))
    linear = LinearRegression().fit(x[:300], y[:300])
    assert error < 0.5 * np.mean(np.square(linear.predict(x[TEST]) - y[TEST]))
