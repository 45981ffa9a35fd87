"""Whether a repair helps: task models trained on repaired rows, judged on rows that took no part in it.

The rows that judge are as corrupted as the rest. Unflagged rows are the cleanest, but a diagnosis would then be
marked by its own flags; all rows without feature errors do not depend on the label flags, and wrong labels leave
the order of models intact: the area under the ROC curve against noisy labels is a rising linear function of the
one against true labels when noise does not depend on the features (Menon et al. 2015, "Learning from Corrupted
Binary Labels via Class-Probability Estimation"), and the mean absolute error of a regression moves little with a
minority of wild targets. The judgement is the average of both views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from demix_jax.models import MLP, TaskModel, train_task_model

if TYPE_CHECKING:
    from demix_jax.repairs.operations import Problem

NUM_FOLDS = 3
MAX_ROWS = 6_000
MAX_EPOCHS = 15
MIN_JUDGES = 50
NUM_TRIALS = 4
NUM_STARTS = 2
WEIGHTS = (1.0, 2.0, 3.0, 4.0)
MIN_ERRORS = 2.0  # standard errors; at one, steps were left out that helped


class Trial(NamedTuple):
    """What a task model would be trained on, for n rows: x f32[n, D], y [n], weight f64[n] (0: left out)."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


def held_out_outputs(
    trials: Sequence[Callable[[int], Trial]],
    x: np.ndarray,
    fold: np.ndarray,
    *,
    task: str,
    num_classes: int,
    seed: int,
) -> np.ndarray:
    """Outputs of small task models for rows that they were not trained on, all trained at once.

    Args:
      trials: each maps a fold to the n training rows as a repair would leave them; it must not use the labels of
        that fold's rows for the others.
      x: f32[n, D], the rows as they are judged. fold: i32[n], the fold whose model judges the row.
      task, num_classes: of the label; K is 1 for regression.
    Returns:
      f32[len(trials), S, n, K]: class probabilities, or predicted targets, of models from S starts.
    """
    model = TaskModel(network=MLP(widths=(64, 32), num_outputs=num_classes), task=task)
    num_rows, num_folds = len(fold), int(fold.max()) + 1
    # Padded, so that every question about a table has one shape and training is compiled once.
    padding = [trials[0]] * (-len(trials) % NUM_TRIALS)
    made = [trial(f) for trial in (*trials, *padding) for f in range(num_folds)]
    blocks = Trial(*(np.concatenate(part) for part in zip(*made, strict=True)))
    rng = np.random.default_rng(seed)
    size = min(int(np.sum(fold != f)) for f in range(num_folds))
    picked = [rng.permutation(np.flatnonzero(fold != f))[:size] for f in range(num_folds)]
    # The same rows, start and order for every trial: what differs between trials is the repair alone.
    index = np.stack([picked[b % num_folds] + b * num_rows for b in range(len(made))])
    index = np.repeat(index, NUM_STARTS, axis=0)
    keys = jax.random.split(jax.random.key(seed), num_folds * NUM_STARTS)
    num_valid = size // 5
    trained = train_task_model(
        jnp.tile(keys, len(made) // num_folds),
        model,
        jnp.asarray(blocks.x, jnp.float32),
        jnp.asarray(blocks.y),
        jnp.asarray(index[:, num_valid:]),
        jnp.asarray(index[:, :num_valid]),
        weights=jnp.asarray(blocks.weight, jnp.float32),
        max_epochs=MAX_EPOCHS,
    )
    outputs = jax.vmap(model.apply, in_axes=(0, None))(trained.params, jnp.asarray(x, jnp.float32))
    outputs = np.asarray(jax.nn.softmax(outputs) if task == "classification" else outputs)
    outputs = outputs.reshape(-1, num_folds, NUM_STARTS, num_rows, num_classes)
    return np.moveaxis(outputs[: len(trials), fold, :, np.arange(num_rows)], 0, 2)


def skill(outputs: np.ndarray, y: np.ndarray, task: str, weight: np.ndarray | None = None) -> float:
    """How well outputs f32[n, K] rank labels y [n]: mean one-against-rest AUC; 1 − MAE / MAE of the median."""
    if task == "regression":
        error = np.average(np.abs(outputs[:, 0] - y), weights=weight)
        return 1 - error / max(np.average(np.abs(y - np.median(y)), weights=weight), 1e-12)
    from sklearn.metrics import roc_auc_score

    classes = [1] if outputs.shape[1] == 2 else range(outputs.shape[1])
    areas = [roc_auc_score(y == k, outputs[:, k], sample_weight=weight) for k in classes if 0 < np.sum(y == k) < len(y)]
    return float(np.mean(areas)) if areas else 0.5


class Judges(NamedTuple):
    """Rows that judge repairs of a problem, as they were given.

    problem: n rows of it. fold: i32[n].
    """

    problem: Problem
    fold: np.ndarray

    def outputs(self, trials: Sequence[Callable[[int], Trial]]) -> np.ndarray:
        """Held-out outputs f32[len(trials), S, n, K]."""
        data = self.problem.data
        return held_out_outputs(
            trials,
            data.x,
            self.fold,
            task=data.task,
            num_classes=data.num_classes,
            seed=self.problem.seed,
        )

    def skills(self, outputs: np.ndarray) -> np.ndarray:
        """Skill of outputs f32[S, n, K] of each model, for the rows that it did not see: f64[G], G = 3 S.

        Averaged over two views: unflagged rows, and all rows without feature errors.
        """
        kept = ~self.problem.feature_error
        views = (kept & ~self.problem.label_error, kept)
        return np.mean([self._of_models(outputs, view, None) for view in views], axis=0)

    def worth(self, outputs: np.ndarray) -> np.ndarray:
        """Mean of `skills` and `balanced_skills`: f64[G].

        Models that lean on the shortcut do well on most rows that follow it; they must not win by that.
        """
        return (self.skills(outputs) + self.balanced_skills(outputs)) / 2

    def balanced_skills(self, outputs: np.ndarray) -> np.ndarray:
        """Skill of each model on unflagged rows if the minority were half of them: f64[G]."""
        rows = ~self.problem.feature_error & ~self.problem.label_error
        minority = self.problem.minority[rows]
        weight = np.ones(len(rows))
        weight[rows] = np.where(minority, (~minority).sum() / max(1, minority.sum()), 1.0)
        return self._of_models(outputs, rows, weight)

    def _of_models(self, outputs: np.ndarray, rows: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        """Skill of each model, start by start and fold by fold, on those of `rows` (bool[n]) that it did not see."""
        y, task = self.problem.data.y, self.problem.data.task
        parts = [np.flatnonzero(rows & (self.fold == f)) for f in range(NUM_FOLDS)]
        return np.array(
            [
                skill(of_start[p], y[p], task, None if weight is None else weight[p])
                for of_start in outputs
                for p in parts
                if len(p)
            ]
        )


def clearly_better(skills: np.ndarray, others: np.ndarray) -> bool:
    """Whether skills f64[G] are above others f64[G], model by model, by more than chance."""
    gain = skills - others
    return bool(gain.mean() > MIN_ERRORS * gain.std(ddof=1) / np.sqrt(len(gain)))


def find_judges(problem: Problem) -> tuple[np.ndarray, Judges] | None:
    """Row numbers i64[n] of at most MAX_ROWS judges, and the judges; None if too few rows are unflagged."""
    rng = np.random.default_rng(problem.seed)
    rows = np.sort(rng.permutation(len(problem.table))[:MAX_ROWS])
    taken = problem.take(rows)
    clean = ~taken.label_error & ~taken.feature_error
    if clean.sum() < MIN_JUDGES:
        return None
    if problem.data.task == "classification" and np.sum(np.bincount(taken.data.y[clean]) >= 5) < 2:
        return None
    return rows, Judges(taken, (rng.permutation(len(rows)) % NUM_FOLDS).astype(np.int32))
