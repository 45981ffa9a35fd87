"""Whether a repair helps: task models are trained on repaired rows and judged on held-out rows.

The judging rows are as corrupted as the rest, so the judgement averages two views of them. Unflagged rows are the
cleanest, but with them the diagnosis would be judged by its own flags. All rows without feature errors do not depend on
the label flags, and wrong labels hardly change the order of models:

* Classification: suppose that noise does not depend on the features. Then the area under the ROC curve against noisy
  labels is an increasing linear function of the area against true labels. Source: Menon et al. 2015, "Learning from
  Corrupted Binary Labels via Class-Probability Estimation".
* Regression: a minority of extreme targets changes the mean absolute error little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.common.target import Target
from demix_jax.data.folds.equal_rows import equal_rows
from demix_jax.models import MLP, TaskModel, train_task_model
from demix_jax.repairs.operations import RepairProblem

NUM_FOLDS = 3
MAX_ROWS = 6_000
MAX_EPOCHS = 15
MIN_JUDGES = 50
NUM_TRIALS = 4
NUM_STARTS = 2
WEIGHTS = (1.0, 2.0, 3.0, 4.0)
MIN_ERRORS = 2.0  # standard errors; with one, helpful steps were left out


class Trial(NamedTuple):
    """Training data of a task model. x: f32[n, D]. y: [n] labels. weight: f64[n], 0 leaves a row out."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


