"""Trials with errors of one type alone, of three types, and with none, on tables that come without known errors."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from benchmarks.natural.feature_noise import FEATURE_KINDS
from benchmarks.natural.judging import all_scores, peer_scores
from benchmarks.natural.label_noise import CLASS_KINDS, OWN_RATE
from benchmarks.natural.noise import Noisy, add_feature_noise, add_label_noise, add_mixture, add_shortcut
from benchmarks.natural.number_noise import NUMBER_KINDS
from benchmarks.natural.peers import (
    Encoded,
    Peer,
    encode_table,
    feature_peers,
    label_peers,
    number_peers,
    out_of_fold,
    shortcut_peers,
)
from benchmarks.natural.shortcut_noise import SHORTCUT_KINDS
from benchmarks.natural.tables import SYNTHETIC, draw_rows, has_classes, held_out_names, is_class_table
from demix_jax import diagnose
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.threads import one_thread
from demix_jax.data import NAMES
from demix_jax.data.kinds import column_of

if TYPE_CHECKING:
    from demix_jax import ErrorClassifier

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
TYPE_OF: dict[str, str] = dict(
    zip(("labels", "features", "shortcuts"), ERROR_TYPES, strict=True)
)  # suite -> its error type
SUITES = (*TYPE_OF, "mixed", "clean")
_INJECT = {"labels": add_label_noise, "features": add_feature_noise, "shortcuts": add_shortcut}
_SIZES = (300, 1_000, 3_000, 300, 1_000, 3_000, 100)
_MIXED_ROWS, _CLEAN_ROWS, _LARGE = 2_000, 2_000, 20_000
_THINNED = 2  # times as many rows are drawn where a shortcut leaves rows out
_MIXED_RATES = ((0.15, 0.15, 0.15), (0.02, 0.1, 0.1), (0.3, 0.05, 0.2), (0.1, 0.25, 0.05))
_OTHER_RATES = (0.05, 0.2, 0.4)  # of the kinds of wrong classes that depend on the rows
_MINORITY_RATES = (0.02, 0.05, 0.1)
Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one line of the results is about.

    suite: of SUITES. kind: of the noise; "" for none. table: name. rate: wanted share of wrong rows, or those of the
    three types. rows: at most. seed: of rows, noise and diagnosis.
    """

    suite: str
    kind: str
    table: str
    rate: float | tuple[float, ...]
    rows: int
    seed: int

    def identity(self) -> dict:
        """What a line of the results must agree in to count as this trial, apart from the classifier."""
        rate = list(self.rate) if isinstance(self.rate, tuple) else self.rate
        return dataclasses.asdict(self) | {"rate": rate}


def plan_one_type() -> list[Trial]:
    """Trials of one error type alone: every kind at its rates, on tables and of sizes dealt at random."""
    rng = np.random.default_rng(0)
    tables = (*NAMES, *held_out_names())
    classes = [name for name in tables if is_class_table(name)]
    numbers = [name for name in tables if name not in classes]
    of_labels = [("uniform", rate) for rate in RATES for _ in range(4)]
    for kind in CLASS_KINDS[1:]:
        rates = (0.0,) * 2 if kind in OWN_RATE else _MINORITY_RATES if kind == "minority" else _OTHER_RATES
        of_labels += [(kind, rate) for rate in rates for _ in range(3)]
    trials = _dealt("labels", of_labels, classes, rng)
    trials += _dealt("labels", [(kind, rate) for kind in NUMBER_KINDS for rate in RATES], numbers, rng)
    trials += _dealt("features", [(kind, rate) for kind in FEATURE_KINDS for rate in RATES], tables, rng)
    trials += _dealt("shortcuts", [(k, rate) for k in SHORTCUT_KINDS for rate in RATES for _ in "ab"], tables, rng)
    large = [
        ("labels", "uniform", "adult", 0.05),
        ("labels", "near-boundary", "stevedata gss_abortion", 0.2),
        ("labels", "digit", "AER CPSSW9204", 0.1),
        ("features", "another row", "bank", 0.05),
        ("shortcuts", "threshold", "covertype", 0.2),
    ]
    return trials + [Trial(*each, rows=_LARGE, seed=0) for each in large]


def plan_mixed() -> list[Trial]:
    """All three types at once on every held-out table, at two of four settings of rates."""
    rng, trials = np.random.default_rng(1), []
    for t, name in enumerate(held_out_names()):
        kinds = CLASS_KINDS[:5:2] if is_class_table(name) else NUMBER_KINDS
        for turn in range(2):
            drawn = [str(rng.choice(options)) for options in (kinds, FEATURE_KINDS, SHORTCUT_KINDS)]
            rates = _MIXED_RATES[(t + 2 * turn + turn * (t % 2)) % len(_MIXED_RATES)]
            trials.append(Trial("mixed", ", ".join(drawn), name, rates, _MIXED_ROWS, turn))
    return trials


