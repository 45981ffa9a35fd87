"""Tables and plots of the debugging benchmark."""

from __future__ import annotations

from typing import Any

from benchmarks.common.records import markdown_table, number_text
from benchmarks.debugging.peers import NO_RATE
from benchmarks.debugging.retraining import STATES
from benchmarks.debugging.summary import reliability_bins
from demix_jax.common.error_types import ERROR_TYPES

REGIMES = {
    "unseen": "**Regime: unseen table.** For every table the classifier was trained without any version of that "
    "table, clean or corrupted.",
    "known": "**Regime: known table.** The classifier was trained on other corrupted versions of these very tables; "
    "do not compare these numbers with those for unseen tables.",
}
_TYPE_NAMES = {"label_error": "label", "feature_error": "feature", "spurious_correlation": "shortcut"}
_COLOURS = {"own": "#2a6f97", "peer": "#b8b8b8", "truth": "#6a994e", "clean": "#333333"}


def markdown(summary: dict, record: dict) -> str:
    """The write-up. record: provenance, regime and settings of the run."""
    parts = [
        "# Which rows are wrong, and in which way",
        REGIMES[record["regime"]],
        f"{record['date']}, commit {record['commit']}; {record['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        + ".",
        f"`{record['command']}`",
        _settings(record["settings"]),
    ]
    for suite, results in summary["suites"].items():
        parts += [f"## Errors: {suite}", _headline(results), _by_type(results), _peers(results)]
        if any(entry["test"] for entry in results["tables"].values()):
            parts.append(_after_repair(results))
    if summary["clean"]:
        parts += ["## Clean tables: share of the rows that are likely wrong", _clean(summary["clean"])]
    return "\n\n".join(parts) + "\n"


def _settings(settings: dict) -> str:
    return (
        f"Up to {settings['rows']:,} rows of each table before the shortcut leaves some out; {settings['seeds']} "
        f"seed(s). Tables are diagnosed by the task model {settings['model']}. α is the clean share; label errors and "
        "feature errors each fall on (1 − α)/2 of the rows, disjointly, and 15 % of the rows break the shortcut. "
        "Everything is corrupted: rows are diagnosed by cross-fitting, and no clean row is shown to the diagnosis. "
        "Macro-F1 is the mean F1 of the three types; 'any' asks only whether a row has any of them. Best of peers: "
        "labels by out-of-fold loss and features by isolation forest, both cut at the true rate, which they are told, "
        "and every row for shortcuts. Bound: trees that see the signals of the diagnosis, and learn from the true "
        "types of the table's other rows."
    )


def _headline(results: dict) -> str:
    shares = list(results["by_clean_share"])
    head = ["table"]
    for share in shares:
        head += [f"macro-F1, α = {share}", "best of peers", "bound", "any F1", "ECE"]
    rows = []
    for table, entry in [*results["tables"].items(), ("mean", results)]:
        cells = [table]
        for share in shares:
            scores = entry["by_clean_share"].get(share)
            cells += map(number_text, _headline_scores(scores)) if scores else ["–"] * 5
        rows.append(cells)
    pooled = ", ".join(f"{results['by_clean_share'][share]['pooled_ece']:.3f} (α = {share})" for share in shares)
    note = f"ECE is that of each table by itself; over the rows of all tables together it is {pooled}."
    return markdown_table(head, rows) + "\n\n" + note


def _headline_scores(scores: dict) -> tuple[float, ...]:
    return scores["macro_f1"], scores["best_of_peers"], scores["bound"]["macro_f1"], scores["any_f1"], scores["ece"]


def _by_type(results: dict) -> str:
    head = ["table", "type", "F1", "precision", "recall", "AUROC", "average precision", "ECE", "flagged", "true"]
    rows = []
    for share, scores in results["by_clean_share"].items():
        for name in ERROR_TYPES:
            rows.append([f"mean, α = {share}", *_type_cells(name, scores)])
    for table, entry in results["tables"].items():
        for share, scores in entry["by_clean_share"].items():
            rows += [[f"{table}, α = {share}", *_type_cells(name, scores)] for name in ERROR_TYPES]
    return markdown_table(head, rows)


def _type_cells(name: str, scores: dict) -> list[str]:
    measures = ("f1", "precision", "recall", "auroc", "average_precision", "ece", "flagged", "true")
    return [_TYPE_NAMES[name], *(number_text(scores["types"][name][measure]) for measure in measures)]


