"""Factored gradients of all kinds of models against a loop of `jax.grad`."""

import logging
from functools import partial

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.gradients import ghost
from demix_jax.gradients.factored import Outer, RowGradients
from demix_jax.gradients.per_example import factored_gradients, per_example_gradients
from demix_jax.gradients.tracer import plan_for
from tests import reference

NUM = 5


@pytest.fixture(autouse=True)
def models_may_promote_ranks():
    """A user's model may add a bias to a matrix; only the library's own code may not."""
    with jax.numpy_rank_promotion("allow"):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def tokens(seed, length=4, vocabulary=9):
    return jnp.asarray(np.random.default_rng(seed).integers(0, vocabulary, (NUM, length)), jnp.int32)


def mlp():
    params = {"w1": normal(1, 5, 7), "b1": normal(2, 7), "w2": normal(3, 7, 3), "b2": normal(4, 3)}

    def loss(params, example):
        hidden = jax.nn.relu(example["x"] @ params["w1"] + params["b1"])
        return -jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])[example["y"]]

    return loss, params, {"x": normal(0, NUM, 5), "y": jnp.arange(NUM) % 3}


def half_precision():
    loss, params, batch = mlp()
    return loss, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params), batch


def convolution():
    params = {"kernel": normal(1, 3, 3, 2, 4), "bias": normal(2, 4), "head": normal(3, 4, 1)}

    def loss(params, example):
        image = jax.lax.conv_general_dilated(
            example[None], params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )[0]
        return jnp.sum(jnp.mean(jnp.tanh(image + params["bias"]), axis=(0, 1)) @ params["head"])

    return loss, params, normal(0, NUM, 6, 6, 2)


