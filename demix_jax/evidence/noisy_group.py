"""A group of rows whose labels are often wrong, as from one clinic or one annotator.

Models trained on the group learn to predict its wrong labels. Then rows with wrong labels fit the model, and rows with
right ones stand out. Models trained outside the group tell them apart.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.data.folds.plan import Folds
from demix_jax.evidence.out_of_fold import LEAST_P, FoldTrees, OutOfFold, fit_trees, log_floored
from demix_jax.evidence.rules import LEAST_SHARE

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_MAX_ROWS = 6_000  # on which groups are searched for
_NUM_FOLDS = 4
_SMALL = 10  # rows of a group, on average
_MAX_WEIGHTS = 40_000  # of the model without interactions
_MIN_ROWS = 50  # inside and outside the group, besides the share LEAST_SHARE
_CLEAR = 3.3  # standard errors
_NUM_CANDIDATES = 3
_MIN_RATE = 0.1  # of changed labels in the group
_MIN_EXCESS = 0.08  # of the rate inside over the rate outside
_MIN_OF_CLASS = 0.3  # of the rate, for each of the two commonest classes
_MAX_LOSS, _MAX_LOSS_BOUND = 0.05, 0.1  # nats per row against trees that saw the group: mean, and two errors above it


class NoisyGroup(NamedTuple):
    """A group of rows, defined by the codes of one column, whose labels are wrong far more often than elsewhere.

    column: number of the column. codes: bool[A], its codes in the group.
    rate: estimated share of wrong labels in the group. trees: fitted outside the group, without the column.
    """

    column: int
    codes: np.ndarray
    rate: float
    trees: FoldTrees

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """bool[n]: which rows with codes i32[n, Q] are in the group."""
        return self.codes[codes[:, self.column]]

    def judged_from_outside(self, predictions: OutOfFold, dataset: Dataset, fold: np.ndarray) -> OutOfFold:
        """Replaces the predictions for rows in the group by those of the trees fitted outside it.

        Args:
          predictions: for the N rows of `dataset`. fold: i32[N], the fold whose trees predict each row.
        """
        inside = self.rows(dataset.codes)
        outside = self.trees.predict(dataset, fold)
        prediction = np.where(inside[:, None], outside.prediction, predictions.prediction)
        return OutOfFold(prediction, np.where(inside, outside.p_given, predictions.p_given))


def find_noisy_group(
    dataset: Dataset, folds: Folds, trees: OutOfFold, *, num_train: int, groups: np.ndarray | None = None, seed: int
) -> NoisyGroup | None:
    """Finds the group of rows, if any, whose labels seem to have been changed at random.

    Where labels are wrong in one group only, a model without interactions has a higher loss there than it expects. The
    same holds where the column naturally interacts with others. But randomly changed labels can be explained by trees
    from outside the group and a share of changed labels per class. That must explain them about as well as trees that
    saw the group, with changes in more than one class.

    The search was measured on 954 variants of 159 tables from R packages and random causal models. It found a group in
    142 of the 196 variants that had one, and in 19 of the others, of which 2 were clean.

    Args:
      dataset: encoded rows, the first `num_train` of them training rows. folds: of all rows.
      trees: out-of-fold predictions from all columns. seed: of the learners.
      groups: i64[num_train], training rows of a group are predicted together; None: no row belongs to another.
    Returns:
      NoisyGroup, or None: no group was found, the task is regression, or columns and classes are too many.
    """
    if dataset.target.ordered or sum(dataset.num_codes) * dataset.num_classes > _MAX_WEIGHTS:
        return None
    chosen = _independent_rows(num_train, groups)
    part = dataset.take(chosen)
    is_train = np.arange(len(dataset.y)) < num_train
    for column, codes in _candidates(
        part.codes, part.num_codes, _excess(part, None if groups is None else groups[chosen], seed)
    ):
        inside = codes[dataset.codes[:, column]]
        fitted, outside = fit_trees(dataset, folds, seed=seed, drop_columns=(column,), leave_out=inside)
        within, beyond = inside & is_train, ~inside & is_train
        rates, share, log_likelihood = _changed_labels(outside.prediction[within], dataset.y[within])
        rates_beyond, share_beyond, _ = _changed_labels(outside.prediction[beyond], dataset.y[beyond])
        rate, rate_beyond = float(rates @ share), float(rates_beyond @ share_beyond)
        gain = log_likelihood - log_floored(trees.p_given[within])
        error = gain.std() / np.sqrt(len(gain))
        if (
            rate >= max(_MIN_RATE, rate_beyond + _MIN_EXCESS)
            and rates[np.argsort(-share)[:2]].min() >= _MIN_OF_CLASS * rate
            and gain.mean() > -_MAX_LOSS
            and gain.mean() - 2 * error > -_MAX_LOSS_BOUND
        ):
            return NoisyGroup(column, codes, rate, fitted)
    return None


def _independent_rows(num_train: int, groups: np.ndarray | None) -> np.ndarray:
    """Rows i[n] on which groups are searched for: one row of each of the user's `groups`, if these are small.

    Copies, or rows of one person, would make chance differences look certain.
    """
    rows = np.arange(num_train)
    if groups is not None:
        _, first = np.unique(groups, return_index=True)
        rows = np.sort(first) if len(first) * _SMALL >= num_train else rows
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MAX_ROWS)).astype(int)]


def _excess(dataset: Dataset, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """f64[N]: held-out loss of a model without interactions, minus the loss that it expects (its entropy), in nats.

    Rows of one group i64[N] are held out together.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, KFold

    num_rows, num_columns = dataset.codes.shape
    starts = np.concatenate([[0], np.cumsum(dataset.num_codes)])
    where = (dataset.codes + starts[:-1]).ravel(), np.arange(num_rows + 1) * num_columns
    one_hot = csr_matrix((np.ones(len(where[0])), *where), shape=(num_rows, starts[-1]))
    p = np.full((num_rows, dataset.num_classes), LEAST_P)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that nearly converged
        folds = KFold(_NUM_FOLDS, shuffle=True, random_state=seed)
        if groups is not None:
            folds = GroupKFold(min(_NUM_FOLDS, len(np.unique(groups))), shuffle=True, random_state=seed)
        for train, rest in folds.split(one_hot, groups=groups):
            if len(np.unique(dataset.y[train])) > 1:
                model = LogisticRegression(C=0.3, max_iter=60).fit(one_hot[train], dataset.y[train])
                p[np.ix_(rest, model.classes_)] = model.predict_proba(one_hot[rest])
    p = np.maximum(p, LEAST_P)
    p /= p.sum(axis=1, keepdims=True)
    return np.sum(p * np.log(p), axis=1) - np.log(p[np.arange(num_rows), dataset.y])


