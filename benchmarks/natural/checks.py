"""Which of the targets hold: ours beside the best peer, estimated rates, clean tables, calibration, repair."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from benchmarks.debugging.summary import mean
from benchmarks.natural.one_type import TYPE_OF
from benchmarks.natural.sets import SOURCES
from demix_jax.common.error_types import ERROR_TYPES

_ABOVE, _BELOW = 0.10, 0.03  # F1 above the best peer on average, and below it anywhere
_FACTOR, _RIGHT_RATES, _RATE_FROM = 1.5, 0.9, 0.05
_CLEAN_MEAN, _CLEAN_MOST = 0.01, 0.04
_MACRO_F1, _ECE = 0.65, 0.05
_LOWEST_RATE = 0.02  # of the rates that F1 is compared at
_MAY_LOSE = ("TREC",)  # sets on which the F1 of a peer may be higher
_REPAIRED = ("AG News", "Hausa", "SMS", "TREC")


class Comparison(NamedTuple):
    """Ours and the best peer's mean score over some trials; peer is the name of the peer with the highest mean."""

    ours: float
    best: float
    peer: str
    trials: int


def compare(trials: list[dict], error_type: str, measure: str) -> Comparison | None:
    """Mean `measure` of one type, ours and that of the peer with the highest mean; None without trials that have it."""
    scored = [trial for trial in trials if trial["types"][error_type][measure] is not None]
    names = dict.fromkeys(name for trial in scored for name in trial["peers"].get(error_type, {}))
    means = {name: mean(trial["peers"][error_type].get(name, {}).get(measure) for trial in scored) for name in names}
    known = {name: value for name, value in means.items() if value is not None}
    ours = mean(trial["types"][error_type][measure] for trial in scored)
    if ours is None or not known:
        return None
    peer = max(known, key=lambda name: known[name])
    return Comparison(ours, known[peer], peer, len(scored))


def grouped(trials: Iterable[dict], key: Callable[[dict], Any]) -> dict[Any, list[dict]]:
    """Trials by a key, in order of first appearance."""
    groups = defaultdict(list)
    for trial in trials:
        groups[key(trial)].append(trial)
    return dict(groups)


def one_type_trials(trials: list[dict]) -> list[dict]:
    """Trials with errors of one type alone."""
    return [trial for trial in trials if trial["suite"] in TYPE_OF]


def is_number_trial(trial: dict) -> bool:
    """Whether the peers of a trial of labels or shortcuts are those of a numeric target."""
    names = trial["peers"][TYPE_OF[trial["suite"]]]
    return any("regression" in name or "residuals" in name for name in names)


def rate_within(trial: dict) -> bool | None:
    """Whether the estimated rate of the injected type is within a factor of 1.5; None below a rate of 5 %."""
    scores = trial["types"][TYPE_OF[trial["suite"]]]
    if scores["true"] < _RATE_FROM:
        return None
    return abs(math.log(max(scores["estimated"], 1e-9) / scores["true"])) <= math.log(_FACTOR)


def check_all(trials: list[dict]) -> list[dict]:
    """Every target that these trials can tell of: {number, text, held, figures}."""
    parts = (_real_errors, _one_type, _clean, _mixed, _calibration, _repair)
    return [check for part in parts for check in part(trials)]


def _check(number: int, text: str, held: bool, figures: str) -> dict:
    return {"number": number, "text": text, "held": bool(held), "figures": figures}


def _real_errors(trials: list[dict]) -> list[dict]:
    sets = [t for t in trials if t["suite"] == "natural" and SOURCES[t["table"]].counted]
    if not sets:
        return []
    f1 = {t["table"]: compare([t], "label_error", "f1") for t in sets}
    ap = {t["table"]: compare([t], "label_error", "average_precision") for t in sets}
    behind = [name for name, c in f1.items() if c and name not in _MAY_LOSE and c.ours <= c.best]
    low = [name for name, c in ap.items() if c and c.ours < c.best]
    ours, best = mean(c.ours for c in f1.values() if c) or 0.0, mean(c.best for c in f1.values() if c) or 0.0
    return [
        _check(1, "Real errors: F1 above the best peer's on every set but TREC", not behind, _missed(behind)),
        _check(1, "Real errors: mean F1 at least 0.10 above", ours - best >= _ABOVE, f"{ours:.3f} against {best:.3f}"),
        _check(1, "Real errors: average precision at least the best peer's on every set", not low, _missed(low)),
    ]


