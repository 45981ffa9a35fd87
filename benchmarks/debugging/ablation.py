"""Benchmark: what each part of the error classifier is worth on tables that it never saw.

    python -m benchmarks.debugging.make_worlds --out worlds
    python -m benchmarks.debugging.ablation --worlds worlds

Small networks are trained with everything and with one thing left out; each judges the worlds of the tables that it
was trained without, so that every world is judged once. Finished trainings are lines of out/ablation.jsonl, and a run
that was interrupted goes on after them. Writes results/ablation.md and .json.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

from benchmarks.common.command import run_command
from benchmarks.common.records import append_line, markdown_table, number_text, provenance, read_lines, run_line
from benchmarks.debugging.scores import ranking_scores
from benchmarks.debugging.summary import mean
from demix_jax import InputError
from demix_jax.classifier import ErrorClassifier, Interventions, TrainingOptions, View, World, fit_classifier
from demix_jax.classifier.schema import SIGNALS, VECTOR_SIGNALS
from demix_jax.classifier.train import held_out_tables
from demix_jax.cli.display import ProgressDisplay
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import write_json, write_text
from demix_jax.meta_training import load_world

RANKED = ("average_precision", "auroc")
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
    """interventions, losses: of training. change: made to every world, in training and in the test."""

    interventions: Interventions = Interventions()
    losses: Mapping[str, Any] = MappingProxyType({})
    change: Callable[[World], World] = lambda world: world


EVERYTHING = "everything"
VARIANTS = {
    EVERYTHING: Variant(),
    "without agreement of the views": Variant(losses={"agreement": 0.0}),
    "without contrastive loss": Variant(losses={"contrastive": 0.0}),
    "with the paper's contrastive loss, no agreement": Variant(losses={"agreement": 0.0, "contrast_rows": True}),
    "without validation subsets": Variant(Interventions(mask_validation=False)),
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
    if len({world.table for world in worlds}) < options.networks:
        raise InputError(
            f"{options.worlds} holds worlds of fewer than {options.networks} tables; make more with "
            "`python -m benchmarks.debugging.make_worlds`, or name another folder with --worlds."
        )
    size = {"networks": options.networks, "steps": options.steps, "num_worlds": len(worlds)}
    size |= {"worlds": hashlib.sha256("\n".join(path.name for path in files).encode()).hexdigest()[:12]}
    training = TrainingOptions(num_members=options.networks, num_steps=options.steps)
    done = {}
    with ProgressDisplay() as progress:
        for name in options.variants:
            make_room()
            identity = {"variant": name} | size
            line = _find(options.trials, identity)
            if line is None:
                line = identity | {"scores": _judged(name, worlds, training, progress)}
                append_line(options.trials, line)
            done[name] = line["scores"]
        progress.done()
    results = [summary(name, done) for name in done]
    record = provenance("ablation") | size | {"num_tables": len({world.table for world in worlds})}
    write_json(options.results / "ablation.json", record | {"results": results})
    text = markdown(results, record)
    write_text(options.results / "ablation.md", text)
    print(text)
    return 0


def _judged(name: str, worlds: list[World], training: TrainingOptions, progress: ProgressDisplay) -> list[dict]:
    """Scores of every world by the network of a variant that was trained without its table."""
    variant = VARIANTS[name]
    changed = [variant.change(world) for world in worlds]
    progress.stage(name, training.num_steps * training.num_members)
    classifier = fit_classifier(
        changed,
        seed=0,
        interventions=variant.interventions,
        options=dataclasses.replace(training, **variant.losses),
        on_step=progress.advance,
    )
    progress.stage("judge worlds of other tables", len(worlds))
    networks = {table: alone for alone, tables in held_out_tables(classifier) for table in tables}
    scores = []
    for world in changed:
        scores.append(world_scores(networks[world.table], world))
        progress.advance()
    return scores


def world_scores(network: ErrorClassifier, world: World) -> dict:
    """Scores of one world, averaged over its views.

    Args:
      network: a single one, not calibrated.
    Returns:
      {"average_precision", "auroc": {type: value}, "other_model", "other_samples"}; None for a type that no row or
      every row has. The last two are how much probabilities differ on average from those by another task model, and by
      the other half of the validation samples.
    """

    def judged(view: View, part: slice = slice(None)) -> np.ndarray:
        logits = network.logits(view.vectors[:, part], view.signals, world.facts, view.probes)[0]
        return 1 / (1 + np.exp(-logits))

    middle = world.views[0].vectors.shape[1] // 2
    whole = np.stack([judged(view) for view in world.views])
    halves = [(judged(view, slice(middle)), judged(view, slice(middle, None))) for view in world.views]
    each = [[ranking_scores(world.truth[:, t], p[:, t]) for p in whole] for t in range(len(ERROR_TYPES))]
    ranked = {
        measure: {
            kind: mean(scores[measure] for scores in of_type) for kind, of_type in zip(ERROR_TYPES, each, strict=True)
        }
        for measure in RANKED
    }
    return ranked | {
        "other_model": float(np.abs(whole - whole[::-1]).mean()),
        "other_samples": float(np.mean([np.abs(first - second).mean() for first, second in halves])),
    }


def summary(name: str, done: dict[str, list[dict]]) -> dict:
    """Means of a variant over worlds, and by how much its average precision differs from that by everything.

    Args:
      done: {variant: scores of every world}. The standard error is over worlds, each averaged over types.
    """
    scores = done[name]
    result: dict = {"variant": name}
    for measure in RANKED:
        result[measure] = {kind: mean(one[measure][kind] for one in scores) for kind in ERROR_TYPES}
    for measure in ("other_model", "other_samples"):
        result[measure] = mean(one[measure] for one in scores)
    pairs = zip(map(_mean_precision, scores), map(_mean_precision, done[EVERYTHING]), strict=True)
    gains = [own - whole for own, whole in pairs if own is not None and whole is not None]
    result["mean"] = mean(result["average_precision"].values())
    result["gain"] = mean(gains)
    result["standard_error"] = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    return result


def _mean_precision(scores: dict) -> float | None:
    return mean(scores["average_precision"].values())


def _find(path: Path, wanted: dict) -> dict | None:
    lines = [line for line in read_lines(path) if all(line.get(key) == value for key, value in wanted.items())]
    return lines[-1] if lines else None


def markdown(results: list[dict], record: dict) -> str:
    """The write-up."""
    short = ("label", "feature", "shortcut")
    head = ["networks", "average precision", "difference", *short, *(f"AUROC {kind}" for kind in short)]
    head += ["other task model", "other samples"]
    rows = []
    for one in results:
        apart = "" if one["variant"] == EVERYTHING else f"{one['gain']:+.3f} ± {number_text(one['standard_error'])}"
        rows.append(
            [
                one["variant"],
                number_text(one["mean"]),
                apart,
                *(number_text(one[measure][kind]) for measure in RANKED for kind in ERROR_TYPES),
                number_text(one["other_model"]),
                number_text(one["other_samples"]),
            ]
        )
    return (
        "\n\n".join(
            [
                "# What each part of the classifier is worth on unseen tables",
                f"{record['num_worlds']} worlds of {record['num_tables']} tables in {record['networks']} parts. For "
                f"each part a network is trained on the others, {record['steps']} steps long, and judges its worlds. "
                "The networks that ship saw more worlds and for longer: differences count here, not scores.",
                "Average precision and AUROC are means over the worlds in which the type occurs, the first also over "
                "types. Difference: of a world's mean average precision from that by everything, ± the standard error "
                "over worlds. Last columns: how far a probability moves on average when another task model, or the "
                "other half of the validation samples, describes the row.",
                markdown_table(head, rows),
                run_line(record),
            ]
        )
        + "\n"
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--worlds", type=Path, default=Path("worlds"), help="folder of .npz files that make_worlds made")
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="what to train")
    add("--steps", type=int, default=300, help="training steps of each network")
    add("--networks", type=int, default=3, help="how many, and into how many parts the tables are split")
    add("--trials", type=Path, default=Path("out") / "ablation.jsonl", help="file of finished trainings")
    add("--results", type=Path, default=Path("benchmarks") / "results", help="folder to write to")
    options = parser.parse_args(arguments)
    if options.networks < 2:
        raise InputError(
            f"--networks is {options.networks}; give at least 2, since each judges what others learn from."
        )
    if EVERYTHING not in options.variants:
        raise InputError(f'--variants needs "{EVERYTHING}", which the others are compared to.')
    return options


if __name__ == "__main__":
    run_command(main)
