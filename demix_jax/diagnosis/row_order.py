"""Diagnoses rows in an order that depends on what they hold, so that shuffled tables get the same findings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import chex
import numpy as np

from demix_jax.data.fingerprint import table_fingerprint
from demix_jax.diagnosis.result import Diagnosis, Evidence

if TYPE_CHECKING:
    import pandas as pd


def canonical_order(fingerprints: np.ndarray) -> np.ndarray:
    """i64[N]: positions of the rows in the order of their fingerprints u64[N]; equal rows keep theirs."""
    return np.argsort(fingerprints, kind="stable")


def in_given_order(diagnosis: Diagnosis, order: np.ndarray, train: pd.DataFrame) -> Diagnosis:
    """The diagnosis of reordered rows, in the order of the table.

    Args:
      diagnosis: of N rows; its row i is row order[i] of the table.
      order: i64[N], from `canonical_order`. train: the N rows as they were given.
    """
    chex.assert_shape(order, (len(train),))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))  # of each row of the table in the diagnosis
    crossed = diagnosis.valid is diagnosis.train
    validation_rows = diagnosis.validation_rows
    if crossed:
        known = validation_rows >= 0
        validation_rows = np.where(known, order[validation_rows], validation_rows).astype(np.int32)
    per_row = ("flags", "probability", "influence", "signals", "fold", "row_fingerprints")
    fingerprint = table_fingerprint(list(train.columns), diagnosis.row_fingerprints[place])
    return dataclasses.replace(
        diagnosis,
        **{name: getattr(diagnosis, name)[place] for name in per_row},
        validation_rows=validation_rows,
        summary=dataclasses.replace(diagnosis.summary, fingerprint=fingerprint),
        evidence=_evidence(diagnosis.evidence, order, place),
        train=train,
        valid=train if crossed else diagnosis.valid,
    )


def _evidence(evidence: Evidence, order: np.ndarray, place: np.ndarray) -> Evidence:
    optional = {name: getattr(evidence, name) for name in ("mistakes", "respelt")}
    original = evidence.original
    if original is not None:
        original = np.where(original >= 0, order[original], original)[place].astype(np.int32)
    of_rows = ("values", "expected", "p_expected")
    shortcuts = (
        dataclasses.replace(one, **{name: getattr(one, name)[place] for name in of_rows}) for one in evidence.shortcuts
    )
    per_row = ("expected_label", "p_given_label", "cell_surprise", "shortcut_broken")
    return dataclasses.replace(
        evidence,
        **{name: getattr(evidence, name)[place] for name in per_row},
        **{name: None if values is None else values[place] for name, values in optional.items()},
        shortcuts=tuple(shortcuts),
        suspects={int(order[row]): names for row, names in evidence.suspects.items()},
        original=original,
    )
