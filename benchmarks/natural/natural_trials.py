"""Trials on label sets with real errors: the diagnosis as shipped beside its peers, and what a repair is worth."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.natural.judging import peer_scores, type_scores
from benchmarks.natural.peers import Peer, cleanlab_peer, encode_table, encode_texts, label_peers, out_of_fold
from benchmarks.natural.repairing import accuracies
from benchmarks.natural.sets import LABEL, SOURCES, TEXT, LabelSet, load_set
from demix_jax import diagnose
from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import write_table
from demix_jax.common.threads import one_thread
from demix_jax.data.kinds import column_of

if TYPE_CHECKING:
    from demix_jax import ErrorClassifier

SUITES = ("natural", "repair")


@dataclasses.dataclass(frozen=True)
class Trial:
    """suite: of SUITES. table: name of the label set. seed: of the diagnosis."""

    suite: str
    table: str
    seed: int = 0

    def identity(self) -> dict:
        """What a line of the results must agree in to count as this trial, apart from the classifier."""
        return dataclasses.asdict(self)


def plan_natural(names: list[str]) -> list[Trial]:
    """A trial of every set, the small ones first."""
    return [Trial("natural", name) for name in names]


def plan_repair(names: list[str]) -> list[Trial]:
    """A trial of every set of texts."""
    return [Trial("repair", name) for name in names if SOURCES[name].is_text]


def run_trial(trial: Trial, classifier: ErrorClassifier, folder: Path) -> dict:
    """Scores of one trial.

    Args:
      folder: keeps the tables of diagnoses, so that a set is diagnosed once for both suites.
    Returns:
      Of "natural" {types, flagged, peers, label_doubt, rows_left, seconds}; `flagged` has the shares of the rows likely
      to have the types whose truth is unknown. Of "repair" {test, rows_left, seconds}; see `accuracies`.
    """
    labels = load_set(trial.table)
    started = time.perf_counter()
    found = _diagnosed(labels, classifier, trial.seed, folder)
    seconds = {"diagnose": time.perf_counter() - started}
    started = time.perf_counter()
    if trial.suite == "repair":
        with one_thread():
            p = out_of_fold(encode_texts(column_of(labels.table, TEXT), column_of(labels.table, LABEL)), texts=True)
        result: dict = {"test": accuracies(labels, found, p, seed=trial.seed)}
    else:
        peers = set_peers(labels)
        result = {
            "types": {"label_error": type_scores(found, labels.wrong, "label_error")},
            "flagged": {name: float(np.mean(column_of(found, f"p_{name}") >= LIKELY)) for name in ERROR_TYPES[1:]},
            "peers": {"label_error": peer_scores(peers, labels.wrong)},
            "label_doubt": bool(found["label_doubt"].iloc[0]),
        }
    seconds["peers" if trial.suite == "natural" else "repair"] = time.perf_counter() - started
    return result | {"rows_left": len(labels.table), "seconds": {name: round(s, 2) for name, s in seconds.items()}}


def _diagnosed(labels: LabelSet, classifier: ErrorClassifier, seed: int, folder: Path) -> pd.DataFrame:
    """`Diagnosis.table` of a set, and whether it says that labels cannot be judged; kept in `folder`."""
    name = re.sub(r"\W+", "-", labels.name).lower()
    path = folder / f"{name}-{classifier.fingerprint[:12]}-{seed}.parquet"
    if not path.is_file():
        diagnosis = diagnose(labels.table, label=LABEL, classifier=classifier, seed=seed)
        folder.mkdir(parents=True, exist_ok=True)
        write_table(path, diagnosis.table.assign(label_doubt=diagnosis.summary.label_doubt is not None))
    return pd.read_parquet(path)


def set_peers(labels: LabelSet) -> dict[str, Peer]:
    """What the peers say of a set of texts, or of class probabilities; these also as they are, given to cleanlab."""
    with one_thread():
        if labels.is_text:
            data = encode_texts(column_of(labels.table, TEXT), column_of(labels.table, LABEL))
            return label_peers(data, out_of_fold(data, texts=True))
        features = labels.table.drop(columns=LABEL)
        data = encode_table(features, column_of(labels.table, LABEL))
        order = np.argsort(labels.class_names)  # columns of the table in the order of the sorted classes of `data`
        given = cleanlab_peer(data.y, features.to_numpy(np.float64)[:, order])
        return label_peers(data, out_of_fold(data, texts=False)) | {"cleanlab on the given probabilities": given}
