"""A table in, a diagnosis out: which rows are wrong, in which way, and why."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from demix_jax.checks import InputError
from demix_jax.classifier import ErrorClassifier, load_classifier, table_facts
from demix_jax.classifier.decision import thresholds
from demix_jax.describe import Description, Steps, describe, gather_evidence
from demix_jax.error_types import ERROR_TYPES
from demix_jax.evidence.cells import standing_out
from demix_jax.evidence.shortcuts import ColumnRule, rule_evidence
from demix_jax.evidence.signals import NUM_RULES
from demix_jax.fold_models import train_fold_models
from demix_jax.models import MODELS, make_task_model

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Column, Dataset, TableEncoder

_MIN_VALID_ROWS = 10
_PACKAGES = ("demix_jax", "jax", "flax", "optax", "scikit-learn")
_MIN_RULE_STRENGTH = 0.005  # weaker rules explain nothing a person would call a shortcut
_SUSPECT_NATS = 2.0  # a cell this much less probable than usual stands out


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A rule "group ⇔ side of the label" that one column makes, and what it says of each of N rows.

    column: name. strength: share of the label side's entropy that it explains, 0 to 1.
    values: object[N], the row's side of the rule in words ("sex = Male", "age ≤ 28").
    expected: object[N], the label that most such rows have. p_expected: f32[N], the share of them that have it.
    """

    column: str
    strength: float
    values: np.ndarray
    expected: np.ndarray
    p_expected: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a diagnosis is explained with; N rows, Q columns.

    expected_label: object[N], out-of-fold prediction in original label values.
    p_given_label: f32[N], out-of-fold probability of the given label (regression: tail probability of the residual).
    cell_surprise: f32[N, Q], nats above what is usual in the cell's place, see `standing_out`.
    columns: the Q columns.
    shortcuts: likeliest first; may be empty.
    shortcut_broken: i32[N], index of the rule that the row breaks most, −1 if none.
    """

    expected_label: np.ndarray
    p_given_label: np.ndarray
    cell_surprise: np.ndarray
    columns: tuple[Column, ...]
    shortcuts: tuple[Shortcut, ...]
    shortcut_broken: np.ndarray


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Which rows of a table are wrong, in which way, and why; N rows, M validation samples a fold.

    Attributes:
      table: one row per row of `train`, same index: label_error, feature_error, spurious_correlation (0 or 1);
        p_label_error, p_feature_error, p_spurious_correlation (probabilities); suggested_label (out-of-fold prediction
        for a label error, else missing); suspect_columns (what stands out in a feature error, joined by ";").
      influence: f32[N, M], −cosine of the gradients of row i and validation sample j; negative: raising the row's
        weight lowers that sample's loss.
      validation_rows: i32[folds, M], row numbers in `valid`. fold: i32[N], which of them a row is set against.
      evidence: what the report explains the diagnosis with.
      train, valid: the tables; `valid` is `train` when it was cross-fitted.
      label: name of the label column.
      summary: counts, rates, settings, versions, seconds per step.
    """

    table: pd.DataFrame
    influence: np.ndarray
    validation_rows: np.ndarray
    fold: np.ndarray
    evidence: Evidence
    train: pd.DataFrame
    valid: pd.DataFrame
    label: str
    summary: dict[str, Any]

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the report: one file that opens without a network."""
        from demix_jax.report import write_html

        write_html(self, path)

    def save(self, directory: str | os.PathLike) -> None:
        """Write diagnosis.csv, summary.json and report.html to a folder: all of them or none."""
        from demix_jax.files import DIAGNOSIS_FILES, atomic_paths, json_text
        from demix_jax.report import render

        folder = Path(directory)
        with atomic_paths(*(folder / name for name in DIAGNOSIS_FILES)) as (table, summary, report):
            self.table.to_csv(table, index=False)
            summary.write_text(json_text(self.summary), encoding="utf-8")
            report.write_text(render(self, folder=folder), encoding="utf-8")


def diagnose(
    train: pd.DataFrame | str | os.PathLike,
    *,
    label: str,
    valid: pd.DataFrame | str | os.PathLike | None = None,
    task: str = "auto",
    model: str = "mlp",
    classifier: str | os.PathLike | ErrorClassifier = "default",
    seed: int = 0,
    progress: Any = None,
) -> Diagnosis:
    """Find the label errors, feature errors and spurious correlations of a table.

    Every row is described by models, and set against validation samples, that it was no part of.

    Args:
      train: table of N ≥ 30 rows, or the path of a CSV or Parquet file.
      label: name of the column to predict.
      valid: trusted rows with the same columns; None: each fold is set against rows of the other folds.
      task: "classification", "regression", or "auto" to tell from the label.
      model: task model: "mlp", "mlp-small" or "ft-transformer".
      classifier: "default", a weights file, or a loaded classifier.
      seed: of all randomness; the same seed gives the same diagnosis.
      progress: None, or a display with stage(name, total), advance(n) and done().
    Returns:
      Diagnosis.
    Raises:
      InputError: the table, a name or a file cannot be used; the message says why and what to do.
    """
    from demix_jax.data import TableEncoder, check_table, table_notes

    if model not in MODELS:
        raise InputError(f"model {model!r} is not known; choose one of {', '.join(MODELS)}.")
    if not isinstance(classifier, ErrorClassifier):
        classifier = load_classifier(classifier)
    source = os.fspath(train) if isinstance(train, (str, os.PathLike)) else None
    train = _as_frame(train)
    check_table(train, label, task=task)
    valid = None if valid is None else _as_frame(valid)
    if valid is not None:
        _check_valid(train, valid)
    steps = Steps(progress)
    with steps("encode the table", 1) as advance:
        encoder = TableEncoder.fit(train, label, task=task)
        dataset = encoder.transform(train)
        if valid is not None:
            dataset = _joined(dataset, encoder.transform(valid))
        advance(1)
    evidence = gather_evidence(dataset, num_train=len(train), seed=seed, steps=steps)
    folds = evidence.folds
    with steps("train task models", len(folds.train)) as advance:
        network = make_task_model(model, dataset)
        models = train_fold_models(jax.random.key(seed), network, dataset.x, dataset.y, folds)
        advance(len(folds.train))
    description = describe(dataset, evidence, models, num_train=len(train), seed=seed, steps=steps)
    settings = {"model": model, "seed": seed, "train": source, "notes": table_notes(train, label, task=dataset.task)}
    return conclude(train, valid, encoder, dataset, description, classifier, steps, settings)


def conclude(
    train: pd.DataFrame,
    valid: pd.DataFrame | None,
    encoder: TableEncoder,
    dataset: Dataset,
    description: Description,
    classifier: ErrorClassifier,
    steps: Steps,
    settings: dict[str, Any],
) -> Diagnosis:
    """Classify described rows, and explain what was found; the end of every diagnosis.

    Args:
      train: N rows, with the columns that `encoder` uses and perhaps others. valid: as in `diagnose`.
      dataset: the encoded rows of train and valid. description: of the N rows of train.
      settings: model, seed, train (a path or None), notes, and whatever else the summary is to hold.
    """
    with steps("classify rows", len(train)) as advance:
        facts = table_facts(len(train), dataset.num_classes, len(dataset.columns), dataset.task)
        probability = classifier.predict(description.vectors, description.signals, facts, on_block=advance)
        threshold = thresholds(probability, classifier.floor)
    flags = probability >= threshold
    explained = _explain(encoder, dataset, description)
    if steps.progress is not None:
        steps.progress.done()
    return Diagnosis(
        table=_diagnosis_table(train, flags, probability, explained),
        influence=description.influence,
        validation_rows=description.validation_rows - (0 if valid is None else len(train)),
        fold=description.evidence.folds.fold,
        evidence=explained,
        train=train,
        valid=train if valid is None else valid,
        label=encoder.label,
        summary=_summary(train, valid, encoder, dataset, description, classifier, flags, threshold, steps) | settings,
    )


def _as_frame(table: pd.DataFrame | str | os.PathLike) -> pd.DataFrame:
    import pandas as pd

    from demix_jax.data import read_table

    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, (str, os.PathLike)):
        return read_table(table)
    raise InputError(f"The table is a {type(table).__name__}; give a pandas DataFrame or the path of a file.")


def _check_valid(train: pd.DataFrame, valid: pd.DataFrame) -> None:
    from demix_jax.data.kinds import column_of
    from demix_jax.data.table import count_infinite

    missing = [str(name) for name in train.columns if name not in valid.columns]
    if missing:
        raise InputError(
            f"The validation table lacks the column(s) {', '.join(missing[:8])} of the training table; give a table "
            "with the same columns."
        )
    if len(valid) < _MIN_VALID_ROWS:
        raise InputError(
            f"The validation table has {len(valid)} rows; give at least {_MIN_VALID_ROWS}, or leave it out to "
            "cross-fit the training table."
        )
    infinite = [str(name) for name in train.columns if count_infinite(column_of(valid, name))]
    if infinite:
        raise InputError(
            f"The validation table has infinite values in {', '.join(infinite[:8])}; replace them by numbers or leave "
            "them empty."
        )


def _joined(train: Dataset, valid: Dataset) -> Dataset:
    per_row = ("x", "y", "codes", "robust_z")
    return dataclasses.replace(
        train, **{name: np.concatenate([getattr(train, name), getattr(valid, name)]) for name in per_row}
    )


def _explain(encoder: TableEncoder, dataset: Dataset, description: Description) -> Evidence:
    known = description.evidence
    num_rows = len(known.labels)
    if dataset.task == "classification":
        expected = known.trees.prediction.argmax(axis=1)
    else:
        expected = known.trees.prediction[:, 0]
    shortcuts, ratios = [], []
    for q in known.order[:NUM_RULES]:
        rule = known.rules[q]
        if rule.strength >= _MIN_RULE_STRENGTH:
            codes = dataset.codes[:num_rows, q]
            shortcuts.append(_shortcut(encoder, dataset, rule, int(q), codes, known.sides))
            ratios.append(rule_evidence(rule, codes, known.sides).log_ratio)
    if ratios:
        lowest = np.argmin(ratios, axis=0)
        broken = np.where(np.min(ratios, axis=0) < 0, lowest, -1).astype(np.int32)
    else:
        broken = np.full(num_rows, -1, np.int32)
    return Evidence(
        expected_label=np.array(encoder.decode_label(expected), dtype=object),
        p_given_label=known.trees.p_given,
        cell_surprise=standing_out(known.cells.surprise, dataset.robust_z[:num_rows]),
        columns=dataset.columns,
        shortcuts=tuple(shortcuts),
        shortcut_broken=broken,
    )


def _shortcut(
    encoder: TableEncoder, dataset: Dataset, rule: ColumnRule, q: int, codes: np.ndarray, labels: np.ndarray
) -> Shortcut:
    """The rule of column q in words, for every row."""
    told = rule_evidence(rule, codes, labels)
    counts = np.bincount(codes, minlength=len(rule.group))
    inside, outside = encoder.group_name(q, rule.group, counts), encoder.group_name(q, ~rule.group, counts)
    on, off = _side_names(encoder, dataset, rule, labels)
    return Shortcut(
        column=dataset.columns[q].name,
        strength=rule.strength,
        values=np.where(told.in_group, inside, outside).astype(object),
        expected=np.where(told.in_group, on, off).astype(object),
        p_expected=told.p_side.astype(np.float32),
    )


def _side_names(encoder: TableEncoder, dataset: Dataset, rule: ColumnRule, labels: np.ndarray) -> tuple[str, str]:
    """The label's two sides in words: "yes" and "no", "a or b" and "another", "> 133" and "≤ 133"."""
    if dataset.task == "regression":
        bins = np.flatnonzero(rule.side) if rule.side[-1] else np.flatnonzero(~rule.side)
        (threshold,) = encoder.decode_label([dataset.y[: len(labels)][labels < bins[0]].max()])
        above, below = f"> {threshold:.6g}", f"≤ {threshold:.6g}"
        return (above, below) if rule.side[-1] else (below, above)

    def named(side: np.ndarray) -> str:
        values = [str(dataset.classes[k]) for k in np.flatnonzero(side)]
        return " or ".join(values) if len(values) <= 3 else f"one of {len(values)} other classes"

    return named(rule.side), named(~rule.side)