def _one_type(trials: list[dict]) -> list[dict]:
    chosen = one_type_trials(trials)
    if not chosen:
        return []
    compared = [t for t in chosen if t["rate"] >= _LOWEST_RATE or t["kind"] == "class-dependent"]
    checks = []
    for (suite, number), group in grouped(compared, lambda t: (t["suite"], is_number_trial(t))).items():
        c = compare(group, TYPE_OF[suite], "f1")
        if c is not None:
            what = f"{suite} of {'numbers' if number else 'classes'}" if suite != "features" else suite
            text = f"One type alone, {what}: mean F1 at least 0.10 above the best peer"
            checks.append(_check(2, text, c.ours - c.best >= _ABOVE, f"{c.ours:.3f} against {c.best:.3f} ({c.peer})"))
    low = []
    for name in ("kind", "rate"):
        cells = grouped(compared, lambda t, name=name: (t["suite"], is_number_trial(t), t[name]))
        for (suite, _, value), group in cells.items():
            c = compare(group, TYPE_OF[suite], "f1")
            if c is not None and c.ours < c.best - _BELOW:
                low.append(f"{suite}, {value} ({c.ours:.2f} against {c.best:.2f})")
    checks.append(
        _check(2, "One type alone: F1 nowhere 0.03 below the best peer, by kind or rate", not low, _missed(low))
    )
    within = [rate_within(trial) for trial in chosen]
    share = mean(float(w) for w in within if w is not None)
    if share is not None:
        text = "One type alone: estimated rate within a factor of 1.5 in nine of ten tables, from 5 % on"
        checks.append(_check(2, text, share >= _RIGHT_RATES, f"{share:.0%}"))
    return checks


def _clean(trials: list[dict]) -> list[dict]:
    tables = [trial for trial in trials if trial["suite"] == "clean"]
    if not tables:
        return []
    above, means = [], {}
    for name in ERROR_TYPES:
        means[name] = mean(trial["types"][name]["likely"] for trial in tables) or 0.0
        for trial in tables:
            excused = name == "label_error" and trial["label_doubt"]
            if trial["types"][name]["likely"] > _CLEAN_MOST and not excused:
                above.append(f"{trial['table']} ({name}, {trial['types'][name]['likely']:.1%})")
    figures = ", ".join(f"{name} {value:.2%}" for name, value in means.items()) + f"; {len(tables)} tables"
    held = all(value <= _CLEAN_MEAN for value in means.values())
    return [
        _check(3, "Clean tables: likely wrong at most 1 % of the rows per type on average", held, figures),
        _check(3, "Clean tables: never above 4 %, but where labels cannot be judged", not above, _missed(above)),
    ]


def macro_f1(trial: dict) -> float:
    """Mean F1 of the three types of a trial."""
    return sum(trial["types"][name]["f1"] for name in ERROR_TYPES) / len(ERROR_TYPES)


def _mixed(trials: list[dict]) -> list[dict]:
    value = mean(macro_f1(trial) for trial in trials if trial["suite"] == "mixed")
    if value is None:
        return []
    return [
        _check(4, "Three types together, held-out tables: macro-F1 at least 0.65", value >= _MACRO_F1, f"{value:.3f}")
    ]


def _calibration(trials: list[dict]) -> list[dict]:
    chosen = [t for t in trials if t["suite"] in (*TYPE_OF, "natural")]
    value = mean(scores["ece"] for trial in chosen for scores in trial["types"].values())
    if value is None:
        return []
    text = "Calibration: mean expected calibration error of all types at most 0.05, real errors and one type alone"
    return [_check(5, text, value <= _ECE, f"{value:.3f}")]


def _repair(trials: list[dict]) -> list[dict]:
    tests = {t["table"]: t["test"] for t in trials if t["suite"] == "repair" and t["table"] in _REPAIRED}
    if not tests:
        return []
    peers = ("dropped by cleanlab", "relabelled by cleanlab")
    behind = [name for name, test in tests.items() if test["ours"] < max(test[peer] for peer in peers)]
    worse = [name for name, test in tests.items() if test["ours"] < test["noisy"]]
    return [
        _check(6, "Repair: test accuracy at least that of cleanlab on every set", not behind, _missed(behind)),
        _check(6, "Repair: never less than on the noisy labels", not worse, _missed(worse)),
    ]


def _missed(names: list[str]) -> str:
    return "missed: " + "; ".join(names) if names else "everywhere"
