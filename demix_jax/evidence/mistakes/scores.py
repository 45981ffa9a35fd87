"""Log likelihood ratios of known mistakes: each row with the mistake undone against the row as it is."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.data.folds.plan import Folds
from demix_jax.evidence.column_model import FILL_ODDS, CellEvidence, ColumnModels, code_log_probs
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies, TextFrequencies
from demix_jax.evidence.mistakes.posterior import NEVER
from demix_jax.evidence.out_of_fold import OutOfFold, log_floored

if TYPE_CHECKING:
    from demix_jax.data import Dataset

FACTORS = np.array([10.0, 100.0, 1000.0, 0.1, 0.01, 0.001, -1.0])  # by which a number may have been multiplied
VARIANT_BASE = 1 << 20  # more than the number of columns, see `Scores.variants`

_MAX_ELEMENTS = 1 << 20  # of an array with a value per pair of columns


class ScoredMistake(enum.IntEnum):
    """The mistakes that have a score; the value is the position of the score in `Scores.score`."""

    FILLED = 0  # cells replaced by the commonest values of their columns
    EXCHANGED = 1  # the numbers of two columns exchanged
    RESCALED = 2  # a number multiplied by one of FACTORS
    TEXTS_EXCHANGED = 3  # the texts of two columns exchanged


class ScoredRows(NamedTuple):
    """n rows and what is known of their cells.

    dataset: the rows. labels: i32[n]. folds: the models that describe each row, as for `score_cells`.
    filled: f32[n, Q], see `CellEvidence`. doubt: f32[n], evidence against each row as a whole, in nats.
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
        """Takes the doubt from the surprise of the rows' cells and from what `trees` say of their labels."""
        doubt = cells.surprise.sum(axis=1) - log_floored(trees.p_given)
        return cls(dataset=dataset, labels=labels, folds=folds, filled=cells.filled, doubt=doubt)


class KnownColumns(NamedTuple):
    """What is known of a table's columns.

    numbers, texts: how common their values are. models: column models. commonest: commonest value of each column.
    """

    numbers: NumberFrequencies
    texts: TextFrequencies
    models: ColumnModels
    commonest: Commonest


class Scores(NamedTuple):
    """Scores of n rows, with the likeliest variant of each mistake.

    score: f32[n, 4], log likelihood ratios in nats, in the order of `ScoredMistake`.
    exchanged, texts: i32[n, 2], the two columns of numbers, and of texts, that were likeliest exchanged.
    rescaled, factor, stray: as in `Mistakes`.
    """

    score: np.ndarray
    exchanged: np.ndarray
    texts: np.ndarray
    rescaled: np.ndarray
    factor: np.ndarray
    stray: np.ndarray

    def variants(self, mistake: ScoredMistake) -> np.ndarray:
        """i64[n]: the likeliest variant of a mistake as one number: first column · VARIANT_BASE + second or factor."""
        if mistake == ScoredMistake.RESCALED:
            return self.rescaled.astype(np.int64) * VARIANT_BASE + self.factor
        pair = self.texts if mistake == ScoredMistake.TEXTS_EXCHANGED else self.exchanged
        return pair[:, 0].astype(np.int64) * VARIANT_BASE + pair[:, 1]

    def of_variant(self, mistake: ScoredMistake, variant: int) -> np.ndarray:
        """f32[n]: scores of a mistake where this variant is the likeliest, else `NEVER`."""
        return np.where(self.variants(mistake) == variant, self.score[:, mistake], NEVER)