def held_out_outputs(
    trials: Sequence[Callable[[int], Trial]],
    x: np.ndarray,
    fold: np.ndarray,
    *,
    target: Target,
    seed: int,
) -> np.ndarray:
    """Outputs of small task models for rows that they were not trained on; all models are trained at once.

    Args:
      trials: each maps a fold to the n training rows after a repair. Labels of rows in that fold must not influence
        the other rows.
      x: f32[n, D], the rows as they are judged. fold: i32[n], the fold whose model judges the row.
      target: what the label is.
      seed: of the choice of rows and the initial parameters.
    Returns:
      f32[len(trials), S, n, K]: class probabilities, or predicted targets, of models with S initialisations.
    """
    chex.assert_shape(x, (len(fold), None))
    model = TaskModel(network=MLP(widths=(64, 32), num_outputs=target.num_outputs), task=target.task)
    num_rows, num_folds = len(fold), int(fold.max()) + 1
    # Padded to one shape, so that training is compiled once.
    padding = [trials[0]] * (-len(trials) % NUM_TRIALS)
    made = [trial(f) for trial in (*trials, *padding) for f in range(num_folds)]
    blocks = Trial(*(np.concatenate(part) for part in zip(*made, strict=True)))
    rng = np.random.default_rng(seed)
    size = min(int(np.sum(fold != f)) for f in range(num_folds))
    picked = [rng.permutation(np.flatnonzero(fold != f))[:size] for f in range(num_folds)]
    # Trials share rows, initial parameters and order, so that they differ by the repair alone.
    index = np.stack([picked[b % num_folds] + b * num_rows for b in range(len(made))])
    index = np.repeat(index, NUM_STARTS, axis=0)
    keys = jax.random.split(jax.random.key(seed), num_folds * NUM_STARTS)
    num_valid = size // 5
    trained = train_task_model(
        jnp.tile(keys, len(made) // num_folds),
        model,
        {"x": jnp.asarray(blocks.x, jnp.float32), "y": jnp.asarray(blocks.y)},
        jnp.asarray(index[:, num_valid:]),
        jnp.asarray(index[:, :num_valid]),
        weights=jnp.asarray(blocks.weight, jnp.float32),
        max_epochs=MAX_EPOCHS,
    )
    outputs = jax.vmap(model.apply, in_axes=(0, None))(trained.params, jnp.asarray(x, jnp.float32))
    outputs = target.predictions(outputs).reshape(-1, num_folds, NUM_STARTS, num_rows, target.num_outputs)
    return np.moveaxis(outputs[: len(trials), fold, :, np.arange(num_rows)], 0, 2)


def skill(outputs: np.ndarray, y: np.ndarray, target: Target, weight: np.ndarray | None = None) -> float:
    """Quality of outputs f32[n, K] for labels y [n].

    Classification: mean one-against-rest AUC, at most 1. Regression: 1 − MAE / MAE of the constant median, at most 1.
    """
    if target.ordered:
        error = np.average(np.abs(outputs[:, 0] - y), weights=weight)
        return 1 - error / max(np.average(np.abs(y - np.median(y)), weights=weight), 1e-12)
    from sklearn.metrics import roc_auc_score

    classes = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
    areas = [roc_auc_score(y == k, outputs[:, k], sample_weight=weight) for k in classes if 0 < np.sum(y == k) < len(y)]
    return float(np.mean(areas)) if areas else 0.5


class Judges(NamedTuple):
    """Rows that judge the repairs of a problem, before any repair.

    problem: n of its rows. fold: i32[n], the fold whose model judges the row.
    """

    problem: RepairProblem
    fold: np.ndarray

    def outputs(self, trials: Sequence[Callable[[int], Trial]]) -> np.ndarray:
        """Held-out outputs f32[len(trials), S, n, K]."""
        data = self.problem.data
        return held_out_outputs(
            trials,
            data.x,
            self.fold,
            target=data.target,
            seed=self.problem.seed,
        )

    def skills(self, outputs: np.ndarray) -> np.ndarray:
        """f64[G], G = 3 S: skill of each model on rows that it was not trained on, from outputs f32[S, n, K].

        Mean over two views: unflagged rows, and all rows without feature errors.
        """
        kept = ~self.problem.feature_error
        views = (kept & ~self.problem.label_error, kept)
        return np.mean([self._of_models(outputs, view, None) for view in views], axis=0)

    def worth(self, outputs: np.ndarray) -> np.ndarray:
        """f64[G]: mean of `skills` and `balanced_skills`.

        Models that rely on the shortcut do well on the many rows that follow it; that alone must not decide.
        """
        return (self.skills(outputs) + self.balanced_skills(outputs)) / 2

    def balanced_skills(self, outputs: np.ndarray) -> np.ndarray:
        """f64[G]: skill of each model on unflagged rows, weighted so that the minority is half of them."""
        rows = ~self.problem.feature_error & ~self.problem.label_error
        minority = self.problem.minority[rows]
        weight = np.ones(len(rows))
        weight[rows] = np.where(minority, (~minority).sum() / max(1, minority.sum()), 1.0)
        return self._of_models(outputs, rows, weight)

    def _of_models(self, outputs: np.ndarray, rows: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        """Skill of each model on those of `rows` (bool[n]) that it was not trained on; all folds of one start first."""
        y, target = self.problem.data.y, self.problem.data.target
        parts = [np.flatnonzero(rows & (self.fold == f)) for f in range(NUM_FOLDS)]
        return np.array(
            [
                skill(of_start[p], y[p], target, None if weight is None else weight[p])
                for of_start in outputs
                for p in parts
                if len(p)
            ]
        )


def clearly_better(skills: np.ndarray, others: np.ndarray) -> bool:
    """Whether skills f64[G] exceed others f64[G], compared model by model, by more than chance."""
    gain = skills - others
    return bool(gain.mean() > MIN_ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)))


def find_judges(problem: RepairProblem) -> tuple[np.ndarray, Judges] | None:
    """Row numbers i64[n] of the judges, n ≤ MAX_ROWS, and the judges; None if too few rows are unflagged."""
    rng = np.random.default_rng(problem.seed)
    rows = np.sort(rng.permutation(len(problem.table))[:MAX_ROWS])
    taken = problem.take(rows)
    clean = ~taken.label_error & ~taken.feature_error
    if clean.sum() < MIN_JUDGES:
        return None
    if not problem.data.target.ordered and np.sum(np.bincount(taken.data.y[clean]) >= 5) < 2:
        return None
    fold = (rng.permutation(len(rows)) % NUM_FOLDS).astype(np.int32)
    _, first, copy_of = np.unique(equal_rows(taken.table).groups, return_index=True, return_inverse=True)
    return rows, Judges(taken, fold[first][copy_of])  # copies of a row are judged by models that saw none of them
