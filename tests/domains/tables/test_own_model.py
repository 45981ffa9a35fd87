"""`diagnose` takes any object with init, apply and loss: models of three libraries, and objects that are no models."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from fabricated_worlds import untrained_classifier
from flax import nnx

import demix_jax
from demix_jax import InputError

ROWS, FEATURES = 120, 3


class LinenModel:
    """A Flax linen network of two classes."""

    network = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)])

    def init(self, key, example) -> Any:
        return self.network.init(key, example["x"])

    def apply(self, params, x) -> Any:
        return self.network.apply(params, x)

    def loss(self, params, example) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(self.apply(params, example["x"]), example["y"])


class NnxModel(LinenModel):
    """The same as a Flax nnx network: parameters are its state, the rest is known beforehand."""

    def network_of(self, key):
        rngs = nnx.Rngs(key)
        return nnx.Sequential(nnx.Linear(FEATURES, 8, rngs=rngs), nnx.relu, nnx.Linear(8, 2, rngs=rngs))

    def init(self, key, example):
        return nnx.state(self.network_of(key), nnx.Param)

    def apply(self, params, x):
        return nnx.merge(nnx.graphdef(self.network_of(jax.random.key(0))), params)(x)


class EquinoxModel(LinenModel):
    """The same as an Equinox module: parameters are its arrays."""

    def __init__(self):
        self.rest = eqx.filter(eqx.nn.MLP(FEATURES, 2, 8, 1, key=jax.random.key(0)), eqx.is_array, inverse=True)

    def init(self, key, example):
        return eqx.filter(eqx.nn.MLP(FEATURES, 2, 8, 1, key=key), eqx.is_array)

    def apply(self, params, x):
        return eqx.combine(params, self.rest)(x)


class LinearRegression:
    """Plain JAX, for a number."""

    def init(self, key, example):
        return {"w": 0.1 * jax.random.normal(key, example["x"].shape), "b": jnp.zeros(())}

    def apply(self, params, x):
        return (x @ params["w"] + params["b"])[None]

    def loss(self, params, example):
        return 0.5 * jnp.square(self.apply(params, example["x"])[0] - example["y"])


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES))
    frame = pd.DataFrame(x, columns=list("abc"))
    return frame.assign(y=np.where(x[:, 0] > 0, "yes", "no"))


@pytest.fixture(scope="module")
def classifier():
    return untrained_classifier()


@pytest.mark.parametrize("model", [LinenModel(), NnxModel(), EquinoxModel()], ids=lambda model: type(model).__name__)
def test_a_model_of_the_users_own(table, classifier, model):
    found = demix_jax.diagnose(table, label="y", model=model, classifier=classifier)
    assert found.summary.model == type(model).__name__
    assert found.summary.validation["auc"] > 0.9, "it was trained, on the other folds"
    same = (table["y"].to_numpy()[found.validation_rows[found.fold]] == table["y"].to_numpy()[:, None]).astype(bool)
    assert found.influence[same].mean() < 0 < found.influence[~same].mean(), "rows help others of their label"
    json.dumps(found.summary.as_dict())


def test_a_number_with_plain_jax(table, classifier):
    frame = table.assign(y=100 + 20 * table["a"] + table["b"])
    found = demix_jax.diagnose(frame, label="y", model=LinearRegression(), classifier=classifier)
    assert found.summary.task == "regression" and found.summary.validation["r2"] > 0.5, "in 40 passes over 96 rows"


class WithoutLoss:
    def init(self, key, example):
        return {}

    def apply(self, params, x):
        return x


class ThreeOutputs(LinenModel):
    network = nn.Dense(3)


class VectorLoss(LinenModel):
    def loss(self, params, example):
        return self.apply(params, example["x"])


class NumpyModel(LinenModel):
    def apply(self, params, x):
        return np.asarray(x) @ np.ones((FEATURES, 2))


@dataclasses.dataclass
class Unhashable(LinenModel):
    width: int = 3


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (WithoutLoss(), r"a WithoutLoss without loss; give one of mlp, mlp-small, ft-transformer, or an object"),
        (3, "a int without init, apply and loss"),
        (None, "a NoneType without init"),
        (ThreeOutputs(), r"apply gives an array of shape \(3,\); expected one array of shape \(2,\)"),
        (VectorLoss(), r"loss gives an array of shape \(2,\); expected one number"),
        (NumpyModel(), "cannot be traced on an example of shapes x: .*must be pure JAX functions"),
        (Unhashable(), "cannot be hashed"),
    ],
)
def test_what_is_no_model_is_refused_before_any_work(table, classifier, monkeypatch, model, message):
    def too_late(*args, **kwargs):
        raise AssertionError("work was begun")

    monkeypatch.setattr("demix_jax.diagnosis.pipeline.gather_evidence", too_late)
    with pytest.raises(InputError, match=message):
        demix_jax.diagnose(table, label="y", model=model, classifier=classifier)
