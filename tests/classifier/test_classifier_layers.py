"""Attention over sets, against plain NumPy loops; absent elements have no say, and order has none."""

from __future__ import annotations

from functools import partial
from typing import cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from demix_jax.classifier.layers import ISAB, MAB, PMA, SAB, masked_mean_and_std
from demix_jax.classifier.model import Context, ContextInputs, ErrorNetwork, NetworkConfig, RuleEncoder, SetEncoder
from demix_jax.classifier.schema import SIGNALS

WIDTH, HEADS = 8, 2


def dense(x, params):
    return x @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"], np.float64)


def layer_norm(x, params):
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-6)
    return scaled * np.asarray(params["scale"], np.float64) + np.asarray(params["bias"], np.float64)


def attention(queries, elements, params):
    parts = {name: np.asarray(params[name]["kernel"], np.float64) for name in ("query", "key", "value", "out")}
    shift = {name: np.asarray(params[name]["bias"], np.float64) for name in parts}
    result = np.broadcast_to(shift["out"], queries.shape).copy()
    for head in range(HEADS):
        q = queries @ parts["query"][:, head] + shift["query"][head]
        k, v = (elements @ parts[name][:, head] + shift[name][head] for name in ("key", "value"))
        result += softmax(q @ k.T / np.sqrt(q.shape[1]), axis=1) @ v @ parts["out"][head]
    return result


def mab(queries, elements, p):
    normed = layer_norm(queries, p["LayerNorm_0"]), layer_norm(elements, p["LayerNorm_1"])
    hidden = queries + attention(*normed, p["MultiHeadDotProductAttention_0"])
    inner = np.maximum(dense(layer_norm(hidden, p["LayerNorm_2"]), p["Dense_1"]), 0)
    return hidden + dense(inner, p["Dense_0"])  # Flax numbers layers as they are written, the outer one first


def started(layer, *arguments, seed=0):
    """Parameters of `layer` without zeros and ones, so that no bias or scale goes untested."""
    params = jax.jit(layer.init)(jax.random.key(seed), *arguments)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32), params)


def run(layer, params, *arguments, method=None):
    return jax.jit(partial(layer.apply, method=method))(params, *arguments)


@pytest.fixture
def elements():
    return np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)


def test_mab_by_hand(elements):
    layer = MAB(WIDTH, HEADS)
    queries = np.random.default_rng(1).normal(size=(3, WIDTH)).astype(np.float32)
    params = started(layer, queries, elements)
    close(run(layer, params, queries, elements), mab(queries, elements, params["params"]))


def test_sab_is_a_mab_of_the_set_with_itself(elements):
    layer = SAB(WIDTH, HEADS)
    params = started(layer, elements)
    close(run(layer, params, elements), mab(elements, elements, params["params"]["MAB_0"]))


def test_isab_by_hand(elements):
    layer = ISAB(WIDTH, HEADS, num_points=3)
    params = started(layer, elements)
    p = params["params"]
    summary = mab(np.asarray(p["points"], np.float64), elements, p["MAB_0"])
    close(run(layer, params, elements), mab(elements, summary, p["MAB_1"]))


def test_pma_by_hand(elements):
    layer = PMA(WIDTH, HEADS, num_seeds=2)
    params = started(layer, elements)
    p = params["params"]
    close(run(layer, params, elements), mab(np.asarray(p["seeds"], np.float64), elements, p["MAB_0"]))


@pytest.mark.parametrize(
    "layer", [SAB(WIDTH, HEADS), ISAB(WIDTH, HEADS, 3), PMA(WIDTH, HEADS, 2)], ids=["SAB", "ISAB", "PMA"]
)
def test_absent_elements_are_as_if_cut_off(layer, elements):
    params = started(layer, elements)
    mask = np.array([True, True, False, True, False])
    got = np.asarray(run(layer, params, elements, mask))
    want = np.asarray(run(layer, params, elements[mask]))
    close(got[mask] if got.shape[0] == len(mask) else got, want)
    nonsense = np.where(mask[:, None], elements, 1e3).astype(np.float32)
    again = np.asarray(run(layer, params, nonsense, mask))
    close(again[mask] if got.shape[0] == len(mask) else again, want)


def test_leading_axes_are_batches(elements):
    layer = PMA(WIDTH, HEADS, 2)
    params = started(layer, elements)
    batch = np.stack([elements, elements[::-1] + 1])
    masks = np.array([[True] * 5, [True, False, True, True, False]])
    got = run(layer, params, batch, masks)
    for b in range(2):
        close(got[b], run(layer, params, batch[b], masks[b]))


