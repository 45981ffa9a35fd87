"""Columns of a wide table, each modelled from its most related ones: a cross-fitted Gaussian copula.

A network over all columns costs too much where there are many, and learns little where they outnumber the rows: with
200 rows and 240 columns its surprise told no wrong cell from a right one (AUROC 0.5; here 0.75). So each column is
predicted by ridge regression on the normal scores of a few columns, and the codes get what the normal law around that
prediction gives to their intervals. All is in closed form, and linear in the number of columns but for one product of
matrices that finds the related ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from demix_jax.data.folds.plan import Folds
from demix_jax.evidence.relatives import code_places, most_related

_NUM_RELATED = 12  # columns that each column is modelled from
_PENALTY = 10.0  # of the regression, in rows
_BY_SHARE = 0.05  # weight of the codes' shares beside the normal law, for cells that follow no relation
_UNSEEN = 0.3  # rows added to each code
_MAX_LABELS = 32  # rarer classes count as the last one
_ABSENT = -1e9  # log probability of a code that the column does not have
_MAX_ELEMENTS = 1 << 22  # of an array with a value per row, column and code


class Regression(NamedTuple):
    """Predictions of the columns' normal scores in one fold.

    weights: f64[Q, k], of the related columns, then of the label's features. spread: f64[Q], error of the prediction; 1
    where it is of no use, and all weights are 0.
    """

    weights: np.ndarray
    spread: np.ndarray


class FoldColumns(NamedTuple):
    """What the training rows of one fold say of Q columns with at most B codes each.

    places: i32[Q, B], place of each code in the order of its column; the code for missing cells comes last.
    related: i32[Q, k], the columns that each is modelled from.
    share: f64[Q, B], of the code at each place among the present ones; 0 where the column has no such code.
    missing: f64[Q], share of the missing cells. middle, upper: f64[Q, B], score of each place and upper end of its
    interval; scores have mean 0 and variance 1. plain, labelled: without and with the label.
    """

    places: np.ndarray
    related: np.ndarray
    share: np.ndarray
    missing: np.ndarray
    middle: np.ndarray
    upper: np.ndarray
    plain: Regression
    labelled: Regression

    def places_of(self, codes: np.ndarray) -> np.ndarray:
        """i32[n, Q]: places of codes i32[n, Q]."""
        return self.places[np.arange(len(self.places)), codes]


class RelatedColumns(NamedTuple):
    """Models of Q columns, one per fold; see the module.

    num_codes: i32[Q], of each column; the last one is for missing cells. num_labels: L. folds: F of them.
    """

    num_codes: np.ndarray
    num_labels: int
    folds: tuple[FoldColumns, ...]

    def scores(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, *, common: np.ndarray | None, block: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """See `demix_jax.evidence.column_model.ColumnModels`."""
        num_columns = len(self.num_codes)
        for f, rows in self._parts(folds, block):
            of_fold = self.folds[f]
            places, label = of_fold.places_of(codes[rows]), _label_features(labels[rows], self.num_labels)
            scores = of_fold.middle[np.arange(num_columns), places]
            result = np.empty((1 if common is None else 3, len(rows), num_columns), np.float32)
            for columns in _blocks(np.arange(num_columns), len(rows) * of_fold.share.shape[1]):
                own = places[:, columns, None]
                log_p = self._log_probs(of_fold, of_fold.plain, scores, label[:, :0], columns)
                given = np.take_along_axis(log_p, own, axis=2)[:, :, 0]
                entropy = -np.sum(np.where(log_p > _ABSENT, np.exp(log_p) * log_p, 0.0), axis=2)
                result[0][:, columns] = -given - entropy
                if common is not None:
                    with_label = self._log_probs(of_fold, of_fold.labelled, scores, label, columns)
                    result[1][:, columns] = np.take_along_axis(with_label, own, axis=2)[:, :, 0] - given
                    at = of_fold.places[columns, common[columns]]
                    result[2][:, columns] = log_p[:, np.arange(len(columns)), at]
            yield rows, result

    def code_log_probs(
        self, codes: np.ndarray, labels: np.ndarray, folds: Folds, columns: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As `demix_jax.evidence.column_model.code_log_probs`, in the order of the codes."""
        for f, rows in self._parts(folds, max(1, _MAX_ELEMENTS // (len(columns) * int(self.num_codes.max())))):
            of_fold = self.folds[f]
            scores = of_fold.middle[np.arange(len(self.num_codes)), of_fold.places_of(codes[rows])]
            log_p = self._log_probs(of_fold, of_fold.plain, scores, np.zeros((len(rows), 0)), columns)
            yield rows, np.take_along_axis(log_p, of_fold.places[columns][None], axis=2).astype(np.float32)

    def _parts(self, folds: Folds, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Fold and numbers of at most `size` rows, until every row came once."""
        for f in range(len(self.folds)):
            rows = np.flatnonzero(folds.fold == f)
            for start in range(0, len(rows), size):
                yield f, rows[start : start + size]

    def _log_probs(
        self,
        of_fold: FoldColumns,
        regression: Regression,
        scores: np.ndarray,
        label: np.ndarray,
        columns: np.ndarray,
    ) -> np.ndarray:
        """f64[n, C, B], log probability of the code at each place, from scores f64[n, Q] and label f64[n, 0 or L]."""
        num_related = of_fold.related.shape[1]
        weights = regression.weights[columns]
        expected = np.einsum("nck,ck->nc", scores[:, of_fold.related[columns]], weights[:, :num_related])
        expected += label @ weights[:, num_related:].T
        ends = (of_fold.upper[columns] - expected[:, :, None]) / regression.spread[columns, None]
        p = np.diff(ndtr(ends), axis=2, prepend=0.0)
        p = (1 - _BY_SHARE) * p + _BY_SHARE * of_fold.share[columns]
        p *= (1 - of_fold.missing[columns])[:, None]
        p[:, np.arange(len(columns)), self.num_codes[columns] - 1] = of_fold.missing[columns]
        known = np.arange(p.shape[2]) < self.num_codes[columns, None]
        return np.where(known, np.log(np.maximum(p, 1e-12)), _ABSENT)


def fit_related_columns(
    codes: np.ndarray,
    num_codes: tuple[int, ...],
    labels: np.ndarray,
    folds: Folds,
    *,
    ordered: np.ndarray,
    leave_out: np.ndarray | None = None,
    doubtful: np.ndarray | None = None,
) -> RelatedColumns:
    """Fits a model per fold, from the fold's training rows alone.

    Args:
      codes, num_codes, folds, leave_out, doubtful: as for `fit_column_models`. labels: i32[N], from 0.
      ordered: bool[Q], columns whose codes are ranges of a number, see `Bins`.
    """
    num_labels = min(int(labels.max()) + 1, _MAX_LABELS)
    label = _label_features(labels, num_labels)
    if doubtful is not None:
        label[doubtful] = 0.0
    fitted = []
    for train, valid in zip(folds.train, folds.valid, strict=True):
        rows = np.concatenate([train, valid])
        if leave_out is not None:
            rows = rows[~leave_out[rows]]
        fitted.append(_fit_fold(codes[rows], np.array(num_codes), ordered, label[rows]))
    return RelatedColumns(np.array(num_codes), num_labels, tuple(fitted))


def _fit_fold(codes: np.ndarray, num_codes: np.ndarray, ordered: np.ndarray, label: np.ndarray) -> FoldColumns:
    """A fold's model from its training rows: codes i32[n, Q] and features f64[n, L] of the labels."""
    places = code_places(codes, num_codes, ordered)
    ranks = places[np.arange(len(num_codes)), codes]
    related, is_close = most_related(ranks, num_codes, _NUM_RELATED)
    share, missing = _shares(ranks, num_codes)
    before = np.cumsum(share, axis=1)
    middle = np.where(share > 0, ndtri(np.clip(before - share / 2, 1e-6, 1 - 1e-6)), 0.0)
    mean = (share * middle).sum(axis=1, keepdims=True)
    scale = np.sqrt((share * np.square(middle - mean)).sum(axis=1, keepdims=True))
    scale = np.where(scale > 1e-6, scale, 1.0)
    last = before > 1 - 1e-9
    upper = np.where(last, np.inf, (ndtri(np.where(last, 0.5, before)) - mean) / scale)
    middle = np.where(share > 0, (middle - mean) / scale, 0.0)
    scores = middle[np.arange(len(num_codes)), ranks]
    present = ranks != num_codes - 1
    plain, labelled = (_regressions(scores, present, related, is_close, of) for of in (label[:, :0], label))
    return FoldColumns(
        places=places,
        related=related,
        share=share,
        missing=missing,
        middle=middle,
        upper=upper,
        plain=plain,
        labelled=labelled,
    )


def _shares(ranks: np.ndarray, num_codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed shares f64[Q, B] of the present codes, and f64[Q] of the missing cells, from places i32[n, Q]."""
    num_columns, most = len(num_codes), int(num_codes.max())
    flat = (ranks + np.arange(num_columns) * most).ravel()
    counts = np.bincount(flat, minlength=num_columns * most).reshape(num_columns, most) + _UNSEEN
    is_present = np.arange(most) < num_codes[:, None] - 1
    of_missing = counts[np.arange(num_columns), num_codes - 1]
    counts = np.where(is_present, counts, 0.0)
    total = counts.sum(axis=1)
    return counts / total[:, None], of_missing / (total + of_missing)


def _regressions(
    scores: np.ndarray, present: np.ndarray, related: np.ndarray, is_close: np.ndarray, label: np.ndarray
) -> Regression:
    """Ridge regression of each column's scores f64[n, Q] on its related ones and the label; missing cells are 0.

    The error is that of leaving each row out in turn, which has a closed form.

    Args:
      present: bool[n, Q]. related: i32[Q, k]. is_close: bool[Q, k], those that are used. label: f64[n, L], features.
    """
    num_columns, num_related = related.shape
    num_inputs = num_related + label.shape[1]
    weights, spread = np.zeros((num_columns, num_inputs)), np.ones(num_columns)
    for columns in _blocks(np.arange(num_columns), len(scores) * num_inputs):
        of_label = np.broadcast_to(label, (len(columns), *label.shape))
        of_related = np.where(is_close[columns], scores[:, related[columns]], 0.0).transpose(1, 0, 2)
        x = np.concatenate([of_related, of_label], axis=2)  # [C, n, k + L]
        x = x * present[:, columns].T[:, :, None]
        y = scores[:, columns].T
        inverse = np.linalg.inv(x.swapaxes(1, 2) @ x + _PENALTY * np.eye(num_inputs))
        found = (inverse @ (x.swapaxes(1, 2) @ y[:, :, None]))[:, :, 0]
        leverage = ((x @ inverse) * x).sum(axis=2)
        left_out = (y - (x @ found[:, :, None])[:, :, 0]) / (1 - leverage)
        count = np.maximum(present[:, columns].sum(axis=0), 1)
        error = np.sqrt(np.square(left_out).sum(axis=1) / count)
        useful = (error < np.sqrt(np.square(y).sum(axis=1) / count)) & (error < 1)
        weights[columns] = np.where(useful[:, None], found, 0.0)
        spread[columns] = np.where(useful, np.maximum(error, 0.05), 1.0)
    return Regression(weights, spread)


def _label_features(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """f64[n, L]: one feature per label."""
    return (np.minimum(labels, num_labels - 1)[:, None] == np.arange(num_labels)).astype(np.float64)


def _blocks(numbers: np.ndarray, elements_of_each: int) -> list[np.ndarray]:
    """`numbers` in blocks with at most `_MAX_ELEMENTS` elements."""
    size = max(1, _MAX_ELEMENTS // max(elements_of_each, 1))
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
