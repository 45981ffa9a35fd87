"""Tables of the benchmark of real errors and of one type alone, in Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.common.records import markdown_table, number_text, run_line
from benchmarks.debugging.summary import mean
from benchmarks.natural.checks import compare, grouped, is_number_trial, macro_f1, one_type_trials, rate_within
from benchmarks.natural.one_type import TYPE_OF
from benchmarks.natural.repairing import STATES
from benchmarks.natural.sets import SOURCES
from benchmarks.natural.tables import is_held_out
from demix_jax.common.error_types import ERROR_TYPES

_LABEL = ERROR_TYPES[0]
_ABOUT = (
    "F1 is that of the flags as shipped, *likely* that of the rows with p ≥ 0.5; AP is average precision. Nobody is "
    "told how many rows are wrong. *Best peer* is the one with the highest mean of that figure in that line."
)


def markdown(trials: list[dict], checks: list[dict], record: dict) -> str:
    """The write-up: whether the targets hold, and a table for each part that was run."""
    parts = ["# Errors that were not injected the way the classifier was trained", run_line(record), _ABOUT]
    sections = (
        ("What must hold", _checks(checks)),
        ("Real errors, known truth", _natural([t for t in trials if t["suite"] == "natural"])),
        ("Repair of real errors: test accuracy", _repair([t for t in trials if t["suite"] == "repair"])),
        ("Errors of one type alone", _one_type(one_type_trials(trials))),
        ("Three types together", _mixed([t for t in trials if t["suite"] == "mixed"])),
        ("Clean tables: share of the rows likely wrong", _clean([t for t in trials if t["suite"] == "clean"])),
    )
    for title, text in sections:
        parts += [f"## {title}", text] if text else []
    return "\n\n".join(parts) + "\n"


def _checks(checks: list[dict]) -> str:
    head = ["", "target", "held", "figures"]
    rows = [[str(c["number"]), c["text"], "held" if c["held"] else "**missed**", c["figures"]] for c in checks]
    return markdown_table(head, rows) if rows else ""


def _natural(trials: list[dict]) -> str:
    if not trials:
        return ""
    head = ["set", "wrong", "estimated", "likely", "F1", "likely F1", "best peer F1", "AP", "best peer AP", "AUROC",
            "best peer AUROC", "ECE", "seconds"]  # fmt: skip
    counted = [t for t in trials if SOURCES[t["table"]].counted]
    rows = [[t["table"], *_natural_cells([t])] for t in trials]
    rows.append(["**mean** (without MNIST)", *_natural_cells(counted)] if counted else [])
    others = ["set", "peer", "F1", "precision", "recall", "AP", "AUROC"]
    lines = [
        [t["table"], name, *(number_text(each[m]) for m in ("f1", "precision", "recall", "average_precision", "auroc"))]
        for t in trials
        for name, each in t["peers"][_LABEL].items()
    ]
    return markdown_table(head, [row for row in rows if row]) + "\n\n" + markdown_table(others, lines)


def _natural_cells(trials: list[dict]) -> list[str]:
    """Means over sets; the best peer is that of each set by itself."""
    own = {m: mean(t["types"][_LABEL][m] for t in trials) for m in
           ("true", "estimated", "likely", "f1", "likely_f1", "average_precision", "auroc", "ece")}  # fmt: skip
    best = {}
    for measure in ("f1", "average_precision", "auroc"):
        compared = [compare([t], _LABEL, measure) for t in trials]
        best[measure] = mean(c.best for c in compared if c)
        if len(trials) == 1 and compared[0] is not None:
            best[measure] = (compared[0].best, compared[0].peer)
    percents = [_percent(own[m]) for m in ("true", "estimated", "likely")]
    return [
        *percents, number_text(own["f1"]), number_text(own["likely_f1"]), _best(best["f1"]),
        number_text(own["average_precision"]), _best(best["average_precision"]), number_text(own["auroc"]),
        _best(best["auroc"]), number_text(own["ece"]), number_text(mean(t["seconds"]["diagnose"] for t in trials)),
    ]  # fmt: skip


def _best(value: Any) -> str:
    return f"{number_text(value[0])} ({value[1]})" if isinstance(value, tuple) else number_text(value)


def _repair(trials: list[dict]) -> str:
    if not trials:
        return ""
    rows = [[t["table"], *(number_text(t["test"][state]) for state in STATES)] for t in trials]
    rows.append(["**mean**", *(number_text(mean(t["test"][state] for t in trials)) for state in STATES)])
    note = (
        "TF-IDF (words and pairs of words) with a logistic regression, trained on the rows in each state and tested on "
        "the set's test split with true labels, without texts that also occur in training."
    )
    return note + "\n\n" + markdown_table(["set", *STATES], rows)


def _one_type(trials: list[dict]) -> str:
    if not trials:
        return ""
    tables = []
    for title, by in (("kind", lambda t: t["kind"]), ("rate", lambda t: _percent(t["rate"] or None)),
                      ("rows", lambda t: f"{t['rows']:,}"),
                      ("table", lambda t: "held out" if is_held_out(t["table"]) else "named"),
                      ("all", lambda t: "all")):  # fmt: skip
        groups = grouped(trials, lambda t, by=by: (t["suite"], is_number_trial(t), by(t)))
        rows = [_one_type_row(key, group) for key, group in sorted(groups.items(), key=lambda item: str(item[0][:2]))]
        head = ["suite", title, "trials", "F1", "likely F1", "best peer F1", "AP", "best peer AP", "AUROC", "ECE",
                "true rate", "estimated", "rate right", "other types likely", "all rows F1"]  # fmt: skip
        tables.append(markdown_table(head, rows))
    note = (
        "*Rate right*: share of the trials from 5 % on whose estimated rate, the mean probability, is within a factor "
        "of 1.5. *Other types likely*: share of the rows likely to have a type that nothing was done of. *All rows*: "
        "F1 of calling every row wrong. The shipped classifier has learned from versions of the named tables."
    )
    return note + "\n\n" + "\n\n".join(tables)


def _one_type_row(key: tuple[str, bool, str], trials: list[dict]) -> list[str]:
    suite, number, value = key
    error_type = TYPE_OF[suite]
    own = [t["types"][error_type] for t in trials]
    f1, ap = compare(trials, error_type, "f1"), compare(trials, error_type, "average_precision")
    right = mean(float(w) for w in map(rate_within, trials) if w is not None)
    others = mean(t["types"][name]["likely"] for t in trials for name in ERROR_TYPES if name != error_type)
    every = mean(2 * s["true"] / (1 + s["true"]) for s in own)
    name = suite if suite == "features" else f"{suite}, {'numbers' if number else 'classes'}"
    return [
        name, value, str(len(trials)), *(number_text(mean(s[m] for s in own)) for m in ("f1", "likely_f1")),
        _best((f1.best, f1.peer)) if f1 else "–", number_text(mean(s["average_precision"] for s in own)),
        _best((ap.best, ap.peer)) if ap else "–", *(number_text(mean(s[m] for s in own)) for m in ("auroc", "ece")),
        *(_percent(mean(s[m] for s in own)) for m in ("true", "estimated")),
        "–" if right is None else f"{right:.0%}", _percent(others), number_text(every),
    ]  # fmt: skip


def _mixed(trials: list[dict]) -> str:
    if not trials:
        return ""
    rows = []
    groups = {"**mean**": trials} | grouped(trials, lambda t: t["table"])
    for name, group in groups.items():
        cells = [number_text(mean(macro_f1(t) for t in group))]
        for error_type in ERROR_TYPES:
            c = compare(group, error_type, "f1")
            cells += [number_text(c.ours), number_text(c.best)] if c else ["–", "–"]
        rows.append(
            [name, str(len(group)), *cells, number_text(mean(s["ece"] for t in group for s in t["types"].values()))]
        )
    named = [part for each in ("label", "feature", "shortcut") for part in (f"{each} F1", "best peer")]
    return markdown_table(["table", "trials", "macro-F1", *named, "ECE"], rows)


def _clean(trials: list[dict]) -> str:
    if not trials:
        return ""
    rows = [["**mean**", *(_percent(mean(t["types"][name]["likely"] for t in trials)) for name in ERROR_TYPES), ""]]
    for t in trials:
        doubt = "labels cannot be judged" if t["label_doubt"] else ""
        rows.append([t["table"], *(_percent(t["types"][name]["likely"]) for name in ERROR_TYPES), doubt])
    return markdown_table(["table", *ERROR_TYPES, ""], rows)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
