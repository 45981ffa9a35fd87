"""What others would flag: the published rules and the obvious rankings, on the same rows.

A peer that needs to know how many rows are wrong is told the true share, which it would not know in practice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.debugging.cheap_signals import neighbour_disagreement, outlier_scores
from demix_jax.data.folds.plan import fold_blocks, make_folds, strata_of
from demix_jax.evidence.out_of_fold import OutOfFold, out_of_fold_predictions
from demix_jax.influence import self_influence, tracin
from demix_jax.models import make_task_model, train_task_model

if TYPE_CHECKING:
    from benchmarks.debugging.cheap_trees import CheapTrees
    from demix_jax.data import Dataset

BEST_PER_TYPE = "best per type (loss, isolation forest, all rows)"
PAPER_RECIPE = "the paper's recipe"
CHEAP_TREES = "trees on cheap signals, trained on other tables"
NO_RATE = (
    "all rows",
    "confident learning + isolation forest",
    "cleanlab + isolation forest",
    "cleanlab Datalab",
    "mixture on gradient norm",
    CHEAP_TREES,
    PAPER_RECIPE,
)
_NUM_FOLDS = 5


def peer_flags(
    dataset: Dataset, truth: np.ndarray, influence: np.ndarray, *, seed: int, cheap: CheapTrees | None = None
) -> dict[str, np.ndarray]:
    """Flags bool[N, 3] of every peer, by name.

    Args:
      dataset: N encoded rows, as corrupted. truth: bool[N, 3]; only its column sums are used, as true rates.
      influence: f32[N, M], the diagnosis' influence matrix (positive: the row harms the validation sample).
      seed: of learners and folds. cheap: learned on other tables; None: that peer is left out.
    """
    strata = strata_of(dataset.y, dataset.target)
    folds = make_folds(np.random.default_rng(seed), strata, num_folds=_NUM_FOLDS)
    trees = out_of_fold_predictions(dataset, folds, seed=seed)
    loss, outliers = loss_of(dataset, trees), outlier_scores(dataset, seed=seed)
    rate = truth.sum(axis=0)
    none, every = np.zeros(len(truth), bool), np.ones(len(truth), bool)
    forest = _columns(none, outliers > 0, none)  # contamination "auto" of scikit-learn: anomaly score above one half
    flags = {
        "all rows": _columns(every, every, every),
        "confident learning + isolation forest": _columns(confident_learning(dataset, trees), none, none) | forest,
    }
    if (issues := cleanlab_issues(dataset, trees)) is not None:
        flags["cleanlab + isolation forest"] = _columns(issues, none, none) | forest
    flags[BEST_PER_TYPE] = _columns(top(loss, rate[0]), top(outliers, rate[1]), every)
    if (found := datalab_issues(dataset, trees)) is not None:
        flags["cleanlab Datalab"] = found
    neighbours = neighbour_disagreement(dataset)
    norms, traced = gradient_scores(dataset, folds, seed=seed)
    large = mixture_outliers(norms)
    flags["mixture on gradient norm"] = _columns(large, large, large)
    if cheap is not None:
        flags[CHEAP_TREES] = cheap.flags(dataset, trees, outliers, neighbours)
    scores = {
        "loss": loss,
        "isolation forest": outliers,
        "neighbours' labels": neighbours,
        "gradient norm (self-influence)": norms,
        "scalar influence": influence.sum(axis=1),
        "TracIn": traced,
    }
    for name, score in scores.items():
        flags[name] = _columns(*(top(score, count) for count in rate))
    return flags


def top(score: np.ndarray, count: int) -> np.ndarray:
    """bool[N]: the `count` rows of largest score."""
    chosen = np.zeros(len(score), bool)
    chosen[np.argsort(-score, kind="stable")[: int(count)]] = True
    return chosen


def loss_of(dataset: Dataset, predictions: OutOfFold) -> np.ndarray:
    """f[N] out-of-fold loss of the given label: −log p, or the absolute error for regression."""
    if dataset.task == "regression":
        return np.abs(dataset.y - predictions.prediction[:, 0])
    return -np.log(np.maximum(predictions.p_given, 1e-12))


def confident_learning(dataset: Dataset, predictions: OutOfFold) -> np.ndarray:
    """bool[N]: rows counted off the diagonal of the confident joint.

    A row counts for class k if p(k) is at least the mean p(k) of rows labelled k; of several such classes the most
    probable one. Source: Northcutt, Jiang & Chuang 2021, eq. 1 and 2. Regression has no such rule: there, rows
    whose residual lies outside Tukey's fences (1.5 interquartile ranges).
    """
    if dataset.task == "regression":
        residual = dataset.y - predictions.prediction[:, 0]
        low, high = np.quantile(residual, [0.25, 0.75])
        reach = 1.5 * (high - low)
        return (residual < low - reach) | (residual > high + reach)
    p = predictions.prediction
    present = np.bincount(dataset.y, minlength=p.shape[1]) > 0
    threshold = np.full(p.shape[1], np.inf)
    for k in np.flatnonzero(present):
        threshold[k] = p[dataset.y == k, k].mean()
    confident = p >= threshold
    best = np.where(confident, p, -1.0).argmax(axis=1)
    return confident.any(axis=1) & (best != dataset.y)


def cleanlab_issues(dataset: Dataset, predictions: OutOfFold) -> np.ndarray | None:
    """bool[N] of cleanlab's find_label_issues; None where it is not installed or the task is regression."""
    if dataset.task == "regression":
        return None
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return None
    return np.asarray(find_label_issues(dataset.y, predictions.prediction.astype(np.float64), n_jobs=1))


