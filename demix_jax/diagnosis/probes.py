"""Probes: rows of a table with injected errors, which show what an error looks like in this table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from demix_jax.classifier.inputs import Probes
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES, PROBED_TYPES
from demix_jax.corruption import FEATURE_KINDS, FeatureErrors, Injected, LabelErrors, inject_errors
from demix_jax.diagnosis.description import Description, describe_more
from demix_jax.diagnosis.fold_models import NetworkFolds
from demix_jax.evidence.gather import more_evidence
from demix_jax.evidence.row_evidence import RowEvidence

if TYPE_CHECKING:
    import pandas as pd

    from demix_jax.data import Dataset, Table

# Some training tables have probes of only these kinds of feature errors, so that networks learn what such probes tell
# about other kinds.
SOME_KINDS = (
    "outlier", "scale", "shift", "noise", "sign", "swap_category", "permute", "constant", "missing", "typo",
    "swap_columns",
)  # fmt: skip
_LABEL_KINDS = {
    "classification": ("uniform", "boundary", "annotator", "rule"),
    "regression": ("near", "uniform", "constant", "digit", "sign", "unit", "swapped"),
}
_NUM_PER_TYPE = 256
_MAX_RATE = 0.45  # share of the rows that errors are injected into
_MAX_ROWS = 4_096  # number of rows that errors are injected into
_CELL_SHARES = (0.02, 0.6)
_CELL_SHARE_OF_SOME_KINDS = 0.3


class AlteredRows(NamedTuple):
    """P altered rows: about half have a label error, the others a feature error.

    dataset: the P rows, encoded. evidence: about them, by models that never saw the unaltered row. truth: bool[P, 3]
    in the order of ERROR_TYPES.
    """

    dataset: Dataset
    evidence: RowEvidence
    truth: np.ndarray


def alter_rows(
    table: Table,
    encode: Callable[[pd.DataFrame], Dataset],
    evidence: RowEvidence,
    *,
    task: str,
    every_kind: bool = True,
    seed: int,
) -> AlteredRows | None:
    """Inject errors into rows of a table that look correct, and gather evidence about the altered rows.

    No model is trained on a probe, so probes cost as much as a few hundred more rows.

    Args:
      table: N rows. encode: encodes rows like the dataset that `evidence` describes.
      evidence: from `gather_evidence`. task: "classification" or "regression".
      every_kind: draw feature errors from FEATURE_KINDS, in one or many cells of a row, and label errors of several
        kinds; else feature errors from SOME_KINDS, mostly in many cells, and label errors of any row and class.
      seed: seed of the choice of rows and errors.
    Returns:
      AlteredRows with errors of both types; None if none can be injected, for example if all rows share one label.
    """
    unseen = [key for key, column, _ in table.features() if not column.used]  # errors there would leave no trace
    clear = np.flatnonzero(evidence.models.clear[: len(table)])
    clear = np.sort(np.random.default_rng([seed, 3]).permutation(clear)[:_MAX_ROWS])
    frame = table.frame.drop(columns=unseen).iloc[clear].reset_index(drop=True)
    injected = _inject(frame, cast(str, table.label), task, every_kind=every_kind, seed=seed)
    if injected is None:
        return None
    truth = injected.truth[list(ERROR_TYPES)].to_numpy(bool)
    altered = np.flatnonzero(truth.any(axis=1))
    if not truth[:, [error_type.column for error_type in PROBED_TYPES]].any(axis=0).all():
        return None
    dataset = encode(injected.table.iloc[altered].reset_index(drop=True))
    fold = evidence.folds.fold[clear[altered]]
    return AlteredRows(dataset, more_evidence(evidence, dataset, fold), truth[altered])


def _inject(frame: pd.DataFrame, label: str, task: str, *, every_kind: bool, seed: int) -> Injected | None:
    """Errors of both types in rows that look correct; None if the rows allow none. Arguments as in `alter_rows`."""
    rate = min(_MAX_RATE, _NUM_PER_TYPE / max(len(frame), 1))
    feature_errors = FeatureErrors(
        rate=rate,
        kinds=FEATURE_KINDS if every_kind else SOME_KINDS,
        cell_share=_CELL_SHARES if every_kind else _CELL_SHARE_OF_SOME_KINDS,
        one_kind_per_row=True,
    )
    for kinds in (_LABEL_KINDS[task], "near") if every_kind else ("near",):  # not every table has a column for a rule
        label_errors = LabelErrors(rate=rate, kind=kinds)
        errors = {"label_errors": label_errors, "feature_errors": feature_errors, "spurious": 0.0}
        try:
            return inject_errors(frame, label=label, task=task, seed=seed, **errors)
        except InputError:
            continue
    return None


def describe_probes(
    altered: AlteredRows, dataset: Dataset, evidence: RowEvidence, models: NetworkFolds, description: Description
) -> Probes:
    """Compute the error classifier's inputs for altered rows.

    Args:
      dataset, evidence, models, description: of the whole table, see `demix_jax.diagnosis.description.describe`.
    """
    of_rows = describe_more(altered.dataset, altered.evidence, dataset, models, description, of=evidence)
    return Probes(of_rows.vectors, of_rows.signals, altered.truth)
