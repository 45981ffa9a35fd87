"""Averages over seeds and tables, from the lines of finished trials."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.debugging.peers import BEST_PER_TYPE
from benchmarks.debugging.retraining import LEARNERS, STATES, deciding_metric
from demix_jax.common.error_types import ERROR_TYPES

MEASURES = ("precision", "recall", "f1", "auroc", "average_precision", "ece", "flagged", "likely", "true")


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of those values that are known; None if there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def select(trials: list[dict], **wanted) -> list[dict]:
    """The trials with these values of suite, table, clean_share or seed."""
    return [trial for trial in trials if all(trial[name] == value for name, value in wanted.items())]


def distinct(trials: list[dict], name: str) -> list:
    """Values of a field in order of first appearance."""
    return list(dict.fromkeys(trial[name] for trial in trials))


def debugging_scores(trials: list[dict]) -> dict:
    """Mean scores of the diagnosis and of its peers over some corrupted trials."""
    own = [trial["diagnosis"] for trial in trials]
    names = dict.fromkeys(name for trial in trials for name in trial["peers"])
    return {
        "macro_f1": mean(scores["macro_f1"] for scores in own),
        "any_f1": mean(scores["any"]["f1"] for scores in own),
        "ece": mean(scores["ece"] for scores in own),
        "pooled_ece": mean(pooled_ece(trials, name) for name in ERROR_TYPES),
        "types": {
            name: {m: mean(scores["types"][name][m] for scores in own) for m in MEASURES} for name in ERROR_TYPES
        },
        "peers": {
            name: _f1_scores([trial["peers"][name] for trial in trials if name in trial["peers"]]) for name in names
        },
        "best_of_peers": mean(trial["peers"][BEST_PER_TYPE]["macro_f1"] for trial in trials),
        "bound": _f1_scores([trial["bound"] for trial in trials]),
        "seconds": mean(trial["seconds"]["diagnose"] for trial in trials),
        "trials": len(trials),
    }


def _f1_scores(scores: list[dict]) -> dict:
    types = {name: mean(s["types"][name]["f1"] for s in scores) for name in ERROR_TYPES}
    return types | {"macro_f1": mean(s["macro_f1"] for s in scores), "any_f1": mean(s["any"]["f1"] for s in scores)}


def retraining_scores(trials: list[dict]) -> dict:
    """Mean test metrics by learner and state, and the share of the gap to repair by truth that repair recovers.

    recovered is (repaired − corrupted) / (by truth − corrupted) of the mean deciding metrics; None where repair by
    truth itself gains less than 0.002.
    """
    trials = [trial for trial in trials if trial["test"]]
    result = {}
    for learner in LEARNERS if trials else ():
        states = {}
        for state in STATES:
            metrics = [trial["test"][state][learner] for trial in trials]
            names = dict.fromkeys(name for m in metrics for name in m)
            states[state] = {name: mean(m.get(name) for m in metrics) for name in names}
            states[state]["deciding"] = mean(deciding_metric(m) for m in metrics)
        before, after, truth = (states[state]["deciding"] for state in STATES[:3])
        recovered = (after - before) / (truth - before) if truth - before > 0.002 else None
        result[learner] = states | {"gain": after - before, "recovered": recovered}
    return result


def reliability_bins(trials: list[dict], error_type: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Over all rows of all trials: mean probability and share of true ones of each bin that holds rows, and rows."""
    bins = [trial["diagnosis"]["types"][error_type]["reliability"] for trial in trials]
    rows, probability, true = (np.sum([b[key] for b in bins], axis=0) for key in ("rows", "probability", "true"))
    held = rows > 0
    return probability[held] / rows[held], true[held] / rows[held], rows[held]


def pooled_ece(trials: list[dict], error_type: str) -> float:
    """Expected calibration error over all rows of all trials together."""
    probability, true, rows = reliability_bins(trials, error_type)
    return float(np.average(np.abs(probability - true), weights=rows))


def summarise(trials: list[dict]) -> dict:
    """Everything that the tables and plots show: {"suites": {suite: {...}}, "clean": {table: {type: share}}}."""
    suites = {}
    corrupted = [trial for trial in trials if trial["suite"] != "clean"]
    for suite in distinct(corrupted, "suite"):
        inside = select(corrupted, suite=suite)
        tables = {}
        for table in distinct(inside, "table"):
            of_table = select(inside, table=table)
            shares = sorted(distinct(of_table, "clean_share"))
            tables[table] = {
                "by_clean_share": {str(a): debugging_scores(select(of_table, clean_share=a)) for a in shares},
                "test": retraining_scores(of_table),
            }
        shares = sorted(distinct(inside, "clean_share"))
        suites[suite] = {
            "tables": tables,
            "by_clean_share": {str(a): debugging_scores(select(inside, clean_share=a)) for a in shares},
            "overall": debugging_scores(inside),
        }
    clean = select(trials, suite="clean")
    likely = {
        table: {
            name: mean(trial["diagnosis"]["types"][name]["likely"] for trial in select(clean, table=table))
            for name in ERROR_TYPES
        }
        for table in distinct(clean, "table")
    }
    return {"suites": suites, "clean": likely}
