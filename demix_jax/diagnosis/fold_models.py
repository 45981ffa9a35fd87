"""Task models of all folds: their predictions and influence for rows that they never saw."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Protocol

import jax
import numpy as np

from demix_jax.common.pytrees import entry
from demix_jax.common.shared_sizes import shared_size
from demix_jax.data.folds.plan import Folds
from demix_jax.gradients.per_example import PyTree
from demix_jax.influence.matrix import cosine_influence
from demix_jax.models import TaskModelLike, train_task_model

_SAMPLES_AT_ONCE = 1_024  # a network over histories stores hundreds of numbers per click of a sample


class FoldModels(Protocol):
    """One task model per fold.

    `rows` i[n] are sample numbers; callers pad them to a few lengths, which reuses compiled code.
    """

    @property
    def valid_loss(self) -> np.ndarray:
        """f32[F], mean loss of each model on its early-stopping samples."""
        ...

    def outputs(self, fold: int, rows: np.ndarray) -> np.ndarray:
        """Logits f32[n, K], or predictions f32[n, 1] of a standardised target."""
        ...

    def influence(self, fold: int, rows: np.ndarray, valid_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Influence of `rows` on `valid_rows` f32[n, S], and the gradient norms of `rows` f32[n].

        Influence is −cosine of the gradients; negative: raising the row's weight lowers that sample's loss.
        """
        ...


@dataclasses.dataclass(frozen=True)
class NetworkFolds:
    """Fold models of any task model, made by `train_fold_models`.

    params: pytree with leading axis F. x: pytree of N samples' features. y: [N]. select: see `influence_matrix`.
    num_outputs: K; later outputs of the model are padding. None: there are none.
    """

    model: TaskModelLike
    params: PyTree
    x: PyTree
    y: np.ndarray
    valid_loss: np.ndarray
    select: str | None = None
    num_outputs: int | None = None

    def outputs(self, fold: int, rows: np.ndarray) -> np.ndarray:
        """See `FoldModels`."""
        outputs = task_outputs(self.model, self._of_fold(fold), self._batch(rows)["x"])
        return np.asarray(outputs)[:, : self.num_outputs]

    def influence(self, fold: int, rows: np.ndarray, valid_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `FoldModels`."""
        padded = np.resize(valid_rows, shared_size(len(valid_rows)))
        batch, valid = self._batch(rows), self._batch(padded)
        matrix, lengths = cosine_influence(self.model.loss, self._of_fold(fold), batch, valid, select=self.select)
        return matrix[:, : len(valid_rows)], lengths

    def _batch(self, rows: np.ndarray) -> PyTree:
        return {"x": jax.tree.map(lambda leaf: leaf[rows], self.x), "y": self.y[rows]}

    def _of_fold(self, fold: int) -> PyTree:
        return entry(self.params, fold)


def train_fold_models(
    key: jax.Array, model: TaskModelLike, x: PyTree, y: np.ndarray, folds: Folds, **options: Any
) -> NetworkFolds:
    """Train one network per fold on that fold's training rows; `options` go to `train_task_model`."""
    trained = train_task_model(key, model, {"x": x, "y": y}, folds.train, folds.valid, **options)
    return NetworkFolds(model=model, params=trained.params, x=x, y=y, valid_loss=np.asarray(trained.valid_loss))


@functools.partial(jax.jit, static_argnums=0)
def task_outputs(model: TaskModelLike, params: PyTree, x: PyTree) -> jax.Array:
    """Outputs f32[n, K] of the model for n samples, computed in batches."""
    return jax.lax.map(lambda one: model.apply(params, one), x, batch_size=_SAMPLES_AT_ONCE)
