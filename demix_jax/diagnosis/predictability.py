"""Whether held-out labels are predicted better than by guessing; where they are not, labels cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from demix_jax.common.ranks import mean_ranks
from demix_jax.common.target import Target
from demix_jax.common.wording import Words, listed

_LEAST_SKILL = 0.04  # an AUC of 0.52; a skill that may be lower, by its standard error, is none
_NUM_ERRORS = 2.0  # standard errors that are subtracted


class Skill(NamedTuple):
    """How well predictions rank labels: 1 perfectly, 0 like guessing; error: its standard error."""

    value: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether the predictions are better than guessing, beyond chance."""
        return self.value - _NUM_ERRORS * self.error > _LEAST_SKILL


class Predictability(NamedTuple):
    """Skill of each model's predictions of labels that it never saw. of_numbers: whether the labels are numbers."""

    skills: tuple[Skill, ...]
    of_numbers: bool

    @property
    def labels_judged(self) -> bool:
        """Whether a wrong label can be told from a right one: one of the models is better than guessing."""
        return any(skill.clear for skill in self.skills)

    def doubt(self, words: Words) -> str | None:
        """A sentence that labels cannot be judged, in the words of the data; None where they can."""
        if self.labels_judged:
            return None
        name = "rank correlation" if self.of_numbers else "AUC"
        values = [skill.value if self.of_numbers else (1 + skill.value) / 2 for skill in self.skills]
        measured = listed([f"{value:.2f}".replace("-", "−") for value in values])
        return (
            f"{words.labels.capitalize()} cannot be judged here: models predict those of {words.noun}s that they never "
            f"saw no better than by guessing ({name} {measured}). That none is called likely wrong does not mean that "
            f"they are right. {words.for_labels}"
        )


def predictability(y: np.ndarray, predictions: Sequence[np.ndarray], target: Target) -> Predictability:
    """Compare out-of-fold predictions with the given labels.

    Args:
      y: [N] given labels as in `Target`. predictions: f32[N, K] of each model, as in `Target`, out of fold.
    """
    for prediction in predictions:
        chex.assert_shape(prediction, (len(y), None))
    if target.ordered:
        return Predictability(tuple(number_skill(y, prediction[:, 0]) for prediction in predictions), True)
    return Predictability(tuple(class_skill(y, prediction) for prediction in predictions), False)


def class_skill(y: np.ndarray, prediction: np.ndarray) -> Skill:
    """2 · AUC − 1, the mean over classes by their share, each class against all others.

    The label shares rank nothing and have a skill of 0, however the probabilities are calibrated. The error follows
    from what each row contributes, so it holds for the mean over classes, whose AUCs depend on each other.

    Args:
      y: i[N], classes from 0. prediction: f[N, K], class probabilities.
    Source: DeLong, DeLong & Clarke-Pearson 1988, "Comparing the Areas under Two or More Correlated ROC Curves".
    """
    area, contribution = 0.0, np.zeros(len(y))
    for k in np.unique(y):
        own = y == k
        share = own.mean()
        if share == 1:
            return Skill(0.0, 0.0)
        scores = prediction[:, k]
        won = _share_below(scores[own], scores[~own])  # by each row of the class, against the others
        kept = 1 - _share_below(scores[~own], scores[own])
        area += share * won.mean()
        contribution[own] += won - won.mean()
        contribution[~own] += share / (1 - share) * (kept - won.mean())
    return Skill(float(2 * area - 1), float(2 * np.sqrt(np.mean(contribution**2) / len(y))))


def number_skill(y: np.ndarray, prediction: np.ndarray) -> Skill:
    """Spearman's rank correlation of labels f[N] and predictions f[N]; 0 if either is constant.

    Unlike R², it is not ruled by a few labels that are wildly wrong.
    """
    of_labels, of_predictions = _share_below(y, y), _share_below(prediction, prediction)
    if np.ptp(of_labels) == 0 or np.ptp(of_predictions) == 0:
        return Skill(0.0, 0.0)
    value = float(np.corrcoef(of_labels, of_predictions)[0, 1])
    return Skill(value, float(np.sqrt(max(1 - value**2, 0.0) / max(len(y) - 2, 1))))


def _share_below(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """f64[n]: share of `among` f[m] that lies below each of `values` f[n]; equal ones count half."""
    ranks = mean_ranks(values[:, None].astype(np.float64), np.sort(among)[:, None].astype(np.float64))
    return (ranks[:, 0] - 0.5) / len(among)