def mistake_scores(columns: KnownColumns, rows: ScoredRows) -> Scores:
    """Scores the mistakes in n rows."""
    dataset, numbers, texts = rows.dataset, columns.numbers, columns.texts
    num_rows, num_common = len(dataset), int(np.sum(columns.commonest.share > 0))
    score = np.full((num_rows, len(ScoredMistake)), NEVER, np.float32)
    exchanged, rescaled, factor = (np.zeros(shape, np.int32) for shape in ((num_rows, 2), num_rows, num_rows))
    score[:, ScoredMistake.TEXTS_EXCHANGED], exchanged_texts = _text_scores(texts, dataset)
    if num_common:
        score[:, ScoredMistake.FILLED] = rows.filled.sum(axis=1) - num_common * np.log1p(FILL_ODDS)
    if numbers.many.any():
        size = max(1, _MAX_ELEMENTS // len(numbers.columns) ** 2)
        blocks = code_log_probs(columns.models, dataset.codes, rows.labels, rows.folds, numbers.columns)
        for of_block, log_p_of_block in blocks:
            for start in range(0, len(of_block), size):
                part, log_p = of_block[start : start + size], log_p_of_block[start : start + size]
                values = dataset.numbers[np.ix_(part, numbers.columns)]
                score[part, ScoredMistake.EXCHANGED], pair = _exchange_scores(numbers, log_p, values)
                exchanged[part] = numbers.columns[pair]
                score[part, ScoredMistake.RESCALED], column, factor[part] = _rescale_scores(numbers, log_p, values)
                rescaled[part] = numbers.columns[column]
    return Scores(
        score=score,
        exchanged=exchanged,
        texts=exchanged_texts,
        rescaled=rescaled,
        factor=factor,
        stray=numbers.stray(dataset.numbers),
    )


def _exchange_scores(
    numbers: NumberFrequencies, log_p: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest exchange of two numbers, and its pair of columns i[n, 2]."""
    density = numbers.log_density(log_p, np.repeat(values[:, None], values.shape[1], axis=1))
    possible = np.triu(numbers.apart & (numbers.many[:, None] | numbers.many), 1)
    return _likeliest_pair(density, possible & (values[:, :, None] != values[:, None]))


def _text_scores(texts: TextFrequencies, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest exchange of two texts, and its pair of columns i32[n, 2].

    The ratio rests only on how common the texts are in either column; that is enough for a text in a foreign column.
    """
    score, pair = np.full(len(dataset), NEVER, np.float32), np.zeros((len(dataset), 2), np.int32)
    if not texts.apart.any():
        return score, pair
    size = max(1, _MAX_ELEMENTS // len(texts.columns) ** 2)
    for start in range(0, len(dataset), size):
        part = slice(start, start + size)
        values = dataset.texts[part][:, texts.columns]
        present = values != 0
        possible = np.triu(texts.apart, 1) & present[:, :, None] & present[:, None]
        possible &= values[:, :, None] != values[:, None]
        score[part], best = _likeliest_pair(texts.log_density(values), possible)
        pair[part] = texts.columns[best]
    return score, pair


def _likeliest_pair(density: np.ndarray, possible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest log likelihood ratio of an exchange of two cells, f32[n], and the pair of columns i[n, 2].

    Args:
      density: f[n, C, C], log density in each column of each cell's value: [row, column, cell].
      possible: bool[n, C, C], pairs to consider.
    """
    num_rows, num_columns = density.shape[:2]
    own = np.diagonal(density, axis1=1, axis2=2)
    own = own[:, :, None] + own[:, None]
    ratio = np.full(own.shape, NEVER, np.float32)
    usable = possible & np.isfinite(own)
    np.subtract(density + density.swapaxes(1, 2), own, out=ratio, where=usable, casting="same_kind")
    best = ratio.reshape(num_rows, -1).argmax(axis=1)
    pair = np.stack(np.unravel_index(best, (num_columns, num_columns)), axis=1)
    return ratio[np.arange(num_rows), pair[:, 0], pair[:, 1]], pair


def _rescale_scores(
    numbers: NumberFrequencies, log_p: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest factor, with its column i[n] and its index i[n] in FACTORS."""
    with np.errstate(over="ignore"):
        before = values[:, :, None] / np.append(1.0, FACTORS)
    density = numbers.log_density(log_p, before)
    possible = np.isfinite(values) & (values != 0) & numbers.many
    ratio = np.full((*values.shape, len(FACTORS)), NEVER, np.float32)
    np.subtract(density[:, :, 1:], density[:, :, :1], out=ratio, where=possible[:, :, None])
    best = ratio.reshape(len(values), -1).argmax(axis=1)
    column, factor = np.unravel_index(best, ratio.shape[1:])
    return ratio[np.arange(len(values)), column, factor], column, factor
