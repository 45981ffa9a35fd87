"""One trial of the debugging benchmark: corrupt a table, diagnose it, score the diagnosis, its peers and the repair."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import zlib
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cheap_trees import CheapTrees
from benchmarks.paper_recipe import paper_flags
from benchmarks.peers import PAPER_RECIPE, peer_flags
from benchmarks.retraining import scores_after_repair
from benchmarks.scores import diagnosis_scores, flag_scores
from benchmarks.unseen_kinds import inject_unseen_kinds
from demix_jax import ErrorClassifier, InputError, diagnose, inject_errors
from demix_jax.data import TableEncoder, load_named
from demix_jax.error_types import ERROR_TYPES

SUITES = ("paper", "paper, rule per table", "unseen kinds", "clean")
RULES = {
    "adult": "sex=Male -> >50K",
    "bank": "housing=no -> yes",
    "credit": "SEX=1 -> 1",
    "covertype": "Wilderness_Area1=1 -> 2",
    "bike_sharing": "workingday=1 -> >145",
    "air_quality": "RH>50 -> >8",
}
SPURIOUS = 0.15
_MAX_TEST_ROWS = 4_000


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one line of the results is about.

    suite: one of SUITES. table: name. clean_share: α; label errors and feature errors each fall on half of the
    rest. seed: of rows, errors and the diagnosis. rows: drawn before the shortcut leaves some out, at most.
    """

    suite: str
    table: str
    clean_share: float
    seed: int
    rows: int


def plan(tables, suites, clean_shares, seeds, rows) -> list[Trial]:
    """All trials, seed by seed, so that an early stop leaves every table and suite with some."""
    trials = []
    for seed in range(seeds):
        for table in tables:
            for suite in suites:
                shares = (1.0,) if suite == "clean" else clean_shares
                trials += [Trial(suite, table, share, seed, rows) for share in shares]
    return trials


def run_trial(
    trial: Trial,
    classifier: ErrorClassifier,
    *,
    repair_at: float | None,
    cheap: CheapTrees | None = None,
    recipe: Any = None,
) -> dict:
    """Scores of one trial.

    Args:
      classifier: names the error types. cheap, recipe: peers that were trained; None: left out.
      repair_at: clean share at which models are retrained on the repaired table; None: never.
    Returns:
      {diagnosis, peers, test, shortcut, rows_left, seconds}; see `diagnosis_scores` and `scores_after_repair`.
    """
    frame, label = load_named(trial.table)
    rng = np.random.default_rng([trial.seed, zlib.crc32(trial.table.encode())])
    order = rng.permutation(len(frame))
    clean = frame.iloc[order[: trial.rows]].reset_index(drop=True)
    test = frame.iloc[order[trial.rows :][:_MAX_TEST_ROWS]].reset_index(drop=True)
    corrupted, truth, shortcut = corrupt(clean, label, trial)
    started = time.perf_counter()
    diagnosis = diagnose(corrupted, label=label, classifier=classifier, seed=trial.seed)
    seconds = {"diagnose": time.perf_counter() - started}
    true_types = truth[list(ERROR_TYPES)].to_numpy(bool)
    flags = diagnosis.table[list(ERROR_TYPES)].to_numpy(bool)
    probability = diagnosis.table[[f"p_{name}" for name in ERROR_TYPES]].to_numpy(float)
    result = {
        "rows_left": len(corrupted),
        "shortcut": shortcut,
        "diagnosis": diagnosis_scores(true_types, flags, probability),
        "peers": {},
        "test": {},
    }
    if trial.suite != "clean":
        started = time.perf_counter()
        dataset = TableEncoder.fit(corrupted, label).transform(corrupted)
        peers = peer_flags(dataset, true_types, diagnosis.influence, seed=trial.seed, cheap=cheap)
        if recipe is not None:
            peers[PAPER_RECIPE] = paper_flags(recipe, dataset, diagnosis)
        result["peers"] = {name: flag_scores(true_types, peer) for name, peer in peers.items()}
        seconds["peers"] = time.perf_counter() - started
    if trial.suite != "clean" and trial.clean_share == repair_at:
        started = time.perf_counter()
        tables = (corrupted, diagnosis.table, truth, clean, test)
        result["test"] = scores_after_repair(*tables, label, seed=trial.seed)
        seconds["repair"] = time.perf_counter() - started
    return result | {"seconds": {name: round(value, 2) for name, value in seconds.items()}}


def corrupt(clean: pd.DataFrame, label: str, trial: Trial) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Corrupted table, its truth and the shortcut in words."""
    if trial.suite == "clean":
        truth = pd.DataFrame(0, index=clean.index, columns=list(ERROR_TYPES))
        return clean, truth, ""
    rate = (1 - trial.clean_share) / 2
    rates: dict[str, Any] = {"label_errors": rate, "feature_errors": rate, "spurious": SPURIOUS}
    if trial.suite == "unseen kinds":
        made = inject_unseen_kinds(clean, label, **rates, seed=trial.seed)
        return made.table, made.truth, made.shortcut
    rule = RULES.get(trial.table) if trial.suite == "paper, rule per table" else None
    seeds = [trial.seed] if rule else [trial.seed + 1_000 * attempt for attempt in range(5)]
    for seed in seeds[:-1]:  # a rule drawn from the table cannot always have the share that is asked for
        with contextlib.suppress(InputError):
            return _injected(clean, label, rule, seed, rates)
    return _injected(clean, label, rule, seeds[-1], rates)


def _injected(clean, label, rule, seed, rates) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    injected = inject_errors(clean, label=label, shortcut=rule, seed=seed, **rates)
    return injected.table, injected.truth, injected.shortcut.text if injected.shortcut else ""
