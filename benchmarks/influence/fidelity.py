"""Benchmark: how well each curvature foretells what retraining does, beside kronfluence's EK-FAC and TRAK.

    DEMIX_DATA_DIR=... python -m benchmarks.influence.fidelity     # two tables, a few minutes on two quiet cores

Models of two hidden layers are trained on random halves of a table. The linear datamodelling score is the rank
correlation, over the halves, of the loss that influence predicts for a held-out row with the loss that came about.
Results go to benchmarks/results/fidelity.{json,md,png}, with `--quick` to fidelity-quick.*.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

from benchmarks.common.records import markdown_table, provenance, run_line
from benchmarks.influence import peers
from benchmarks.influence.problems import Problem, torch_twin
from demix_jax import influence_matrix
from demix_jax.common.files import write_json, write_text
from demix_jax.curvature import CG, EKFAC, KFAC, EmpiricalFisher, GaussNewton, Hessian, Identity
from demix_jax.data import TableEncoder, load_named
from demix_jax.influence.fidelity import (
    CEILING,
    AdamFit,
    FidelityScores,
    compare_influences,
    plot_comparison,
    retrain_on_subsets,
)
from demix_jax.models import MLP, TaskModel

KRONFLUENCE = "kronfluence, EK-FAC"
TRAK = "traker, TRAK"
Method = Callable[[Problem], Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """rows, valid_rows: N and M. subsets, seeds: of the retraining; influence is averaged over the seeds too.

    penalty: λ of the weight penalty in training, and so the damping of every method that has one.
    """

    rows: int = 1_000
    valid_rows: int = 100
    subsets: int = 64
    seeds: int = 2
    steps: int = 1_000
    batch_size: int = 128
    learning_rate: float = 5e-3
    penalty: float = 3e-3
    widths: tuple[int, ...] = (64, 32)


QUICK = Settings(rows=120, valid_rows=20, subsets=10, seeds=2, steps=60, widths=(16, 8))


def methods(settings: Settings) -> dict[str, Method]:
    """Name → how influence is computed for one trained model."""
    damping = settings.penalty

    def ours(curvature: Any, normalize: str | None = None) -> Method:
        return lambda problem: np.asarray(
            influence_matrix(
                problem.model.loss, problem.params, problem.train, problem.valid, curvature=curvature,
                normalize=normalize,
            )
        )  # fmt: skip

    return {
        "GaussNewton": ours(GaussNewton(damping=damping)),
        "GaussNewton, damping chosen": ours(GaussNewton()),
        "Hessian, CG": ours(Hessian(damping=damping, solver=CG(max_steps=50))),
        "EKFAC": ours(EKFAC(damping=damping)),
        "KFAC": ours(KFAC(damping=damping)),
        "EmpiricalFisher": ours(EmpiricalFisher(damping=damping)),
        "Identity": ours(Identity()),
        "Identity, cosine": ours(Identity(), "cosine"),
        KRONFLUENCE: lambda problem: peers.kronfluence(problem, "ekfac", damping)(),
        f"{KRONFLUENCE}, damping chosen": lambda problem: peers.kronfluence(problem, "ekfac")(),
    }


def evaluate_table(name: str, settings: Settings) -> tuple[FidelityScores, dict]:
    """Scores of every method on one table, and what could not be measured."""
    problem, fit = _problem(name, settings)
    start = time.perf_counter()
    retrained = retrain_on_subsets(
        jax.random.key(0), fit, problem.model.loss, problem.train, problem.valid,
        num_subsets=settings.subsets, num_seeds=settings.seeds,
    )  # fmt: skip
    seconds = {"retraining": time.perf_counter() - start}
    trained = [
        problem._replace(params=jax.tree.map(lambda leaf: leaf[seed], retrained.full_params))  # noqa: B023
        for seed in range(settings.seeds)
    ]
    influences, missing, warned = {}, {}, {}
    averaged = {name: _average(method) for name, method in methods(settings).items()}
    averaged[TRAK] = lambda problems: peers.trak(problems[0], [torch_twin(one) for one in problems])
    for name, method in averaged.items():
        start = time.perf_counter()
        try:
            with _log_of_warnings() as lines:
                influences[name] = method(trained)
        except ImportError as error:
            missing[name] = f"not installed ({error})"
            continue
        seconds[name] = time.perf_counter() - start
        if lines:
            warned[name] = lines[0]
        if not np.isfinite(influences[name]).all():
            missing[name] = "not finite"
            del influences[name]
    return compare_influences(retrained, influences), {
        "seconds": seconds,
        "missing": missing,
        "warned": warned,
        "mean_loss": float(retrained.full_losses.mean()),
    }


@contextlib.contextmanager
def _log_of_warnings() -> Iterator[list[str]]:
    """The package's warnings while the block runs, such as that a solver did not converge."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("demix_jax")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def _average(method: Method) -> Callable[[list[Problem]], np.ndarray]:
    return lambda problems: np.mean([method(problem) for problem in problems], axis=0)


