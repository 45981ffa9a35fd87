"""Influence matrices: sign, blocks, normalisation and what is built on them, against loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.curvature import CG, EKFAC, GaussNewton, Hessian, Identity
from demix_jax.gradients.stream import spans
from demix_jax.influence import blocks as engine
from demix_jax.influence.checkpoints import tracin
from demix_jax.influence.matrix import cosine_influence, influence_matrix, self_influence
from demix_jax.influence.positions import position_influence
from demix_jax.influence.top import top_influences
from tests import reference

NUM_TRAIN, NUM_VALID = 45, 11


def loss(params, example):
    hidden = jnp.tanh(example["x"] @ params["w1"] + params["b1"])
    return -jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])[example["y"]]


def small_problem(seed=0):
    rng = np.random.default_rng(seed)
    params = {
        "w1": jnp.asarray(rng.standard_normal((4, 6)), jnp.float32),
        "b1": jnp.asarray(rng.standard_normal(6), jnp.float32),
        "w2": jnp.asarray(rng.standard_normal((6, 3)), jnp.float32),
        "b2": jnp.asarray(rng.standard_normal(3), jnp.float32),
    }

    def batch(num):
        return {"x": rng.standard_normal((num, 4)).astype(np.float32), "y": rng.integers(0, 3, num).astype(np.int32)}

    return params, batch(NUM_TRAIN), batch(NUM_VALID)


@pytest.fixture(scope="module")
def problem():
    return small_problem()


@pytest.fixture(scope="module")
def rows(problem):
    params, train, valid = problem
    return reference.gradient_rows(loss, params, train), reference.gradient_rows(loss, params, valid)


@pytest.mark.parametrize("curvature", [engine.IDENTITY, GaussNewton(damping=0.1)], ids=lambda c: type(c).__name__)
def test_cosine_of_tiny_gradients_is_exact(problem, curvature):
    params, train, valid = problem
    sizes = np.float32(10.0) ** np.random.default_rng(0).uniform(-33, 5, NUM_VALID).astype(np.float32)
    sizes[3] = 0.0
    train, even = train | {"size": np.ones(NUM_TRAIN, np.float32)}, valid | {"size": np.ones(NUM_VALID, np.float32)}
    sized = lambda params, example: example["size"] * loss(params, example)  # noqa: E731
    want = np.array(influence_matrix(sized, params, train, even, curvature=curvature, normalize="cosine"))
    want[:, 3] = 0.0
    uneven = valid | {"size": sizes}
    got = influence_matrix(sized, params, train, uneven, curvature=curvature, normalize="cosine")
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_matrix_is_minus_the_inner_products(problem, rows):
    got = influence_matrix(loss, *problem)
    want = -rows[0] @ rows[1].T
    assert got.shape == (NUM_TRAIN, NUM_VALID) and got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_cosine_and_sign(problem, rows):
    params, train, _ = problem
    got = influence_matrix(loss, *problem, normalize="cosine")
    np.testing.assert_allclose(got, reference.cosine(*rows), atol=1e-5)
    assert got.dtype == jnp.float32
    own = influence_matrix(loss, params, train, train, normalize="cosine")
    np.testing.assert_allclose(np.diagonal(own), -1.0, atol=1e-5)


@pytest.mark.parametrize("longest_block", [2_048, 16])
def test_cosine_comes_with_the_lengths_of_the_rows(problem, rows, monkeypatch, longest_block):
    monkeypatch.setattr("demix_jax.gradients.stream._LONGEST_BLOCK", longest_block)
    matrix, lengths = cosine_influence(loss, *problem)
    np.testing.assert_array_equal(matrix, influence_matrix(loss, *problem, normalize="cosine"))
    np.testing.assert_allclose(lengths, np.linalg.norm(rows[0], axis=1), rtol=1e-5)
    params, train, valid = problem
    matrix, lengths = cosine_influence(lambda params, example: 0.0 * loss(params, example), params, train, valid)
    assert not matrix.any() and not lengths.any()


def test_a_step_on_a_helpful_sample_lowers_the_loss(problem):
    """−η I(i, j) is the first-order change of loss j after a gradient step of size η on sample i, sign turned."""
    params, train, valid = problem
    influence = np.asarray(influence_matrix(loss, params, train, valid))
    step, number = 1e-3, 7
    gradient = jax.grad(loss)(params, jax.tree.map(lambda leaf: leaf[number], train))
    stepped = jax.tree.map(lambda leaf, slope: leaf - step * slope, params, gradient)
    losses = jax.vmap(loss, in_axes=(None, 0))
    change = np.asarray(losses(stepped, valid) - losses(params, valid)) / step
    np.testing.assert_allclose(change, influence[number], atol=0.02 * np.abs(influence[number]).max())


@pytest.mark.parametrize("curvature", [engine.IDENTITY, GaussNewton(damping=0.1)], ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("normalize", [None, "cosine"])
def test_blocks_give_what_one_block_gives(problem, curvature, normalize):
    whole = influence_matrix(loss, *problem, curvature=curvature, normalize=normalize)
    tight = influence_matrix(loss, *problem, curvature=curvature, normalize=normalize, memory=3000)
    np.testing.assert_allclose(tight, whole, atol=1e-5 * float(jnp.abs(whole).max()))
    assert tight.dtype == whole.dtype == jnp.float32  # with 64 bits on, too


def test_spans_cover_everything_once():
    for num, length in ((10, 4), (8, 4), (3, 4), (1, 1), (9, 8)):
        fresh = [n for start, stop, seen in spans(num, length) for n in range(start + seen, stop)]
        assert fresh == list(range(num))
        assert num < length or all(stop - start == length for start, stop, _ in spans(num, length))


def test_lists_and_device_arrays_give_the_same(problem):
    params, train, valid = problem
    got = influence_matrix(loss, params, jax.tree.map(jnp.asarray, train), jax.tree.map(jnp.asarray, valid))
    np.testing.assert_allclose(got, influence_matrix(loss, params, train, valid), atol=1e-5)


def test_self_influence_is_the_diagonal(problem, rows):
    params, train, _ = problem
    got = self_influence(loss, params, train)
    np.testing.assert_allclose(got, -np.sum(rows[0] ** 2, axis=1), rtol=1e-4)
    assert np.all(np.asarray(got) <= 0)
    hessian = reference.hessian(loss, params, train)
    damping = 0.2 - float(np.linalg.eigvalsh(hessian).min())
    got = self_influence(loss, params, train, curvature=Hessian(damping=damping))
    want = np.diagonal(reference.influence(rows[0], rows[0], hessian, damping))
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max())


def test_top_influences_are_the_sorted_columns(problem):
    matrix = np.asarray(influence_matrix(loss, *problem, memory=30_000))
    top = top_influences(loss, *problem, k=20, memory=30_000)
    order = np.argsort(matrix, axis=0).T
    ordered = np.sort(matrix, axis=0).T
    np.testing.assert_array_equal(top.helpful, order[:, :20])
    np.testing.assert_array_equal(top.harmful, order[:, ::-1][:, :20])
    np.testing.assert_allclose(top.helpful_influence, ordered[:, :20], rtol=1e-6)
    np.testing.assert_allclose(top.harmful_influence, ordered[:, ::-1][:, :20], rtol=1e-6)
    for k in (0, NUM_TRAIN + 1):
        with pytest.raises(InputError, match="k is"):
            top_influences(loss, *problem, k=k)


def test_tracin_sums_over_checkpoints(problem):
    _, train, valid = problem
    checkpoints = [small_problem(seed)[0] for seed in (0, 1, 2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *checkpoints)
    steps = np.asarray([0.1, 0.05, 0.01])
    want = 0.0
    for step, params in zip(steps, checkpoints, strict=True):
        left, right = (reference.gradient_rows(loss, params, batch) for batch in (train, valid))
        want = want - step * left @ right.T
    got = tracin(loss, stacked, steps, train, valid)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
    with pytest.raises(InputError, match="3 checkpoints"):
        tracin(loss, stacked, steps[:2], train, valid)


@pytest.mark.parametrize("curvature", [engine.IDENTITY, GaussNewton(damping=0.1)], ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("memory", [None, 20_000])
def test_positions_and_rest_add_up_to_the_influence(curvature, memory):
    rng = np.random.default_rng(0)
    params = {name: jnp.asarray(rng.standard_normal((3, 3)), jnp.float32) for name in ("table", "w", "head")}
    train, valid = rng.integers(0, 3, (13, 4)), rng.integers(0, 3, (5, 4))

    def sequence_loss(params, example):
        hidden = jnp.tanh(params["table"][example] @ params["w"])
        return jax.nn.logsumexp(hidden.mean(axis=0) @ params["head"])

    parts = position_influence(sequence_loss, params, train, valid, curvature=curvature, memory=memory)
    want = influence_matrix(sequence_loss, params, train, valid, curvature=curvature)
    assert parts.positions.shape == (13, 4, 5)
    np.testing.assert_allclose(parts.positions.sum(axis=1) + parts.rest, want, atol=1e-4 * np.abs(want).max())
    if curvature is engine.IDENTITY:
        head = influence_matrix(sequence_loss, params, train, valid, select="head")
        np.testing.assert_allclose(parts.rest, head, atol=1e-5 * np.abs(want).max())


def test_train_and_valid_may_differ_in_length():
    """Sequences of other lengths: the same parameters, other shapes."""
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((3, 4)), jnp.float32)}
    train, valid = (rng.standard_normal((6, length, 3)).astype(np.float32) for length in (5, 2))

    def sequence_loss(params, example):
        return jnp.sum(jnp.tanh(example @ params["w"]) ** 2)

    got = influence_matrix(sequence_loss, params, train, valid)
    left, right = (reference.gradient_rows(sequence_loss, params, batch) for batch in (train, valid))
    np.testing.assert_allclose(got, -left @ right.T, rtol=1e-4, atol=1e-4)


def test_select_restricts_the_parameters(problem, rows):
    got = influence_matrix(loss, *problem, select="b2|w2")
    chosen = np.r_[6:9, 33:51]  # leaves in order b1, b2, w1, w2
    want = -rows[0][:, chosen] @ rows[1][:, chosen].T
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_influence_predicts_leave_one_out():
    """Ridge regression at its optimum, retrained with each sample's weight set to 0: closed form."""
    rng = np.random.default_rng(0)
    num, penalty = 300, 0.1
    x, x_valid = rng.standard_normal((num, 4)), rng.standard_normal((9, 4))
    truth = rng.standard_normal(4)
    y, y_valid = x @ truth + rng.standard_normal(num), x_valid @ truth

    def fit(weights):
        return np.linalg.solve(x.T @ (weights[:, None] * x) / num + penalty * np.eye(4), x.T @ (weights * y) / num)

    def losses(w):
        return 0.5 * (x_valid @ w - y_valid) ** 2

    best = fit(np.ones(num))
    change = np.stack([losses(fit(np.arange(num) != i)) - losses(best) for i in range(num)])

    def ridge_loss(params, example):
        return 0.5 * (jnp.dot(example["x"], params) - example["y"]) ** 2

    train = {"x": x.astype(np.float32), "y": y.astype(np.float32)}
    valid = {"x": x_valid.astype(np.float32), "y": y_valid.astype(np.float32)}
    for curvature in (Hessian(damping=penalty), GaussNewton(damping=penalty)):
        got = influence_matrix(ridge_loss, jnp.asarray(best, jnp.float32), train, valid, curvature=curvature)
        assert np.corrcoef(-np.asarray(got).ravel() / num, change.ravel())[0, 1] > 0.99