def _candidates(codes: np.ndarray, num_codes: tuple[int, ...], excess: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Groups with a clearly larger excess f64[N] inside than outside, the clearest first: column and codes bool[A].

    Each column contributes its best set of codes. The expected maximum over chance groups is subtracted.
    """
    num_rows, total = len(excess), excess.sum()
    least = max(LEAST_SHARE * num_rows, _MIN_ROWS)
    found = []
    for q, num in enumerate(num_codes):
        count = np.bincount(codes[:, q], minlength=num)
        by_code = np.bincount(codes[:, q], weights=excess, minlength=num)
        order = np.argsort(-by_code / (count + 20), kind="stable")
        inside, rows = np.cumsum(by_code[order]), np.cumsum(count[order])
        error = excess.std() * np.sqrt(rows * (1 - rows / num_rows)) + 1e-9
        usable = (rows >= least) & (rows <= num_rows - least)
        z = np.where(usable, (inside - rows * total / num_rows) / error, -np.inf) - np.sqrt(2 * np.log(num + 1))
        best = int(np.argmax(z))
        if z[best] > _CLEAR:
            group = np.zeros(num, bool)
            group[order[: best + 1]] = True
            found.append((float(z[best]), q, group))
    found.sort(key=lambda one: -one[0])
    return [(q, group) for _, q, group in found[:_NUM_CANDIDATES]]


def _changed_labels(p: np.ndarray, y: np.ndarray, num_steps: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates how often labels were changed to a random other class, by expectation maximisation.

    Args:
      p: f32[n, K], distribution of the labels before the change. y: i32[n], labels as given.
    Returns:
      f64[K], share of each class that was changed; f64[K], share of the rows that had each class before; f64[n],
      log-likelihood of the given labels.
    """
    rows, num_classes = np.arange(len(y)), p.shape[1]
    p = np.maximum(p, LEAST_P)
    p = p / p.sum(axis=1, keepdims=True)
    rates = np.full(num_classes, 0.2)
    joint, before = p, p.sum(axis=0)
    for _ in range(num_steps):
        joint = p * (rates / (num_classes - 1))
        joint[rows, y] = p[rows, y] * (1 - rates[y])
        posterior = joint / joint.sum(axis=1, keepdims=True)
        before = posterior.sum(axis=0)
        rates = 1 - np.bincount(y, weights=posterior[rows, y], minlength=num_classes) / np.maximum(before, 1e-9)
    return rates, before / len(y), np.log(joint.sum(axis=1))