def _problem(name: str, settings: Settings) -> tuple[Problem, AdamFit]:
    frame, label = load_named(name)
    frame = frame.sample(settings.rows + settings.valid_rows, random_state=0).reset_index(drop=True)
    train_frame = frame.iloc[: settings.rows]
    encoder = TableEncoder.fit(train_frame, label)
    batches = []
    for part in (train_frame, frame.iloc[settings.rows :]):
        encoded = encoder.transform(part)
        batches.append({"x": encoded.x, "y": encoded.y})
    num_outputs = encoded.num_classes
    model = TaskModel(MLP(settings.widths, num_outputs), encoded.task)
    num_features = encoded.x.shape[1]
    fit = AdamFit(
        model.loss,
        lambda key: model.init(key, {"x": np.zeros(num_features)}),
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        penalty=settings.penalty,
    )
    return Problem(name, model, None, *batches), fit


def markdown(results: dict, picture: str) -> str:
    """The write-up. picture: file name of the plot."""
    settings, run = results["settings"], results["run"]
    hidden = "-".join(str(width) for width in settings["widths"])
    parts = [
        "# Which influence foretells what retraining does",
        f"{settings['rows']:,} training and {settings['valid_rows']} held-out rows of each table; an MLP with hidden "
        f"layers {hidden}, weight penalty λ = {settings['penalty']}, retrained on {settings['subsets']} random halves "
        f"with {settings['seeds']} seeds each. Influence is averaged over the models that these seeds give on all "
        "rows; λ is also the damping, except where a method chose its own. The score is Spearman's correlation over "
        "the halves, mean over held-out rows; in brackets a 95 % interval from resampling the halves (the halves are "
        "the same for all methods, so differences are surer than the intervals suggest).",
        f"![Scores by table]({picture})",
    ]
    names = sorted(
        {name for table in results["tables"].values() for name in table["scores"]},
        key=lambda name: (
            -np.mean([table["scores"].get(name, {}).get("lds", 0) for table in results["tables"].values()])
        ),
    )
    head = ["method", *results["tables"]]
    rows = [[name, *(_cell(table["scores"].get(name)) for table in results["tables"].values())] for name in names]
    parts += [markdown_table(head, rows), _order(results["tables"]), _notes(results["tables"])]
    parts.append(run_line(run))
    return "\n\n".join(part for part in parts if part) + "\n"


def _order(tables: dict) -> str:
    """Whether GaussNewton ≥ kronfluence's EK-FAC ≥ cosine, table by table."""
    lines = []
    for name, table in tables.items():
        scores = [table["scores"].get(key, {}).get("lds") for key in ("GaussNewton", KRONFLUENCE, "Identity, cosine")]
        if None in scores:
            continue
        own, peer, cosine = scores
        verdict = "holds" if own >= peer >= cosine else "does not hold"
        lines.append(f"* {name}: {own:.3f}, {peer:.3f}, {cosine:.3f}: {verdict}")
    return "GaussNewton ≥ kronfluence's EK-FAC ≥ cosine:\n\n" + "\n".join(lines) if lines else ""


def _notes(tables: dict) -> str:
    missing = {
        f"{method} on {name}: {why}" for name, table in tables.items() for method, why in table["missing"].items()
    }
    notes = [
        f'"{CEILING}" is how well half of the seeds foretell the other half: noise of training that no method can '
        "foretell. kronfluence's EK-FAC draws the labels of its Fisher matrix at random. TRAK predicts the margin of "
        "the label (regression: the prediction) from randomly projected gradients; its slope turns that into loss."
    ]
    warned = [
        f"{method} on {name} says: {line}" for name, table in tables.items() for method, line in table["warned"].items()
    ]
    return " ".join([*notes, *(f"Not measured: {line}." for line in sorted(missing)), *warned])


def _cell(score: dict | None) -> str:
    return "" if score is None else f"{score['lds']:.3f} [{score['low']:.2f}, {score['high']:.2f}]"


def plot(tables: dict[str, FidelityScores], path: Path) -> None:
    """One panel of bars per table, as a PNG."""
    from matplotlib.figure import Figure

    tallest = max(len(scores.names) for scores in tables.values())
    figure = Figure(figsize=(5.5 * len(tables), 1.2 + 0.32 * tallest), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (name, scores) in zip(panels, tables.items(), strict=True):
        plot_comparison(scores, title=name, axes=axes)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["adult", "bike_sharing"])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    arguments = parser.parse_args()
    settings = QUICK if arguments.quick else Settings()
    record = provenance()
    record["versions"] |= peers.versions()
    record |= {"command": "python -m benchmarks.influence.fidelity " + " ".join(sys.argv[1:]), "quick": arguments.quick}
    results: dict[str, Any] = {"settings": dataclasses.asdict(settings), "run": record, "tables": {}}
    tables = {}
    for name in arguments.tables:
        tables[name], notes = evaluate_table(name, settings)
        results["tables"][name] = {"scores": tables[name].by_name()} | notes
        print(name, tables[name].by_name(), notes, sep="\n", flush=True)
    name = "fidelity-quick" if arguments.quick else "fidelity"
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / f"{name}.json", results)
    write_text(arguments.out / f"{name}.md", markdown(results, f"{name}.png"))
    plot(tables, arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
