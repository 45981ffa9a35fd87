"""One trial of the debugging benchmark: corrupt a table, diagnose it, score the diagnosis, its peers and the repair."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.debugging.bound import bound_flags
from benchmarks.debugging.cheap_trees import CheapTrees
from benchmarks.debugging.paper_recipe import paper_flags
from benchmarks.debugging.peers import PAPER_RECIPE, peer_flags
from benchmarks.debugging.retraining import scores_after_repair
from benchmarks.debugging.scores import diagnosis_scores, flag_scores
from benchmarks.debugging.unseen_kinds import inject_unseen_kinds
from demix_jax import (
    Diagnosis,
    ErrorClassifier,
    InputError,
    SpuriousCorrelation,
    diagnose,
    diagnose_interactions,
    inject_errors,
    inject_interaction_errors,
)
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.data import TableEncoder, load_named
from demix_jax.domains.recommendation import IDENTIFIERS, LABEL, InteractionSamples, load_recommendation, make_samples

SUITES = ("paper", "paper, rule per table", "unseen kinds", "clean")
RULES = {
    "adult": "sex=Male -> >50K",
    "bank": "housing=no -> yes",
    "credit": "SEX=1 -> 1",
    "covertype": "Wilderness_Area1=1 -> 2",
    "bike_sharing": "workingday=1 -> >145",
    "air_quality": "RH>50 -> >8",
    "movielens": "user_gender=M & item_Action=1 -> 1",
    "amazon": "popularity>1 -> 1",
}
LOGS = ("movielens", "amazon")  # interaction logs; the others are tables
_TIMED_BY_DAY = ("amazon",)
SPURIOUS = 0.15
_MAX_TEST_ROWS = 4_000


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one line of the results is about.

    suite: one of SUITES. table: name. clean_share: α; label errors and feature errors each fall on half of the
    rest. seed: of rows, errors and the diagnosis. rows: drawn before the shortcut leaves some out, at most. model: task
    model of a table's diagnosis; interaction logs have their own.
    """

    suite: str
    table: str
    clean_share: float
    seed: int
    rows: int
    model: str = "mlp"


