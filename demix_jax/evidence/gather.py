"""What is known of the rows of a table before any task model is trained, and what tells it of further rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from demix_jax.classifier.schema import NUM_WITHOUT
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.keys import training_key
from demix_jax.common.progress import StepTimer
from demix_jax.data.folds import Folds, make_folds, strata_of
from demix_jax.evidence.column_model import (
    CellEvidence,
    ColumnModels,
    cell_surprise,
    contaminated,
    fit_column_models,
    score_cells,
)
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.crossed_rules import Cross, crossed_rule
from demix_jax.evidence.mistakes.model import MistakeModel, Mistakes, find_mistakes, fit_mistakes
from demix_jax.evidence.mistakes.scores import ScoredRows
from demix_jax.evidence.noisy_group import NoisyGroup, find_noisy_group
from demix_jax.evidence.out_of_fold import FoldTrees, OutOfFold, fit_trees, suspects
from demix_jax.evidence.rules import ColumnRule, column_rules, likely_shortcuts

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_SCREEN_EPOCHS = 10
_SCREEN_STEPS = 400  # what stands out clearly is soon told, however long the table
_RULE_BINS = 32  # of a regression target, where a rule may draw its line


class RowModels(NamedTuple):
    """What `gather_evidence` fitted; F folds.

    y: labels of the rows that it was fitted on. trees: with all columns. trusted: the same, trained without suspects.
    without: like these, and without what each of the likeliest shortcuts speaks of.
    screen, columns: column models of all rows, and of those that the former find uncontaminated.
    commonest: what each column would be filled with. mistakes: what tells known mistakes; None: not looked for.
    clear: bool[R], those that nothing speaks against: neither a doubtful label nor a cell that stands out.
    noisy: a group of rows whose labels are often wrong; None if none was found.
    """

    y: np.ndarray
    clear: np.ndarray
    trees: FoldTrees
    trusted: FoldTrees
    without: list[FoldTrees]
    screen: ColumnModels
    columns: ColumnModels
    commonest: Commonest
    mistakes: MistakeModel | None = None
    noisy: NoisyGroup | None = None


class RowEvidence(NamedTuple):
    """What is known of R rows (training rows first) before any task model is trained.

    folds: the cross-fitting plan of task models, without suspects. labels: i32[R], classes or target bins. sides: the
    same with finer bins, for rules.
    trees, trusted, without: out-of-fold predictions of the trees in `models`; the first ones for a noisy group by what
    holds outside it. rules: one per column, then one per Cross in `crossed`. order: i[R], number of the rule of the
    likeliest shortcut first.
    screened: f32[N, Q], surprise of each cell by the models `screen`.
    cells: how each cell fits the rest of its row, how much it supports the label, and whether it seems filled in.
    models: what tells the same of other rows, see `more_evidence`.
    mistakes: how probable known mistakes are; None where they are not looked for.
    """

    folds: Folds
    labels: np.ndarray
    sides: np.ndarray
    trees: OutOfFold
    trusted: OutOfFold
    without: list[OutOfFold]
    rules: list[ColumnRule]
    order: np.ndarray
    screened: np.ndarray
    cells: CellEvidence
    models: RowModels
    crossed: tuple[Cross, ...] = ()
    mistakes: Mistakes | None = None

    @property
    def mistaken(self) -> np.ndarray | None:
        """f32[N]: probability of a feature error that is a known mistake; None where these are not looked for."""
        return None if self.mistakes is None else self.mistakes.any

    def cross_of(self, rule: int) -> Cross | None:
        """The two columns that the rule of this number speaks of; None if it speaks of one, that of the same number."""
        of_pair = rule - (len(self.rules) - len(self.crossed))
        return self.crossed[of_pair] if of_pair >= 0 else None

    def columns_of(self, rule: int) -> tuple[int, ...]:
        """The columns that the rule of this number speaks of."""
        cross = self.cross_of(rule)
        return (rule,) if cross is None else cross[:2]

    def rule_codes(self, codes: np.ndarray) -> np.ndarray:
        """i32[n, R]: what each rule tells apart, of rows with codes i32[n, Q]."""
        return np.column_stack([codes, *(cross.codes(codes) for cross in self.crossed)])

    def rule_support(self) -> np.ndarray:
        """f32[N, R]: what the columns of each rule add in favour of the label."""
        of_pairs = [self.cells.support[:, cross[:2]].sum(axis=1) for cross in self.crossed]
        return np.column_stack([self.cells.support, *of_pairs])

    def take(self, rows: np.ndarray | slice) -> RowEvidence:
        """The same of some of the rows, in this order."""
        return self._map(lambda of_rows: of_rows[rows])

    def joined(self, other: RowEvidence) -> RowEvidence:
        """The same of these rows, followed by those of `other`, which came of `more_evidence`."""
        return self._map(lambda *both: np.concatenate(both), other)

    def _map(self, function: Callable[..., np.ndarray], *others: RowEvidence) -> RowEvidence:
        """`function` of each array that has a row for every row, of this and of the others."""
        known = (self, *others)
        per_row = ("labels", "sides", "trees", "trusted", "without", "screened", "cells", "mistakes")
        mapped = jax.tree.map(function, *([getattr(one, name) for name in per_row] for one in known))
        folds = self.folds._replace(fold=function(*(one.folds.fold for one in known)))
        return self._replace(folds=folds, **dict(zip(per_row, mapped, strict=True)))


def choose_num_folds(num_rows: int) -> int:
    """Number of cross-fitting folds: five for small tables, fewer where data are plenty."""
    return 5 if num_rows < 10_000 else 3 if num_rows < 60_000 else 2


def gather_evidence(
    dataset: Dataset,
    *,
    num_train: int | None = None,
    roles: tuple[Sequence[int], Sequence[int]] | None = None,
    mistakes: bool = True,
    seed: int = 0,
    steps: StepTimer | None = None,
) -> RowEvidence:
    """Everything about the rows of an encoded table that needs no task model.

    Args:
      dataset: N training rows, followed by validation rows when `num_train` is given.
      num_train: N, or None when every row is a training row and validation samples are taken from the
        other folds.
      roles: numbers of the columns that tell of users and of items, say. The likeliest shortcut is then one of these
        columns, or of one of each role together, if there are any; None: all columns are alike, each for itself, and a
        group of rows with wrong labels is looked for.
      mistakes: whether to look for known mistakes, as in a table of records whose cells somebody entered.
      seed: of folds and learners. steps: times and shows the work.
    Returns:
      RowEvidence. No model that describes a row was trained on it. Trees and column models are fitted twice, the second
      time without rows that the first found doubtful; of which these are, a row has its small part in saying. Task
      models are to do without the rows with a doubtful label, too.
    """
    from demix_jax.data.bins import NUM_SPECIAL

    make_room()
    num_rows = len(dataset.y)
    steps = steps or StepTimer()
    labels = strata_of(dataset.y, dataset.task)
    folds = _plan(np.random.default_rng(seed), labels, num_train or num_rows)
    with steps("cross-fit trees", num_rows) as advance:
        trees, predictions = fit_trees(dataset, folds, seed=seed, on_fold=advance)
        noisy = None
        if roles is None:  # a shortcut of a user and an item together would look like such a group
            noisy = find_noisy_group(dataset, folds, predictions, num_train=num_train or num_rows, seed=seed)
        if noisy is not None:
            predictions = noisy.judged_from_outside(predictions, dataset, folds.fold)
        doubtful = suspects(dataset.y, labels, predictions, task=dataset.task)
        doubtful[num_train or num_rows :] = False  # a validation table is trusted
        trusted, of_trusted = fit_trees(dataset, folds, seed=seed, leave_out=doubtful)
    with steps("model the columns", len(folds.train)) as advance:
        key = training_key(seed)
        known = (key, dataset.codes, dataset.num_codes, labels, folds)
        screen = fit_column_models(*known, num_epochs=_SCREEN_EPOCHS, max_steps=_SCREEN_STEPS)
        screened = cell_surprise(screen, dataset.codes, labels, folds)
        wild = contaminated(screened, dataset.robust_z, dataset.misspelt)
        columns = fit_column_models(*known, leave_out=wild, doubtful=doubtful)
        advance(len(folds.train))
    with steps("score cells", num_rows) as advance:
        commonest = Commonest.fit(dataset.codes, dataset.num_codes, dataset.robust_z)
        cells = score_cells(columns, dataset.codes, labels, folds, commonest, dataset.robust_z, on_block=advance)
    clear, known_mistakes, made = ~(wild | doubtful), None, None
    if mistakes:
        with steps("look for mistakes", num_rows) as advance:
            scored = ScoredRows.of(dataset, labels, folds, cells, predictions)
            looked_for = {"num_train": num_train or num_rows, "seed": seed}
            known_mistakes, made = fit_mistakes(scored, columns, commonest, clear, **looked_for)
            advance(num_rows)
    with steps("find shortcuts", num_rows) as advance:
        num_ranges = tuple(
            num - NUM_SPECIAL if column.kind in ("number", "date") else 0
            for column, num in zip(dataset.columns, dataset.num_codes, strict=True)
        )
        sides = strata_of(dataset.y, dataset.task, num_bins=_RULE_BINS)
        regression = dataset.task == "regression"
        drawn = {"ordered": regression, "num_ranges": num_ranges, "among": clear if clear.any() else None}
        rules = column_rules(dataset.codes, dataset.num_codes, sides, **drawn)
        models = RowModels(dataset.y, clear, trees, trusted, [], screen, columns, commonest, known_mistakes, noisy)
        order = np.arange(len(rules))
        found = RowEvidence(folds, labels, sides, predictions, of_trusted, [], rules, order, screened, cells, models)
        if roles is not None:
            crossed = crossed_rule(dataset.codes, dataset.num_codes, sides, rules, roles, **drawn)
            if crossed is not None:
                found = found._replace(crossed=(crossed[0],), rules=[*rules, crossed[1]])
        order = likely_shortcuts(found.rules)
        if roles is not None:
            among = {q for role in roles for q in role}
            first = [rule for rule in order if among.issuperset(found.columns_of(int(rule)))][:1]
            order = np.concatenate([np.array(first, order.dtype), order[~np.isin(order, first)]])
        without = [
            fit_trees(dataset, folds, seed=seed, drop_columns=found.columns_of(int(rule)), leave_out=doubtful)
            for rule in np.resize(order, NUM_WITHOUT)
        ]
        advance(num_rows)
    return found._replace(
        folds=folds.without(doubtful),
        order=order,
        mistakes=made,
        without=[predicted for _, predicted in without],
        models=models._replace(without=[fitted for fitted, _ in without]),
    )


def more_evidence(evidence: RowEvidence, dataset: Dataset, fold: np.ndarray) -> RowEvidence:
    """Evidence about rows that `evidence` was not gathered from, by the models and rules that it was gathered with.

    Args:
      evidence: of the rows that the models were fitted on.
      dataset: n further rows, encoded by the same encoder. fold: i32[n], whose models describe each.
    """
    models = evidence.models
    labels = strata_of(dataset.y, dataset.task, among=models.y)
    folds = evidence.folds._replace(fold=fold)
    cells = score_cells(models.columns, dataset.codes, labels, folds, models.commonest, dataset.robust_z)
    trees = models.trees.predict(dataset, fold)
    if models.noisy is not None:
        trees = models.noisy.judged_from_outside(trees, dataset, fold)
    made = None
    if models.mistakes is not None:
        scored = ScoredRows.of(dataset, labels, folds, cells, trees)
        made = find_mistakes(models.mistakes, scored, models.columns, models.commonest)
    return evidence._replace(
        folds=folds,
        labels=labels,
        sides=strata_of(dataset.y, dataset.task, num_bins=_RULE_BINS, among=models.y),
        trees=trees,
        trusted=models.trusted.predict(dataset, fold),
        without=[fitted.predict(dataset, fold) for fitted in models.without],
        screened=cell_surprise(models.screen, dataset.codes, labels, folds),
        cells=cells,
        mistakes=made,
    )


def _plan(rng: np.random.Generator, labels: np.ndarray, num_train: int) -> Folds:
    num_rows = len(labels)
    if num_train == num_rows:
        return make_folds(rng, labels, num_folds=choose_num_folds(num_rows))
    # A validation table of its own: no fold trains on it, every fold is judged on it.
    folds = make_folds(rng, labels[:num_train], num_folds=choose_num_folds(num_train), valid_share=0.01)
    extra = rng.integers(0, len(folds.train), num_rows - num_train).astype(np.int32)
    valid = rng.permutation(np.arange(num_train, num_rows, dtype=np.int32))[:4_000]
    return Folds(
        np.concatenate([folds.fold, extra]),
        np.concatenate([folds.train, folds.valid], axis=1),
        np.broadcast_to(valid, (len(folds.train), len(valid))),
    )
