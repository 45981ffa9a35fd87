"""Benchmark: what gradients of embedding tables add to a diagnosis of click samples, which the paper's code drops.

    export DEMIX_DATA_DIR=…
    python -m benchmarks.recommendation.embedding_gradients

Each corrupted log is diagnosed twice with equal seeds: with the gradients of all parameters, and of the dense layers
alone. Writes results/embedding_gradients.md and .json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

from benchmarks.common.records import markdown_table, provenance
from benchmarks.debugging.scores import diagnosis_scores
from benchmarks.debugging.trials import LOGS, Trial, log_samples
from demix_jax import diagnose_interactions
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import write_json, write_text

SELECTED = {"all parameters": None, "without embedding tables": "kernel|bias"}


def main(arguments: list[str] | None = None) -> int:
    """Diagnose each log both ways, print and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", nargs="+", default=list(LOGS))
    parser.add_argument("--suites", nargs="+", default=["paper", "paper, rule per table"])
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.5, 0.8], help="clean shares")
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--results", type=Path, default=Path("benchmarks") / "results")
    options = parser.parse_args(arguments)
    trials = [
        Trial(suite, log, share, 0, options.rows)
        for log in options.logs
        for suite in options.suites
        for share in options.alphas
    ]
    results = []
    for trial in trials:
        make_room()
        made, truth, shortcut, _, _ = log_samples(trial)
        true_types = truth[list(ERROR_TYPES)].to_numpy(bool)
        for name, select in SELECTED.items():
            diagnosis = diagnose_interactions(made, select=select, seed=trial.seed)
            flags = diagnosis.table[list(ERROR_TYPES)].to_numpy(bool)
            probability = diagnosis.table[[f"p_{kind}" for kind in ERROR_TYPES]].to_numpy(float)
            scores = diagnosis_scores(true_types, flags, probability)
            results.append(
                {"log": trial.table, "suite": trial.suite, "shortcut": shortcut, "clean_share": trial.clean_share,
                 "gradients": name, "samples": len(made), "macro_f1": scores["macro_f1"]}
                | {f"{kind}_auroc": scores["types"][kind]["auroc"] for kind in ERROR_TYPES}
                | {"label_error_auroc_of_sum": _auroc_of_sum(diagnosis.influence, true_types[:, 0])}
            )  # fmt: skip
            print(results[-1], flush=True)
    record = provenance("embedding_gradients")
    write_json(options.results / "embedding_gradients.json", record | {"results": results})
    write_text(options.results / "embedding_gradients.md", markdown(results, record))
    return 0


def _auroc_of_sum(influence: np.ndarray, is_error: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_error, influence.sum(axis=1)))


def markdown(results: list[dict], record: dict) -> str:
    """The write-up."""
    names = ("macro_f1", *(f"{kind}_auroc" for kind in ERROR_TYPES), "label_error_auroc_of_sum")
    head = ["log", "shortcut", "α", "gradients of", "macro-F1", "AUROC label", "AUROC feature", "AUROC shortcut",
            "AUROC label, sum of influence alone"]  # fmt: skip
    rows = [
        [
            one["log"],
            one["shortcut"],
            str(one["clean_share"]),
            one["gradients"],
            *(f"{one[name]:.3f}" for name in names),
        ]
        for one in results
    ]
    for gradients in SELECTED:
        of_these = [one for one in results if one["gradients"] == gradients]
        means = [f"**{np.mean([one[name] for one in of_these]):.3f}**" for name in names]
        rows.append(["mean", "", "", gradients, *means])
    return (
        "\n\n".join(
            [
                "# What gradients of embedding tables add",
                "Corrupted click samples, diagnosed by DIN and the classifier that ships with the gradients of all "
                "parameters in the cosine, and of the dense layers alone; the rest is equal. The last column uses no "
                "classifier: rows are ranked by the sum of their influence.",
                markdown_table(head, rows),
                f"*{record['date']}, commit {record['commit']}; {record['machine']}. `{record['command']}`*",
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
