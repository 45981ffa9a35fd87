"""Kinds of label errors for classes."""

from __future__ import annotations

import numpy as np

from demix_jax.corruption.label_features import LinearModel, best_other, margins_to_centroids
from demix_jax.corruption.label_proposals import Classes, Proposal, drawn_by, random_group

_RATE_RATIO = 20.0  # error rate of the class that is mostly wrong, in units of the others'
_NUM_ANNOTATORS = (2, 7)
_LINE_NOISE = np.geomspace(0.05, 6.0, 12)  # noise of an annotator's weights, in units of their root mean square

# Each kind returns a Proposal for clean labels, a wanted number of wrong ones, and a random generator.


def uniform(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Any row gets any other class."""
    return Proposal(rng.random(len(labels.values)), _any_other(labels, rng))


def asymmetric(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Each class has its own error rate and is always mistaken for the same other class."""
    weight = rng.permutation(np.geomspace(1.0, 0.2, labels.num_classes))[labels.values]
    return Proposal(drawn_by(weight, rng), _confused_with(labels.num_classes, rng)[labels.values])


def class_dependent(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """One class, the rarest in half of the draws, has twenty times the error rate of the others."""
    wrong = _rarest(labels) if rng.random() < 0.5 else int(rng.integers(labels.num_classes))
    return Proposal(drawn_by(np.where(labels.values == wrong, _RATE_RATIO, 1.0), rng), _any_other(labels, rng))


def feature_dependent(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Mostly rows that lie nearly as close to another class's centroid get that class."""
    margin, other = margins_to_centroids(*labels)
    return Proposal(drawn_by(falling_weights(margin), rng), other)


def boundary(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Rows near the decision boundary of a linear model of the clean classes get the likeliest other class."""
    gap, other = best_other(LinearModel.fit(*labels, rng).logits, labels.values)
    distance = np.abs(gap)
    width = np.quantile(distance, min(count / len(distance), 1.0)) * rng.uniform(0.1, 0.6) + 1e-9
    return Proposal(-distance / width + rng.gumbel(size=len(distance)), other)


def annotator(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """A few annotators, each with a line near the true one, share the rows; theirs is the label where it differs.

    The lines are as far off as the wanted number of errors asks for.
    """
    model = LinearModel.fit(*labels, rng)
    weights = model.weights
    who = rng.integers(int(rng.integers(_NUM_ANNOTATORS[0], _NUM_ANNOTATORS[1] + 1)), size=len(labels.values))
    noise = rng.normal(size=(who.max() + 1, *weights.shape)) * np.sqrt(np.mean(weights**2))
    misfit = np.minimum(best_other(model.logits, labels.values)[0], 0.0)  # the true label is right though unlikely
    gain, other = np.empty(len(who)), labels.values
    for scale in _LINE_NOISE:
        gap, other = best_other(_logits_of(model, weights + scale * noise, who), labels.values)
        gain = misfit - gap
        if np.sum(gain > 0) >= count:
            break
    return Proposal(np.where(gain > 0, rng.random(len(gain)), gain), other)


def _logits_of(model: LinearModel, weights: np.ndarray, who: np.ndarray) -> np.ndarray:
    """f64[N, K]: logits of each row by the weights f64[A, D, K] of its annotator i64[N]."""
    logits = np.empty((len(who), weights.shape[2]))
    for a, of_annotator in enumerate(weights):
        logits[who == a] = model.x[who == a] @ of_annotator
    return logits


def minority(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Rows of other classes get the rarest class."""
    return Proposal(rng.random(len(labels.values)), np.full(len(labels.values), _rarest(labels)))


def subgroup(labels: Classes, count: int, rng: np.random.Generator) -> Proposal:
    """Rows of one group get any other class."""
    group = random_group(labels.features, count, rng)
    return Proposal(drawn_by(group.astype(np.float64), rng), _any_other(labels, rng))


def falling_weights(margin: np.ndarray) -> np.ndarray:
    """f64[N]: weights that fall from 1 to 0 with the rank of a margin f64[N]."""
    rank = np.empty(len(margin))
    rank[np.argsort(margin, kind="stable")] = np.arange(len(margin))
    return (1.0 - rank / len(margin)) ** 3


def _any_other(labels: Classes, rng: np.random.Generator) -> np.ndarray:
    """i64[N]: a random other class of each row."""
    return (labels.values + rng.integers(1, labels.num_classes, len(labels.values))) % labels.num_classes


def _rarest(labels: Classes) -> int:
    return int(np.bincount(labels.values, minlength=labels.num_classes).argmin())


def _confused_with(num_classes: int, rng: np.random.Generator) -> np.ndarray:
    """i64[K]: the class that each class is mistaken for; a random cycle through all classes."""
    order = rng.permutation(num_classes)
    partner = np.empty(num_classes, dtype=np.int64)
    partner[order] = np.roll(order, -1)
    return partner
