"""Influence vectors: several channels that compare a training sample with every validation sample."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from demix_jax.common.target import Target


class Side(NamedTuple):
    """Inputs of the channels for n training or validation samples.

    x: f32[n, D]. y: class index or standardised target [n]. prediction: f32[n, K], out of fold.
    p_given: f32[n]. in_group: bool[n] and rule_ratio: f64[n], see `RuleEvidence`.
    """

    x: np.ndarray
    y: np.ndarray
    prediction: np.ndarray
    p_given: np.ndarray
    in_group: np.ndarray
    rule_ratio: np.ndarray

    def take(self, rows: np.ndarray) -> Side:
        """The samples at positions `rows`."""
        return Side._make(field[rows] for field in self)


def influence_vectors(influence: np.ndarray, train: Side, valid: Side, *, target: Target) -> np.ndarray:
    """Stack the channels of n training samples against S validation samples.

    Args:
      influence: f32[n, S], cosine-normalised; negative: raising the row's weight lowers that sample's loss.
      train, valid: the n training and S validation samples.
      target: kind of the label.
    Returns:
      f32[n, S, C] in the order of CHANNELS.
    Source: influence, feature and label similarity follow DeMix (Deng et al. 2026); the others are this package's.
    """
    shape = influence.shape
    chex.assert_shape([train.y, train.p_given, train.in_group, train.rule_ratio], shape[:1])
    chex.assert_shape([valid.y, valid.p_given, valid.in_group, valid.rule_ratio], shape[1:])
    chex.assert_shape([train.x, train.prediction], (shape[0], None))
    chex.assert_shape([valid.x, valid.prediction], (shape[1], None))
    channels = (
        influence,
        feature_similarity(train.x, valid.x),
        target.prediction_similarity(train.prediction, valid.prediction),
        target.label_similarity(train.y, valid.y),
        np.broadcast_to(valid.p_given, shape),
        (train.in_group[:, None] == valid.in_group[None]).astype(np.float32),
        np.broadcast_to(valid.rule_ratio, shape),
    )
    return np.stack(channels, axis=-1).astype(np.float32)


def feature_similarity(train_x: np.ndarray, valid_x: np.ndarray) -> np.ndarray:
    """Cosine similarity f32[n, S] of encoded features f32[n, D] and f32[S, D]."""
    return _unit(train_x) @ _unit(valid_x).T


def _unit(x: np.ndarray) -> np.ndarray:
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-6)
