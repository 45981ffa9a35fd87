"""Evidence about the rows of a table, and the models that give the same for further rows: the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import chex
import jax
import numpy as np

from demix_jax.data.folds.plan import Folds
from demix_jax.evidence.column_model import CellEvidence, ColumnModels
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.crossed_rules import Cross
from demix_jax.evidence.mistakes.model import MistakeModel, Mistakes
from demix_jax.evidence.noisy_group import NoisyGroup
from demix_jax.evidence.out_of_fold import FoldTrees, OutOfFold
from demix_jax.evidence.rules import ColumnRule

if TYPE_CHECKING:
    from demix_jax.data import Dataset


class RowModels(NamedTuple):
    """The models that `gather_evidence` fitted, one of each kind per fold.

    y: labels of the rows that they were fitted on.
    clear: bool[R], rows without a doubtful label and without a cell that stands out.
    trees: trained on all columns. trusted: the same, trained without the rows whose label is doubtful.
    without: like `trusted`, each also without the columns of one of the likeliest shortcuts.
    screen: column models of all rows. columns: column models of the rows that `screen` finds uncontaminated.
    commonest: the commonest value of each column.
    mistakes: model of known mistakes; None where they were not looked for.
    noisy: a group of rows whose labels are often wrong; None where none was found.
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
    """Evidence about N rows, training rows first, that needs no task model; Q columns, R rules.

    folds: cross-fitting plan of the task models, without rows whose label is doubtful.
    labels: i32[N], classes or target bins. sides: i32[N], the same with finer target bins, for the rules.
    trees, trusted, without: out-of-fold predictions of the trees in `models`. Rows of a noisy group have the
      predictions in `trees` of trees trained outside the group.
    rules: one per column, then one per Cross in `crossed`. order: i[R], numbers of the rules, likeliest shortcut first.
    screened: f32[N, Q], surprise of each cell under the models `screen`.
    cells: how well each cell fits the rest of its row, how far it supports the label, and whether it seems filled in.
    models: the fitted models, which `more_evidence` applies to further rows.
    mistakes: probabilities of known mistakes; None where they were not looked for.
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
        """f32[N], probability of a feature error that is a known mistake; None where these were not looked for."""
        return None if self.mistakes is None else self.mistakes.any

    def cross_of(self, rule: int) -> Cross | None:
        """The pair of columns behind rule number `rule`; None for the rule of a single column."""
        return cross_of(rule, len(self.rules), self.crossed)

    def columns_of(self, rule: int) -> tuple[int, ...]:
        """Numbers of the columns behind rule number `rule`."""
        return columns_of(rule, len(self.rules), self.crossed)

    def rule_codes(self, codes: np.ndarray) -> np.ndarray:
        """i32[n, R]: codes that each rule reads, for rows with codes i32[n, Q]."""
        return np.column_stack([codes, *(cross.codes(codes) for cross in self.crossed)])

    def rule_support(self) -> np.ndarray:
        """f32[N, R]: support for the label from the columns of each rule, in nats."""
        of_pairs = [self.cells.support[:, cross[:2]].sum(axis=1) for cross in self.crossed]
        return np.column_stack([self.cells.support, *of_pairs])

    def check_shapes(self, dataset: Dataset) -> None:
        """Asserts that every per-row array fits the N rows and Q columns of `dataset`."""
        num_rows, num_columns = dataset.codes.shape
        predictions = (self.trees, self.trusted, *self.without)
        chex.assert_shape([self.labels, self.sides, *(one.p_given for one in predictions)], (num_rows,))
        chex.assert_shape([one.prediction for one in predictions], (num_rows, dataset.num_classes))
        chex.assert_shape([self.screened, *self.cells], (num_rows, num_columns))

    def take(self, rows: np.ndarray | slice) -> RowEvidence:
        """The evidence about some of the rows, in this order."""
        return self._map(lambda of_rows: of_rows[rows])

    def joined(self, other: RowEvidence) -> RowEvidence:
        """The evidence about these rows, followed by that about the rows of `other`, made by `more_evidence`."""
        return self._map(lambda *both: np.concatenate(both), other)

    def _map(self, function: Callable[..., np.ndarray], *others: RowEvidence) -> RowEvidence:
        """Applies `function` to each per-row array of this evidence and of the others."""
        known = (self, *others)
        per_row = ("labels", "sides", "trees", "trusted", "without", "screened", "cells", "mistakes")
        mapped = jax.tree.map(function, *([getattr(one, name) for name in per_row] for one in known))
        folds = self.folds._replace(fold=function(*(one.folds.fold for one in known)))
        return self._replace(folds=folds, **dict(zip(per_row, mapped, strict=True)))


def cross_of(rule: int, num_rules: int, crossed: tuple[Cross, ...]) -> Cross | None:
    """The pair of columns behind a rule, where the rules of `crossed` come last; None for a single column."""
    of_pair = rule - (num_rules - len(crossed))
    return crossed[of_pair] if of_pair >= 0 else None


def columns_of(rule: int, num_rules: int, crossed: tuple[Cross, ...]) -> tuple[int, ...]:
    """Numbers of the columns behind a rule; arguments as for `cross_of`."""
    cross = cross_of(rule, num_rules, crossed)
    return (rule,) if cross is None else (cross.first, cross.second)
