"""Known mistakes that make whole rows wrong: was this one filled in, were two numbers exchanged, was a unit mistaken?

Each mistake is a hypothesis about a row as a whole. Its score is a log likelihood ratio: of what the row would have
been before the mistake, against the row as it is. In how many rows of a table it was made, and how probable it is by
its score, is told by rows of the same table in which it was made on purpose.

One more needs no score: a number with more decimals than its column ever has was not entered as the others were.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.data.decimals import stray_decimals, usual_decimals
from demix_jax.evidence.cells import FILL_ODDS, ColumnModels, code_log_probs, score_cells
from demix_jax.evidence.folds import Folds
from demix_jax.evidence.usual import Commonest

if TYPE_CHECKING:
    from demix_jax.data import Dataset
    from demix_jax.data.columns import CodesOfNumbers

MISTAKES = ("filled", "exchanged", "rescaled", "stray decimals")
FACTORS = np.array([10.0, 100.0, 1000.0, 0.1, 0.01, 0.001, -1.0])  # that a number may have been multiplied by

_SCORED = ("filled", "exchanged", "rescaled", "texts exchanged")  # the last counts as exchanged
_STRAY = 0.9  # probability of an error where decimals are stray: of 54 tables that are taken to be clean, 3 have some
_NEVER = -30.0  # score of a row in which the mistake cannot have been made
_MOST_COLUMNS = 48  # of numbers that are looked at
_ELEMENTS = 1 << 20  # of an array with a value for each two columns
_RESOLUTION = 0.05  # of a number's logarithm: numbers closer together count as one
_NOWHERE = np.iinfo(np.int64).min  # on that scale
_LEAST_LOG_RATIO = -8.0  # of a code's probability to its share; models are not to be trusted with less
_APART = 1.5  # nats, the divergence of two columns' numbers (Jeffreys); less, and other oddities look like exchanges
_NUM_MADE = 512  # rows in which each mistake is made
_FILLED_SHARES = (0.25, 0.55)  # of their columns
_ATTEMPTS = 8  # to find two numbers that differ, of columns that do
# For each mistake with a score, parts of the rows in which it was made, from the top. Any wild number looks as if it
# had another unit, so only what passes most of those with another unit counts.
_LEVELS = ((0.35, 0.5, 0.65), (0.35, 0.5, 0.65), (0.15, 0.25, 0.35, 0.5), (0.35, 0.5, 0.65))
_CHANCE_SHARE, _CHANCE_ROWS = 0.006, 4  # of all rows, and in any table: of so many others a mistake may be thought
_NUM_PASSES = 3
_WAYS = 1 << 20  # more than there are columns
_MOST_WAYS = 6  # of each mistake
_LIKELY, _CLEAR = 4.0, 3.0  # nats
_MOST_BEFORE = 0.25  # of rows that seem right, which may score like those in which a mistake was made
_MOST = 0.5  # of a feature error's probability; a mistake that has more explains it


class Mistakes(NamedTuple):
    """What is known of N rows.

    probability: f32[N, 4], of each of MISTAKES.
    any: f32[N], that one was made; of other units, only the wrong sign counts, where many numbers of a column have it.
      Every wild number looks as if it had another unit, and is found anyway; here it only gets its name.
    exchanged: i32[N, 2], the two columns, of numbers or of texts, that were likeliest exchanged.
    rescaled: i32[N], the column whose number was likeliest multiplied by a factor; factor: i32[N], index in FACTORS.
    stray: bool[N, Q], numbers with more decimals than their column has.
    """

    probability: np.ndarray
    any: np.ndarray
    exchanged: np.ndarray
    rescaled: np.ndarray
    factor: np.ndarray
    stray: np.ndarray

    def likely(self, probability: np.ndarray) -> np.ndarray:
        """i[N]: number of the mistake that a feature error, of `probability` f32[N], probably is; −1 where none is."""
        best = self.probability.argmax(axis=1)
        return np.where(self.probability.max(axis=1) > _MOST * probability, best, -1)

    def names(self, probability: np.ndarray) -> np.ndarray:
        """object[N]: "filled", "exchanged", "times 1000" and the like, or ""; see `likely`."""
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


class Numbers(NamedTuple):
    """How common numbers are in each of C columns of numbers, whatever their unit.

    columns: i32[C], their places among the table's. many: bool[C], which hold many values; others are categories.
    coders: what gives their numbers codes. share: for each column f64[B], log share of each code.
    known: i64[V], ascending, the numbers that any column has, on a coarse logarithmic scale. common: f64[C, V + 1], log
    share of each in the column; the last for any other number. apart: bool[C, C], columns whose numbers differ so much
    that an exchange would show. decimals: how many decimals a column's numbers have, see `usual_decimals`.
    """

    columns: np.ndarray
    many: np.ndarray
    coders: tuple[CodesOfNumbers, ...]
    share: tuple[np.ndarray, ...]
    known: np.ndarray
    common: np.ndarray
    apart: np.ndarray
    decimals: tuple[int | None, ...]

    @classmethod
    def fit(cls, dataset: Dataset) -> Numbers:
        """Of a table's columns of numbers: those with most values, if they are many."""
        distinct = np.array([len(np.unique(x[np.isfinite(x)])) for x in dataset.numbers.T])
        chosen = np.sort(np.argsort(-distinct, kind="stable")[:_MOST_COLUMNS])
        columns = chosen[distinct[chosen] > 1].astype(np.int32)
        places = [_coarse(dataset.numbers[:, q]) for q in columns]
        known = np.unique(np.concatenate([np.zeros(0, np.int64), *(p[p != _NOWHERE] for p in places)]))
        common = []
        for place in places:
            present = np.searchsorted(known, place[place != _NOWHERE])
            common.append(np.log(np.bincount(present, minlength=len(known) + 1) + 0.5) - np.log(len(present) + 1))
        share = []
        for q in columns:
            counts = np.bincount(dataset.codes[:, q], minlength=dataset.num_codes[q]) + 0.5
            share.append(np.log(counts) - np.log(counts.sum()))
        coders = tuple(dataset.codes_of_numbers[q] for q in columns)
        many = np.array([dataset.columns[q].kind == "number" for q in columns], bool)
        decimals = tuple(usual_decimals(dataset.numbers[:, q]) for q in columns)
        common = np.array(common).reshape(len(columns), len(known) + 1)
        return cls(columns, many, coders, tuple(share), known, common, _apart(common), decimals)

    def stray(self, numbers: np.ndarray) -> np.ndarray:
        """bool[n, Q]: which of numbers f64[n, Q] have more decimals than their column has."""
        result = np.zeros(numbers.shape, bool)
        for q, usual in zip(self.columns, self.decimals, strict=True):
            result[:, q] = stray_decimals(numbers[:, q], usual)
        return result

    def log_density(self, log_p: np.ndarray, values: np.ndarray) -> np.ndarray:
        """f32[n, C, J]: log density in each column of values f64[n, C, J], up to what all columns share.

        What other cells say of a value's code, and how common the number itself is in the column. −∞ where there is no
        value.

        Args:
          log_p: f32[n, C, B], of each code of each column.
        """
        result = np.empty(values.shape, np.float32)
        place = _coarse(values)
        at = np.minimum(np.searchsorted(self.known, place), len(self.known) - 1)
        at = np.where(self.known[at] == place, at, len(self.known))
        rows = np.arange(len(values))[:, None]
        for c, (codes_of, share, common) in enumerate(zip(self.coders, self.share, self.common, strict=True)):
            code = codes_of(values[:, c].ravel()).reshape(rows.shape[0], -1)
            told = log_p[rows, c, code] - share[code]
            result[:, c] = np.maximum(told, _LEAST_LOG_RATIO) + common[at[:, c]]
        return np.where(np.isfinite(values), result, -np.inf)


