"""How much each known mistake explains of a row: log likelihood ratios of the row undone against the row as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.data.folds import Folds
from demix_jax.evidence.column_model import FILL_ODDS, CellEvidence, ColumnModels, code_log_probs
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies, TextFrequencies
from demix_jax.evidence.mistakes.posterior import NEVER
from demix_jax.evidence.out_of_fold import OutOfFold, log_floored

if TYPE_CHECKING:
    from demix_jax.data import Dataset

SCORED = ("filled", "exchanged", "rescaled", "texts exchanged")
FACTORS = np.array([10.0, 100.0, 1000.0, 0.1, 0.01, 0.001, -1.0])  # that a number may have been multiplied by
WAYS = 1 << 20  # more than there are columns

_ELEMENTS = 1 << 20  # of an array with a value for each two columns


class ScoredRows(NamedTuple):
    """n rows and what is known of their cells.

    dataset: the rows. labels, folds: i32[n] and whose models describe each, as for `score_cells`. filled: f32[n, Q],
    see `CellEvidence`. doubt: f32[n], nats that speak against each row as a whole.
    """

    dataset: Dataset
    labels: np.ndarray
    folds: Folds
    filled: np.ndarray
    doubt: np.ndarray

    @classmethod
    def of(
        cls, dataset: Dataset, labels: np.ndarray, folds: Folds, cells: CellEvidence, trees: OutOfFold
    ) -> ScoredRows:
        """From what is known of the rows' cells and what trees say of their labels."""
        doubt = cells.surprise.sum(axis=1) - log_floored(trees.p_given)
        return cls(dataset=dataset, labels=labels, folds=folds, filled=cells.filled, doubt=doubt)


class KnownColumns(NamedTuple):
    """What is known of a table's columns.

    numbers, texts: how common their values are. models: column models. commonest: the commonest value of each.
    """

    numbers: NumberFrequencies
    texts: TextFrequencies
    models: ColumnModels
    commonest: Commonest


class Scores(NamedTuple):
    """score: f32[n, 4], log likelihood ratios in nats, of each of SCORED. exchanged, texts: i32[n, 2], the likeliest
    columns of numbers and of texts. The rest is as in `Mistakes`."""

    score: np.ndarray
    exchanged: np.ndarray
    texts: np.ndarray
    rescaled: np.ndarray
    factor: np.ndarray
    stray: np.ndarray

    def ways(self, m: int) -> np.ndarray:
        """i64[n]: a number for the way in which scored mistake number m was most likely made."""
        if m == SCORED.index("rescaled"):
            return self.rescaled.astype(np.int64) * WAYS + self.factor
        pair = self.texts if m == SCORED.index("texts exchanged") else self.exchanged
        return pair[:, 0].astype(np.int64) * WAYS + pair[:, 1]

    def by_way(self, m: int, way: int) -> np.ndarray:
        """f32[n]: scores of scored mistake number m, where it was made in this way."""
        return np.where(self.ways(m) == way, self.score[:, m], NEVER)


def mistake_scores(columns: KnownColumns, rows: ScoredRows) -> Scores:
    """Of n rows, by how common values are in the columns, and by models of these and what is commonest in each."""
    dataset, labels, folds, filled = rows.dataset, rows.labels, rows.folds, rows.filled
    numbers, texts = columns.numbers, columns.texts
    num_rows, num_common = len(dataset), int(np.sum(columns.commonest.share > 0))
    score = np.full((num_rows, len(SCORED)), NEVER, np.float32)
    exchanged, rescaled, factor = (np.zeros(shape, np.int32) for shape in ((num_rows, 2), num_rows, num_rows))
    score[:, 3], of_texts = _text_scores(texts, dataset)
    found = Scores(
        score=score,
        exchanged=exchanged,
        texts=of_texts,
        rescaled=rescaled,
        factor=factor,
        stray=numbers.stray(dataset.numbers),
    )
    if num_common:
        score[:, 0] = filled.sum(axis=1) - num_common * np.log1p(FILL_ODDS)
    if not numbers.many.any():
        return found
    size = max(1, _ELEMENTS // len(numbers.columns) ** 2)
    for of_block, log_p in code_log_probs(columns.models, dataset.codes, labels, folds, numbers.columns):
        for start in range(0, len(of_block), size):
            part, told = of_block[start : start + size], log_p[start : start + size]
            values = dataset.numbers[np.ix_(part, numbers.columns)]
            score[part, 1], pair = _exchange_scores(numbers, told, values)
            exchanged[part] = numbers.columns[pair]
            score[part, 2], column, factor[part] = _rescale_scores(numbers, told, values)
            rescaled[part] = numbers.columns[column]
    return found


def _exchange_scores(
    numbers: NumberFrequencies, log_p: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest exchange, and which columns i[n, 2] it is of."""
    there = numbers.log_density(log_p, np.repeat(values[:, None], values.shape[1], axis=1))
    possible = np.triu(numbers.apart & (numbers.many[:, None] | numbers.many), 1)
    return _likeliest_pair(there, possible & (values[:, :, None] != values[:, None]))


def _text_scores(texts: TextFrequencies, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest exchange of two texts, and which columns i32[n, 2] it is of.

    By how common the texts are in either column alone: that says enough of a text in a column where it is foreign.
    """
    score, pair = np.full(len(dataset), NEVER, np.float32), np.zeros((len(dataset), 2), np.int32)
    if not texts.apart.any():
        return score, pair
    size = max(1, _ELEMENTS // len(texts.columns) ** 2)
    for start in range(0, len(dataset), size):
        part = slice(start, start + size)
        values = dataset.texts[part][:, texts.columns]
        there = values != 0
        possible = np.triu(texts.apart, 1) & there[:, :, None] & there[:, None]
        possible &= values[:, :, None] != values[:, None]
        score[part], best = _likeliest_pair(texts.log_density(values), possible)
        pair[part] = texts.columns[best]
    return score, pair


def _likeliest_pair(there: np.ndarray, possible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], largest gain of n rows by an exchange of two cells, and which of C columns i[n, 2] it is of.

    Args:
      there: f[n, C, C], log density in each column of each cell's value. possible: bool[n, C, C], pairs to look at.
    """
    num_rows, num_columns = there.shape[:2]
    own = np.diagonal(there, axis1=1, axis2=2)
    own = own[:, :, None] + own[:, None]
    ratio = np.full(own.shape, NEVER, np.float32)
    np.subtract(there + there.swapaxes(1, 2), own, out=ratio, where=possible & np.isfinite(own), casting="same_kind")
    best = ratio.reshape(num_rows, -1).argmax(axis=1)
    pair = np.stack(np.unravel_index(best, (num_columns, num_columns)), axis=1)
    return ratio[np.arange(num_rows), pair[:, 0], pair[:, 1]], pair


def _rescale_scores(
    numbers: NumberFrequencies, log_p: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest factor, and its column i[n] and index i[n]."""
    with np.errstate(over="ignore"):
        before = values[:, :, None] / np.append(1.0, FACTORS)
    density = numbers.log_density(log_p, before)
    possible = np.isfinite(values) & (values != 0) & numbers.many
    ratio = np.full((*values.shape, len(FACTORS)), NEVER, np.float32)
    np.subtract(density[:, :, 1:], density[:, :, :1], out=ratio, where=possible[:, :, None])
    best = ratio.reshape(len(values), -1).argmax(axis=1)
    column, factor = np.unravel_index(best, ratio.shape[1:])
    return ratio[np.arange(len(values)), column, factor], column, factor
