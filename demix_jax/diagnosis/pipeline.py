"""Diagnoses any kind of data: encode, gather evidence, fit, describe, probe, judge, explain."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from typing import TYPE_CHECKING

import numpy as np

from demix_jax.classifier import ErrorClassifier, Probes, Verdict, load_classifier, table_facts
from demix_jax.common.checks import check_seed
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.progress import ProgressLike, StepTimer
from demix_jax.common.target import RegressionTarget
from demix_jax.diagnosis.description import Description, describe
from demix_jax.diagnosis.domain import Domain, Rows
from demix_jax.diagnosis.explanation import explain, noisy_group, noisy_group_note
from demix_jax.diagnosis.flagging import FlaggedRows, Flagging
from demix_jax.diagnosis.fold_models import FoldModels, NetworkFolds
from demix_jax.diagnosis.predictability import Predictability, predictability
from demix_jax.diagnosis.probes import AlteredRows, describe_probes
from demix_jax.diagnosis.result import Diagnosis, Summary, UsedClassifier
from demix_jax.diagnosis.table import Tally
from demix_jax.evidence.gather import gather_evidence
from demix_jax.evidence.row_evidence import RowEvidence

if TYPE_CHECKING:
    from demix_jax.data import Dataset, TableEncoder

_PACKAGES = ("demix_jax", "jax", "flax", "optax", "scikit-learn")


def diagnose_samples(
    domain: Domain,
    *,
    classifier: str | os.PathLike | ErrorClassifier = "default",
    seed: int = 0,
    progress: ProgressLike | StepTimer | None = None,
) -> Diagnosis:
    """Find the label errors, feature errors and spurious correlations of samples of any kind.

    The models and validation samples that describe a sample never include it.

    Args:
      domain: the samples, and the methods specific to their kind of data.
      classifier: "default", a weights file, or a loaded classifier.
      seed: seed of all randomness; equal seeds give equal diagnoses.
      progress: None, a display with stage(name, total), advance(n) and done(), or a timer that already holds steps.
    Returns:
      Diagnosis.
    Raises:
      InputError: the samples or an option cannot be used; the message says why and what to do.
    """
    check_seed(seed)
    if not isinstance(classifier, ErrorClassifier):
        classifier = load_classifier(classifier)
    make_room()
    steps = progress if isinstance(progress, StepTimer) else StepTimer(progress)
    rows = domain.rows(steps)
    fitted = fit_samples(domain, rows, seed=seed, steps=steps)
    verdict = judge(classifier, fitted, steps)
    steps.done()
    return conclude(domain, rows, fitted, verdict, seed=seed, steps=steps)


@dataclasses.dataclass(frozen=True)
class GatheredRows:
    """Encoded samples and all evidence gathered before any task model is trained; N training rows.

    dataset: the N rows, followed by validation rows if there are any. evidence: about all rows of `dataset`.
    altered: rows with injected errors; None if the classifier works without probes.
    """

    encoder: TableEncoder
    dataset: Dataset
    evidence: RowEvidence
    altered: AlteredRows | None


@dataclasses.dataclass(frozen=True)
class FittedTable:
    """N described samples, and the models that describe further samples of the same kind.

    gathered: see `GatheredRows`. models: task models. description: of the N rows. probes: rows with injected errors;
    None if there are none.
    """

    gathered: GatheredRows
    models: FoldModels
    description: Description
    probes: Probes | None


def fit_samples(domain: Domain, rows: Rows, *, seed: int, steps: StepTimer) -> FittedTable:
    """Gather evidence, train task models, and describe the rows and probes."""
    gathered = gather(domain, rows, seed=seed, steps=steps)
    return describe_by_task_models(domain, rows, gathered, seed=seed, steps=steps)


def gather(domain: Domain, rows: Rows, *, seed: int, steps: StepTimer) -> GatheredRows:
    """Encode the rows and gather all evidence that needs no task model."""
    from demix_jax.data import TableEncoder

    with steps("encode the table", 1) as advance:
        encoder = TableEncoder.fit(rows.table, task=rows.task, shared_width=rows.shared_width)
        dataset = encoder.transform(rows.table.frame)
        if rows.valid is not None:
            dataset = dataset.joined(encoder.transform(rows.valid))
        advance(1)
    domain.check(dataset)
    evidence = gather_evidence(
        dataset,
        num_train=len(rows),
        groups=rows.groups,
        times=rows.times,
        roles=_numbers_of_roles(rows, dataset),
        known_mistakes=domain.known_mistakes,
        seed=seed,
        steps=steps,
    )
    evidence = domain.refine(evidence, dataset, seed=seed, steps=steps)
    altered = domain.altered(encoder.transform, evidence, seed=seed, steps=steps)
    return GatheredRows(encoder, dataset, evidence, altered)


def _numbers_of_roles(rows: Rows, dataset: Dataset) -> tuple[list[int], list[int]] | None:
    """Positions of the columns in `Rows.roles` among the encoded columns."""
    if rows.roles is None:
        return None
    of_each = [[q for q, column in enumerate(dataset.columns) if column.name in names] for names in rows.roles]
    return of_each[0], of_each[1]


def describe_by_task_models(
    domain: Domain, rows: Rows, gathered: GatheredRows, *, seed: int, steps: StepTimer
) -> FittedTable:
    """Train the domain's task models on gathered rows with `seed`, and describe rows and probes by them."""
    dataset, evidence = gathered.dataset, gathered.evidence
    with steps("train task models", len(evidence.folds.train)) as advance:
        models = domain.task_models(dataset, evidence.folds, seed=seed, on_fold=advance)
    description = describe(dataset, evidence, models, num_train=len(rows), seed=seed, steps=steps)
    probes = None
    if gathered.altered is not None:
        assert isinstance(models, NetworkFolds), "only networks can be asked about altered rows"
        with steps("test with known errors", 1) as advance:
            probes = describe_probes(gathered.altered, dataset, evidence, models, description)
            advance(1)
    return FittedTable(gathered, models, description, probes)


