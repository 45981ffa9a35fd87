"""New labels for rows flagged for label errors, and their certainty."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from demix_jax.repairs.trees import TreeTable, fit_classifier, fit_median, probabilities

MAX_FIT_ROWS = 20_000
NUM_STEPS = 100
MIN_CLASS_ROWS = 5


class NewLabels(NamedTuple):
    """Labels proposed for E flagged rows.

    label: i64[E] class codes, or f64[E] targets. confidence: f64[E] in [0, 1], see `certainty_of`.
    """

    label: np.ndarray
    confidence: np.ndarray


def new_classes(
    table: TreeTable, y: np.ndarray, num_classes: int, fit_rows: np.ndarray, rows: np.ndarray, *, seed: int
) -> NewLabels:
    """Most probable class of flagged rows, given their features, their given label and that they were flagged.

    Let p be the class probabilities by a model of unflagged rows, g the given label and q the probability that the flag
    is right. Suppose that flags depend on whether the label is wrong, but not on the features. Then (features, g)
    of a flagged row follows a mixture. With weight α, g is any class but the true one, with density
    ∝ (1 − p_g)/(K − 1). Otherwise g is the true class, with density ∝ p_g. α is estimated by maximum likelihood and
    gives q. Class k ≠ g then has probability q p_k / (1 − p_g).

    Args:
      table: N rows. y: i32[N], codes 0 … K − 1. num_classes: K.
      fit_rows: unflagged rows to learn from. rows: the E flagged rows, none of them in `fit_rows`.
      seed: of the learner and of the choice among more than MAX_FIT_ROWS rows.
    """
    chex.assert_shape(y, (len(table.features),))
    x, given = table.features, y[rows]
    fit_rows = _thin(fit_rows, seed)
    model = fit_classifier(x[fit_rows], y[fit_rows], table.is_category, num_steps=NUM_STEPS, seed=seed)
    p = probabilities(model, x[rows], num_classes)
    at = np.arange(len(rows))
    p_given = p[at, given]
    wrong = chance_of_error((1 - p_given) / (num_classes - 1), p_given)
    p = p / np.maximum(1 - p_given, 1e-12)[:, None] * wrong[:, None]
    p[at, given] = 1 - wrong
    label = np.argmax(p, axis=1)
    return NewLabels(label, certainty_of(p[at, label], num_classes))


def new_targets(table: TreeTable, y: np.ndarray, fit_rows: np.ndarray, rows: np.ndarray, *, seed: int) -> NewLabels:
    """Conditional median of the target of flagged rows; the given value where that is more probable.

    The mixture is that of `new_classes`. A right value has a Laplace-distributed residual around the median. A wrong
    value is uniformly distributed over the target's range.

    Args:
      table: N rows. y: f64[N], targets. fit_rows, rows, seed: as in `new_classes`.
    """
    chex.assert_shape(y, (len(table.features),))
    x = table.features
    fit_rows = _thin(fit_rows, seed)
    half = len(fit_rows) // 2
    first = fit_median(x[fit_rows[:half]], y[fit_rows[:half]], table.is_category, num_steps=NUM_STEPS, seed=seed)
    scale = np.mean(np.abs(y[fit_rows[half:]] - first.predict(x[fit_rows[half:]])))
    model = fit_median(x[fit_rows], y[fit_rows], table.is_category, num_steps=NUM_STEPS, seed=seed)
    predicted = model.predict(x[rows])
    scale = max(float(scale), 1e-6 * float(np.ptp(y)), 1e-300)
    if_right = np.exp(-np.abs(y[rows] - predicted) / scale) / (2 * scale)
    if_wrong = np.full(len(rows), 1 / max(float(np.ptp(y)), 2 * scale))
    wrong = chance_of_error(if_wrong, if_right)
    keep = wrong < 0.5
    return NewLabels(np.where(keep, y[rows], predicted), certainty_of(np.where(keep, 1 - wrong, wrong), 2))


def certainty_of(p_right: np.ndarray, num_classes: int) -> np.ndarray:
    """f64[E] in [0, 1]: 0 for a label no better than a guess among K classes, 1 for a certain one.

    It is (p − 1/K) / (1 − 1/K), with p f64[E] the probability that the label is right. For a regression target, K = 2:
    it is right or wrong. With two classes, a row of this weight teaches as much as one row of each class, with weights
    p and 1 − p.
    """
    return np.clip((p_right - 1 / num_classes) / (1 - 1 / num_classes), 0.0, 1.0)


def chance_of_error(if_wrong: np.ndarray, if_right: np.ndarray, *, num_steps: int = 100) -> np.ndarray:
    """Posterior probability f64[E] that each flagged label is wrong, given the two likelihoods f64[E].

    The prior is the maximum-likelihood weight of a mixture of the two, found by expectation maximisation.
    """

    def posterior(share: float) -> np.ndarray:
        return share * if_wrong / (share * if_wrong + (1 - share) * if_right + 1e-300)

    share = 0.8
    for _ in range(num_steps - 1):
        share = float(np.clip(posterior(share).mean(), 1e-3, 1 - 1e-3))
    return posterior(share)


def _thin(rows: np.ndarray, seed: int) -> np.ndarray:
    """At most MAX_FIT_ROWS of the rows, in random order."""
    shuffled = np.random.default_rng(seed).permutation(rows)
    return shuffled[:MAX_FIT_ROWS]
