"""Channels of the influence vectors, by hand and by a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from demix_jax.classifier.schema import CHANNELS
from demix_jax.common.target import ClassTarget, RegressionTarget
from demix_jax.diagnosis.vectors import Side, influence_vectors


def side(x, y, prediction, p_given, in_group, rule_ratio):
    return Side(
        np.array(x, np.float32),
        np.array(y),
        np.array(prediction, np.float32),
        np.array(p_given, np.float32),
        np.array(in_group),
        np.array(rule_ratio, float),
    )


TRAIN = side([[3, 4], [0, 2]], [0, 1], [[0.9, 0.1], [0.5, 0.5]], [0.9, 0.5], [True, False], [0.5, -1.0])
VALID = side(
    [[4, 3], [1, 0], [0, -1]],
    [1, 0, 0],
    [[0.2, 0.8], [1, 0], [0.6, 0.4]],
    [0.8, 1, 0.6],
    [True, True, False],
    [2, -3, 1],
)
INFLUENCE = np.array([[0.1, -0.9, 0.2], [-0.5, 0.4, 0.0]], np.float32)


def channel(vectors, name):
    return vectors[..., CHANNELS.index(name)]


def test_classification_by_hand():
    vectors = influence_vectors(INFLUENCE, TRAIN, VALID, target=ClassTarget((0, 1)))
    assert vectors.shape == (2, 3, len(CHANNELS)) and vectors.dtype == np.float32
    want = {
        "influence": INFLUENCE,
        "feature_similarity": [[24 / 25, 3 / 5, -4 / 5], [3 / 5, 0, -1]],
        "prediction_similarity": [[0.9 * 0.2 + 0.1 * 0.8, 0.9, 0.58], [0.5, 0.5, 0.5]],
        "label_similarity": [[0, 1, 1], [1, 0, 0]],
        "validation_fit": [[0.8, 1, 0.6]] * 2,
        "rule_similarity": [[1, 1, 0], [0, 0, 1]],
        "validation_rule_ratio": [[2, -3, 1]] * 2,
    }
    assert tuple(want) == CHANNELS
    for name, values in want.items():
        np.testing.assert_allclose(channel(vectors, name), values, atol=2e-6, err_msg=name)


def test_regression_compares_targets_and_predictions_by_distance():
    train = TRAIN._replace(y=np.array([0.0, 1.5], np.float32), prediction=np.array([[0.0], [1.0]], np.float32))
    valid = VALID._replace(y=np.array([0.0, 0.5, -1.0], np.float32), prediction=np.array([[0], [2], [-1]], np.float32))
    vectors = influence_vectors(INFLUENCE, train, valid, target=RegressionTarget())
    for i in range(2):
        for j in range(3):
            label = np.exp(-2 * abs(train.y[i] - valid.y[j]))
            prediction = np.exp(-2 * abs(train.prediction[i, 0] - valid.prediction[j, 0]))
            assert channel(vectors, "label_similarity")[i, j] == pytest.approx(label, rel=1e-6)
            assert channel(vectors, "prediction_similarity")[i, j] == pytest.approx(prediction, rel=1e-6)
    assert channel(vectors, "label_similarity")[0, 0] == 1


def test_a_sample_without_features_is_like_none():
    empty = TRAIN._replace(x=np.zeros_like(TRAIN.x))
    vectors = influence_vectors(INFLUENCE, empty, VALID, target=ClassTarget((0, 1)))
    np.testing.assert_array_equal(channel(vectors, "feature_similarity"), np.zeros((2, 3)))


def test_permuting_validation_samples_permutes_the_vectors():
    order = np.array([2, 0, 1])
    got = influence_vectors(INFLUENCE[:, order], TRAIN, VALID.take(order), target=ClassTarget((0, 1)))
    want = influence_vectors(INFLUENCE, TRAIN, VALID, target=ClassTarget((0, 1)))[:, order]
    np.testing.assert_allclose(got, want, atol=1e-6)