def datalab_issues(dataset: Dataset, predictions: OutOfFold) -> np.ndarray | None:
    """bool[N, 3] of cleanlab's Datalab: label issues, outliers, and rows of an underperforming group.

    None where it is not installed or the task is regression, for which it knows no such group.
    """
    if dataset.task == "regression":
        return None
    try:
        from cleanlab import Datalab

        lab = Datalab({"y": dataset.y}, label_name="y", verbosity=0)
    except ImportError:
        return None
    kinds: dict = {"label": {}, "outlier": {}, "underperforming_group": {}}
    lab.find_issues(pred_probs=predictions.prediction.astype(np.float64), features=dataset.x, issue_types=kinds)
    issues, none = lab.get_issues(), np.zeros(len(dataset.y), bool)
    return _columns(*(issues.get(f"is_{kind}_issue", none).__array__() for kind in kinds))


def gradient_scores(dataset: Dataset, folds, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Norm of each row's loss gradient f[N], and its influence traced through checkpoints and summed f[N].

    Both under 256-128-64 networks that were not trained on the row; the norm at the best epoch, and TracIn (Pruthi et
    al. 2020) from networks after 1, 4 and 16 epochs, with equal steps. Positive: raises the loss of validation rows.
    """
    model = make_task_model("mlp", dataset)
    samples = {"x": dataset.x, "y": dataset.y}
    arrays = jax.tree.map(jnp.asarray, (samples, folds.train, folds.valid))
    checkpoints = [train_task_model(jax.random.key(seed), model, *arrays, max_epochs=e).params for e in (1, 4, 16)]
    norm, traced = np.empty(len(dataset.y)), np.empty(len(dataset.y))
    rng = np.random.default_rng(seed)
    for f, rows, padded in fold_blocks(folds.fold, len(folds.train), 4_096):
        params = [jax.tree.map(lambda leaf, f=f: leaf[f], each) for each in checkpoints]
        batch = {"x": dataset.x[padded], "y": dataset.y[padded]}
        norm[rows] = np.sqrt(-np.asarray(self_influence(model.loss, params[-1], batch)))[: len(rows)]
        chosen = rng.permutation(folds.valid[f])[:256]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
        valid = {"x": dataset.x[chosen], "y": dataset.y[chosen]}
        traced[rows] = np.asarray(tracin(model.loss, stacked, jnp.ones(3), batch, valid)).sum(axis=1)[: len(rows)]
    return norm, traced


def mixture_outliers(norms: np.ndarray) -> np.ndarray:
    """bool[N]: rows more likely of the upper of two Gaussians fitted to the logarithm of the gradient norm."""
    from sklearn.mixture import GaussianMixture

    values = np.log(norms + 1e-12)[:, None]
    mixture = GaussianMixture(2, random_state=0).fit(values)
    return mixture.predict(values) == int(np.argmax(np.asarray(mixture.means_)[:, 0]))


def _columns(*flags: np.ndarray) -> np.ndarray:
    return np.stack(flags, axis=1)