def test_equal_shapes_do_not_retrace(problem):
    params, train, valid = problem
    traced = []

    def counted(params, example):
        traced.append(1)
        return loss(params, example)

    influence_matrix(counted, params, train, valid)
    count = len(traced)
    influence_matrix(counted, jax.tree.map(lambda leaf: leaf * 2, params), train, valid)
    assert len(traced) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curvature": "ekfac"}, "curvature is 'ekfac'; pass one such as EKFAC"),
        ({"curvature": EKFAC}, "curvature is <class"),
        ({"curvature": CG()}, r"curvature is CG\(.*Hessian\(solver=CG"),
        ({"curvature": Hessian(solver="cg")}, "solver is 'cg'"),  # pyright: ignore[reportArgumentType]
        ({"curvature": GaussNewton(damping="0.1")}, "damping is '0.1'"),  # pyright: ignore[reportArgumentType]
        ({"curvature": GaussNewton(samples=2.5)}, "samples is 2.5"),  # pyright: ignore[reportArgumentType]
        ({"memory": "2GB"}, "memory is '2GB'"),
        ({"memory": 0}, "memory is 0"),
        ({"select": "("}, r"select is '\('; pass a regular expression"),
        ({"select": ["w1"]}, "select is"),
    ],
)
def test_an_option_that_is_none_of_those_is_named(problem, options, message):
    with pytest.raises(InputError, match=message):
        influence_matrix(loss, *problem, **options)


