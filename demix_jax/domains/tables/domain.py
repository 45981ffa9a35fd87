"""Tables: rows in, a diagnosis out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from demix_jax.classifier import ErrorClassifier
from demix_jax.common.checks import InputError
from demix_jax.common.progress import Steps
from demix_jax.diagnosis.pipeline import check_options, conclude, fit_table, judge
from demix_jax.diagnosis.result import Diagnosis

if TYPE_CHECKING:
    import pandas as pd


_MIN_VALID_ROWS = 10


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
    from demix_jax.data import as_table, check_table, table_notes

    classifier = check_options(model, classifier, seed)
    source = os.fspath(train) if isinstance(train, (str, os.PathLike)) else None
    train = as_table(train)
    check_table(train, label, task=task)
    valid = None if valid is None else as_table(valid)
    if valid is not None:
        check_valid(train, valid)
    steps = Steps(progress)
    fitted = fit_table(train, valid, label=label, task=task, model=model, seed=seed, steps=steps)
    notes = table_notes(train, label, task=fitted.dataset.task)
    settings = {"model": model, "seed": seed, "train": source, "notes": notes}
    verdict = judge(classifier, fitted.dataset, fitted.description, steps, fitted.probes)
    steps.done()
    return conclude(train, valid, fitted.encoder, fitted.dataset, fitted.description, verdict, steps, settings)


def check_valid(train: pd.DataFrame, valid: pd.DataFrame) -> None:
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
