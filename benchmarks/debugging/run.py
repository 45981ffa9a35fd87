"""Benchmark: which rows are wrong, and in which way, on tables that the classifier was not trained on.

    python -m benchmarks.debugging.run --worlds worlds --classifiers out/classifiers

Each finished trial is one line of the trials file; a run that was interrupted goes on behind the last one. See
benchmarks/README.md for the protocol.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

from benchmarks.common.command import run_command
from benchmarks.common.records import append_line, finished_lines, provenance
from benchmarks.debugging.cheap_trees import CheapTrees, make_tasks
from benchmarks.debugging.paper_recipe import load_params, save_params, train_paper_recipe
from benchmarks.debugging.peers import BEST_PER_TYPE
from benchmarks.debugging.summary import summarise
from benchmarks.debugging.trials import LOGS, SUITES, Trial, plan, run_trial
from benchmarks.debugging.write_up import markdown, plot
from demix_jax import ErrorClassifier, InputError, load_classifier
from demix_jax.classifier import TrainingOptions, fit_classifier
from demix_jax.cli.display import ProgressDisplay
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.files import atomic_paths, write_json, write_text
from demix_jax.data import NAMES
from demix_jax.meta_training import load_world
from demix_jax.models import MODELS

QUICK = {
    "tables": ["adult", "bank", "bike_sharing"],
    "suites": ["paper", "unseen kinds", "clean"],
    "alphas": [0.5],
    "seeds": 1,
    "rows": 3_000,
    "steps": 300,
    "members": 2,
}
_CHEAP_TASKS = 4  # corrupted versions of each other table


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, then write results; 0 if every trial could be run."""
    options = _parse(arguments)
    name = "debugging" + ("-known" if options.regime == "known" else "")
    name += ("" if options.model == "mlp" else f"-{options.model}") + ("-quick" if options.quick else "")
    trials_path = options.trials or Path("out") / f"{name}.jsonl"
    trials = plan(options.tables, options.suites, options.alphas, options.seeds, options.rows, options.model)
    with ProgressDisplay() as progress:
        classifiers = {table: _classifier(table, options, progress) for table in options.tables}
        peers = {"recipe": _paper_recipe(options, progress)} if options.regime == "known" else {}
        failed = _run(trials, classifiers, trials_path, options, peers, progress)
    finished = list(_finished(trials, classifiers, trials_path, options).values())
    if not finished:
        print("No trial could be run, so there is nothing to write.", file=sys.stderr)
        return 1
    settings = {key: value for key, value in vars(options).items() if not isinstance(value, Path)}
    record = provenance() | {"regime": options.regime, "settings": settings}
    write_results(finished, record, options.results / name)
    print(f"Wrote {options.results / name}.md from {len(finished)} trials; {len(failed)} failed.")
    return 1 if failed else 0


def write_results(trials: list[dict], record: dict, stem: Path) -> None:
    """Write stem.json, stem.md and, if anything was corrupted, stem.png."""
    summary = summarise(trials)
    write_json(f"{stem}.json", record | {"summary": summary, "trials": trials})
    write_text(f"{stem}.md", markdown(summary, record))
    if summary["suites"]:
        with atomic_paths(f"{stem}.png") as (path,):
            plot(summary, trials, record).savefig(path, dpi=110)


def _run(trials, classifiers, path: Path, options, peers: dict[str, Any], progress) -> list[Trial]:
    """Run the trials that the file lacks; a trial that fails is shown and does not keep the others from running."""
    done = _finished(trials, classifiers, path, options)
    missing = [trial for trial in trials if trial not in done]
    cheap = _cheap_trees(missing, options, progress)
    progress.stage(f"trials ({len(done)} were done)", len(missing))
    failed = []
    for trial in missing:
        make_room()
        try:
            classifier, trees = classifiers[trial.table], cheap.get(trial.table)
            result = run_trial(trial, classifier, repair_at=options.repair_at, cheap=trees, **peers)
        except Exception:  # one broken trial of many hours must not end the run
            traceback.print_exc()
            failed.append(trial)
            continue
        append_line(path, _identity(trial, classifiers, options) | result)
        progress.advance()
        print(_one_line(trial, result), file=sys.stderr)
    return failed


def _finished(trials, classifiers, path: Path, options) -> dict[Trial, dict]:
    """Lines of the file that belong to these trials, with these classifiers and this regime."""
    return finished_lines(path, {trial: _identity(trial, classifiers, options) for trial in trials})


def _identity(trial: Trial, classifiers: dict[str, ErrorClassifier], options) -> dict[str, Any]:
    """What a line must agree in to count as this trial."""
    repaired = trial.suite != "clean" and trial.clean_share == options.repair_at
    own = {"regime": options.regime, "classifier": classifiers[trial.table].fingerprint, "repaired": repaired}
    return dataclasses.asdict(trial) | own