def test_a_loss_of_other_arguments_is_named(problem):
    params, train, valid = problem
    with pytest.raises(InputError, match=r"loss takes \(params, x, y\); it must take \(params, example\)"):
        influence_matrix(lambda params, x, y: 0.0, params, train, valid)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="loss is None"):
        influence_matrix(None, params, train, valid)  # pyright: ignore[reportArgumentType]


def test_influence_inside_jit_is_refused(problem):
    params, train, valid = problem
    with pytest.raises(InputError, match="inside jit"):
        jax.jit(lambda params: influence_matrix(loss, params, train, valid))(params)


@pytest.mark.parametrize(
    "curvature",
    [Identity(), GaussNewton(damping=0.1), EKFAC(damping=0.1), Hessian(damping=1.0)],
    ids=lambda c: type(c).__name__,
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.bfloat16, 0.02), (jnp.float16, 0.003)])
def test_a_loss_in_half_precision(problem, curvature, dtype, tolerance):
    half = jax.tree.map(lambda x: x.astype(dtype) if x.dtype == np.float32 else x, problem)
    same = jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == dtype else x, half)
    expected = influence_matrix(loss, *same, curvature=curvature)
    with jax.numpy_dtype_promotion("strict"):
        result = influence_matrix(loss, *half, curvature=curvature)
    assert np.linalg.norm(result - expected) < tolerance * np.linalg.norm(expected)