def transformer():
    """Attention, layer normalisation, positions, and one table to look tokens up in and to score them with."""
    width, heads = 8, 2
    params = {
        "table": normal(1, 9, width),
        "positions": normal(2, 4, width),
        "qkv": normal(3, width, 3, heads, width // heads),
        "out": normal(4, heads, width // heads, width),
        "scale": normal(5, width),
        "shift": normal(6, width),
        "up": normal(7, width, 16),
        "up_bias": normal(8, 16),
        "down": normal(9, 16, width),
    }

    def normalised(params, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        return (
            params["scale"] * centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-3)
            + (params["shift"])
        )

    @jax.checkpoint
    def attention(params, x):
        query, key, value = jnp.moveaxis(jnp.einsum("td,dnhk->nhtk", x, params["qkv"]), 0, 0)
        weights = jax.nn.softmax(jnp.einsum("htk,hsk->hts", query, key))
        return jnp.einsum("hts,hsk,hkd->td", weights, value, params["out"])

    def loss(params, example):
        x = params["table"][example] + params["positions"]
        x = x + attention(params, normalised(params, x))
        x = x + jax.nn.gelu(normalised(params, x) @ params["up"] + params["up_bias"]) @ params["down"]
        scores = jax.nn.log_softmax(x @ params["table"].T)
        return -jnp.mean(jnp.take_along_axis(scores, example[:, None], axis=1))

    return loss, params, tokens(0)


def embedding():
    params = {"table": normal(1, 9, 3), "w": normal(2, 3, 4), "b": normal(3, 4)}

    def loss(params, example):
        return jnp.sum(jnp.tanh(params["table"][example] @ params["w"] + params["b"]) ** 2)

    return loss, params, tokens(1)


def lstm():
    params = {
        "wi": normal(1, 3, 16),
        "wh": normal(2, 4, 16),
        "b": normal(3, 16),
        "w": normal(4, 4, 2),
        "c": normal(5, 2),
    }

    def loss(params, example):
        def step(state, x):
            hidden, cell = state
            i, f, g, o = jnp.split(x @ params["wi"] + (hidden @ params["wh"] + params["b"]), 4)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        _, hidden = jax.lax.scan(step, (jnp.zeros(4), jnp.zeros(4)), example)
        return jnp.sum((hidden @ params["w"] + params["c"]) ** 2)

    return loss, params, normal(0, NUM, 5, 3)


def stacked_layers():
    """Scan over layers, backwards, with each layer's own weight and bias."""
    params = {"layers": {"w": normal(1, 3, 5, 5), "b": normal(2, 3, 5)}, "w": normal(3, 5, 2), "c": normal(4, 2)}

    def loss(params, example):
        def layer(x, own):
            return jnp.tanh(x @ own["w"] + own["b"]), None

        x, _ = jax.lax.scan(layer, jnp.stack([example, example**2]), params["layers"], reverse=True)
        return jnp.sum(jnp.tanh(x @ params["w"] + params["c"]) ** 2)

    return loss, params, normal(0, NUM, 5)


def experts():
    """One expert's weight is looked up per example."""
    params = {"router": normal(1, 5, 3), "experts": normal(2, 3, 5, 2)}

    def loss(params, example):
        scores = example @ params["router"]
        chosen = jnp.argmax(scores)
        return jnp.sum((example @ params["experts"][chosen]) ** 2) * jax.nn.softmax(scores)[chosen]

    return loss, params, normal(0, NUM, 5)


def shared_weight():
    """One weight in three products, once transposed, with biases of its own."""
    params = {"w": normal(1, 5, 5), "b": normal(2, 5), "c": normal(3, 5)}

    def loss(params, example):
        hidden = jnp.tanh(example @ params["w"] + params["b"])
        hidden = jnp.tanh(params["w"] @ hidden)
        return jnp.sum(jnp.tanh(hidden @ params["w"] + params["c"]) ** 2)

    return loss, params, normal(0, NUM, 5)


def batched_einsum():
    params = {"w": normal(1, 2, 3, 4), "v": normal(2, 2, 3, 2), "b": normal(3, 2)}

    def loss(params, example):
        x = jnp.stack([example, example**2])
        first = jnp.sum(jnp.tanh(jnp.einsum("btc,bcf->tbf", x, params["w"])) ** 2)
        return first + jnp.sum(jnp.tanh(jnp.einsum("btc,hcf->bhtf", x, params["v"]) + params["b"]) ** 2)

    return loss, params, normal(0, NUM, 5, 3)


def custom_rules():
    """A parameter inside custom_vjp, whose rule is not the body's derivative, and vmap inside the loss."""
    params = {"w": normal(1, 3, 4), "v": normal(2, 4, 2), "unused": normal(3, 2)}

    @jax.custom_vjp
    def product(x, w):
        return x @ w

    product.defvjp(lambda x, w: (x @ w, (x, w)), lambda kept, g: (g @ kept[1].T, 2.0 * kept[0].T @ g))

    def loss(params, example):
        hidden = jax.vmap(lambda row: jnp.tanh(params["w"].T @ row))(example)
        return jnp.sum(product(hidden, params["v"]) ** 2)

    return loss, params, normal(0, NUM, 5, 3)


def flax_linen():
    import flax.linen as nn

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(6)(x)
            x = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
            return nn.Dense(2)(nn.relu(nn.Dense(5)(x))).mean(axis=0)

    model = Model()
    params = model.init(jax.random.key(0), jnp.zeros((3, 4)))
    return lambda params, example: jnp.sum(jnp.asarray(model.apply(params, example)) ** 2), params, normal(0, NUM, 3, 4)


def flax_nnx():
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(4, 6, rngs=rngs)
            self.second = nnx.Linear(6, 2, rngs=rngs)

        def __call__(self, x):
            return self.second(nnx.relu(self.first(x)))

    definition, params = nnx.split(Model(nnx.Rngs(0)))
    return lambda params, x: jnp.sum(nnx.merge(definition, params)(x) ** 2), params, normal(0, NUM, 4)


def equinox():
    model = eqx.nn.MLP(4, 2, 6, 2, key=jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    return lambda params, x: jnp.sum(eqx.combine(params, rest)(x) ** 2), params, normal(0, NUM, 4)


ZOO = [
    mlp, half_precision, convolution, transformer, embedding, lstm, stacked_layers, experts, shared_weight,
    batched_einsum, custom_rules, flax_linen, flax_nnx, equinox,
]  # fmt: skip


def rows_of(gradients):
    leaves = jax.tree.leaves(gradients.to_dense())
    return np.concatenate([np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in leaves], axis=1)


@partial(jax.jit, static_argnums=1)
def _placed_products(gradients, length):
    num = gradients.losses.shape[0]
    empty = jnp.zeros((num + 3, num + 1), ghost.accumulated_dtype(gradients))
    return ghost.write_rows(empty, lambda part: ghost.gram_matrix(part, gradients), gradients, length, 2, 1)


@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.__name__)
def test_factors_give_the_gradients_and_their_inner_products(model, monkeypatch):
    loss, params, batch = model()
    tolerance = 3e-2 if model is half_precision else 5e-5
    want = reference.gradient_rows(loss, params, batch)
    gradients = factored_gradients(loss, params, batch)
    np.testing.assert_allclose(rows_of(gradients), want, atol=tolerance * np.abs(want).max())
    gram = want @ want.T
    scale = tolerance * np.abs(gram).max()
    np.testing.assert_allclose(gradients.squared_norms(), np.diagonal(gram), atol=scale)
    np.testing.assert_allclose(ghost.paired_products(gradients, gradients), np.diagonal(gram), atol=scale)
    np.testing.assert_allclose(ghost.gram_matrix(gradients, gradients), gram, atol=scale)
    placed = _placed_products(gradients, 2 * len(gram) // 3)
    np.testing.assert_allclose(placed[2:-1, 1:], gram, atol=scale)
    assert not placed[:2].any() and not placed[-1:].any() and not placed[:, :1].any()
    same_kind = lambda left, right: isinstance(left, (Outer, RowGradients)) and type(left) is type(right)  # noqa: E731
    monkeypatch.setattr(ghost, "_ghost_is_cheaper", same_kind)
    np.testing.assert_allclose(ghost.gram_matrix(gradients, gradients), gram, atol=scale)


@pytest.mark.parametrize(
    ("model", "factored"),
    [
        (mlp, {"w1": Outer, "w2": Outer}),
        (lstm, {"wi": Outer, "wh": Outer, "w": Outer}),
        (stacked_layers, {"layers/w": Outer, "w": Outer}),
        (embedding, {"table": RowGradients, "w": Outer}),
        (experts, {"router": Outer, "experts": RowGradients}),
        (shared_weight, {"w": Outer}),
        (transformer, {"qkv": Outer, "out": Outer, "up": Outer, "down": Outer}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_products_and_lookups_stay_factored(model, factored):
    gradients = factored_gradients(*model())
    kinds = {block.layouts[0].kernel.name: type(block) for block in gradients.blocks}
    assert {name: kinds[name] for name in factored} == factored


def test_a_bias_rides_along_with_its_product():
    gradients = factored_gradients(*mlp())
    biases = [block.layouts[0].bias for block in gradients.blocks]
    assert [bias and bias.name for bias in biases] == ["b1", "b2"]


def test_what_is_formed_in_full_is_logged(caplog):
    loss, params, batch = custom_rules()
    with caplog.at_level(logging.DEBUG, logger="demix_jax"):
        factored_gradients(lambda *args: loss(*args), params, batch)
    assert "v: gradient formed in full" in caplog.text


def test_per_example_gradients_are_a_loop_of_grad():
    loss, params, batch = mlp()
    got = per_example_gradients(loss, params, batch)
    rows = np.concatenate([np.asarray(leaf).reshape(NUM, -1) for leaf in jax.tree.leaves(got)], axis=1)
    np.testing.assert_allclose(rows, reference.gradient_rows(loss, params, batch), atol=1e-5)


def test_double_precision_keeps_it():
    if not jax.config.read("jax_enable_x64"):
        pytest.skip("64-bit floats are off")
    loss, params, batch = mlp()
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
    gradients = factored_gradients(loss, params, batch)
    want = reference.gradient_rows(loss, params, batch)
    assert ghost.gram_matrix(gradients, gradients).dtype == jnp.float64
    np.testing.assert_allclose(ghost.gram_matrix(gradients, gradients), want @ want.T, rtol=1e-12)


def test_products_are_in_full_precision_unless_another_is_asked_for():
    def precisions(loss):
        plan = plan_for(loss, {"w": normal(1, 5, 3)}, {"x": normal(2, NUM, 5)})
        products = [eqn for eqn in plan.closed.jaxpr.eqns if eqn.primitive.name == "dot_general"]
        return {str(side) for eqn in products for side in eqn.params["precision"]}

    def loss(params, example):
        return jnp.sum(example["x"] @ params["w"])

    def coarse(params, example):
        return jnp.sum(jnp.matmul(example["x"], params["w"], precision="default"))

    assert precisions(loss) == {"HIGHEST"}
    with jax.default_matmul_precision("bfloat16"):
        assert precisions(loss) == {"DEFAULT"}
    assert precisions(loss) == {"HIGHEST"}
    assert precisions(coarse) == {"DEFAULT"}


def test_select_restricts_to_matching_paths():
    loss, params, batch = mlp()
    gradients = factored_gradients(loss, params, batch, select="w2|b2")
    dense = gradients.to_dense()
    want = per_example_gradients(loss, params, batch)
    np.testing.assert_allclose(dense["w2"], want["w2"], atol=1e-6)
    np.testing.assert_allclose(dense["b2"], want["b2"], atol=1e-6)
    assert not np.any(dense["w1"]) and not np.any(dense["b1"])
    with pytest.raises(InputError, match="w1, w2"):
        factored_gradients(loss, params, batch, select="head")


def test_rows_out_of_range_have_no_gradient():
    loss, params, _ = embedding()
    del loss

    def clipped(params, example):
        return jnp.sum(jnp.take(params["table"], example, axis=0, mode="clip") ** 2)

    batch = jnp.asarray([[0, 20], [-1, 3]], jnp.int32)
    got = rows_of(factored_gradients(clipped, {"table": params["table"]}, batch))
    np.testing.assert_allclose(got, reference.gradient_rows(clipped, {"table": params["table"]}, batch), atol=1e-5)


def looked_up(seed, num, positions, num_rows, width=4):
    """Gradients of a table of which each example looks rows up, some of them twice, and the same in full."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, num_rows, (num, positions)) * rng.integers(0, 2, (num, positions))  # row 0 is frequent
    batch = {"ids": ids.astype(np.int32), "x": rng.normal(size=(num, positions, width)).astype(np.float32)}
    table = {"table": jnp.asarray(np.random.default_rng(0).normal(size=(num_rows, width)), jnp.float32)}
    loss = lambda params, example: jnp.sum(jnp.tanh(params["table"][example["ids"]]) * example["x"])  # noqa: E731
    return factored_gradients(loss, table, batch), reference.gradient_rows(loss, table, batch)


def lookups_of(gradients) -> RowGradients:
    (block,) = gradients.blocks
    assert isinstance(block, RowGradients)
    return block


@pytest.mark.parametrize("num_rows", [300, 5_000])
def test_products_of_lookups_do_not_need_the_whole_table(num_rows, monkeypatch):
    left, left_full = looked_up(1, 67, 9, num_rows)
    right, right_full = looked_up(2, 35, 12, num_rows)
    want = left_full @ right_full.T
    scale = np.abs(want).max()
    lookups, others = lookups_of(left), lookups_of(right)
    products = [ghost._fetched_product(lookups, others)]
    with monkeypatch.context() as on_accelerator:  # it takes more of them at a time, all of these at once
        on_accelerator.setattr(jax, "default_backend", lambda: "gpu")
        assert ghost._fetched_at_a_time(lookups) == (1_024, 64)
        products.append(ghost._fetched_product(lookups, others))
    monkeypatch.setattr(ghost, "_is_fetched", lambda *_: False)
    products.append(ghost._ghost_product(lookups, others))
    for got in products:
        np.testing.assert_allclose(got, want, atol=1e-5 * scale)
    same, same_full = looked_up(3, 67, 9, num_rows)
    assert ghost._is_sparser(lookups, lookups_of(same))
    np.testing.assert_allclose(
        ghost.paired_products(left, same), (left_full * same_full).sum(axis=1), atol=1e-5 * scale
    )


def test_equal_shapes_do_not_retrace():
    traced = []
    loss, params, batch = mlp()

    def counted(params, example):
        traced.append(1)
        return loss(params, example)

    factored_gradients(counted, params, batch)
    count = len(traced)
    factored_gradients(counted, jax.tree.map(lambda leaf: leaf + 1, params), batch)
    assert len(traced) == count


ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "softplus": jax.nn.softplus, "square": jnp.square}


@st.composite
def small_models(draw):
    """A chain of products, normalisations, skips and reuses with random widths, on one or several positions."""
    positions, width = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    steps, params, widths = [], {}, [width]
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["dense", "dense", "no bias", "transposed", "scale", "again", "outer add"]))
        activation = draw(st.sampled_from(sorted(ACTIVATIONS)))
        name = f"p{number}"
        if kind in ("dense", "no bias", "transposed"):
            new = draw(st.integers(1, 4))
            shape = (new, widths[-1]) if kind == "transposed" else (widths[-1], new)
            params[name] = normal(number, *shape)
            if kind == "dense":
                params[name + "b"] = normal(number + 50, new)
            widths.append(new)
        elif kind == "scale":
            params[name] = normal(number, widths[-1])
        elif kind == "again":
            params[name] = normal(number, widths[-1], widths[-1])
        else:
            params[name] = normal(number, positions, widths[-1])
        steps.append((kind, name, activation))
    return positions, width, steps, params


@hypothesis.settings(
    max_examples=15, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(small_models(), st.booleans())
def test_random_models_have_the_gradients_of_a_loop(model, scanned):
    positions, width, steps, params = model

    def apply(params, x):
        for kind, name, activation in steps:
            if kind == "dense":
                x = x @ params[name] + params[name + "b"]
            elif kind == "no bias":
                x = x @ params[name]
            elif kind == "transposed":
                x = jnp.einsum("tc,fc->tf", x, params[name])
            elif kind == "scale":
                x = x * params[name]
            elif kind == "again":
                x = jnp.tanh(x @ params[name]) @ params[name]
            else:
                x = x + params[name]
            x = ACTIVATIONS[activation](x)
        return x

    def loss(params, example):
        if not scanned:
            return jnp.sum(jnp.sin(apply(params, example)))
        _, outputs = jax.lax.scan(lambda carry, row: (carry, apply(params, row)), 0, jnp.stack([example, example + 1]))
        return jnp.sum(jnp.sin(outputs))

    batch = 0.5 * normal(99, 3, positions, width)
    gradients = factored_gradients(loss, params, batch)
    want = reference.gradient_rows(loss, params, batch)
    scale = max(np.abs(want).max(), 1e-3)
    np.testing.assert_allclose(rows_of(gradients), want, atol=1e-4 * scale)
    gram = ghost.gram_matrix(gradients, gradients)
    np.testing.assert_allclose(gram, want @ want.T, atol=1e-4 * max(np.abs(want @ want.T).max(), 1e-6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": lambda p: {**p, "step": jnp.arange(2)}}, "params leaf 'step' has dtype int32"),
        ({"batch": lambda b: {**b, "y": b["y"][:2]}}, "leaf 'x' has 5 samples but leaf 'y' has 2"),
        ({"batch": lambda b: jax.tree.map(lambda leaf: leaf[:0], b)}, "batch is empty"),
        ({"batch": lambda b: {**b, "z": jnp.float32(1)}}, "batch leaf 'z' is a scalar"),
        ({"loss": lambda f: lambda p, e: f(p, e)[None]}, "must return one floating-point scalar"),
        ({"loss": lambda f: lambda p, e: (f(p, e), e["x"])}, "must return one floating-point scalar"),
        ({"params": lambda p: {}}, "params has no leaves"),
    ],
    ids=["integer", "lengths", "empty", "scalar", "vector", "pair", "nothing"],
)
def test_bad_input_is_named(change, message):
    loss, params, batch = mlp()
    unchanged = lambda value: value  # noqa: E731
    loss = change.get("loss", unchanged)(loss)
    params, batch = change.get("params", unchanged)(params), change.get("batch", unchanged)(batch)
    for function in (factored_gradients, per_example_gradients):
        with pytest.raises(InputError, match=message):
            function(loss, params, batch)
