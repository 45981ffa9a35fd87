"""Known mistakes that make whole rows wrong: filled-in values, exchanged values, wrong units, stray decimals, copies.

Each mistake is a hypothesis about a row as a whole. Its score is the log likelihood ratio of the row with the mistake
undone against the row as it is. The same mistake is injected into rows of the same table; their scores show how many
rows have it and give its posterior probability.

Two mistakes have no such score. A number with more decimals than is usual in its column was not entered like the
others. A row that holds most of the values of another row is a copy, see `demix_jax.evidence.mistakes.duplicates`.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import numpy as np

from demix_jax.evidence.column_model import ColumnModels, score_cells
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.mistakes.duplicates import Copies
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies, TextFrequencies
from demix_jax.evidence.mistakes.posterior import CHANCE_ROWS, CHANCE_SHARE, Likelihood
from demix_jax.evidence.mistakes.scores import (
    FACTORS,
    KnownColumns,
    ScoredMistake,
    ScoredRows,
    Scores,
    mistake_scores,
)
from demix_jax.evidence.mistakes.simulated import SimulatedMistake, simulate_mistakes

MISTAKES = ("filled", "exchanged", "rescaled", "stray decimals", "copied")

_STRAY_P = 0.9  # probability of an error where decimals are stray; of 34 clean tables, one has 2 % of such rows
_NUM_SIMULATED = 512  # rows into which each mistake is injected
# Shares of the injected mistakes that the cuts of `Likelihood.fit` keep. Every wild number looks as if it had another
# unit, so for that mistake only rows count that score higher than most injected ones.
_LEVELS = {
    ScoredMistake.FILLED: (0.35, 0.5, 0.65),
    ScoredMistake.EXCHANGED: (0.35, 0.5, 0.65),
    ScoredMistake.RESCALED: (0.15, 0.25, 0.35, 0.5),
    ScoredMistake.TEXTS_EXCHANGED: (0.35, 0.5, 0.65),
}
_VARIANT_LEVELS = (0.15, 0.25, 0.35, 0.5)
_WITH_VARIANTS = (ScoredMistake.EXCHANGED, ScoredMistake.RESCALED, ScoredMistake.TEXTS_EXCHANGED)
_MAX_VARIANTS = 6  # of each mistake
_LIKELY = 4.0  # nats
_EXPLAINED = 0.5  # of a feature error's probability; a mistake with more explains the error


class Mistakes(NamedTuple):
    """Known mistakes in N rows.

    probability: f32[N, 5], of each of MISTAKES.
    any: f32[N], probability that the row has any of them. Of wrong units only wrong signs count, and only where many
      numbers of a column have them: every wild number looks as if it had another unit, and other evidence finds it.
    exchanged: i32[N, 2], the two columns, of numbers or of texts, that were likeliest exchanged.
    rescaled: i32[N], the column whose number was likeliest multiplied by a factor. factor: i32[N], index in FACTORS.
    stray: bool[N, Q], numbers with more decimals than is usual in their column.
    original: i32[N], number of the row that this one may be a copy of; −1 for none.
    """

    probability: np.ndarray
    any: np.ndarray
    exchanged: np.ndarray
    rescaled: np.ndarray
    factor: np.ndarray
    stray: np.ndarray
    original: np.ndarray

    def likely(self, probability: np.ndarray) -> np.ndarray:
        """i[N]: index in MISTAKES of what explains a feature error of `probability` f32[N]; −1 for none."""
        best = self.probability.argmax(axis=1)
        return np.where(self.probability.max(axis=1) > _EXPLAINED * probability, best, -1)

    def names(self, probability: np.ndarray) -> np.ndarray:
        """object[N]: "filled", "exchanged", "times 1000", "copied" and so on, or ""; see `likely`."""
        likely = self.likely(probability)
        names = np.array([*MISTAKES, ""], dtype=object)[likely]
        rescaled = likely == MISTAKES.index("rescaled")
        names[rescaled] = np.array([f"times {factor:g}" for factor in FACTORS], dtype=object)[self.factor[rescaled]]
        return names

    def cells(self, probability: np.ndarray, num_columns: int) -> np.ndarray:
        """bool[N, Q]: cells with a likely exchange, wrong unit or stray decimals; see `likely`."""
        about, likely = np.zeros((len(self.factor), num_columns), bool), self.likely(probability)
        about |= self.stray & (likely == MISTAKES.index("stray decimals"))[:, None]
        for name, places in (("exchanged", self.exchanged), ("rescaled", self.rescaled[:, None])):
            rows = np.flatnonzero(likely == MISTAKES.index(name))
            about[rows[:, None], places[rows]] = True
        return about


class FrequentVariant(NamedTuple):
    """A variant that many rows of a table seem to have: two columns exchanged, or one factor in one column.

    variant: see `Scores.variants`. likelihood: posterior probability of this variant.
    """

    mistake: ScoredMistake
    variant: int
    likelihood: Likelihood


class MistakeModel(NamedTuple):
    """Model of the known mistakes of one table, fitted on its rows.

    numbers, texts: how common values are in its columns.
    likelihoods: per `ScoredMistake`, its posterior probability in any variant; None where it is impossible.
    frequent: the frequent variants. copies: model of copied rows.
    """

    numbers: NumberFrequencies
    texts: TextFrequencies
    likelihoods: tuple[Likelihood | None, ...]
    frequent: tuple[FrequentVariant, ...]
    copies: Copies

    def judge(self, scores: Scores, rows: ScoredRows, own: np.ndarray | None = None) -> Mistakes:
        """Probabilities of the mistakes in n rows.

        Args:
          scores: of the rows. own: i[n], numbers of the rows if they are rows of the table; else None.
        """
        of_any = np.zeros(scores.score.shape, np.float32)
        of_frequent = np.zeros(scores.score.shape, np.float32)
        for mistake, likelihood in zip(ScoredMistake, self.likelihoods, strict=True):
            if likelihood is not None:
                of_any[:, mistake] = likelihood(scores.score[:, mistake])
        for mistake, variant, likelihood in self.frequent:
            p = likelihood(scores.of_variant(mistake, variant))
            of_frequent[:, mistake] = np.maximum(of_frequent[:, mistake], p)
        either = np.maximum(of_any, of_frequent)
        scored, of_texts = either[:, : ScoredMistake.TEXTS_EXCHANGED], either[:, ScoredMistake.TEXTS_EXCHANGED]
        of_numbers = scored[:, ScoredMistake.EXCHANGED].copy()
        exchanged = np.where((of_texts > of_numbers)[:, None], scores.texts, scores.exchanged)
        scored[:, ScoredMistake.EXCHANGED] = np.maximum(of_numbers, of_texts)
        counted = scored.copy()
        wrong_sign = np.where(FACTORS[scores.factor] == -1, of_frequent[:, ScoredMistake.RESCALED], 0.0)
        counted[:, ScoredMistake.RESCALED] = wrong_sign
        stray = np.where(scores.stray.any(axis=1), np.float32(_STRAY_P), np.float32(0.0))[:, None]
        only_stray = stray * (1 - scored.max(axis=1, keepdims=True))  # another mistake may have caused the decimals
        copied, original = self.copies.probability(rows.dataset, rows.doubt, own)
        probability = np.column_stack([scored, only_stray, copied])
        chex.assert_shape(probability, (len(rows.dataset), len(MISTAKES)))
        return Mistakes(
            probability=probability,
            any=1 - np.prod(1 - np.column_stack([counted, stray, copied]), axis=1),
            exchanged=exchanged,
            rescaled=scores.rescaled,
            factor=scores.factor,
            stray=scores.stray,
            original=original,
        )


def fit_mistakes(
    rows: ScoredRows, columns: ColumnModels, commonest: Commonest, clear: np.ndarray, *, num_train: int, seed: int
) -> tuple[MistakeModel, Mistakes]:
    """Fits the model of a table's mistakes and applies it to the table's R rows.

    Args:
      rows: R of them. columns: column models fitted on these. commonest: commonest value of each column.
      clear: bool[R], rows without any evidence against them.
      num_train: mistakes are searched for in this many of the first rows.
      seed: of the rows into which mistakes are injected.
    """
    known = KnownColumns(NumberFrequencies.fit(rows.dataset), TextFrequencies.fit(rows.dataset), columns, commonest)
    rng = np.random.default_rng([seed, 5])
    right = np.sort(rng.permutation(np.flatnonzero(clear[:num_train]))[:_NUM_SIMULATED])
    scores = mistake_scores(known, rows)
    of_train, before = (jax.tree.map(lambda a, some=some: a[some], scores) for some in (slice(num_train), right))
    variants = [(mistake, variant) for mistake in _WITH_VARIANTS for variant in _frequent_variants(of_train, mistake)]
    simulated = simulate_mistakes(rows.dataset.take(right), known, variants, rng)
    sought = [*ScoredMistake, *(mistake for mistake, _ in variants)]
    after = [_scores_after(rows, right, known, *one) for one in zip(sought, simulated, strict=True)]
    likelihoods: list[Likelihood | None] = []
    for mistake, made in zip(ScoredMistake, after[: len(ScoredMistake)], strict=True):
        likelihood = None
        if made is not None:
            of_table, of_clear, of_made = (of.score[:, mistake] for of in (of_train, before, made))
            likelihood = Likelihood.fit(of_table, of_clear, of_made, _LEVELS[mistake])
        likelihoods.append(likelihood)
    frequent: list[FrequentVariant] = []
    for (mistake, variant), made in zip(variants, after[len(ScoredMistake) :], strict=True):
        if made is not None and np.median(made.of_variant(mistake, variant)) > _LIKELY:
            of_table, of_clear, of_made = (of.of_variant(mistake, variant) for of in (of_train, before, made))
            likelihood = Likelihood.fit(of_table, of_clear, of_made, _VARIANT_LEVELS)
            frequent.append(FrequentVariant(mistake, variant, likelihood))
    model = MistakeModel(
        numbers=known.numbers,
        texts=known.texts,
        likelihoods=tuple(likelihoods),
        frequent=tuple(frequent),
        copies=Copies.fit(rows.dataset, rows.doubt, clear[:num_train], right, rng),
    )
    return model, model.judge(scores, rows, np.arange(len(rows.dataset)))


def find_mistakes(model: MistakeModel, rows: ScoredRows, columns: ColumnModels, commonest: Commonest) -> Mistakes:
    """Applies `model` to n further rows; `columns` and `commonest` as for `fit_mistakes`."""
    return model.judge(mistake_scores(KnownColumns(model.numbers, model.texts, columns, commonest), rows), rows)


def _scores_after(
    rows: ScoredRows, right: np.ndarray, known: KnownColumns, mistake: ScoredMistake, simulated: SimulatedMistake
) -> Scores | None:
    """Scores of the rows i[P] `right` after a mistake was injected; None if it changed none of them."""
    changed, made = simulated
    if not len(changed):
        return None
    changed = right[changed]
    labels, folds = rows.labels[changed], rows.folds._replace(fold=rows.folds.fold[changed])
    filled = np.zeros(made.codes.shape, np.float32)
    if mistake == ScoredMistake.FILLED:
        of_columns = {"commonest": known.commonest, "robust_z": made.robust_z}
        filled = score_cells(known.models, made.codes, labels, folds, **of_columns).filled
    doubt = rows.doubt[changed]
    return mistake_scores(known, ScoredRows(dataset=made, labels=labels, folds=folds, filled=filled, doubt=doubt))


def _frequent_variants(scores: Scores, mistake: ScoredMistake) -> list[int]:
    """Variants of a mistake that more rows seem to have than by chance, most frequent first."""
    variants, counts = np.unique(scores.variants(mistake)[scores.score[:, mistake] > _LIKELY], return_counts=True)
    enough = counts > CHANCE_ROWS + CHANCE_SHARE * len(scores.score)
    return variants[np.argsort(-counts, kind="stable")][: min(_MAX_VARIANTS, enough.sum())].tolist()
