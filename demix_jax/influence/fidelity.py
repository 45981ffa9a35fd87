"""How faithful influence is, measured by actual retraining: leave-one-out and the linear datamodelling score.

Influence claims to know what a model trained on other samples would have lost. Here that model is trained, many at a
time, and the claim is compared with what happened: for N training samples with weights w, influence I predicts that
the loss of validation sample j changes by Σ_i (w_i − 1) I(i, j) / N.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from demix_jax.common.checks import InputError
from demix_jax.gradients.per_example import Loss, PyTree, num_examples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Fit(Protocol):
    """How a model is trained: pure, so that many trainings can run as one."""

    def __call__(self, key: jax.Array, train: PyTree, weights: jax.Array) -> PyTree:
        """Parameters that minimise Σ_i weights_i loss(params, train_i) / N, plus any penalty. weights: f32[N]."""
        ...


@dataclass(frozen=True)
class AdamFit:
    """Training by Adam with a step size that falls to zero along a cosine.

    Attributes:
      loss: maps (params, example) to a scalar.
      init: maps a key to fresh parameters.
      steps, learning_rate: number of steps and first step size.
      batch_size: samples drawn for each step, with replacement; None for all N in every step.
      penalty: λ of the weight penalty λ/2 ‖params‖²; at the optimum it is the damping of the influence function.
    """

    loss: Loss
    init: Callable[[jax.Array], PyTree]
    steps: int = 1000
    learning_rate: float = 3e-3
    batch_size: int | None = None
    penalty: float = 0.0

    def __call__(self, key: jax.Array, train: PyTree, weights: jax.Array) -> PyTree:
        """Trained parameters, as `Fit` says."""
        key_init, key_batches = jax.random.split(key)
        optimizer = optax.adam(optax.cosine_decay_schedule(self.learning_rate, self.steps))
        params = self.init(key_init)
        (params, _), _ = jax.lax.scan(
            partial(self._step, optimizer, train, weights),
            (params, optimizer.init(params)),
            jax.random.split(key_batches, self.steps),
        )
        return params

    def _step(self, optimizer, train, weights, state, key):
        params, opt_state = state
        if self.batch_size is not None:
            rows = jax.random.randint(key, (self.batch_size,), 0, weights.shape[0])
            train, weights = jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=0), (train, weights))
        updates, opt_state = optimizer.update(jax.grad(self._objective)(params, train, weights), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def _objective(self, params, batch, weights):
        losses = jax.vmap(self.loss, in_axes=(None, 0))(params, batch)
        squares = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params))
        return jnp.mean(weights * losses) + 0.5 * self.penalty * squares


class Retrained(NamedTuple):
    """What S trainings with other weights came to, each done with E seeds.

    weights: f32[S, N], the weight of each training sample in each training.
    losses: f32[E, S, M], the loss of each validation sample afterwards.
    full_losses: f32[E, M], the same for all weights equal to 1.
    full_params: the parameters that this last training gave, each leaf with a leading axis E: where influence is to
      be computed.
    """

    weights: np.ndarray
    losses: np.ndarray
    full_losses: np.ndarray
    full_params: PyTree

    def changes(self) -> np.ndarray:
        """f32[S, M]: how much each validation loss changed by the other weights, mean over seeds."""
        return (self.losses - self.full_losses[:, None]).mean(axis=0)

    def predicted_changes(self, influence: Any) -> np.ndarray:
        """f64[S, M]: the changes that an influence matrix f[N, M] predicts.

        Raises:
          InputError: `influence` is not [N, M].
        """
        influence = np.asarray(influence, np.float64)
        num_train, num_valid = self.weights.shape[1], self.losses.shape[2]
        if influence.shape != (num_train, num_valid):
            raise InputError(
                f"influence has shape {influence.shape}; the retrained models had {num_train} training and {num_valid} "
                f"validation samples, so pass shape ({num_train}, {num_valid})."
            )
        return (self.weights - 1.0) @ influence / num_train


def retrain_on_subsets(
    key: jax.Array,
    fit: Fit,
    loss: Loss,
    train: PyTree,
    valid: PyTree,
    *,
    num_subsets: int = 64,
    fraction: float = 0.5,
    num_seeds: int = 1,
    at_once: int = 16,
) -> Retrained:
    """Train on random subsets of the training samples.

    Args:
      key: typed key, for the subsets and the trainings.
      fit: how the model is trained; `AdamFit` will do for most.
      loss: maps (params, example) to a scalar, measured on `valid`.
      train, valid: pytrees whose leaves share a leading axis N, M.
      num_subsets, fraction: S subsets of round(fraction · N) samples each.
      num_seeds: E trainings per subset, each seed with its own initialisation, which all subsets share.
      at_once: trainings that run as one; the memory they need grows with it.
    Returns:
      Retrained, with weight N / (subset's size) for the samples of a subset and 0 for the others, so that each model
      minimises the mean loss of its subset.
    Raises:
      InputError: fraction that leaves no or every sample, fewer than 3 subsets, or a training that diverged.
    """
    num = _num_train(train, valid, num_seeds, at_once)
    size = round(fraction * num)
    if not 0 < size < num:
        raise InputError(f"fraction is {fraction} of {num} training samples; pass one that keeps some but not all.")
    if num_subsets < 3:
        raise InputError(f"num_subsets is {num_subsets}; ranks of fewer than 3 trainings say nothing.")
    key_subsets, key_fit = jax.random.split(key)
    weights = np.zeros((num_subsets, num), np.float32)
    for row, key_subset in zip(weights, jax.random.split(key_subsets, num_subsets), strict=True):
        row[np.asarray(jax.random.permutation(key_subset, num)[:size])] = num / size
    return _retrain(key_fit, fit, loss, train, valid, weights, num_seeds, at_once)


def retrain_without_each(
    key: jax.Array,
    fit: Fit,
    loss: Loss,
    train: PyTree,
    valid: PyTree,
    *,
    rows: Any = None,
    num_seeds: int = 1,
    at_once: int = 16,
) -> Retrained:
    """Leave-one-out: train with the weight of one training sample set to 0, for each of `rows`.

    Args:
      rows: i[S], numbers of the training samples to leave out in turn; None for all N.
      key, fit, loss, train, valid, num_seeds, at_once: as in `retrain_on_subsets`.
    Returns:
      Retrained, whose `changes()` are what leaving out costs each validation sample. The sum of losses is still
      divided by N: dividing by N − 1 would change a weight penalty's share and hide the sample's own effect.
    Raises:
      InputError: `rows` outside [0, N), or a training that diverged.
    """
    num = _num_train(train, valid, num_seeds, at_once)
    rows = np.arange(num) if rows is None else np.asarray(rows)
    if rows.ndim != 1 or len(rows) == 0 or rows.min() < 0 or rows.max() >= num:
        raise InputError(f"rows must be a list of training sample numbers from 0 to {num - 1}, got {rows!r}.")
    weights = np.ones((len(rows), num), np.float32)
    weights[np.arange(len(rows)), rows] = 0.0
    return _retrain(key, fit, loss, train, valid, weights, num_seeds, at_once)


def _num_train(train: PyTree, valid: PyTree, num_seeds: int, at_once: int) -> int:
    """N, after checking what both ways of retraining share."""
    if num_seeds < 1 or at_once < 1:
        raise InputError(f"num_seeds is {num_seeds} and at_once {at_once}; pass positive numbers.")
    num_examples(valid, "valid")
    return num_examples(train, "train")


def _retrain(key, fit, loss, train, valid, weights, num_seeds, at_once) -> Retrained:
    train, valid = jax.tree.map(jnp.asarray, (train, valid))
    keys = jax.random.split(key, num_seeds)
    rows = np.concatenate([np.ones_like(weights[:1]), weights])
    at_once = min(at_once, len(rows))
    blocks, full_params = [], None
    for start in range(0, len(rows), at_once):
        block = rows[start : start + at_once]
        padded = np.concatenate([block, np.repeat(block[-1:], at_once - len(block), axis=0)])
        by_seed = [_train_and_evaluate(fit, loss, seed, train, valid, padded) for seed in keys]
        blocks.append(np.stack([np.asarray(losses[: len(block)]) for losses, _ in by_seed]))
        if full_params is None:
            full_params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params for _, params in by_seed))
    losses = np.concatenate(blocks, axis=1)
    if not np.isfinite(losses).all():
        raise InputError("training diverged: a loss is not finite; lower the step size or raise the penalty in `fit`.")
    return Retrained(weights, losses[:, 1:], losses[:, 0], full_params)


@partial(jax.jit, static_argnums=(0, 1))
def _train_and_evaluate(
    fit: Fit, loss: Loss, key: jax.Array, train: PyTree, valid: PyTree, weights: jax.Array
) -> tuple[jax.Array, PyTree]:
    """f32[S, M], validation losses after training with each row of `weights`, and the parameters of the first."""
    params = jax.vmap(lambda row: fit(key, train, row))(weights)
    losses = jax.vmap(jax.vmap(loss, in_axes=(None, 0)), in_axes=(0, None))(params, valid)
    return losses, jax.tree.map(lambda leaf: leaf[0], params)


def linear_datamodelling_score(retrained: Retrained, influence: Any) -> np.ndarray:
    """Rank correlation, over the trainings, of the losses that influence predicts with those that came about.

    Args:
      retrained: S trainings, from `retrain_on_subsets` (of `retrain_without_each` it is leave-one-out's agreement).
      influence: f[N, M], negative where raising a sample's weight lowers a loss, as `influence_matrix` gives it.
    Returns:
      f64[M], one Spearman correlation per validation sample; 1 is perfect, 0 no better than chance.
    Raises:
      InputError: `influence` is not [N, M].
    Source: Park et al. 2023, "TRAK: Attributing Model Behavior at Scale", §2.
    """
    return _rank_correlation(retrained.predicted_changes(influence), retrained.losses.mean(axis=0))


CEILING = "retraining with other seeds"


class FidelityScores(NamedTuple):
    """Linear datamodelling scores of G influence matrices, best first.

    names: of the matrices. lds: f64[G], mean over validation samples. low, high: f64[G], 95 % bootstrap interval of it.
    """

    names: tuple[str, ...]
    lds: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def by_name(self) -> dict[str, dict[str, float]]:
        """For each name: its lds, low and high."""
        each = zip(self.names, self.lds.tolist(), self.low.tolist(), self.high.tolist(), strict=True)
        return {name: {"lds": lds, "low": low, "high": high} for name, lds, low, high in each}


def compare_influences(
    retrained: Retrained, influences: Mapping[str, Any], *, num_resamples: int = 200
) -> FidelityScores:
    """Linear datamodelling score of several influence matrices, best first.

    Args:
      retrained: from `retrain_on_subsets`.
      influences: name → f[N, M].
      num_resamples: bootstrap resamples of the subsets, for the interval.
    Returns:
      FidelityScores. With two seeds or more, "retraining with other seeds" says how well half of the seeds predict the
      other half: about the best that anything can do.
    Raises:
      InputError: an influence matrix is not [N, M].
    """
    losses = retrained.losses.mean(axis=0)
    pairs = {name: (retrained.predicted_changes(influence), losses) for name, influence in influences.items()}
    half = len(retrained.losses) // 2
    if half:
        pairs[CEILING] = (retrained.losses[:half].mean(axis=0), retrained.losses[half:].mean(axis=0))
    rng = np.random.default_rng(0)  # the interval's resamples: a fixed draw, the same for every name
    draws = rng.integers(0, len(losses), (num_resamples, len(losses)))
    scores = np.empty((3, len(pairs)))
    for place, (predicted, actual) in enumerate(pairs.values()):
        means = [_rank_correlation(predicted[draw], actual[draw]).mean() for draw in draws]
        scores[:, place] = _rank_correlation(predicted, actual).mean(), *np.quantile(means, [0.025, 0.975])
    best_first = np.argsort(-scores[0], kind="stable")
    names = list(pairs)
    return FidelityScores(tuple(names[place] for place in best_first), *scores[:, best_first])


def plot_comparison(scores: FidelityScores, *, title: str = "", axes: Axes | None = None) -> Figure:
    """Bars of the scores with their intervals, from `compare_influences`; on `axes`, or in a figure of their own.

    Raises:
      InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError('matplotlib is not installed; run: pip install "demix_jax[plots]"') from None

    names = scores.names[::-1]
    lds, low, high = (values[::-1] for values in scores[1:])
    if axes is None:
        axes = Figure(figsize=(7, 0.8 + 0.4 * len(names)), layout="constrained").subplots()
    colours = ["#b8b8b8" if name == CEILING else "#2a6f97" for name in names]
    # A bootstrap interval of ranks may lie wholly on one side of the score; its bar then ends at the score.
    errors = np.clip([lds - low, high - lds], 0.0, None)
    axes.barh(range(len(names)), lds, xerr=errors, color=colours, ecolor="#555555", capsize=3)
    axes.set_yticks(range(len(names)), list(names))
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_xlabel("linear datamodelling score")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return axes.get_figure()  # pyright: ignore[reportReturnType]


def _rank_correlation(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """f64[M]: Spearman correlation of each pair of columns of f[S, M]; 0 for a column without variation."""
    left, right = (_centred_ranks(values) for values in (left, right))
    lengths = np.sqrt((left**2).sum(axis=0) * (right**2).sum(axis=0))
    return (left * right).sum(axis=0) / np.where(lengths > 0, lengths, 1.0)


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks along axis 0, ties sharing their mean rank, minus their mean."""
    below = (values[None, :, :] < values[:, None, :]).sum(axis=1)
    equal = (values[None, :, :] == values[:, None, :]).sum(axis=1)
    return below + (equal - len(values)) / 2.0