def plan(tables, suites, clean_shares, seeds, rows, model="mlp") -> list[Trial]:
    """All trials, seed by seed, so that an early stop leaves every table and suite with some."""
    trials = []
    for seed in range(seeds):
        for table in tables:
            for suite in suites:
                if suite == "unseen kinds" and table in LOGS:  # made for tables
                    continue
                shares = (1.0,) if suite == "clean" else clean_shares
                trials += [Trial(suite, table, share, seed, rows, model) for share in shares]
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
      {diagnosis, peers, bound, test, shortcut, rows_left, seconds}; see `diagnosis_scores` and `scores_after_repair`.
    """
    case = (_log_case if trial.table in LOGS else _table_case)(trial)
    corrupted, truth, label = case.corrupted, case.truth, case.label
    started = time.perf_counter()
    diagnosis = case.diagnose(classifier)
    seconds = {"diagnose": time.perf_counter() - started}
    true_types = truth[list(ERROR_TYPES)].to_numpy(bool)
    flags = diagnosis.table[list(ERROR_TYPES)].to_numpy(bool)
    probability = diagnosis.table[[f"p_{name}" for name in ERROR_TYPES]].to_numpy(float)
    result = {
        "rows_left": len(corrupted),
        "shortcut": case.shortcut,
        "diagnosis": diagnosis_scores(true_types, flags, probability),
        "peers": {},
        "bound": None,
        "test": {},
    }
    if trial.suite != "clean":
        started = time.perf_counter()
        dataset = TableEncoder.fit(corrupted, label).transform(corrupted)
        peers = peer_flags(dataset, true_types, diagnosis.influence, seed=trial.seed, cheap=cheap)
        if recipe is not None:
            peers[PAPER_RECIPE] = paper_flags(recipe, dataset, diagnosis)
        result["peers"] = {name: flag_scores(true_types, peer) for name, peer in peers.items()}
        result["bound"] = flag_scores(true_types, bound_flags(diagnosis.signals, true_types, seed=trial.seed))
        seconds["peers"] = time.perf_counter() - started
    if trial.suite != "clean" and trial.clean_share == repair_at:
        started = time.perf_counter()
        tables = (corrupted, diagnosis.table, truth, case.clean, case.test)
        result["test"] = scores_after_repair(*tables, label, seed=trial.seed)
        seconds["repair"] = time.perf_counter() - started
    return result | {"seconds": {name: round(value, 2) for name, value in seconds.items()}}


class Case(NamedTuple):
    """A corrupted table, its truth and shortcut, the clean rows it was made of and others to test on; the label; and
    the diagnosis, given a classifier."""

    corrupted: pd.DataFrame
    truth: pd.DataFrame
    shortcut: str
    clean: pd.DataFrame
    test: pd.DataFrame
    label: str
    diagnose: Callable[[ErrorClassifier], Diagnosis]


def _table_case(trial: Trial) -> Case:
    frame, label = load_named(trial.table)
    rng = np.random.default_rng([trial.seed, zlib.crc32(trial.table.encode())])
    order = rng.permutation(len(frame))
    clean = frame.iloc[order[: trial.rows]].reset_index(drop=True)
    test = frame.iloc[order[trial.rows :][:_MAX_TEST_ROWS]].reset_index(drop=True)
    corrupted, truth, shortcut = corrupt(clean, label, trial)
    run = functools.partial(diagnose, corrupted, label=label, model=trial.model, seed=trial.seed)
    return Case(corrupted, truth, shortcut, clean, test, label, lambda classifier: run(classifier=classifier))


def _log_case(trial: Trial) -> Case:
    """Click samples of an interaction log: those of the training split are corrupted, later ones are the test."""
    made, truth, shortcut, clean, later = log_samples(trial)
    corrupted, before, test = (each.table.drop(columns=list(IDENTIFIERS)) for each in (made, clean, later))
    run = functools.partial(diagnose_interactions, made, seed=trial.seed)
    return Case(corrupted, truth, shortcut, before, test, LABEL, lambda classifier: run(classifier=classifier))


def log_samples(
    trial: Trial,
) -> tuple[InteractionSamples, pd.DataFrame, str, InteractionSamples, InteractionSamples]:
    """Corrupted click samples, their truth and shortcut, the clean ones they were made of, and later ones."""
    data, ties = load_recommendation(trial.table), trial.table in _TIMED_BY_DAY
    samples = make_samples(data, max_samples=trial.rows, random_ties=ties, seed=trial.seed)
    clean, later = samples.part("train"), samples.take(samples.split != "train")
    made, truth, shortcut = clean, _no_errors(clean.table), ""
    if trial.suite != "clean":
        made, truth, shortcut = _injected(inject_interaction_errors, clean, trial)
    return made, truth, shortcut, clean, later


def corrupt(clean: pd.DataFrame, label: str, trial: Trial) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Corrupted table, its truth and the shortcut in words."""
    if trial.suite == "clean":
        return clean, _no_errors(clean), ""
    if trial.suite == "unseen kinds":
        made = inject_unseen_kinds(clean, label, **_rates(trial), spurious=SPURIOUS, seed=trial.seed)
        return made.table, made.truth, made.shortcut
    return _injected(functools.partial(inject_errors, label=label), clean, trial)


def _no_errors(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(0, index=table.index, columns=list(ERROR_TYPES))


def _rates(trial: Trial) -> dict[str, float]:
    rate = (1 - trial.clean_share) / 2
    return {"label_errors": rate, "feature_errors": rate}


def _injected(inject: Callable, clean: Any, trial: Trial) -> tuple[Any, pd.DataFrame, str]:
    """What `inject` makes of clean rows: them with errors, their truth and the shortcut in words."""
    rule = RULES.get(trial.table) if trial.suite == "paper, rule per table" else None
    seeds = [trial.seed] if rule else [trial.seed + 1_000 * attempt for attempt in range(5)]

    def once(seed: int) -> tuple[Any, pd.DataFrame, str]:
        spurious = SpuriousCorrelation(SPURIOUS, shortcut=rule)
        made, truth, shortcut = inject(clean, spurious=spurious, seed=seed, **_rates(trial))
        return made, truth, shortcut.text if shortcut else ""

    for seed in seeds[:-1]:  # a rule drawn from the table cannot always have the share that is asked for
        with contextlib.suppress(InputError):
            return once(seed)
    return once(seeds[-1])
