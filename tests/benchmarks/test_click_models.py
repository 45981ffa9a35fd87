"""DIN and DIEN against plain NumPy, and their gradients against gradients in full."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from demix_jax import InputError, factored_gradients, influence_matrix
from demix_jax.domains.recommendation.networks import make_click_model
from demix_jax.gradients.factored import RowGradients

USERS, ITEMS, CATEGORIES, LENGTH, SIDE = 9, 200, 5, 24, 7


def batch_of(rng, num):
    length = rng.integers(1, LENGTH + 1, num)
    present = np.arange(LENGTH)[::-1] < length[:, None]
    history = np.where(present, rng.integers(1, ITEMS + 1, (num, LENGTH)), 0)
    category = np.concatenate([[0], rng.integers(1, CATEGORIES + 1, ITEMS)])
    item = rng.integers(1, ITEMS + 1, num)
    x = {"user": rng.integers(0, USERS + 1, num), "item": item, "category": category[item], "history": history,
         "history_category": category[history], "side": rng.normal(size=(num, SIDE))}  # fmt: skip
    x = {name: leaf.astype(np.float32 if name == "side" else np.int32) for name, leaf in x.items()}
    return {"x": x, "y": rng.integers(0, 2, num).astype(np.int32)}


@pytest.fixture(scope="module", params=["din", "dien"])
def problem(request):
    rng = np.random.default_rng(0)
    model = make_click_model(request.param, USERS, ITEMS, CATEGORIES)
    batch = batch_of(rng, 11)
    params = model.init(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], batch))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params)
    return model, params, batch


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def dense(params, x):
    return x @ params["kernel"] + params.get("bias", 0.0)


def run_gru(params, inputs, scale):
    """States after each step of an attentional GRU, one gate at a time."""
    hidden = params["proposal"].shape[0]
    state, states = np.zeros(hidden), []
    for now, share in zip(dense(params["Dense_0"], inputs), scale, strict=True):
        reset, update = np.split(1 / (1 + np.exp(-(now[: 2 * hidden] + state @ params["gates"]))), 2)
        proposed = np.tanh(now[2 * hidden :] + (reset * state) @ params["proposal"])
        state = state + share * update * (proposed - state)
        states.append(state)
    return np.array(states)


def by_hand(name, params, x):
    """Logits of one sample with the padding cut off beforehand."""
    tables = params["ItemEmbedding_0"]
    embed = lambda item, category: np.concatenate([tables["item"][item], tables["category"][category]], -1)  # noqa: E731
    candidate = embed(x["item"], x["category"])
    seen = x["history"] > 0
    if name == "dien":
        seen[:-20] = False
    clicks = embed(x["history"][seen], x["history_category"][seen])
    if name == "din":
        back = np.arange(len(clicks), 0, -1)[:, None]
        pairs = np.concatenate([clicks, candidate * clicks, 1 / back, np.log(back) / 5], axis=1)
        hidden = silu(dense(params["Dense_0"], pairs) + dense(params["Dense_1"], candidate))
        interest = softmax(dense(params["Dense_2"], hidden)[:, 0]) @ clicks
    else:
        states = run_gru(params["GRU_0"], clicks, np.ones(len(clicks)))
        weight = softmax(states @ dense(params["Dense_0"], candidate))
        interest = run_gru(params["GRU_1"], states, weight)[-1]
    head = params["_Head_0"]
    both = [candidate * interest] if len(candidate) == len(interest) else []
    hidden = np.concatenate([head["user"][x["user"]], candidate, interest, *both, x["side"]])
    for layer in ("Dense_0", "Dense_1"):
        hidden = silu(dense(head[layer], hidden))
    return dense(head["Dense_2"], hidden)


def test_networks_compute_what_numpy_does(problem):
    model, params, batch = problem
    name = "din" if "GRU_0" not in params["params"] else "dien"
    got = jax.vmap(model.apply, in_axes=(None, 0))(params, batch["x"])
    plain = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    want = [by_hand(name, plain, jax.tree.map(lambda leaf, i=i: leaf[i], batch["x"])) for i in range(len(got))]
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)


def test_gradients_are_exact_and_tables_stay_sparse(problem):
    model, params, batch = problem
    gradients = factored_gradients(model.loss, params, batch)
    sparse = {block.layout.kernel.name.split("/")[-1] for block in gradients.blocks if isinstance(block, RowGradients)}
    assert sparse == {"item", "category", "user"}
    want = reference.gradient_rows(model.loss, params, batch)
    rows = np.concatenate(
        [np.asarray(leaf).reshape(len(batch["y"]), -1) for leaf in jax.tree.leaves(gradients.to_dense())], axis=1
    )
    np.testing.assert_allclose(rows, want, atol=2e-5 * np.abs(want).max())


def test_influence_equals_that_of_gradients_in_full(problem):
    model, params, train = problem
    valid = batch_of(np.random.default_rng(1), 6)
    got = influence_matrix(model.loss, params, train, valid, normalize="cosine")
    left, right = (reference.gradient_rows(model.loss, params, batch) for batch in (train, valid))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right)]
    np.testing.assert_allclose(got, -unit[0] @ unit[1].T, atol=1e-5)


def test_unknown_model():
    with pytest.raises(InputError, match="choose one of din, dien"):
        make_click_model("deepfm", 1, 1, 1)