def _peers(results: dict) -> str:
    overall = results["overall"]
    head = ["mean over tables and α", "told the true rate", "label", "feature", "shortcut", "macro-F1", "any"]
    own = [overall["types"][name]["f1"] for name in ERROR_TYPES]
    rows = [["**this diagnosis**", "no", *map(number_text, [*own, overall["macro_f1"], overall["any_f1"]])]]
    told = {name: "no" if name in NO_RATE else "yes" for name in overall["peers"]}
    others = {**overall["peers"], "bound: trees on the same signals": overall["bound"]}
    for name, scores in others.items():
        values = [*(scores[t] for t in ERROR_TYPES), scores["macro_f1"], scores["any_f1"]]
        rows.append([name, told.get(name, "other rows' truth"), *map(number_text, values)])
    note = (
        "F1 throughout. A single ranking (loss, isolation forest, neighbours' labels, gradient norm, scalar influence) "
        "is cut once per type, at that type's true rate."
    )
    return markdown_table(head, rows) + "\n\n" + note


def _after_repair(results: dict) -> str:
    head = ["table", "learner", "metric", *STATES, "recovered"]
    rows, shares = [], []
    for table, entry in results["tables"].items():
        for learner, test in entry["test"].items():
            names = [name for name in test[STATES[0]] if name != "deciding"]
            decides = "r2" if "r2" in names else "auc"
            for name in names:
                recovered = test["recovered"] if name == decides else None
                rows.append([table, learner, name, *(number_text(test[s][name]) for s in STATES), _percent(recovered)])
            shares += [test["recovered"]] if test["recovered"] is not None else []
    mean = f" Mean over tables and learners: {sum(shares) / len(shares):.0%}." if shares else ""
    note = (
        "Trained on the table in each state, tested on clean rows of the original mix. Recovered: part of the gap "
        f"between corrupted and repaired by truth, by AUC or R², where that gap is above 0.002.{mean}"
    )
    return markdown_table(head, rows) + "\n\n" + note


def _clean(likely: dict) -> str:
    rows = [[table, *(_percent(shares[name], 1) for name in ERROR_TYPES)] for table, shares in likely.items()]
    return markdown_table(["table", *(_TYPE_NAMES[name] for name in ERROR_TYPES)], rows)


def _percent(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}%}"


def plot(summary: dict, trials: list[dict], record: dict) -> Any:
    """Figure: macro-F1 against the best of peers, reliability of the probabilities, and the metric after repair."""
    from matplotlib.figure import Figure

    suites = list(summary["suites"])
    figure = Figure(figsize=(13, 3.6 * len(suites) + 0.5), layout="constrained")
    axes = figure.subplots(len(suites), 3, squeeze=False)
    for (left, middle, right), suite in zip(axes, suites, strict=True):
        _plot_macro(left, summary["suites"][suite], suite)
        _plot_reliability(middle, [trial for trial in trials if trial["suite"] == suite])
        _plot_repair(right, summary["suites"][suite])
    figure.suptitle(f"{record['regime'].capitalize()} tables, {record['date']}, commit {record['commit']}", fontsize=10)
    return figure


def _plot_macro(axes, results: dict, suite: str) -> None:
    names = list(results["tables"])
    for i, table in enumerate(names):
        shares = list(results["tables"][table]["by_clean_share"].items())
        for j, (share, scores) in enumerate(shares):
            y = i + 0.3 * (j - (len(shares) - 1) / 2)
            axes.plot([scores["best_of_peers"], scores["macro_f1"]], [y, y], color=_COLOURS["peer"], zorder=1)
            peer = axes.scatter(scores["best_of_peers"], y, color=_COLOURS["peer"], zorder=2)
            own = axes.scatter(scores["macro_f1"], y, color=_COLOURS["own"], zorder=3)
            axes.annotate(f"α {share}", (scores["macro_f1"], y), (6, -3), textcoords="offset points", fontsize=7)
            peer.set_label("best of peers" if i == j == 0 else "")
            own.set_label("diagnosis" if i == j == 0 else "")
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="macro-F1", title=f"Errors: {suite}", xlim=(0, 1))
    axes.invert_yaxis()
    axes.legend(fontsize=8)


def _plot_reliability(axes, trials: list[dict]) -> None:
    axes.plot([0, 1], [0, 1], color=_COLOURS["peer"], linewidth=1)
    for name in ERROR_TYPES:
        probability, share, _ = reliability_bins(trials, name)
        axes.plot(probability, share, marker="o", markersize=3, label=_TYPE_NAMES[name])
    axes.set(xlabel="probability given", ylabel="share of rows so", title="Reliability", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=8)


def _plot_repair(axes, results: dict) -> None:
    colours = (_COLOURS["peer"], _COLOURS["own"], _COLOURS["truth"], _COLOURS["clean"])
    names = [f"{table}, {learner}" for table, entry in results["tables"].items() for learner in entry["test"]]
    tests = [test for entry in results["tables"].values() for test in entry["test"].values()]
    for state, colour in zip(STATES, colours, strict=True):
        axes.scatter([test[state]["deciding"] for test in tests], range(len(tests)), color=colour, label=state, s=22)
    axes.set(yticks=range(len(names)), xlabel="AUC or R² on clean test rows", title="After repair")
    axes.set_yticklabels(names, fontsize=7)
    axes.invert_yaxis()
    axes.legend(fontsize=7)