def test_masked_mean_and_std_by_numpy(elements):
    mask = np.array([True, False, True, True, False])
    mean, std = masked_mean_and_std(jnp.asarray(elements), jnp.asarray(mask))
    np.testing.assert_allclose(mean, elements[mask].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(elements[mask].var(axis=0) + 1e-6), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_isabs", [0, 1])
def test_set_encoder_ignores_order_and_absent_samples(num_isabs):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 9, 7)).astype(np.float32)
    mask = np.ones((3, 9), bool)
    mask[:, 6:] = False
    encoder = SetEncoder(NetworkConfig(width=WIDTH, num_isabs=num_isabs, num_points=3, hidden=12))
    params = started(encoder, vectors, mask)
    want = run(encoder, params, vectors, mask)
    order = rng.permutation(9)
    close(run(encoder, params, vectors[:, order], mask[:, order]), want)
    spoiled = vectors.copy()
    spoiled[:, 6:] = 50.0
    close(run(encoder, params, spoiled, mask), want)
    close(run(encoder, params, vectors[:, :6], mask[:, :6]), want)
    assert np.asarray(want).std(axis=0).max() > 1e-3, "the embedding says nothing"


def test_rules_are_read_alike():
    signals = np.random.default_rng(0).normal(size=(4, 2 * len(SIGNALS))).astype(np.float32)
    names = np.array(SIGNALS * 2, dtype=object)
    swapped = signals.copy()
    for kind in ("rule", "without"):
        first, second = (np.array([n.startswith(f"{kind}{i}_") for n in names]) for i in (0, 1))
        swapped[:, first], swapped[:, second] = signals[:, second], signals[:, first]
    encoder = RuleEncoder(NetworkConfig(hidden=12))
    params = started(encoder, signals)
    close(run(encoder, params, swapped), run(encoder, params, signals))
    assert np.abs(np.asarray(run(encoder, params, 2 * signals) - run(encoder, params, signals))).max() > 0.01


def network_inputs():
    rng = np.random.default_rng(0)
    return {
        "use_vectors": rng.normal(size=(6, 5, 7)).astype(np.float32),
        "mask": np.ones((6, 5), bool),
        "use_signals": rng.normal(size=(6, 2 * len(SIGNALS))).astype(np.float32),
        "use_context": ContextInputs(
            rows=rng.normal(size=(8, 2 * len(SIGNALS))).astype(np.float32),
            label_probes=rng.normal(size=(4, 2 * len(SIGNALS))).astype(np.float32),
            feature_probes=rng.normal(size=(3, 2 * len(SIGNALS))).astype(np.float32),
            has_probes=np.float32(1),
            facts=np.array([0.1, 0.7, -0.2, 0.0], np.float32),
        ),
    }


def test_whole_network_equals_its_three_steps():
    network = ErrorNetwork(NetworkConfig(width=WIDTH, num_points=3, hidden=12))
    *rows, inputs = network_inputs().values()
    params = started(network, *rows, inputs)
    embedding, logits = run(network, params, *rows, inputs)
    chex.assert_shape([embedding, logits], [(6, 12), (6, 3)])
    states = run(network, params, *rows, method=ErrorNetwork.row_states)
    context = run(network, params, inputs, method=ErrorNetwork.context)
    some = jax.tree.map(lambda of_rows: of_rows[2:4], states)
    close(run(network, params, some, context, method=ErrorNetwork.classify)[1], logits[2:4])
    turned = run(network, params, inputs._replace(rows=inputs.rows[::-1]), method=ErrorNetwork.context)
    close(turned.hidden, context.hidden)
    close(run(network, params, some, turned, method=ErrorNetwork.classify)[1], logits[2:4])


def test_units_that_are_silent_for_all_rows_leave_the_gradient_finite():
    network = ErrorNetwork(NetworkConfig(width=WIDTH, hidden=12))
    *rows, inputs = network_inputs().values()
    params = started(network, *rows, inputs)
    params["params"]["context_layers_1"]["bias"] -= 1e3

    def total(params):
        context = cast(Context, network.apply(params, inputs, method=ErrorNetwork.context))
        return context.hidden.sum()

    gradient = jax.jit(jax.grad(total))(params)
    chex.assert_tree_all_finite(gradient)


def test_spread_of_the_context_is_the_standard_deviation():
    network = ErrorNetwork(NetworkConfig(width=WIDTH, hidden=12))
    *rows, inputs = network_inputs().values()
    params = started(network, *rows, inputs)
    first, second, third = (params["params"][f"context_layers_{i}"] for i in range(3))
    parts = [np.maximum(dense(np.maximum(dense(part, first), 0), second), 0) for part in inputs[:3]]
    pooled = [part for hidden in parts for part in (hidden.mean(axis=0), hidden.std(axis=0))]
    pooled = np.concatenate([*pooled, [1.0], inputs.facts])
    want = np.maximum(dense(pooled, third), 0)
    close(run(network, params, inputs, method=ErrorNetwork.context).hidden, want)


@pytest.mark.parametrize("part", ["use_vectors", "use_signals", "use_context"])
def test_a_part_switched_off_has_no_influence(part):
    network = ErrorNetwork(NetworkConfig(width=WIDTH, num_points=3, hidden=12, **{part: False}))
    inputs = network_inputs()
    params = started(network, *inputs.values())
    apply = jax.jit(network.apply)
    _, logits = apply(params, *inputs.values())
    for name in ("use_vectors", "use_signals", "use_context"):
        moved = jax.tree.map(lambda leaf: leaf + np.float32(1.0), inputs[name])
        _, changed = apply(params, *(inputs | {name: moved}).values())
        same = np.allclose(changed, logits, atol=1e-6)
        assert same == (name == part), name