def _diagnosis_table(
    train: pd.DataFrame, flags: np.ndarray, probability: np.ndarray, evidence: Evidence
) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {name: flags[:, t].astype(np.int64) for t, name in enumerate(ERROR_TYPES)}
    columns |= {f"p_{name}": probability[:, t] for t, name in enumerate(ERROR_TYPES)}
    suggested = evidence.expected_label.copy()
    suggested[~flags[:, 0]] = None
    columns["suggested_label"] = suggested
    names = np.array([str(column.name) for column in evidence.columns], dtype=object)
    suspect = np.full(len(train), "", dtype=object)
    for row in np.flatnonzero(flags[:, 1]):
        surprise = evidence.cell_surprise[row]
        stands_out = np.flatnonzero(surprise >= min(_SUSPECT_NATS, surprise.max()))
        suspect[row] = ";".join(names[stands_out[np.argsort(-surprise[stands_out])]])
    columns["suspect_columns"] = suspect
    return pd.DataFrame(columns, index=train.index)


def _summary(train, valid, encoder, dataset, description, classifier, flags, threshold, steps) -> dict:
    from demix_jax.fingerprint import fingerprint

    return {
        "rows": len(train),
        "valid_rows": 0 if valid is None else len(valid),
        "label": encoder.label,
        "task": dataset.task,
        "classifier": {
            "name": classifier.name,
            "sha256": classifier.fingerprint,
            "trained_on": classifier.card.get("tables", []),
        },
        "fingerprint": fingerprint(train),
        "counts": {name: int(flags[:, t].sum()) for t, name in enumerate(ERROR_TYPES)},
        "rates": {name: float(flags[:, t].mean()) for t, name in enumerate(ERROR_TYPES)},
        "thresholds": {name: float(threshold[t]) for t, name in enumerate(ERROR_TYPES)},
        "validation": _validation_metric(dataset, description),
        "columns": {str(column.name): column.kind for column in encoder.columns},
        "seconds": {name: round(seconds, 3) for name, seconds in steps.seconds.items()},
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
