"""A table in, a diagnosis out: which rows are wrong, in which way, and why."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demix_jax.classifier import ErrorClassifier, Probes, Verdict, load_classifier, table_facts
from demix_jax.common.checks import InputError, check_seed
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.keys import training_key
from demix_jax.common.progress import Steps
from demix_jax.diagnosis.description import Description, describe
from demix_jax.diagnosis.explanation import explain, noisy_group, noisy_group_note
from demix_jax.diagnosis.fold_models import NetworkFolds, train_fold_models
from demix_jax.diagnosis.probes import alter_rows, describe_probes
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.diagnosis.table import Tally, diagnosis_table
from demix_jax.evidence.gather import RowEvidence, gather_evidence
from demix_jax.models import MODELS, make_task_model

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Dataset, TableEncoder

_PACKAGES = ("demix_jax", "jax", "flax", "optax", "scikit-learn")


def check_options(
    model: str, classifier: str | os.PathLike | ErrorClassifier, seed: int, models: Collection[str] = MODELS
) -> ErrorClassifier:
    """The classifier, read if it is a file; raises InputError if there is no such classifier, task model or seed."""
    check_seed(seed)
    if model not in models:
        raise InputError(f"model {model!r} is not known; choose one of {', '.join(models)}.")
    return classifier if isinstance(classifier, ErrorClassifier) else load_classifier(classifier)


class Fitted(NamedTuple):
    """A described table of N training rows, and what describes further rows of it.

    dataset: the encoded training rows, followed by the validation table where there is one. models: its task models.
    evidence: of all rows of `dataset`. description: of the N rows. probes: errors put into some of these; None if none
    can be.
    """

    encoder: TableEncoder
    dataset: Dataset
    models: NetworkFolds
    evidence: RowEvidence
    description: Description
    probes: Probes | None


def fit_table(
    train: pd.DataFrame, valid: pd.DataFrame | None, *, label: str, task: str, model: str, seed: int, steps: Steps
) -> Fitted:
    """Encode a checked table, train its models, describe its rows and probes; arguments as for `diagnose`."""
    from demix_jax.data import TableEncoder

    with steps("encode the table", 1) as advance:
        encoder = TableEncoder.fit(train, label, task=task)
        dataset = encoder.transform(train)
        if valid is not None:
            dataset = dataset.joined(encoder.transform(valid))
        advance(1)
    evidence = gather_evidence(dataset, num_train=len(train), seed=seed, steps=steps)
    folds = evidence.folds
    with steps("train task models", len(folds.train)) as advance:
        network = make_task_model(model, dataset)
        models = train_fold_models(training_key(seed), network, dataset.x, dataset.y, folds)
        advance(len(folds.train))
    description = describe(dataset, evidence, models, num_train=len(train), seed=seed, steps=steps)
    with steps("test with known errors", 1) as advance:
        altered = alter_rows(train, label, encoder.transform, evidence, task=dataset.task, seed=seed)
        probes = None if altered is None else describe_probes(altered, dataset, evidence, models, description)
        advance(1)
    return Fitted(encoder, dataset, models, evidence, description, probes)


def judge(
    classifier: ErrorClassifier,
    dataset: Dataset,
    description: Description,
    steps: Steps,
    probes: Probes | None = None,
) -> Verdict:
    """What the classifier says of N described rows, the first ones of `dataset`, and by which `probes`."""
    num_rows = len(description.signals)
    with steps("classify rows", num_rows) as advance:
        facts = table_facts(num_rows, dataset.num_classes, len(dataset.columns), dataset.task)
        mistaken = description.evidence.mistaken
        return classifier.judge(description.vectors, description.signals, facts, probes, mistaken, on_block=advance)


def conclude(
    train: pd.DataFrame,
    valid: pd.DataFrame | None,
    encoder: TableEncoder,
    dataset: Dataset,
    description: Description,
    verdict: Verdict,
    steps: Steps,
    settings: dict[str, Any],
) -> Diagnosis:
    """Flag judged rows, and explain what was found; the end of every diagnosis.

    Args:
      train: N rows, with the columns that `encoder` uses and perhaps others. valid: as in `diagnose`.
      dataset: the encoded rows of train and valid. description: of the N rows of train. verdict: on them.
      settings: model, seed, train (a path or None), notes, and whatever else the summary is to hold.
    """
    flags = verdict.probability >= verdict.threshold
    noisy = noisy_group(encoder, dataset.take(slice(len(train))), description.evidence)
    notes = settings["notes"] if noisy is None else [noisy_group_note(noisy), *settings["notes"]]
    explained = explain(encoder, dataset, description, verdict.probability)
    return Diagnosis(
        table=diagnosis_table(
            train.index,
            flags,
            verdict.probability,
            explained.expected_label,
            explained.cell_surprise,
            explained.columns,
            description.evidence.mistakes,
        ),
        influence=description.influence,
        signals=description.signals,
        validation_rows=description.validation_rows - (0 if valid is None else len(train)),
        fold=description.evidence.folds.fold,
        evidence=explained,
        train=train,
        valid=train if valid is None else valid,
        label=encoder.label,
        summary=_summary(train, valid, encoder, dataset, description, verdict, steps)
        | settings
        | {"noisy_group": noisy, "notes": notes},
    )


def _summary(train, valid, encoder, dataset, description, verdict: Verdict, steps) -> dict:
    from demix_jax.data.fingerprint import fingerprint

    classifier, tally = verdict.table.classifier, Tally()
    tally.add(verdict.probability >= verdict.threshold, verdict.probability)
    return tally.summary() | {
        "valid_rows": 0 if valid is None else len(valid),
        "label": encoder.label,
        "task": dataset.task,
        "classifier": {
            "name": classifier.name,
            "sha256": classifier.fingerprint,
            "trained_on": classifier.card.get("tables", []),
        },
        "fingerprint": fingerprint(train),
        "thresholds": {name: float(verdict.threshold[t]) for t, name in enumerate(ERROR_TYPES)},
        "held_back": [name for t, name in enumerate(ERROR_TYPES) if verdict.decision.held_back[t]],
        "validation": _validation_metric(dataset, description),
        "columns": {str(column.name): column.kind for column in encoder.columns},
        "seconds": steps.rounded(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a package"  # a source tree on the path


def _validation_metric(dataset: Dataset, description: Description) -> dict[str, float]:
    """How well the task model predicts rows that it never saw, as they are labelled."""
    from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

    prediction = description.network.prediction
    y = dataset.y[: len(prediction)]
    if dataset.task == "regression":
        residual = (y - prediction[:, 0]) * dataset.target_scale
        return {"r2": float(r2_score(y, prediction[:, 0])), "rmse": float(np.sqrt(np.mean(residual**2)))}
    guess = prediction.argmax(axis=1)
    metrics = {"accuracy": float(np.mean(guess == y)), "balanced_accuracy": float(balanced_accuracy_score(y, guess))}
    if dataset.num_classes == 2:
        metrics["auc"] = float(roc_auc_score(y, prediction[:, 1]))
    return metrics
