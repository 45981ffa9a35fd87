"""Each curvature against the explicit damped inverse of a matrix formed by plain automatic differentiation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.curvature import CG, EKFAC, KFAC, Arnoldi, EmpiricalFisher, GaussNewton, Hessian, LiSSA
from demix_jax.influence.matrix import influence_matrix, self_influence
from tests import reference

DAMPING = 0.05


def outputs(params, x):
    return jnp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


def squared_error(values, y):
    return 0.5 * (values[0] - y) ** 2


def binary_cross_entropy(values, y):
    return jnp.logaddexp(0.0, values[0]) - values[0] * y


def cross_entropy(values, y):
    return -jax.nn.log_softmax(values)[y]


class Case:
    """A small network with one of the losses; its data on both sides."""

    def __init__(self, num_outputs, output_loss, *, features=4, hidden=5, num=40):
        rng = np.random.default_rng(num_outputs)
        normal = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
        self.params = {
            "w1": normal(features, hidden),
            "b1": normal(hidden),
            "w2": normal(hidden, num_outputs),
            "b2": normal(num_outputs),
        }
        self.output_loss = output_loss
        labels = lambda n: (  # noqa: E731
            jnp.asarray(rng.integers(0, num_outputs, n), jnp.int32)
            if num_outputs > 1
            else jnp.asarray(rng.integers(0, 2, n), jnp.float32)
        )
        self.train = {"x": normal(num, features), "y": labels(num)}
        self.valid = {"x": normal(7, features), "y": labels(7)}
        self.train_rows = reference.gradient_rows(self.loss, self.params, self.train)
        self.valid_rows = reference.gradient_rows(self.loss, self.params, self.valid)

    def loss(self, params, example):
        return self.output_loss(outputs(params, example["x"]), example["y"])

    def influence(self, curvature, **options):
        return influence_matrix(self.loss, self.params, self.train, self.valid, curvature=curvature, **options)

    def explicit(self, hessian, damping=DAMPING):
        return reference.influence(self.train_rows, self.valid_rows, hessian, damping)


CASES = {
    "2 classes": (2, cross_entropy),
    "3 classes": (3, cross_entropy),
    "10 classes": (10, cross_entropy),
    "regression": (1, squared_error),
    "binary": (1, binary_cross_entropy),
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    return Case(*CASES[request.param])


@pytest.fixture(scope="module")
def three_classes():
    return Case(*CASES["3 classes"])


def assert_close(got, want, tolerance=1e-4):
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def test_gauss_newton_matches_explicit_inverse(case):
    hessian = reference.gauss_newton(outputs, case.output_loss, case.params, case.train)
    assert_close(case.influence(GaussNewton(damping=DAMPING)), case.explicit(hessian))


def test_gauss_newton_of_more_parameters_than_samples(three_classes):
    """Sample space: R rows < P parameters."""
    wide = Case(3, cross_entropy, features=9, hidden=12, num=30)
    hessian = reference.gauss_newton(outputs, cross_entropy, wide.params, wide.train)
    assert_close(wide.influence(GaussNewton(damping=DAMPING)), wide.explicit(hessian))
    explicit = np.linalg.inv(hessian + DAMPING * np.eye(len(hessian)))
    squared = [np.einsum("ip,pq,iq->i", rows, explicit, rows) for rows in (wide.train_rows, wide.valid_rows)]
    got = self_influence(wide.loss, wide.params, wide.train, curvature=GaussNewton(damping=DAMPING))
    assert_close(got, -squared[0])
    cosines = wide.explicit(hessian) / np.sqrt(squared[0][:, None] * squared[1][None, :])
    got = wide.influence(GaussNewton(damping=DAMPING), normalize="cosine")
    np.testing.assert_allclose(got, cosines, atol=1e-4)


def test_gauss_newton_of_a_subset_is_that_subsets(three_classes):
    case = three_classes
    chosen = np.arange(10) * 40 // 10
    part = jax.tree.map(lambda leaf: leaf[chosen], case.train)
    hessian = reference.gauss_newton(outputs, case.output_loss, case.params, part)
    assert_close(case.influence(GaussNewton(damping=DAMPING, samples=10)), case.explicit(hessian))


def test_outputs_are_found_behind_a_sigmoid():
    """½(σ(z) − y)² is not convex in z; the outputs are σ(z)."""

    def squashed(params, x):
        return jax.nn.sigmoid(outputs(params, x))

    case = Case(1, squared_error)

    def loss(params, example):
        return squared_error(squashed(params, example["x"]), example["y"])

    got = influence_matrix(loss, case.params, case.train, case.valid, curvature=GaussNewton(damping=DAMPING))
    hessian = reference.gauss_newton(squashed, squared_error, case.params, case.train)
    train_rows, valid_rows = (reference.gradient_rows(loss, case.params, batch) for batch in (case.train, case.valid))
    assert_close(got, reference.influence(train_rows, valid_rows, hessian, DAMPING))


def test_empirical_fisher_matches_explicit_inverse(three_classes):
    case = three_classes
    hessian = case.train_rows.T @ case.train_rows / len(case.train_rows)
    assert_close(case.influence(EmpiricalFisher(damping=DAMPING)), case.explicit(hessian))


@pytest.mark.parametrize("solver", [CG(), LiSSA(max_steps=2000)], ids=lambda solver: type(solver).__name__)
def test_hessian_matches_explicit_inverse(three_classes, solver):
    case = three_classes
    hessian = reference.hessian(case.loss, case.params, case.train)
    damping = 0.1 - np.linalg.eigvalsh(hessian).min()
    got = case.influence(Hessian(damping=float(damping), solver=solver))
    assert_close(got, case.explicit(hessian, damping), 1e-3)


def test_hessian_says_when_it_did_not_converge(three_classes, caplog):
    case = three_classes
    case.influence(Hessian(damping=1e-3, solver=CG(max_steps=2)))
    assert "did not converge" in caplog.text


def test_arnoldi_of_full_rank_matches_explicit_inverse(three_classes):
    case = three_classes
    hessian = reference.hessian(case.loss, case.params, case.train)
    values, vectors = np.linalg.eigh(hessian)
    positive = (vectors * np.maximum(values, 0.0)) @ vectors.T
    num = len(hessian)
    got = case.influence(Arnoldi(jax.random.key(0), damping=DAMPING, rank=num, steps=num))
    assert_close(got, case.explicit(positive), 1e-3)


def kronecker_blocks(case, corrected):
    """K-FAC's or EK-FAC's H with the bias as a last row of each weight, formed entry by entry."""
    jacobians, second = reference.output_rows(outputs, case.output_loss, case.params, case.train)
    x = np.asarray(case.train["x"], np.float64)
    values, vectors = np.linalg.eigh(second)
    roots = np.sqrt(np.maximum(values, 0.0))[:, :, None] * vectors.transpose(0, 2, 1)
    rows = np.einsum("nrk,nkp->nrp", roots, jacobians)
    sizes = [np.asarray(case.params[name]).size for name in sorted(case.params)]
    b1, b2, w1, w2 = np.split(rows, np.cumsum(sizes)[:-1], axis=2)
    hidden = np.tanh(x @ np.asarray(case.params["w1"], np.float64) + np.asarray(case.params["b1"], np.float64))
    num = len(x)
    blocks = []
    for a, bias, weight in ((x, b1, w1), (hidden, b2, w2)):
        a = np.concatenate([a, np.ones((num, 1))], axis=1)
        inputs, delta = np.einsum("nc,nd->cd", a, a) / num, np.einsum("nrf,nrg->fg", bias, bias) / num
        if corrected:
            (_, basis_in), (_, basis_out) = np.linalg.eigh(inputs), np.linalg.eigh(delta)
            basis = np.kron(basis_in, basis_out)
            rows = np.concatenate([weight, bias], axis=2).reshape(-1, basis.shape[0])
            blocks.append(basis @ np.diag(np.sum((rows @ basis) ** 2, axis=0) / num) @ basis.T)
        else:
            blocks.append(np.kron(inputs, delta))
    return blocks


@pytest.mark.parametrize("curvature", [KFAC(damping=DAMPING), EKFAC(damping=DAMPING)], ids=lambda c: type(c).__name__)
def test_kronecker_factored_matches_explicit_inverse(three_classes, curvature):
    case = three_classes
    blocks = kronecker_blocks(case, isinstance(curvature, EKFAC))
    sizes = [np.asarray(case.params[name]).size for name in sorted(case.params)]
    want = 0.0
    sides = []
    for rows in (case.train_rows, case.valid_rows):
        b1, b2, w1, w2 = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
        sides.append((np.concatenate([w1, b1], axis=1), np.concatenate([w2, b2], axis=1)))
    for block, train_rows, valid_rows in zip(blocks, *sides, strict=True):
        want = want + reference.influence(train_rows, valid_rows, block, DAMPING)
    assert_close(case.influence(curvature), want)


def test_curvatures_agree_on_a_linear_model():
    """Squared error of a linear model: Gauss–Newton, K-FAC, EK-FAC and the Hessian are the same matrix."""
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((5, 1)), jnp.float32)}
    batch = lambda n: {  # noqa: E731
        "x": jnp.asarray(rng.standard_normal((n, 5)), jnp.float32),
        "y": jnp.asarray(rng.standard_normal(n), jnp.float32),
    }
    train, valid = batch(30), batch(4)

    def loss(params, example):
        return 0.5 * (jnp.dot(example["x"], params["w"])[0] - example["y"]) ** 2

    x, residual = np.asarray(train["x"], np.float64), np.asarray(train["x"] @ params["w"])[:, 0] - train["y"]
    x_valid = np.asarray(valid["x"], np.float64)
    residual_valid = np.asarray(valid["x"] @ params["w"])[:, 0] - valid["y"]
    want = reference.influence(
        np.asarray(residual)[:, None] * x, np.asarray(residual_valid)[:, None] * x_valid, x.T @ x / 30, 0.1
    )
    for curvature in (GaussNewton(0.1), KFAC(0.1), EKFAC(0.1), Hessian(0.1), Arnoldi(jax.random.key(1), 0.1, rank=5)):
        got = influence_matrix(loss, params, train, valid, curvature=curvature)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max(), err_msg=str(type(curvature)))


@pytest.mark.parametrize(
    "make", [GaussNewton, EmpiricalFisher, Hessian, KFAC, EKFAC, lambda damping: Arnoldi(jax.random.key(0), damping)]
)
@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan")])
def test_damping_must_be_positive(three_classes, make, damping):
    with pytest.raises(InputError, match="damping"):
        three_classes.influence(make(damping=damping))


def test_default_damping_is_a_tenth_of_the_mean_eigenvalue(three_classes, caplog):
    case = three_classes
    hessian = reference.gauss_newton(outputs, case.output_loss, case.params, case.train)
    damping = 0.1 * np.trace(hessian) / len(hessian)
    with caplog.at_level("INFO", logger="demix_jax"):
        got = case.influence(GaussNewton())
    assert_close(got, case.explicit(hessian, damping), 1e-3)
    reported = re.search(r"damping set to (\S+),", caplog.text)
    assert reported is not None
    np.testing.assert_allclose(float(reported.group(1)), damping, rtol=2e-3)


def test_a_penalty_inside_the_loss_is_refused(three_classes):
    case = three_classes

    def penalised(params, example):
        return case.loss(params, example) + 0.1 * jnp.sum(params["w1"] ** 2)

    with pytest.raises(InputError, match="convex"):
        influence_matrix(penalised, case.params, case.train, case.valid, curvature=GaussNewton(damping=0.1))
