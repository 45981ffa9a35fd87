"""Benchmark: what each part of the error classifier is worth on tables that it never saw.

    python -m benchmarks.make_worlds --out worlds
    python -m benchmarks.ablation --worlds worlds

Small classifiers are trained with everything and with one thing left out, on the worlds of all tables but the six
public ones, and judge the worlds of those. Finished trainings are lines of out/ablation.jsonl, and a run that was
interrupted goes on after them. Writes results/ablation.md and .json.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it also runs as a plain script

from benchmarks.records import append_line, markdown_table, provenance, read_lines
from benchmarks.scores import diagnosis_scores
from benchmarks.summary import mean
from demix_jax import InputError
from demix_jax.classifier import ErrorClassifier, Interventions, TrainingOptions, World, fit_classifier
from demix_jax.data import NAMES
from demix_jax.error_types import ERROR_TYPES
from demix_jax.evidence.signals import SIGNALS, VECTOR_SIGNALS
from demix_jax.files import write_json, write_text
from demix_jax.progress import ProgressDisplay
from demix_jax.worlds import load_world

_OF_VECTORS = np.isin(SIGNALS, VECTOR_SIGNALS)


def _without_influence(vectors: np.ndarray, signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.broadcast_to(np.zeros((), vectors.dtype), vectors.shape), np.where(_OF_VECTORS, 0, signals)


def _influence_alone(vectors: np.ndarray, signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return vectors, np.where(_OF_VECTORS, signals, 0)


def _seen_by(change: Callable) -> Callable[[World], World]:
    """The same change to what is known of every row and probe of a world."""

    def changed(known):
        vectors, signals = change(known.vectors, known.signals)
        return known._replace(vectors=vectors, signals=signals)

    def of_view(view):
        return changed(view)._replace(probes=None if view.probes is None else changed(view.probes))

    return lambda world: world._replace(views=tuple(map(of_view, world.views)))


def _without_probes(world: World) -> World:
    return world._replace(views=tuple(view._replace(probes=None) for view in world.views))


class Variant(NamedTuple):
    """interventions: used in training. change: made to every world, in training and in the test."""

    interventions: Interventions = Interventions()
    change: Callable[[World], World] = lambda world: world


EVERYTHING = "everything"
VARIANTS = {
    EVERYTHING: Variant(),
    "without validation subsets (contrastive loss)": Variant(Interventions(mask_validation=False)),
    "without swapped task models (aligned means)": Variant(Interventions(swap_models=False)),
    "without changed error rates": Variant(Interventions(change_rates=False)),
    "without any of the three": Variant(Interventions(False, False, False)),
    "without influence vectors": Variant(change=_seen_by(_without_influence)),
    "influence vectors alone": Variant(change=_seen_by(_influence_alone)),
    "without probes": Variant(change=_without_probes),
}


def main(arguments: list[str] | None = None) -> int:
    """Train and judge what is not yet done, print and write the scores."""
    options = _parse(arguments)
    files = sorted(options.worlds.glob("*.npz"))
    worlds = [load_world(path) for path in files]
    test = [world for world in worlds if world.table in NAMES]
    train = [world for world in worlds if world.table not in NAMES]
    if not test or len({world.table for world in train}) < 2:
        raise InputError(
            f"{options.worlds} needs worlds of the public tables, to test on, and of two tables besides, to train on; "
            "make them with `python -m benchmarks.make_worlds`, or name another folder with --worlds."
        )
    runs = [(name, seed) for seed in range(options.seeds) for name in options.variants]
    training = TrainingOptions(num_members=options.members, num_steps=options.steps)
    size = {"train_worlds": len(train), "test_worlds": len(test), "steps": options.steps, "members": options.members}
    size |= {"worlds": hashlib.sha256("\n".join(path.name for path in files).encode()).hexdigest()[:12]}
    with ProgressDisplay() as progress:
        for name, seed in runs:
            if _find(options.trials, {"variant": name, "seed": seed} | size):
                continue
            variant = VARIANTS[name]
            progress.stage(f"{name}, seed {seed}", training.num_steps * training.num_members)
            classifier = fit_classifier(
                [variant.change(world) for world in train],
                seed=seed,
                interventions=variant.interventions,
                options=training,
                on_step=progress.advance,
            )
            progress.stage("judge the other tables' worlds", len(test))
            scores = []
            for world in test:
                scores.append(world_scores(classifier, variant.change(world)))
                progress.advance()
            append_line(options.trials, {"variant": name, "seed": seed} | size | {"scores": scores})
        progress.done()
    done = [_find(options.trials, {"variant": name, "seed": seed} | size) for name, seed in runs]
    results = [summary(name, done) for name in options.variants]
    tables = {"train_tables": len({world.table for world in train}), "test_tables": len({w.table for w in test})}
    record = provenance("ablation") | size | tables | {"seeds": options.seeds}
    write_json(options.results / "ablation.json", record | {"results": results})
    text = markdown(results, record)
    write_text(options.results / "ablation.md", text)
    print(text)
    return 0


def world_scores(classifier: ErrorClassifier, world: World) -> dict:
    """Scores of one world, averaged over its views.

    Returns:
      {"auroc", "f1", "flagged": {type: value}, "ece", "other_model", "other_samples"}. auroc and f1 of a type that does
      not occur are None, and so is flagged, the share of rows flagged, of one that does. The last two are how much
      probabilities differ on average from those by another task model and by other validation samples.
    """
    verdicts, apart = [], []
    for view in world.views:
        judged = classifier.judge(view.vectors, view.signals, world.facts, view.probes)
        verdicts.append(judged)
        middle = view.vectors.shape[1] // 2
        halves = (view.vectors[:, :middle], view.vectors[:, middle:])
        first, second = (classifier.predict(half, view.signals, world.facts, view.probes) for half in halves)
        apart.append(np.abs(first - second).mean())
    each = [diagnosis_scores(world.truth, v.probability >= v.threshold, v.probability) for v in verdicts]
    occurs = dict(zip(ERROR_TYPES, world.truth.any(axis=0), strict=True))

    def average(kind: str, measure: str) -> float | None:
        return mean(scores["types"][kind][measure] for scores in each)

    probability = np.stack([verdict.probability for verdict in verdicts])
    return {
        "auroc": {kind: average(kind, "auroc") for kind in ERROR_TYPES},
        "f1": {kind: average(kind, "f1") if occurs[kind] else None for kind in ERROR_TYPES},
        "flagged": {kind: None if occurs[kind] else average(kind, "flagged") for kind in ERROR_TYPES},
        "ece": mean(scores["ece"] for scores in each),
        "other_model": float(np.abs(probability - probability[::-1]).mean()),
        "other_samples": float(np.mean(apart)),
    }


def summary(name: str, done: list[dict]) -> dict:
    """Means of a variant over seeds and worlds, and by how much its macro-F1 differs from that of everything.

    Args:
      done: lines of all variants. The standard error is over the worlds, each averaged over types and seeds.
    """
    scores = _by_world(name, done)
    result: dict = {"variant": name}
    for measure in ("f1", "auroc", "flagged"):
        result[measure] = {kind: mean(one[measure][kind] for each in scores for one in each) for kind in ERROR_TYPES}
    for measure in ("ece", "other_model", "other_samples"):
        result[measure] = mean(one[measure] for each in scores for one in each)
    result["macro_f1"] = mean(result["f1"].values())
    gains = [
        own - whole
        for own, whole in zip(map(_macro_f1, scores), map(_macro_f1, _by_world(EVERYTHING, done)), strict=True)
        if own is not None and whole is not None
    ]
    result["gain"] = float(np.mean(gains))
    result["standard_error"] = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
    return result


def _by_world(name: str, done: list[dict]) -> list[tuple[dict, ...]]:
    """For each world its scores by every seed."""
    return list(zip(*(line["scores"] for line in done if line["variant"] == name), strict=True))


def _macro_f1(of_seeds: tuple[dict, ...]) -> float | None:
    return mean(value for one in of_seeds for value in one["f1"].values())


def _find(path: Path, wanted: dict) -> dict | None:
    lines = [line for line in read_lines(path) if all(line.get(key) == value for key, value in wanted.items())]
    return lines[-1] if lines else None


def markdown(results: list[dict], record: dict) -> str:
    """The write-up."""
    short = ("label", "feature", "shortcut")
    head = ["classifier", "macro-F1", "difference", *(f"F1 {kind}" for kind in short)]
    head += [*(f"AUROC {kind}" for kind in short), "ECE", "flagged", "other task model", "other samples"]
    rows = []
    for one in results:
        rows.append(
            [
                one["variant"],
                _number(one["macro_f1"]),
                "" if one["variant"] == EVERYTHING else f"{one['gain']:+.3f} ± {one['standard_error']:.3f}",
                *(_number(one[measure][kind]) for measure in ("f1", "auroc") for kind in ERROR_TYPES),
                _number(one["ece"]),
                " / ".join(map(_number, one["flagged"].values())),
                _number(one["other_model"]),
                _number(one["other_samples"]),
            ]
        )
    return (
        "\n\n".join(
            [
                "# What each part of the classifier is worth on unseen tables",
                f"{record['members']} networks of {record['steps']} steps each, {record['seeds']} seed(s), trained on "
                f"{record['train_worlds']} worlds of {record['train_tables']} tables, judge {record['test_worlds']} "
                f"worlds of {record['test_tables']} others (the public ones). These classifiers are small: their "
                "differences count, not their scores.",
                "F1 and AUROC are means over the worlds in which the type occurs. Difference: of a world's mean F1 "
                "from that by everything, ± its standard error over worlds. Flagged: the share of rows, by type, in "
                "worlds without that type. Last columns: how far a probability moves on average when another task "
                "model, or the other half of the validation samples, describes the row.",
                markdown_table(head, rows),
                f"*{record['date']}, commit {record['commit']}; {record['machine']}. `{record['command']}`*",
            ]
        )
        + "\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--worlds", type=Path, default=Path("worlds"), help="folder of .npz files that make_worlds made")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="what to train")
    add("--steps", type=int, default=300, help="training steps of each network")
    add("--members", type=int, default=2, help="networks of a classifier")
    add("--seeds", type=int, default=2)
    add("--trials", type=Path, default=Path("out") / "ablation.jsonl", help="file of finished trainings")
    add("--results", type=Path, default=Path("benchmarks") / "results", help="folder to write to")
    options = parser.parse_args(arguments)
    if EVERYTHING not in options.variants:
        raise InputError(f'--variants needs "{EVERYTHING}", which the others are compared to.')
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; run the same command again to go on.")
