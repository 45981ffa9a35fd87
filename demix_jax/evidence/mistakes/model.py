"""Known mistakes that make whole rows wrong: was this one filled in, were two values exchanged, was a unit mistaken?

Each mistake is a hypothesis about a row as a whole. Its score is a log likelihood ratio: of what the row would have
been before the mistake, against the row as it is. In how many rows of a table it was made, and how probable it is by
its score, is told by rows of the same table in which it was made on purpose.

Two more are told in other ways: a number with more decimals than its column ever has was not entered as the others
were; and a row that holds most of what another row holds is a copy, see `demix_jax.evidence.mistakes.duplicates`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demix_jax.evidence.column_model import ColumnModels, score_cells
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.mistakes.duplicates import Copies
from demix_jax.evidence.mistakes.frequencies import NumberFrequencies, TextFrequencies
from demix_jax.evidence.mistakes.posterior import CHANCE_ROWS, CHANCE_SHARE, Likelihood
from demix_jax.evidence.mistakes.scores import FACTORS, SCORED, KnownColumns, ScoredRows, Scores, mistake_scores
from demix_jax.evidence.mistakes.simulated import each_made

MISTAKES = ("filled", "exchanged", "rescaled", "stray decimals", "copied")

_STRAY = 0.9  # probability of an error where decimals are stray; of 34 clean tables, one has 2 % of such rows
_NUM_MADE = 512  # rows in which each mistake is made
# For each scored mistake, parts of the rows in which it was made, from the top. Any wild number looks as if it had
# another unit, so only what passes most of those with another unit counts.
_LEVELS = ((0.35, 0.5, 0.65), (0.35, 0.5, 0.65), (0.15, 0.25, 0.35, 0.5), (0.35, 0.5, 0.65))
_MOST_WAYS = 6  # of each mistake
_LIKELY = 4.0  # nats
_MOST = 0.5  # of a feature error's probability; a mistake that has more explains it


class Mistakes(NamedTuple):
    """What is known of N rows.

    probability: f32[N, 5], of each of MISTAKES.
    any: f32[N], that one was made; of other units, only the wrong sign counts, where many numbers of a column have it.
      Every wild number looks as if it had another unit, and is found anyway; here it only gets its name.
    exchanged: i32[N, 2], the two columns, of numbers or of texts, that were likeliest exchanged.
    rescaled: i32[N], the column whose number was likeliest multiplied by a factor; factor: i32[N], index in FACTORS.
    stray: bool[N, Q], numbers with more decimals than their column has.
    original: i32[N], number of the row whose copy it may be; −1 where there is none.
    """

    probability: np.ndarray
    any: np.ndarray
    exchanged: np.ndarray
    rescaled: np.ndarray
    factor: np.ndarray
    stray: np.ndarray
    original: np.ndarray

    def likely(self, probability: np.ndarray) -> np.ndarray:
        """i[N]: number of the mistake that a feature error, of `probability` f32[N], probably is; −1 where none is."""
        best = self.probability.argmax(axis=1)
        return np.where(self.probability.max(axis=1) > _MOST * probability, best, -1)

    def names(self, probability: np.ndarray) -> np.ndarray:
        """object[N]: "filled", "exchanged", "times 1000", "copied" and the like, or ""; see `likely`."""
        likely = self.likely(probability)
        names = np.array([*MISTAKES, ""], dtype=object)[likely]
        rescaled = likely == MISTAKES.index("rescaled")
        names[rescaled] = np.array([f"times {factor:g}" for factor in FACTORS], dtype=object)[self.factor[rescaled]]
        return names

    def cells(self, probability: np.ndarray, num_columns: int) -> np.ndarray:
        """bool[N, Q]: the cells that a likely exchange, another unit or stray decimals are about; see `likely`."""
        about, likely = np.zeros((len(self.factor), num_columns), bool), self.likely(probability)
        about |= self.stray & (likely == MISTAKES.index("stray decimals"))[:, None]
        for name, places in (("exchanged", self.exchanged), ("rescaled", self.rescaled[:, None])):
            rows = np.flatnonzero(likely == MISTAKES.index(name))
            about[rows[:, None], places[rows]] = True
        return about


class MistakeModel(NamedTuple):
    """What tells the mistakes of a table, fitted on its rows.

    numbers, texts: of its columns of numbers and of texts.
    anyhow: for each mistake with a score, how probable it is by that, in whatever way it was made; None where it cannot
      be.
    often: the same of one way, an exchange of two certain columns or one factor in a certain column, where a table has
      many rows that look like it: (number of the scored mistake, way, likelihood), ways as in `Scores`.
    copies: what tells copies of other rows.
    """

    numbers: NumberFrequencies
    texts: TextFrequencies
    anyhow: tuple[Likelihood | None, ...]
    often: tuple[tuple[int, int, Likelihood], ...]
    copies: Copies

    def judge(self, found: Scores, rows: ScoredRows, own: np.ndarray | None = None) -> Mistakes:
        """How probable mistakes are in n rows, by their scores and by what they share with rows of the table.

        own: i[n], their numbers if they are rows of the table.
        """
        anyhow = np.zeros(found.score.shape, np.float32)
        often = np.zeros(found.score.shape, np.float32)
        for m, known in enumerate(self.anyhow):
            if known is not None:
                anyhow[:, m] = known(found.score[:, m])
        for m, way, known in self.often:
            often[:, m] = np.maximum(often[:, m], known(found.by_way(m, way)))
        either = np.maximum(anyhow, often)
        scored, of_texts = either[:, :3], either[:, 3]
        exchanged = np.where((of_texts > scored[:, 1])[:, None], found.texts, found.exchanged)
        scored[:, 1] = np.maximum(scored[:, 1], of_texts)
        told = scored.copy()
        told[:, MISTAKES.index("rescaled")] = np.where(FACTORS[found.factor] == -1, often[:, 2], 0.0)
        stray = np.where(found.stray.any(axis=1), np.float32(_STRAY), np.float32(0.0))[:, None]
        left = stray * (1 - scored.max(axis=1, keepdims=True))  # another mistake may be where the decimals come from
        copied, original = self.copies.probability(rows.dataset, rows.doubt, own)
        any_of = 1 - np.prod(1 - np.column_stack([told, stray, copied]), axis=1)
        probability = np.column_stack([scored, left, copied])
        return Mistakes(
            probability=probability,
            any=any_of,
            exchanged=exchanged,
            rescaled=found.rescaled,
            factor=found.factor,
            stray=found.stray,
            original=original,
        )


def fit_mistakes(
    rows: ScoredRows, columns: ColumnModels, commonest: Commonest, clear: np.ndarray, *, num_train: int, seed: int
) -> tuple[MistakeModel, Mistakes]:
    """What tells a table's mistakes, and what it says of the table's R rows.

    Args:
      rows: R of them. columns: fitted on these. commonest: of the columns.
      clear: bool[R], rows that nothing speaks against. num_train: the first rows, in which mistakes are looked for.
      seed: of the rows in which they are made.
    """
    dataset, labels, folds = rows.dataset, rows.labels, rows.folds
    known_columns = KnownColumns(NumberFrequencies.fit(dataset), TextFrequencies.fit(dataset), columns, commonest)
    found = mistake_scores(known_columns, rows)
    rng = np.random.default_rng([seed, 5])
    right = np.sort(rng.permutation(np.flatnonzero(clear[:num_train]))[:_NUM_MADE])
    of_train = Scores(*(of_rows[:num_train] for of_rows in found))
    often = [(m, way) for m in (1, 2, 3) for way in _frequent_ways(of_train, m)]
    altered = each_made(dataset.take(right), known_columns, often, rng)
    attempts: list[Scores | None] = []
    for m, (changed, made) in zip([*range(len(SCORED)), *(m for m, _ in often)], altered, strict=True):
        if not len(changed):
            attempts.append(None)
            continue
        plan = labels[right[changed]], folds._replace(fold=folds.fold[right[changed]])
        filled = np.zeros(made.codes.shape, np.float32)
        if m == SCORED.index("filled"):
            of_columns = {"commonest": commonest, "robust_z": made.robust_z}
            filled = score_cells(columns, made.codes, *plan, **of_columns).filled
        doubt = rows.doubt[right[changed]]
        of_made = ScoredRows(dataset=made, labels=plan[0], folds=plan[1], filled=filled, doubt=doubt)
        attempts.append(mistake_scores(known_columns, of_made))
    before = Scores(*(of_rows[right] for of_rows in found))
    anyhow: list[Likelihood | None] = []
    of_ways: list[tuple[int, int, Likelihood]] = []
    for m, of_made in enumerate(attempts[: len(SCORED)]):
        known = None
        if of_made is not None:
            known = Likelihood.fit(of_train.score[:, m], before.score[:, m], of_made.score[:, m], _LEVELS[m])
        anyhow.append(known)
    for (m, way), of_made in zip(often, attempts[len(SCORED) :], strict=True):
        if of_made is not None and np.median(of_made.by_way(m, way)) > _LIKELY:
            one, other, last = (of.by_way(m, way) for of in (of_train, before, of_made))
            of_ways.append((m, way, Likelihood.fit(one, other, last, _LEVELS[2])))
    copies = Copies.fit(dataset, rows.doubt, clear[:num_train], right, rng)
    model = MistakeModel(
        numbers=known_columns.numbers,
        texts=known_columns.texts,
        anyhow=tuple(anyhow),
        often=tuple(of_ways),
        copies=copies,
    )
    return model, model.judge(found, rows, np.arange(len(dataset)))


def find_mistakes(model: MistakeModel, rows: ScoredRows, columns: ColumnModels, commonest: Commonest) -> Mistakes:
    """What `model` says of n rows; `columns` and `commonest` as for `fit_mistakes`."""
    return model.judge(mistake_scores(KnownColumns(model.numbers, model.texts, columns, commonest), rows), rows)


def _frequent_ways(found: Scores, m: int) -> list[int]:
    """The ways in which mistake number m may have been made in many rows, most frequent first."""
    ways, counts = np.unique(found.ways(m)[found.score[:, m] > _LIKELY], return_counts=True)
    enough = counts > CHANCE_ROWS + CHANCE_SHARE * len(found.score)
    return ways[np.argsort(-counts, kind="stable")][: min(_MOST_WAYS, enough.sum())].tolist()