class Texts(NamedTuple):
    """How common each text is in each of C columns of texts.

    columns: i32[C], their places among the table's. known: i32[V], ascending, hashes of the texts that any of them has.
    common: f64[C, V + 1], log share of each in the column; the last for any other. apart: bool[C, C], as of `Numbers`.
    """

    columns: np.ndarray
    known: np.ndarray
    common: np.ndarray
    apart: np.ndarray

    @classmethod
    def fit(cls, dataset: Dataset) -> Texts:
        """Of a table's columns of texts that repeat."""
        columns = np.flatnonzero((dataset.texts != 0).any(axis=0)).astype(np.int32)[:_MOST_COLUMNS]
        known = np.unique(dataset.texts[:, columns])
        known = known[known != 0]
        counts = np.full((len(columns), len(known) + 1), 0.5)
        for of_column, texts in zip(counts, dataset.texts[:, columns].T, strict=True):
            of_column[:-1] += np.bincount(np.searchsorted(known, texts[texts != 0]), minlength=len(known))
        common = np.log(counts / counts.sum(axis=1, keepdims=True))
        return cls(columns, known, common, _apart(common))

    def exchange_scores(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """f32[n], log likelihood ratio of the likeliest exchange of two texts, and which columns i32[n, 2] it is of.

        By how common the texts are in either column alone: that says enough of a text in a column where it is foreign.
        """
        score, pair = np.full(len(dataset), _NEVER, np.float32), np.zeros((len(dataset), 2), np.int32)
        if not self.apart.any():
            return score, pair
        size = max(1, _ELEMENTS // len(self.columns) ** 2)
        for start in range(0, len(dataset), size):
            rows = slice(start, start + size)
            texts = dataset.texts[rows][:, self.columns]
            at = np.minimum(np.searchsorted(self.known, texts), len(self.known) - 1)
            at = np.where(self.known[at] == texts, at, len(self.known))
            there = self.common[:, at].swapaxes(0, 1)  # [n, C, C]: of each text of the row in each column
            possible = np.triu(self.apart, 1) & (texts != 0)[:, :, None] & (texts != 0)[:, None]
            score[rows], best = _likeliest_pair(there, possible & (texts[:, :, None] != texts[:, None]))
            pair[rows] = self.columns[best]
        return score, pair


class Likelihood(NamedTuple):
    """How probable a mistake is by its score: scores f64[K], ascending, and probabilities f64[K]."""

    score: np.ndarray
    probability: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, before: np.ndarray, made: np.ndarray, levels: tuple[float, ...]) -> Likelihood:
        """From scores f[N] of a table's rows, and f[P] of some of them before and after it was made on purpose.

        The rows are a mixture of such ones and of others. Where they are cut so that a part of those made stays, at
        most as many of them can be such ones: the lowest such share, less what may pass by chance. The ratio of
        densities rises with the score; it is found again after what probably is such a row was taken out of the others.
        Where rows score as high before it was made, it cannot be told, and no row is taken for such a one.

        Args:
          levels: the parts of those made that are tried.
        Source: for the share see `demix_jax.classifier.mixture`; a mixture with one known component: Bordes, Delmas &
          Vandekerkhove 2006.
        """
        from sklearn.isotonic import IsotonicRegression

        count = len(rows)
        cuts = np.quantile(made, 1 - np.array(levels))
        passed = np.array([np.mean(rows >= cut) for cut in cuts])
        share = np.min(passed / levels)
        few, half = (np.quantile(made, 1 - part) for part in (0.25, 0.5))
        if half < _CLEAR:  # others may pass; the more of those made stay, the more of them
            share = min(share, 2 * np.mean(rows >= few) / 0.25 - np.mean(rows >= half) / 0.5)
        chance = _CHANCE_SHARE + _CHANCE_ROWS / count
        if share <= chance or np.mean(before >= cuts.min()) > _MOST_BEFORE:
            return cls(np.zeros(1), np.zeros(1))
        share -= chance * chance / share
        # One imagined row at the top: with few rows no score is proof.
        values = np.concatenate([made, rows, [max(rows.max(), made.max())]])
        is_made = np.repeat([1.0, 0.0], [len(made), count + 1])
        probability = np.zeros(count)
        for _ in range(_NUM_PASSES):
            others = np.append(1 - probability, 1.0)
            weight = np.concatenate([np.full(len(made), 1 / len(made)), others / others.sum()])
            part = IsotonicRegression().fit(values, is_made, sample_weight=weight).predict(rows)
            odds = share / (1 - share) * part / np.maximum(1 - part, 1e-9)
            probability = odds / (1 + odds)
        score, first = np.unique(rows, return_index=True)
        return cls(score, probability[first])

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """f64[n] for scores f[n]."""
        return np.interp(score, self.score, self.probability)


class MistakeModel(NamedTuple):
    """What tells the mistakes of a table, fitted on its rows.

    numbers, texts: of its columns of numbers and of texts.
    anyhow: for each mistake with a score, how probable it is by that, in whatever way it was made; None where it cannot
      be.
    often: the same of one way, an exchange of two certain columns or one factor in a certain column, where a table has
      many rows that look like it: (number of the scored mistake, way, likelihood).
    """

    numbers: Numbers
    texts: Texts
    anyhow: tuple[Likelihood | None, ...]
    often: tuple[tuple[int, int, Likelihood], ...]

    def judge(self, found: Scores) -> Mistakes:
        """How probable mistakes are in n rows by their scores."""
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
        any_of = 1 - np.prod(1 - np.concatenate([told, stray], axis=1), axis=1)
        probability = np.concatenate([scored, left], axis=1)
        return Mistakes(probability, any_of, exchanged, found.rescaled, found.factor, found.stray)


class Scores(NamedTuple):
    """score: f32[n, 4], log likelihood ratios in nats, of each of _SCORED. exchanged, texts: i32[n, 2], the likeliest
    columns of numbers and of texts. The rest is as in `Mistakes`."""

    score: np.ndarray
    exchanged: np.ndarray
    texts: np.ndarray
    rescaled: np.ndarray
    factor: np.ndarray
    stray: np.ndarray

    def ways(self, m: int) -> np.ndarray:
        """i64[n]: a number for the way in which scored mistake number m was most likely made."""
        if m == _SCORED.index("rescaled"):
            return self.rescaled.astype(np.int64) * _WAYS + self.factor
        pair = self.texts if m == _SCORED.index("texts exchanged") else self.exchanged
        return pair[:, 0].astype(np.int64) * _WAYS + pair[:, 1]

    def by_way(self, m: int, way: int) -> np.ndarray:
        """f32[n]: scores of scored mistake number m, where it was made in this way."""
        return np.where(self.ways(m) == way, self.score[:, m], _NEVER)


def fit_mistakes(
    dataset: Dataset,
    columns: ColumnModels,
    commonest: Commonest,
    labels: np.ndarray,
    folds: Folds,
    filled: np.ndarray,
    clear: np.ndarray,
    *,
    num_train: int,
    seed: int,
) -> tuple[MistakeModel, Mistakes]:
    """What tells a table's mistakes, and what it says of the table's R rows.

    Args:
      dataset: R rows. columns, labels, folds: what the column models were fitted on. commonest: of the columns.
      filled: f32[R, Q], see `CellEvidence`. clear: bool[R], rows that nothing speaks against.
      num_train: the first rows, in which mistakes are looked for. seed: of the rows in which they are made.
    """
    numbers, texts = Numbers.fit(dataset), Texts.fit(dataset)
    found = _scores(numbers, texts, dataset, columns, commonest, labels, folds, filled)
    rng = np.random.default_rng([seed, 5])
    rows = np.sort(rng.permutation(np.flatnonzero(clear[:num_train]))[:_NUM_MADE])
    of_train = Scores(*(of_rows[:num_train] for of_rows in found))
    often = [(m, way) for m in (1, 2, 3) for way in _frequent_ways(of_train, m)]
    chosen = dataset.take(rows)
    altered = [
        _filled(chosen, commonest, rng),
        _with_numbers(chosen, numbers, _exchanged(chosen.numbers, numbers, rng)),
        _with_numbers(chosen, numbers, _rescaled(chosen.numbers, numbers, rng)),
        _with_texts(chosen, _exchanged_texts(chosen.texts, texts, rng)),
        *(_in_one_way(chosen, numbers, m, way) for m, way in often),
    ]
    attempts: list[Scores | None] = []
    for m, (changed, made) in zip([*range(len(_SCORED)), *(m for m, _ in often)], altered, strict=True):
        plan = labels[rows[changed]], folds._replace(fold=folds.fold[rows[changed]])
        again = np.zeros(made.codes.shape, np.float32)
        if m == _SCORED.index("filled") and len(changed):
            again = score_cells(columns, made.codes, *plan, commonest, made.robust_z).filled
        attempts.append(_scores(numbers, texts, made, columns, commonest, *plan, again) if len(changed) else None)
    before = Scores(*(of_rows[rows] for of_rows in found))
    anyhow: list[Likelihood | None] = []
    of_ways: list[tuple[int, int, Likelihood]] = []
    for m, of_made in enumerate(attempts[: len(_SCORED)]):
        known = None
        if of_made is not None:
            known = Likelihood.fit(of_train.score[:, m], before.score[:, m], of_made.score[:, m], _LEVELS[m])
        anyhow.append(known)
    for (m, way), of_made in zip(often, attempts[len(_SCORED) :], strict=True):
        if of_made is not None and np.median(of_made.by_way(m, way)) > _LIKELY:
            one, other, last = (of.by_way(m, way) for of in (of_train, before, of_made))
            of_ways.append((m, way, Likelihood.fit(one, other, last, _LEVELS[2])))
    model = MistakeModel(numbers, texts, tuple(anyhow), tuple(of_ways))
    return model, model.judge(found)


def find_mistakes(
    model: MistakeModel,
    dataset: Dataset,
    columns: ColumnModels,
    commonest: Commonest,
    labels: np.ndarray,
    folds: Folds,
    filled: np.ndarray,
) -> Mistakes:
    """What `model` says of n rows; arguments as for `fit_mistakes`."""
    return model.judge(_scores(model.numbers, model.texts, dataset, columns, commonest, labels, folds, filled))


def _frequent_ways(found: Scores, m: int) -> list[int]:
    """The ways in which mistake number m may have been made in many rows, most frequent first."""
    ways, counts = np.unique(found.ways(m)[found.score[:, m] > _LIKELY], return_counts=True)
    enough = counts > _CHANCE_ROWS + _CHANCE_SHARE * len(found.score)
    return ways[np.argsort(-counts, kind="stable")][: min(_MOST_WAYS, enough.sum())].tolist()


def _scores(numbers, texts, dataset, columns, commonest, labels, folds, filled) -> Scores:
    num_rows, num_common = len(dataset), int(np.sum(commonest.share > 0))
    score = np.full((num_rows, len(_SCORED)), _NEVER, np.float32)
    exchanged, rescaled, factor = (np.zeros(shape, np.int32) for shape in ((num_rows, 2), num_rows, num_rows))
    score[:, 3], of_texts = texts.exchange_scores(dataset)
    found = Scores(score, exchanged, of_texts, rescaled, factor, numbers.stray(dataset.numbers))
    if num_common:
        score[:, 0] = filled.sum(axis=1) - num_common * np.log1p(FILL_ODDS)
    if not numbers.many.any():
        return found
    size = max(1, _ELEMENTS // len(numbers.columns) ** 2)
    for of_block, log_p in code_log_probs(columns, dataset.codes, labels, folds, numbers.columns):
        for start in range(0, len(of_block), size):
            rows, told = of_block[start : start + size], log_p[start : start + size]
            values = dataset.numbers[np.ix_(rows, numbers.columns)]
            score[rows, 1], pair = _exchange_scores(numbers, told, values)
            exchanged[rows] = numbers.columns[pair]
            score[rows, 2], column, factor[rows] = _rescale_scores(numbers, told, values)
            rescaled[rows] = numbers.columns[column]
    return found


def _exchange_scores(numbers: Numbers, log_p: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest exchange, and which columns i[n, 2] it is of."""
    there = numbers.log_density(log_p, np.repeat(values[:, None], values.shape[1], axis=1))
    possible = np.triu(numbers.apart & (numbers.many[:, None] | numbers.many), 1)
    return _likeliest_pair(there, possible & (values[:, :, None] != values[:, None]))


def _likeliest_pair(there: np.ndarray, possible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f32[n], largest gain of n rows by an exchange of two cells, and which of C columns i[n, 2] it is of.

    Args:
      there: f[n, C, C], log density in each column of each cell's value. possible: bool[n, C, C], pairs to look at.
    """
    num_rows, num_columns = there.shape[:2]
    own = np.diagonal(there, axis1=1, axis2=2)
    own = own[:, :, None] + own[:, None]
    ratio = np.full(own.shape, _NEVER, np.float32)
    np.subtract(there + there.swapaxes(1, 2), own, out=ratio, where=possible & np.isfinite(own), casting="same_kind")
    best = ratio.reshape(num_rows, -1).argmax(axis=1)
    pair = np.stack(np.unravel_index(best, (num_columns, num_columns)), axis=1)
    return ratio[np.arange(num_rows), pair[:, 0], pair[:, 1]], pair


def _rescale_scores(
    numbers: Numbers, log_p: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f32[n], log likelihood ratio of the likeliest factor, and its column i[n] and index i[n]."""
    with np.errstate(over="ignore"):
        before = values[:, :, None] / np.append(1.0, FACTORS)
    density = numbers.log_density(log_p, before)
    possible = np.isfinite(values) & (values != 0) & numbers.many
    ratio = np.full((*values.shape, len(FACTORS)), _NEVER, np.float32)
    np.subtract(density[:, :, 1:], density[:, :, :1], out=ratio, where=possible[:, :, None])
    best = ratio.reshape(len(values), -1).argmax(axis=1)
    column, factor = np.unravel_index(best, ratio.shape[1:])
    return ratio[np.arange(len(values)), column, factor], column, factor


def _with_numbers(dataset: Dataset, numbers: Numbers, values: np.ndarray) -> tuple[np.ndarray, Dataset]:
    """Rows i[k] in which numbers f64[n, Q] differ from their own, and these rows with them."""
    codes = dataset.codes.copy()
    for q, codes_of in zip(numbers.columns, numbers.coders, strict=True):
        codes[:, q] = codes_of(values[:, q])
    changed = np.flatnonzero(((values != dataset.numbers) & np.isfinite(values)).any(axis=1))
    return changed, dataclasses.replace(dataset, codes=codes, numbers=values).take(changed)


def _filled(dataset: Dataset, commonest: Commonest, rng: np.random.Generator) -> tuple[np.ndarray, Dataset]:
    """Rows i[k] that differ when a part of their cells holds what is commonest, and these rows then."""
    can = commonest.share > 0
    count = np.maximum(1, np.round(rng.uniform(*_FILLED_SHARES, len(dataset)) * can.sum()))
    order = np.where(can, rng.random(dataset.codes.shape), 2.0).argsort(axis=1).argsort(axis=1)
    hit = (order < count[:, None]) & can & ~commonest.held(dataset.codes, dataset.robust_z)
    codes = np.where(hit, commonest.codes, dataset.codes)
    robust_z = np.where(hit & ~np.isnan(commonest.values), commonest.values, dataset.robust_z).astype(np.float32)
    changed = np.flatnonzero(hit.any(axis=1))
    return changed, dataclasses.replace(dataset, codes=codes, robust_z=robust_z).take(changed)


def _exchanged(values: np.ndarray, numbers: Numbers, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers, two of each row exchanged, of which one is in a column of many values."""
    values, left = values.copy(), np.arange(len(values) if numbers.many.any() else 0)
    for _ in range(_ATTEMPTS):
        places = np.flatnonzero(numbers.many), np.arange(len(numbers.columns))
        drawn = [rng.choice(of_numbers, len(left)) for of_numbers in places]
        first, second = (numbers.columns[place] for place in drawn)
        one, other = values[left, first], values[left, second]
        differ = np.isfinite(one) & np.isfinite(other) & (one != other) & numbers.apart[drawn[0], drawn[1]]
        values[left[differ], first[differ]], values[left[differ], second[differ]] = other[differ], one[differ]
        left = left[~differ]
    return values


def _rescaled(values: np.ndarray, numbers: Numbers, rng: np.random.Generator) -> np.ndarray:
    """f64[n, Q]: numbers, one of each row multiplied by a factor."""
    values, columns = values.copy(), numbers.columns[numbers.many]
    possible = np.isfinite(values[:, columns]) & (values[:, columns] != 0)
    rows = np.flatnonzero(possible.any(axis=1))
    if len(rows):
        drawn = np.where(possible[rows], rng.random((len(rows), len(columns))), 2.0).argmin(axis=1)
        with np.errstate(over="ignore"):
            values[rows, columns[drawn]] *= rng.choice(FACTORS, len(rows))
    return values


def _with_texts(dataset: Dataset, texts: np.ndarray) -> tuple[np.ndarray, Dataset]:
    """Rows i[k] in which texts i32[n, Q] differ from their own, and these rows with them."""
    changed = np.flatnonzero((texts != dataset.texts).any(axis=1))
    return changed, dataclasses.replace(dataset, texts=texts).take(changed)


def _exchanged_texts(values: np.ndarray, texts: Texts, rng: np.random.Generator) -> np.ndarray:
    """i32[n, Q]: texts, two of each row exchanged."""
    values, left = values.copy(), np.arange(len(values) if texts.apart.any() else 0)
    for _ in range(_ATTEMPTS):
        places = rng.integers(0, max(1, len(texts.columns)), (2, len(left)))
        first, second = texts.columns[places] if len(left) else places
        one, other = values[left, first], values[left, second]
        differ = (one != 0) & (other != 0) & (one != other)
        differ[differ] = texts.apart[places[0, differ], places[1, differ]]
        values[left[differ], first[differ]], values[left[differ], second[differ]] = other[differ], one[differ]
        left = left[~differ]
    return values


def _in_one_way(dataset: Dataset, numbers: Numbers, m: int, way: int) -> tuple[np.ndarray, Dataset]:
    """Rows i[k] that differ when scored mistake number m is made in all of them in one way, and these rows then."""
    first, second = divmod(way, _WAYS)
    if m == _SCORED.index("texts exchanged"):
        texts = dataset.texts.copy()
        both = (texts[:, [first]] != 0) & (texts[:, [second]] != 0)
        texts[:, [first, second]] = np.where(both, texts[:, [second, first]], texts[:, [first, second]])
        return _with_texts(dataset, texts)
    values = dataset.numbers.copy()
    if m == _SCORED.index("exchanged"):
        both = np.isfinite(values[:, [first]]) & np.isfinite(values[:, [second]])
        values[:, [first, second]] = np.where(both, values[:, [second, first]], values[:, [first, second]])
    else:
        with np.errstate(over="ignore"):
            values[:, first] *= FACTORS[second]
    return _with_numbers(dataset, numbers, values)


def _apart(common: np.ndarray) -> np.ndarray:
    """bool[C, C]: which columns differ enough, by log shares f64[C, V + 1] of what each holds."""
    expected = np.exp(common) @ common.T  # of a column's log shares by what another holds
    own = np.diagonal(expected)
    return own[:, None] + own - expected - expected.T >= _APART


def _coarse(values: np.ndarray) -> np.ndarray:
    """i64, like values f64: their sign and rounded logarithm; `_NOWHERE` where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.clip(np.round(np.log(np.abs(values)) / _RESOLUTION), -20_000, 20_000) + 30_000
        place = np.where(values == 0, 0.0, np.sign(values) * size)
    return np.where(np.isfinite(values), np.nan_to_num(place), _NOWHERE).astype(np.int64)
