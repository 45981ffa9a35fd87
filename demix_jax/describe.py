"""Describe every row of a table: influence vectors and signals, each from models that never saw the row."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from demix_jax.evidence.cells import CellEvidence, fit_column_models, score_cells
from demix_jax.evidence.folds import Folds, fold_blocks, make_folds, strata_of
from demix_jax.evidence.out_of_fold import OutOfFold, out_of_fold_predictions, residual_tail_probability
from demix_jax.evidence.shortcuts import ColumnRule, column_rules, likely_shortcuts, rule_evidence
from demix_jax.evidence.signals import (
    NUM_WITHOUT,
    VECTOR_SIGNALS,
    feature_signals,
    label_signals,
    shortcut_signals,
    vector_signals,
)
from demix_jax.fold_models import FoldModels
from demix_jax.vectors import CHANNELS, Side, influence_vectors

if TYPE_CHECKING:
    from demix_jax.data import Dataset

MAX_VALIDATION = 256  # validation samples in the influence matrix, per fold
SET_SIZE = 128  # of these, how many the error classifier looks at
_RULE_BINS = 32  # of a regression target, where a rule may draw its line
_BLOCK = 8_192  # training rows whose channels are built at once


class RowEvidence(NamedTuple):
    """What is known of R rows (training rows first) before any task model is trained.

    folds: the cross-fitting plan. labels: i32[R], classes or target bins. sides: the same with finer bins, for rules.
    trees: out-of-fold predictions with all columns. without: the same without the column of each of the likeliest
    shortcuts. rules: one per column. order: i[Q], column of the likeliest shortcut first.
    cells: how each cell fits the rest of its row, and how much it supports the label.
    """

    folds: Folds
    labels: np.ndarray
    sides: np.ndarray
    trees: OutOfFold
    without: list[OutOfFold]
    rules: list[ColumnRule]
    order: np.ndarray
    cells: CellEvidence


class Description(NamedTuple):
    """What is known of N training rows; S validation samples a vector, C channels, M columns, F signals.

    vectors: f16[N, S, C]. signals: f32[N, F]. influence: f32[N, M], −cosine of gradients.
    validation_rows: i32[folds, M], rows of the encoded table. network: the task model's out-of-fold
    predictions. valid_loss: f32[folds]. evidence: the rest, cut to the N training rows.
    """

    vectors: np.ndarray
    signals: np.ndarray
    influence: np.ndarray
    validation_rows: np.ndarray
    network: OutOfFold
    valid_loss: np.ndarray
    evidence: RowEvidence


@dataclasses.dataclass
class Steps:
    """Runs named steps, times them, and tells the progress display (None, or stage and advance)."""

    progress: Any = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str, total: int) -> Iterator[Any]:
        started = time.perf_counter()
        if self.progress is not None:
            self.progress.stage(name, total)
        yield self.progress.advance if self.progress is not None else (lambda amount=1: None)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def choose_num_folds(num_rows: int) -> int:
    """Number of cross-fitting folds: five for small tables, fewer where data are plenty."""
    return 5 if num_rows < 10_000 else 3 if num_rows < 60_000 else 2


def gather_evidence(
    dataset: Dataset, *, num_train: int | None = None, seed: int = 0, steps: Steps | None = None
) -> RowEvidence:
    """Everything about the rows of an encoded table that needs no task model.

    Args:
      dataset: N training rows, followed by validation rows when `num_train` is given.
      num_train: N, or None when every row is a training row and validation samples are taken from the
        other folds.
      seed: of folds and learners. steps: times and shows the work.
    """
    from demix_jax.data.bins import NUM_SPECIAL

    num_rows = len(dataset.y)
    steps = steps or Steps()
    labels = strata_of(dataset.y, dataset.task)
    folds = _plan(np.random.default_rng(seed), labels, num_train or num_rows)
    with steps("cross-fit trees", num_rows) as advance:
        trees = out_of_fold_predictions(dataset, folds, seed=seed, on_fold=advance)
    with steps("model the columns", len(folds.train)) as advance:
        key = jax.random.key(seed)
        models = fit_column_models(key, dataset.codes, dataset.num_codes, labels, folds)
        advance(len(folds.train))
    with steps("score cells", num_rows) as advance:
        cells = score_cells(models, dataset.codes, labels, folds, on_block=advance)
    with steps("find shortcuts", num_rows) as advance:
        num_ranges = tuple(
            num - NUM_SPECIAL if column.kind in ("number", "date") else 0
            for column, num in zip(dataset.columns, dataset.num_codes, strict=True)
        )
        sides = strata_of(dataset.y, dataset.task, num_bins=_RULE_BINS)
        regression = dataset.task == "regression"
        rules = column_rules(dataset.codes, dataset.num_codes, sides, ordered=regression, num_ranges=num_ranges)
        order = likely_shortcuts(rules, cells.support)
        without = [_trees_without(dataset, folds, int(q), seed) for q in np.resize(order, NUM_WITHOUT)]
        advance(num_rows)
    return RowEvidence(folds, labels, sides, trees, without, rules, order, cells)


def _trees_without(dataset: Dataset, folds: Folds, column: int, seed: int) -> OutOfFold:
    """Predictions without one column; where it is the only one, those that know nothing but the labels' shares."""
    if len(dataset.columns) > 1:
        return out_of_fold_predictions(dataset, folds, seed=seed, drop_column=column)
    if dataset.task == "regression":
        prediction = np.full((len(dataset.y), 1), np.median(dataset.y), np.float32)
        return OutOfFold(prediction, residual_tail_probability(dataset.y, prediction[:, 0]).astype(np.float32))
    shares = np.bincount(dataset.y, minlength=dataset.num_classes) / len(dataset.y)
    return OutOfFold(np.tile(shares, (len(dataset.y), 1)).astype(np.float32), shares[dataset.y].astype(np.float32))