def judge(classifier: ErrorClassifier, fitted: FittedTable, steps: StepTimer) -> Verdict:
    """Classify the N described rows."""
    dataset, description = fitted.gathered.dataset, fitted.description
    num_rows = len(description.signals)
    with steps("classify rows", num_rows) as advance:
        facts = table_facts(num_rows, len(dataset.columns), dataset.target)
        mistaken = description.evidence.mistaken
        return classifier.judge(
            description.vectors, description.signals, facts, fitted.probes, mistaken, on_block=advance
        )


def conclude(
    domain: Domain, rows: Rows, fitted: FittedTable, verdict: Verdict, *, seed: int, steps: StepTimer
) -> Diagnosis:
    """Flag judged rows and explain the findings: the last step of every diagnosis."""
    encoder, dataset, description = fitted.gathered.encoder, fitted.gathered.dataset, fitted.description
    num_rows = len(rows)
    respelt = rows.table.respelt()
    predicted = label_predictability(fitted)
    flagging = Flagging.of(verdict.threshold, labels_judged=predicted.labels_judged)
    flags, probability = flagged = flagging(verdict.probability, respelt)
    presentation = domain.presentation(fitted.models, fitted.gathered.evidence)
    doubt = predicted.doubt(presentation.words)
    summary = _summary(
        rows, fitted, verdict, flagged=flagged, thresholds=flagging.threshold, doubt=doubt, seed=seed, steps=steps
    )
    return Diagnosis(
        flags=flags,
        probability=probability,
        influence=description.influence,
        signals=description.signals,
        validation_rows=description.validation_rows - (0 if rows.valid is None else num_rows),
        fold=description.evidence.folds.fold,
        evidence=explain(encoder, dataset, description, flags, probability, respelt=respelt),
        train=rows.frame,
        valid=rows.frame if rows.valid is None else rows.valid,
        label=encoder.label,
        target=dataset.target,
        row_fingerprints=rows.row_fingerprints,
        summary=summary,
        presentation=presentation,
    )


def label_predictability(fitted: FittedTable) -> Predictability:
    """How well trees predict the given labels of the N described rows, out of fold.

    Only these trees are trained on all rows of other folds. The other models leave out rows whose label the trees
    contradict. Those are the rows that contradict the given labels of their neighbours, too, so that even random labels
    seem to be predicted: in three tables of 2,000 rows with an AUC of 0.55 to 0.56 by networks, 0.47 to 0.50 by trees.
    """
    dataset, description = fitted.gathered.dataset, fitted.description
    predictions = (description.evidence.trees.prediction,)
    return predictability(dataset.y[: len(description.signals)], predictions, dataset.target)


def _summary(
    rows: Rows,
    fitted: FittedTable,
    verdict: Verdict,
    *,
    flagged: FlaggedRows,
    thresholds: np.ndarray,
    doubt: str | None,
    seed: int,
    steps: StepTimer,
) -> Summary:
    """`thresholds`: f64[3], of the flags. `doubt`: why the labels cannot be judged by models, None if they can."""
    encoder, dataset, description = fitted.gathered.encoder, fitted.gathered.dataset, fitted.description
    classifier = verdict.table.classifier
    noisy = noisy_group(encoder, dataset.take(slice(len(rows))), description.evidence)
    notes = (doubt, None if noisy is None else noisy_group_note(noisy), *rows.notes)
    tally = Tally()
    tally.add(*flagged)
    return Summary(
        **tally.counted()._asdict(),
        valid_rows=0 if rows.valid is None else len(rows.valid),
        label=encoder.label,
        task=rows.task_name or dataset.task,
        classifier=UsedClassifier(classifier.name, classifier.fingerprint, tuple(classifier.card.get("tables", ()))),
        fingerprint=rows.fingerprint,
        thresholds={name: float(thresholds[t]) for t, name in enumerate(ERROR_TYPES)},
        validation=_validation_metric(dataset, description),
        columns={column.name: column.kind for column in encoder.columns},
        written_as={column.name: column.how for column in encoder.columns if column.how not in ("", "plain")},
        missing={column.name: column.num_missing for column in encoder.columns if column.num_missing},
        seconds=steps.rounded(),
        versions={"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        model=rows.model,
        seed=seed,
        train=rows.source,
        notes=tuple(note for note in notes if note is not None),
        noisy_group=noisy,
        label_doubt=rows.label_doubt or doubt,
        identifiers=rows.identifiers,
        settings=rows.settings,
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a package"  # run from a source tree


def _validation_metric(dataset: Dataset, description: Description) -> dict[str, float]:
    """Quality of the task model's out-of-fold predictions of the given labels."""
    from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

    prediction = description.network.prediction
    y = dataset.y[: len(prediction)]
    if isinstance(dataset.target, RegressionTarget):
        residual = (y - prediction[:, 0]) * dataset.target.scale
        return {"r2": float(r2_score(y, prediction[:, 0])), "rmse": float(np.sqrt(np.mean(residual**2)))}
    guess = prediction.argmax(axis=1)
    metrics = {"accuracy": float(np.mean(guess == y)), "balanced_accuracy": float(balanced_accuracy_score(y, guess))}
    if dataset.num_classes == 2:
        metrics["auc"] = float(roc_auc_score(y, prediction[:, 1]))
    return metrics