def plan_clean() -> list[Trial]:
    """Nothing put in: the six named tables, the held-out ones, and some that are drawn."""
    return [Trial("clean", "", name, 0.0, _CLEAN_ROWS, 0) for name in (*NAMES, *held_out_names(), *SYNTHETIC)]


def run_trial(trial: Trial, classifier: ErrorClassifier) -> dict:
    """Scores of one trial.

    Returns:
      {types, peers, label_doubt, rows_left, seconds}: `all_scores`; `peer_scores` by error type, none in suite
      "clean"; whether the diagnosis says that labels cannot be judged.
    """
    noisy, label = make_noisy(trial)
    started = time.perf_counter()
    diagnosis = diagnose(noisy.table, label=label, classifier=classifier, seed=trial.seed)
    seconds = {"diagnose": time.perf_counter() - started}
    result = {
        "types": all_scores(diagnosis.table, noisy.truth),
        "peers": {},
        "label_doubt": diagnosis.summary.label_doubt is not None,
        "rows_left": len(noisy.table),
    }
    if trial.suite != "clean":
        started = time.perf_counter()
        types = [TYPE_OF[trial.suite]] if trial.suite in TYPE_OF else list(ERROR_TYPES)
        found = table_peers(noisy.table, label, types)
        result["peers"] = {name: peer_scores(found[name], noisy.truth[:, ERROR_TYPES.index(name)]) for name in types}
        seconds["peers"] = time.perf_counter() - started
    return result | {"seconds": {name: round(value, 2) for name, value in seconds.items()}}


def make_noisy(trial: Trial) -> tuple[Noisy, str]:
    """The table of a trial with its errors, and its label column."""
    thins = trial.suite in ("shortcuts", "mixed")
    clean, label = draw_rows(trial.table, trial.rows * (_THINNED if thins else 1), trial.seed)
    if trial.suite == "clean":
        return Noisy(clean, np.zeros((len(clean), len(ERROR_TYPES)), bool), np.arange(len(clean))), label
    if trial.suite == "mixed":
        kinds, rates = tuple(trial.kind.split(", ")), trial.rate
        assert isinstance(rates, tuple) and len(kinds) == len(rates) == len(ERROR_TYPES)
        return _at_most(trial.rows, add_mixture(clean, label, rates, kinds, seed=trial.seed)), label
    rate = float(np.max(trial.rate))
    rng = np.random.default_rng([trial.seed, 41, trial.rows, round(1_000 * rate)])
    return _at_most(trial.rows, _INJECT[trial.suite](clean, label, trial.kind, rate, rng)), label


def _at_most(num_rows: int, noisy: Noisy) -> Noisy:
    """Random rows of a table, in its order."""
    kept = np.sort(np.random.default_rng(num_rows).permutation(len(noisy.table))[:num_rows])
    return Noisy(noisy.table.take(kept).reset_index(drop=True), noisy.truth[kept], noisy.source[kept])


def table_peers(table, label: str, types: Sequence[str]) -> dict[str, dict[str, Peer]]:
    """By error type, what the peers say of a table."""
    data = encode_table(table.drop(columns=label), column_of(table, label))
    with one_thread():
        p = out_of_fold(data, texts=False) if has_classes(column_of(table, label)) else None
        return {name: _peers_of(name, data, p) for name in types}


def _peers_of(error_type: str, data: Encoded, p: np.ndarray | None) -> dict[str, Peer]:
    if error_type == "feature_error":
        return feature_peers(data)
    if error_type == "spurious_correlation":
        return shortcut_peers(data, p)
    return number_peers(data) if p is None else label_peers(data, p)


def _dealt(suite: str, cells: Sequence[tuple[str, float]], tables: Sequence[str], rng) -> list[Trial]:
    """A trial for every cell; tables and sizes are dealt from shuffled packs, so that all come about equally often."""
    names, sizes = _packs(tables, rng), _packs(_SIZES, rng)
    return [Trial(suite, kind, next(names), rate, next(sizes), seed) for seed, (kind, rate) in enumerate(cells)]


def _packs(items: Sequence[Item], rng: np.random.Generator) -> Iterator[Item]:
    while True:
        yield from (items[i] for i in rng.permutation(len(items)))
