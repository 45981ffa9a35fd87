"""Describes every row of a table by influence vectors and signals from models that never saw the row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import chex
import numpy as np

from demix_jax.classifier.schema import CHANNELS, SIGNALS, VECTOR_SIGNALS
from demix_jax.common.progress import StepTimer
from demix_jax.common.target import Target
from demix_jax.data.folds.plan import Folds, fold_blocks
from demix_jax.diagnosis.fold_models import FoldModels, NetworkFolds
from demix_jax.diagnosis.vectors import Side, influence_vectors
from demix_jax.evidence.column_statistics import Usual
from demix_jax.evidence.out_of_fold import OutOfFold, log_floored
from demix_jax.evidence.row_evidence import RowEvidence
from demix_jax.evidence.rules import TargetScale, rule_evidence
from demix_jax.evidence.signals import (
    Norms,
    feature_signals,
    label_signals,
    mean_by_label,
    shortcut_signals,
    stack_signals,
    vector_signals,
)

if TYPE_CHECKING:
    from demix_jax.data import Dataset

MAX_VALIDATION = 256  # validation samples in the influence matrix, per fold
SET_SIZE = 128  # how many of these the error classifier sees
_BLOCK = 8_192  # training rows whose channels are computed at once


class Description(NamedTuple):
    """Description of N training rows; M validation samples per fold, S of them per vector, C channels, F signals.

    vectors: f16[N, S, C]. signals: f32[N, F].
    influence: f32[N, M], −cosine of gradients; negative: raising the row's weight lowers that sample's loss.
    validation_rows: i32[folds, M], rows of the encoded table. network: the task model's out-of-fold
    predictions. valid_loss: f32[folds]. evidence: all other evidence about the N training rows.
    norms: reference values of the signals.
    """

    vectors: np.ndarray
    signals: np.ndarray
    influence: np.ndarray
    validation_rows: np.ndarray
    network: OutOfFold
    valid_loss: np.ndarray
    evidence: RowEvidence
    norms: Norms


def describe(
    dataset: Dataset,
    evidence: RowEvidence,
    models: FoldModels,
    *,
    num_train: int | None = None,
    seed: int = 0,
    steps: StepTimer | None = None,
    validation_rows: np.ndarray | None = None,
    norms: Norms | None = None,
) -> Description:
    """Compute influence vectors and signals of the training rows.

    Args:
      dataset, num_train: as given to `gather_evidence`, whose result is `evidence`.
      models: task models, trained on the folds of `evidence`.
      seed: seed of the choice of validation samples. steps: times and reports the work.
      validation_rows: i32[folds, M], validation samples of each fold as rows of `dataset`; None: drawn from the folds.
      norms: reference values of the signals; None: computed from the training rows.
    Returns:
      Description of the N training rows. The models and validation samples of row i exclude row i.
    """
    steps = steps or StepTimer()
    num_train = num_train or len(dataset.y)
    if validation_rows is None:
        rng = np.random.default_rng([seed, 1])
        of_folds = [np.unique(valid) for valid in evidence.folds.valid]
        size = min(MAX_VALIDATION, *map(len, of_folds))
        validation_rows = np.stack([rng.permutation(valid)[:size] for valid in of_folds])
    with steps("compute influence", num_train) as advance:
        prediction = _network_predictions(models, dataset, evidence.folds)
        side, fold = _side(dataset, evidence), evidence.folds.fold[:num_train]
        influence, gradient_norm, vectors, summaries = _influence(
            models, side, fold, validation_rows=validation_rows, target=dataset.target, on_block=advance
        )
    dataset, prediction = dataset.take(slice(num_train)), prediction[:num_train]
    evidence = evidence.take(slice(num_train))
    if norms is None:
        norms = _norms(dataset, evidence, prediction)
    network = OutOfFold(prediction, dataset.target.probability_of_given(dataset.y, prediction, norms.network_residuals))
    signals = stack_signals(
        label_signals(dataset, evidence, network, gradient_norm, norms)
        | feature_signals(dataset, evidence, norms)
        | shortcut_signals(dataset, evidence, norms)
        | summaries
    )
    chex.assert_shape(influence, (num_train, validation_rows.shape[1]))
    chex.assert_shape(vectors, (num_train, None, len(CHANNELS)))
    chex.assert_shape(signals, (num_train, len(SIGNALS)))
    return Description(
        vectors=vectors,
        signals=signals,
        influence=influence,
        validation_rows=validation_rows,
        network=network,
        valid_loss=models.valid_loss,
        evidence=evidence,
        norms=norms,
    )


def describe_more(
    rows: Dataset, evidence: RowEvidence, dataset: Dataset, models: NetworkFolds, known: Description, *, of: RowEvidence
) -> Description:
    """Describe n further rows as if they were rows of a table, by models that never saw them.

    Args:
      rows: the n rows, encoded by the table's encoder. evidence: about them, from `more_evidence`.
      dataset, of, models: the table's rows, the evidence about them, and the task models trained on them.
      known: the description of the table's rows; its validation samples and norms are used for the n rows, too.
    """
    valid = np.unique(known.validation_rows)
    both = rows.joined(dataset.take(valid))
    return describe(
        both,
        evidence.joined(of.take(valid)),
        dataclasses.replace(models, x=both.x, y=both.y),
        num_train=len(rows.y),
        validation_rows=len(rows.y) + np.searchsorted(valid, known.validation_rows),
        norms=known.norms,
    )


def _side(dataset: Dataset, evidence: RowEvidence) -> Side:
    """Inputs of the channels for all rows; the rule is the likeliest shortcut."""
    likeliest, trees = int(evidence.order[0]), evidence.trees
    codes = evidence.rule_codes(dataset.codes)
    rule = rule_evidence(evidence.rules[likeliest], codes[:, likeliest], evidence.sides)
    return Side(
        x=dataset.x,
        y=dataset.y,
        prediction=trees.prediction,
        p_given=trees.p_given,
        in_group=rule.in_group,
        rule_ratio=rule.log_ratio,
    )


def _norms(dataset: Dataset, evidence: RowEvidence, network: np.ndarray) -> Norms:
    """Norms computed from all rows of `dataset`; `network` holds their network predictions f32[N, K]."""
    target = dataset.target

    def target_scale(predictions: OutOfFold) -> TargetScale | None:
        return TargetScale.fit(dataset.y, evidence.sides, predictions.prediction[:, 0]) if target.ordered else None

    residuals = target.residual_scale(dataset.y, network)
    p_given = target.probability_of_given(dataset.y, network, residuals)
    return Norms(
        label_share=np.bincount(evidence.labels) / len(evidence.labels),
        tree_log_p=mean_by_label(log_floored(evidence.trees.p_given), evidence.labels),
        trusted_log_p=mean_by_label(log_floored(evidence.trusted.p_given), evidence.labels),
        network_log_p=mean_by_label(log_floored(p_given), evidence.labels),
        surprise=np.sort(evidence.cells.surprise, axis=0),
        usual=Usual.fit(dataset.codes, dataset.num_codes, dataset.robust_z),
        support=evidence.rule_support().mean(axis=0),
        tree_scale=target_scale(evidence.trees),
        without_scale=[target_scale(predictions) for predictions in evidence.without],
        network_residuals=residuals,
    )


def _network_predictions(models: FoldModels, dataset: Dataset, folds: Folds) -> np.ndarray:
    """f32[N, K], out-of-fold class probabilities or predicted targets."""
    outputs = np.zeros((len(dataset.y), dataset.num_classes), np.float32)
    for f, rows, padded in fold_blocks(folds.fold, len(folds.train), _BLOCK):
        outputs[rows] = models.outputs(f, padded)[: len(rows)]
    return dataset.target.predictions(outputs)


def _influence(
    models: FoldModels,
    side: Side,
    fold: np.ndarray,
    *,
    validation_rows: np.ndarray,
    target: Target,
    on_block: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Compute influence, gradient norms, vectors and vector summaries of the rows in `fold`, block by block."""
    num_rows, num_valid = len(fold), validation_rows.shape[1]
    set_size = min(SET_SIZE, num_valid)
    influence = np.empty((num_rows, num_valid), np.float32)
    norm = np.empty(num_rows, np.float32)
    vectors = np.empty((num_rows, set_size, len(CHANNELS)), np.float16)
    summaries = {name: np.empty(num_rows, np.float32) for name in VECTOR_SIGNALS}
    for f, rows, padded in fold_blocks(fold, len(validation_rows), _BLOCK):
        matrix, lengths = models.influence(f, padded, validation_rows[f])
        chex.assert_shape(matrix, (len(padded), num_valid))
        chex.assert_shape(lengths, (len(padded),))
        influence[rows], norm[rows] = matrix[: len(rows)], lengths[: len(rows)]
        wide = influence_vectors(influence[rows], side.take(rows), side.take(validation_rows[f]), target=target)
        vectors[rows] = wide[:, :set_size]
        for name, values in vector_signals(wide).items():
            summaries[name][rows] = values
        on_block(len(rows))
    return influence, norm, vectors, summaries