def describe(
    dataset: Dataset,
    evidence: RowEvidence,
    models: FoldModels,
    *,
    num_train: int | None = None,
    seed: int = 0,
    steps: Steps | None = None,
) -> Description:
    """Influence vectors and signals of the training rows.

    Args:
      dataset, num_train: as given to `gather_evidence`, whose result is `evidence`.
      models: task models, trained on the folds of `evidence`.
      seed: of the choice of validation samples. steps: times and shows the work.
    Returns:
      Description of the N training rows. Row i comes from models and validation samples without it.
    """
    steps = steps or Steps()
    num_train = num_train or len(dataset.y)
    rng = np.random.default_rng([seed, 1])
    size = min(MAX_VALIDATION, evidence.folds.valid.shape[1])
    validation_rows = np.stack([rng.permutation(valid)[:size] for valid in evidence.folds.valid])
    with steps("compute influence", num_train) as advance:
        network = _network_predictions(models, dataset, evidence.folds)
        side, fold = _side(dataset, evidence), evidence.folds.fold[:num_train]
        influence, gradient_norm, vectors, summaries = _influence(
            models, side, fold, validation_rows, dataset.task, advance
        )
    evidence = _first_rows(evidence, num_train)
    y, network = dataset.y[:num_train], OutOfFold(*(a[:num_train] for a in network))
    signals = (
        label_signals(y, evidence.labels, evidence.trees, network, gradient_norm, task=dataset.task),
        feature_signals(evidence.cells.surprise, dataset.robust_z[:num_train]),
        shortcut_signals(
            evidence.rules,
            evidence.order,
            dataset.codes[:num_train],
            evidence.cells.support,
            evidence.trees,
            evidence.without,
            y,
            evidence.sides,
            task=dataset.task,
        ),
        summaries,
    )
    return Description(
        vectors,
        np.concatenate(signals, axis=1),
        influence,
        validation_rows,
        network,
        models.valid_loss,
        evidence,
    )


def _side(dataset: Dataset, evidence: RowEvidence) -> Side:
    """What the channels need to know of all rows; the rule is that of the likeliest shortcut."""
    column, trees = evidence.order[0], evidence.trees
    rule = rule_evidence(evidence.rules[column], dataset.codes[:, column], evidence.sides)
    return Side(dataset.x, dataset.y, trees.prediction, trees.p_given, rule.in_group, rule.log_ratio)


def _first_rows(evidence: RowEvidence, num_rows: int) -> RowEvidence:
    def cut(predictions: OutOfFold) -> OutOfFold:
        return OutOfFold(*(a[:num_rows] for a in predictions))

    return RowEvidence(
        evidence.folds._replace(fold=evidence.folds.fold[:num_rows]),
        evidence.labels[:num_rows],
        evidence.sides[:num_rows],
        cut(evidence.trees),
        [cut(predictions) for predictions in evidence.without],
        evidence.rules,
        evidence.order,
        CellEvidence(*(a[:num_rows] for a in evidence.cells)),
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


def _network_predictions(models: FoldModels, dataset: Dataset, folds: Folds) -> OutOfFold:
    outputs = np.zeros((len(dataset.y), dataset.num_classes), np.float32)
    for f, rows, padded in fold_blocks(folds.fold, len(folds.train), _BLOCK):
        outputs[rows] = models.outputs(f, padded)[: len(rows)]
    if dataset.task == "regression":
        return OutOfFold(outputs, residual_tail_probability(dataset.y, outputs[:, 0]).astype(np.float32))
    prediction = np.asarray(jax.nn.softmax(outputs))
    return OutOfFold(prediction, prediction[np.arange(len(outputs)), dataset.y])


def _influence(models: FoldModels, side: Side, fold, validation_rows, task: str, advance):
    """Influence, gradient norms, vectors and their summaries of the rows in `fold`, block by block."""
    num_rows, num_valid = len(fold), validation_rows.shape[1]
    set_size = min(SET_SIZE, num_valid)
    influence = np.empty((num_rows, num_valid), np.float32)
    norm = np.empty(num_rows, np.float32)
    vectors = np.empty((num_rows, set_size, len(CHANNELS)), np.float16)
    summaries = np.empty((num_rows, len(VECTOR_SIGNALS)), np.float32)
    for f, rows, padded in fold_blocks(fold, len(validation_rows), _BLOCK):
        matrix, lengths = models.influence(f, padded, validation_rows[f])
        influence[rows], norm[rows] = matrix[: len(rows)], lengths[: len(rows)]
        wide = influence_vectors(influence[rows], side.take(rows), side.take(validation_rows[f]), task=task)
        vectors[rows] = wide[:, :set_size]
        summaries[rows] = vector_signals(wide)
        advance(len(rows))
    return influence, norm, vectors, summaries