def test_bad_input_is_named(problem):
    params, train, valid = problem
    broken = {**train, "x": np.where(np.arange(NUM_TRAIN)[:, None] == 7, np.nan, train["x"])}
    with pytest.raises(InputError, match="train sample 7"):
        influence_matrix(loss, params, broken, valid)
    with pytest.raises(InputError, match="valid sample 0"):
        influence_matrix(loss, jax.tree.map(lambda leaf: leaf * np.nan, params), train, valid)
    with pytest.raises(InputError, match="valid is empty"):
        influence_matrix(loss, params, train, jax.tree.map(lambda leaf: leaf[:0], valid))
    with pytest.raises(InputError, match="train leaf 'x' has 45 samples but leaf 'y' has 44"):
        influence_matrix(loss, params, {**train, "y": train["y"][:-1]}, valid)
    with pytest.raises(InputError, match="normalize is 'l2'"):
        influence_matrix(loss, params, train, valid, normalize="l2")
    with pytest.raises(InputError, match="train leaf 'y' has dtype <U1"):
        influence_matrix(loss, params, {**train, "y": np.full(NUM_TRAIN, "a")}, valid)
    with pytest.raises(InputError, match="params leaf 'n' has dtype int32"):
        influence_matrix(loss, {**params, "n": jnp.int32(1)}, train, valid)
    with pytest.raises(InputError, match="scalar"):
        influence_matrix(lambda p, e: e["x"] @ p["w1"], params, train, valid)
