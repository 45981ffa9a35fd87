"""Gathers the evidence about the rows of a table that needs no task model, and the same for further rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.classifier.schema import NUM_WITHOUT
from demix_jax.common.keys import training_key
from demix_jax.common.progress import StepTimer
from demix_jax.data.encoders.bins import NUM_SPECIAL
from demix_jax.data.folds.in_time import time_folds
from demix_jax.data.folds.plan import Folds, make_folds, strata_of
from demix_jax.evidence.column_model import (
    ColumnModels,
    cell_surprise,
    contaminated,
    fit_column_models,
    score_cells,
)
from demix_jax.evidence.column_statistics import Commonest
from demix_jax.evidence.crossed_rules import Cross, crossed_rule
from demix_jax.evidence.mistakes.model import find_mistakes, fit_mistakes
from demix_jax.evidence.mistakes.scores import ScoredRows
from demix_jax.evidence.noisy_group import NoisyGroup, find_noisy_group
from demix_jax.evidence.out_of_fold import FoldTrees, OutOfFold, fit_trees, suspects
from demix_jax.evidence.row_evidence import RowEvidence, RowModels, columns_of
from demix_jax.evidence.rules import ColumnRule, column_rules, likely_shortcuts

if TYPE_CHECKING:
    from demix_jax.data import Dataset

_SCREEN_EPOCHS = 10
_SCREEN_STEPS = 400  # enough to find cells that stand out clearly, however long the table
_RULE_BINS = 32  # of a regression target; a rule may split it at any of their edges
_MAX_JUDGED = 4_000  # rows of a separate validation table that each fold is judged on


def choose_num_folds(num_rows: int) -> int:
    """Number of cross-fitting folds: five for small tables, fewer for long ones."""
    return 5 if num_rows < 10_000 else 3 if num_rows < 60_000 else 2


def gather_evidence(
    dataset: Dataset,
    *,
    num_train: int | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
    roles: tuple[Sequence[int], Sequence[int]] | None = None,
    known_mistakes: bool = True,
    seed: int = 0,
    steps: StepTimer | None = None,
) -> RowEvidence:
    """Gathers all evidence about the rows of an encoded table that needs no task model.

    No model that describes a row was trained on it. Trees and column models are fitted twice, the second time without
    the rows that the first fit found doubtful. A row's own values have a small part in that choice. Task models should
    leave out the rows with a doubtful label, too.

    Args:
      dataset: N training rows, followed by validation rows if `num_train` is given.
      num_train: N; None if every row is a training row and validation samples come from the other folds.
      groups: i64[N], see `make_folds`. times: f64[N], then folds are blocks in time, see `time_folds`.
      roles: numbers of the columns of two roles, such as users and items. The likeliest shortcut is then a rule of
        these columns, or of one column of each role together, if there is any. None: columns have no roles, and a group
        of rows with wrong labels is searched for.
      known_mistakes: whether to look for known mistakes, as in a table of records that people entered.
      seed: of folds and learners. steps: times and shows the work.
    Raises:
      InputError: groups or times leave too few rows to train the models of a fold.
    """
    num_rows = len(dataset)
    steps = steps or StepTimer()
    table = _encoded_table(dataset, num_train or num_rows, seed, groups=groups, times=times)
    with steps("cross-fit trees", num_rows) as advance:
        trees = _fit_trees(table, find_group=roles is None, on_fold=advance)
    with steps("model the columns", len(table.folds.train)) as advance:
        columns = _fit_columns(table, trees.doubtful)
        advance(len(table.folds.train))
    with steps("score cells", num_rows) as advance:
        commonest = Commonest.fit(dataset.codes, dataset.num_codes, dataset.robust_z)
        of_columns = {"commonest": commonest, "robust_z": dataset.robust_z}
        cells = score_cells(columns.models, dataset.codes, table.labels, table.folds, **of_columns, on_block=advance)
    clear = ~(columns.contaminated | trees.doubtful)
    mistake_model, mistakes = None, None
    if known_mistakes:
        with steps("look for mistakes", num_rows) as advance:
            scored = ScoredRows.of(dataset, table.labels, table.folds, cells, trees.predictions)
            of_rows = {"num_train": table.num_train, "seed": seed}
            mistake_model, mistakes = fit_mistakes(scored, columns.models, commonest, clear, **of_rows)
            advance(num_rows)
    with steps("find shortcuts", num_rows) as advance:
        shortcuts = _find_shortcuts(table, clear, roles)
        ablated = _fit_ablated_trees(table, shortcuts, trees.doubtful)
        advance(num_rows)
    models = RowModels(
        y=dataset.y,
        clear=clear,
        trees=trees.models,
        trusted=trees.trusted_models,
        without=[fitted for fitted, _ in ablated],
        screen=columns.screen,
        columns=columns.models,
        commonest=commonest,
        mistakes=mistake_model,
        noisy=trees.noisy,
    )
    evidence = RowEvidence(
        folds=table.folds.without(trees.doubtful),
        labels=table.labels,
        sides=shortcuts.sides,
        trees=trees.predictions,
        trusted=trees.trusted_predictions,
        without=[predictions for _, predictions in ablated],
        rules=shortcuts.rules,
        order=shortcuts.order,
        screened=columns.screened,
        cells=cells,
        models=models,
        crossed=shortcuts.crossed,
        mistakes=mistakes,
    )
    evidence.check_shapes(dataset)
    return evidence


def more_evidence(evidence: RowEvidence, dataset: Dataset, fold: np.ndarray) -> RowEvidence:
    """Evidence about further rows, from the models and rules of `evidence`.

    Args:
      evidence: about the rows that the models were fitted on.
      dataset: n further rows from the same encoder. fold: i32[n], the fold whose models describe each row.
    """
    models = evidence.models
    labels = strata_of(dataset.y, dataset.target, among=models.y)
    folds = evidence.folds._replace(fold=fold)
    of_columns = {"commonest": models.commonest, "robust_z": dataset.robust_z}
    cells = score_cells(models.columns, dataset.codes, labels, folds, **of_columns)
    trees = models.trees.predict(dataset, fold)
    if models.noisy is not None:
        trees = models.noisy.judged_from_outside(trees, dataset, fold)
    mistakes = None
    if models.mistakes is not None:
        scored = ScoredRows.of(dataset, labels, folds, cells, trees)
        mistakes = find_mistakes(models.mistakes, scored, models.columns, models.commonest)
    further = evidence._replace(
        folds=folds,
        labels=labels,
        sides=strata_of(dataset.y, dataset.target, num_bins=_RULE_BINS, among=models.y),
        trees=trees,
        trusted=models.trusted.predict(dataset, fold),
        without=[fitted.predict(dataset, fold) for fitted in models.without],
        screened=cell_surprise(models.screen, dataset.codes, labels, folds),
        cells=cells,
        mistakes=mistakes,
    )
    further.check_shapes(dataset)
    return further


class _Table(NamedTuple):
    """An encoded table with its labels i32[N] as classes or bins, its cross-fitting plan, and the seed of learners.

    groups: as in `gather_evidence`.
    """

    dataset: Dataset
    labels: np.ndarray
    folds: Folds
    num_train: int
    seed: int
    groups: np.ndarray | None


def _encoded_table(
    dataset: Dataset, num_train: int, seed: int, *, groups: np.ndarray | None, times: np.ndarray | None
) -> _Table:
    labels = strata_of(dataset.y, dataset.target)
    folds = plan_folds(np.random.default_rng(seed), labels, num_train, groups=groups, times=times)
    return _Table(dataset=dataset, labels=labels, folds=folds, num_train=num_train, seed=seed, groups=groups)


def plan_folds(
    rng: np.random.Generator,
    labels: np.ndarray,
    num_train: int,
    *,
    groups: np.ndarray | None,
    times: np.ndarray | None,
) -> Folds:
    """Cross-fitting folds of all rows.

    Args:
      rng: source of randomness. labels: i32[R], classes or bins, of N training rows and then R − N validation rows.
      num_train: N; every fold is judged on the validation rows if there are any, and none is trained on them.
      groups, times: as in `gather_evidence`.
    """
    num_rows = len(labels)
    options = {"num_folds": choose_num_folds(num_train), "groups": groups}
    options |= {} if num_train == num_rows else {"valid_share": 0.01}
    if times is None:
        folds = make_folds(rng, labels[:num_train], **options)
    else:
        folds = time_folds(rng, labels[:num_train], times, **options)
    if num_train == num_rows:
        return folds
    extra = rng.integers(0, len(folds.train), num_rows - num_train).astype(np.int32)
    valid = rng.permutation(np.arange(num_train, num_rows, dtype=np.int32))[:_MAX_JUDGED]
    return Folds(
        np.concatenate([folds.fold, extra]),
        np.concatenate([folds.train, folds.valid], axis=1),
        np.broadcast_to(valid, (len(folds.train), len(valid))),
    )


class _Trees(NamedTuple):
    """Trees of all rows and of the trusted ones, their out-of-fold predictions, and what the former found.

    noisy: a group of rows with wrong labels. doubtful: bool[N], rows whose label `predictions` contradict.
    """

    models: FoldTrees
    predictions: OutOfFold
    trusted_models: FoldTrees
    trusted_predictions: OutOfFold
    noisy: NoisyGroup | None
    doubtful: np.ndarray


def _fit_trees(table: _Table, *, find_group: bool, on_fold: Callable[[int], None]) -> _Trees:
    dataset, folds, seed = table.dataset, table.folds, table.seed
    models, predictions = fit_trees(dataset, folds, seed=seed, on_fold=on_fold)
    noisy = None
    if find_group:  # a shortcut of two roles together would look like such a group
        noisy = find_noisy_group(dataset, folds, predictions, num_train=table.num_train, groups=table.groups, seed=seed)
    if noisy is not None:
        predictions = noisy.judged_from_outside(predictions, dataset, folds.fold)
    doubtful = suspects(dataset.y, table.labels, predictions, dataset.target)
    doubtful[table.num_train :] = False  # a validation table is trusted
    trusted_models, trusted_predictions = fit_trees(dataset, folds, seed=seed, leave_out=doubtful)
    return _Trees(
        models=models,
        predictions=predictions,
        trusted_models=trusted_models,
        trusted_predictions=trusted_predictions,
        noisy=noisy,
        doubtful=doubtful,
    )


class _Columns(NamedTuple):
    """Column models of all rows (`screen`) and of the uncontaminated ones, and how the former score the cells.

    screened: f32[N, Q], surprise under `screen`. contaminated: bool[N], rows with a cell that stands out clearly.
    """

    screen: ColumnModels
    screened: np.ndarray
    contaminated: np.ndarray
    models: ColumnModels


def _fit_columns(table: _Table, doubtful: np.ndarray) -> _Columns:
    dataset, labels, folds = table.dataset, table.labels, table.folds
    data = (training_key(table.seed), dataset.codes, dataset.num_codes, labels, folds)
    ordered = np.array([column.kind in ("number", "date") for column in dataset.columns])
    screen = fit_column_models(*data, ordered=ordered, num_epochs=_SCREEN_EPOCHS, max_steps=_SCREEN_STEPS)
    screened = cell_surprise(screen, dataset.codes, labels, folds)
    wild = contaminated(screened, dataset.robust_z, dataset.misspelt)
    models = fit_column_models(*data, ordered=ordered, leave_out=wild, doubtful=doubtful)
    return _Columns(screen, screened, wild, models)


class _Shortcuts(NamedTuple):
    """Shortcut rules, their order from the likeliest on, and the finer labels that they speak of; see `RowEvidence`."""

    rules: list[ColumnRule]
    crossed: tuple[Cross, ...]
    order: np.ndarray
    sides: np.ndarray

    def columns_of(self, rule: int) -> tuple[int, ...]:
        """As in `RowEvidence`."""
        return columns_of(rule, len(self.rules), self.crossed)


def _find_shortcuts(table: _Table, clear: np.ndarray, roles: tuple[Sequence[int], Sequence[int]] | None) -> _Shortcuts:
    """Rules of the table's columns, from its clear rows; rules of the columns in `roles` come first."""
    dataset = table.dataset
    sides = strata_of(dataset.y, dataset.target, num_bins=_RULE_BINS)
    num_ranges = tuple(
        num - NUM_SPECIAL if column.ordered else 0
        for column, num in zip(dataset.columns, dataset.num_codes, strict=True)
    )
    options = {
        "ordered": dataset.target.ordered,
        "num_ranges": num_ranges,
        "among": clear if clear.any() else None,
    }
    rules = column_rules(dataset.codes, dataset.num_codes, sides, **options)
    crossed: tuple[Cross, ...] = ()
    if roles is not None:
        found = crossed_rule(dataset.codes, dataset.num_codes, sides, rules, roles, **options)
        if found is not None:
            crossed, rules = (found[0],), [*rules, found[1]]
    order = likely_shortcuts(rules)
    if roles is not None:
        of_roles = {q for role in roles for q in role}
        among_roles = [r for r in order if of_roles.issuperset(columns_of(int(r), len(rules), crossed))]
        first = np.array(among_roles[:1], order.dtype)
        order = np.concatenate([first, order[~np.isin(order, first)]])
    return _Shortcuts(rules, crossed, order, sides)


def _fit_ablated_trees(table: _Table, shortcuts: _Shortcuts, doubtful: np.ndarray) -> list[tuple[FoldTrees, OutOfFold]]:
    """Trees without the columns of each of the likeliest shortcuts; a single rule is repeated."""
    options = {"seed": table.seed, "leave_out": doubtful}
    return [
        fit_trees(table.dataset, table.folds, drop_columns=shortcuts.columns_of(int(rule)), **options)
        for rule in np.resize(shortcuts.order, NUM_WITHOUT)
    ]