def _classifier(table: str, options, progress) -> ErrorClassifier:
    """The classifier for a table: read from --classifiers, or trained on --worlds and kept there.

    For an interaction log the one that ships, which was trained on tables only.
    """
    known = options.regime == "known"
    if table in LOGS:
        if known:
            raise InputError(f"No classifier is trained on {table}; leave it out of --tables with --regime known.")
        if options.model != "mlp":
            raise InputError(f"{table} is diagnosed by a click model; leave it out of --tables with --model.")
        return load_classifier("default")
    path = options.classifiers / ("with-all-tables.safetensors" if known else f"without-{table}.safetensors")
    if not path.is_file():
        _train(path, None if known else table, options, progress)
    classifier = load_classifier(path)
    trained_on = classifier.card.get("tables", [])
    if (table in trained_on) != known:
        verb = "not trained" if known else "trained"
        raise InputError(f"{path} was {verb} on {table}, which is another regime; remove the file to train it anew.")
    return classifier


def _train(path: Path, without: str | None, options, progress) -> None:
    files = sorted(options.worlds.glob("*.npz"))
    worlds = [world for world in map(load_world, files) if world.table != without]
    if len({world.table for world in worlds}) < 2:
        raise InputError(
            f"{options.worlds} holds versions of fewer than 2 tables to train {path.name} on; make them with "
            "`python -m benchmarks.debugging.make_worlds`, or name another folder with --worlds."
        )
    training = TrainingOptions(num_steps=options.steps, num_members=options.members)
    progress.stage(f"train {path.stem} on {len(worlds)} worlds", training.num_steps * training.num_members)
    fit = {"seed": 0, "options": training, "networks_dir": options.classifiers, "on_step": progress.advance}
    fit_classifier(worlds, **fit).save(path)


def _cheap_trees(trials: list[Trial], options, progress) -> dict[str, CheapTrees]:
    """The trees on cheap signals for each table of corrupted trials, learned on the other tables."""
    tables = sorted({trial.table for trial in trials if trial.suite != "clean"})
    if not tables:
        return {}
    progress.stage("corrupt tables for the trees on cheap signals", _CHEAP_TASKS * len(NAMES))
    tasks = make_tasks(NAMES, per_table=_CHEAP_TASKS, rows=min(options.rows, 4_000), on_task=progress.advance)
    return {table: CheapTrees([task for task in tasks if task.table != table], seed=0) for table in tables}


def _paper_recipe(options, progress) -> Any:
    """Parameters of the paper's network, trained on these tables' worlds: from --classifiers, or kept there."""
    path = options.classifiers / "paper-recipe.safetensors"
    if not path.is_file():
        worlds = [world for world in map(load_world, sorted(options.worlds.glob("*.npz"))) if world.table in NAMES]
        progress.stage(f"train the paper's recipe on {len(worlds)} worlds", options.recipe_steps)
        save_params(train_paper_recipe(worlds, steps=options.recipe_steps, seed=0, on_step=progress.advance), path)
    return load_params(path)


def _one_line(trial: Trial, result: dict) -> str:
    scores = result["diagnosis"]
    f1 = " ".join(f"{kind['f1']:.2f}" for kind in scores["types"].values())
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in result["seconds"].items())
    best = result["peers"].get(BEST_PER_TYPE)
    peers = f", best of peers {best['macro_f1']:.3f}" if best else ""
    return (
        f"{trial.suite} | {trial.table} | α {trial.clean_share} | seed {trial.seed}: macro-F1 {scores['macro_f1']:.3f} "
        f"({f1}){peers}, any {scores['any']['f1']:.3f}, ECE {scores['ece']:.3f}; {seconds}"
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="three tables, fewer rows, one seed, a small classifier: ten minutes")
    add("--regime", choices=("unseen", "known"), default="unseen", help="was the classifier trained on the table?")
    add("--tables", nargs="+", choices=(*NAMES, *LOGS), default=list(NAMES), help="tables and interaction logs")
    add("--suites", nargs="+", choices=SUITES, default=list(SUITES))
    add("--alphas", nargs="+", type=float, default=[0.5, 0.8], help="clean shares")
    add("--seeds", type=int, default=3)
    add("--rows", type=int, default=6_000, help="rows of a table before the shortcut leaves some out, at most")
    add("--model", choices=MODELS, default="mlp", help="task model of the diagnosis")
    add("--repair-at", type=float, default=0.5, help="clean share at which models are retrained after repair")
    add("--steps", type=int, default=TrainingOptions().num_steps, help="training steps of each network")
    add("--members", type=int, default=TrainingOptions().num_members, help="networks of a classifier")
    add("--recipe-steps", type=int, default=1_000, help="training steps of the paper's recipe, in the known regime")
    add("--worlds", type=Path, default=Path("worlds"), help="folder of .npz files to train classifiers on")
    add("--classifiers", type=Path, help="folder of trained classifiers")
    add("--trials", type=Path, help="file of finished trials, one JSON line each")
    add("--results", type=Path, default=Path("benchmarks") / "results", help="folder to write to")
    if "--quick" in (sys.argv[1:] if arguments is None else arguments):
        parser.set_defaults(**QUICK)
    options = parser.parse_args(arguments)
    if options.classifiers is None:
        options.classifiers = Path("out") / ("classifiers-quick" if options.quick else "classifiers")
    return options


if __name__ == "__main__":
    run_command(main)
