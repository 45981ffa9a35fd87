"""Benchmark: how fast, how exact and how frugal influence matrices are, beside PyTorch and other libraries.

    python -m benchmarks.influence.speed            # all sections, about ten minutes on two quiet cores
    python -m benchmarks.influence.speed --only cosine --quick

One process; the methods of a section run in turn. Needs torch; other libraries are measured where they are installed.
Results go to benchmarks/results/influence_speed.{json,md,png}; a section run again replaces only itself. `--quick`
writes to influence_speed-quick.* instead. On a GPU, which PyTorch then computes on too, problems are larger and results
go to influence_speed-gpu.*.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

from benchmarks.common.measure import Run, ghost_flops, interleaved, num_parameters, on_host, sgemm_rate, sgemm_size
from benchmarks.common.records import name_on_device, provenance
from benchmarks.influence import peers
from benchmarks.influence.oracles import by_cg, by_inverse
from benchmarks.influence.problems import Problem, din_problem, mlp_problem, near_kink, transformer_problem
from benchmarks.influence.speed_report import markdown, plot
from demix_jax import influence_matrix
from demix_jax.common.files import write_json, write_text
from demix_jax.curvature import EKFAC, GaussNewton, Identity

OURS = "demix_jax"
DENSE = "JAX, gradients in full"
TORCH = "PyTorch, torch.func"
DAMPING = 1e-2


@dataclasses.dataclass(frozen=True)
class Sizes:
    """(N, M) of each section, curvature samples, how often each method runs and which N, M the sweeps take."""

    mlp: tuple[int, int] = (10_000, 2_048)
    transformer: tuple[int, int] = (1_000, 512)
    din: tuple[int, int] = (10_000, 1_024)
    catalogue: tuple[int, int] = (4_000, 512)
    catalogues: tuple[int, ...] = (1_682, 10_000, 100_000, 1_000_000)
    peers: tuple[int, int] = (2_000, 512)
    sweep: tuple[int, int] = (4_000, 512)
    samples: int = 4_096
    repeats: int = 3
    oracle_columns: int = 64
    train_sizes: tuple[int, ...] = (1_000, 3_000, 10_000, 30_000)
    valid_sizes: tuple[int, ...] = (128, 512, 2_048)


QUICK = Sizes(
    (600, 128), (40, 20), (100, 32), (50, 20), (200, 20_000), (200, 64), (200, 64), 256, 1, 8, (200, 400), (32, 64)
)  # fmt: skip


ACCELERATOR = Sizes(
    mlp=(100_000, 2_048), transformer=(4_000, 1_024), din=(50_000, 2_048), catalogue=(20_000, 2_048),
    samples=32_768, sweep=(40_000, 4_096), train_sizes=(10_000, 30_000, 100_000, 300_000),
)  # fmt: skip


def cosine_section(sizes: Sizes) -> dict:
    """Cosine influence matrices of three models of tables."""
    problems = [
        mlp_problem(*sizes.mlp),
        mlp_problem(*sizes.mlp, widths=(64, 32)),
        transformer_problem(*sizes.transformer),
    ]
    return {"problems": _cosine(problems, sizes)}


def clicks_section(sizes: Sizes) -> dict:
    """Cosine influence matrices of DIN, and what they take as its catalogue grows."""
    catalogues = []
    for num_items in sizes.catalogues:
        problem = din_problem(*sizes.catalogue, num_items=num_items)
        method = functools.partial(_influence, problem, Identity(), "cosine")
        [run] = interleaved({OURS: method}, {OURS: sizes.repeats}, {OURS}).values()
        catalogues.append(_described(problem) | {"num_items": num_items} | _summary(run, problem))
        _say(catalogues[-1])
    return {"problems": _cosine([din_problem(*sizes.din)], sizes), "catalogues": catalogues}


def _cosine(problems: list[Problem], sizes: Sizes) -> list[dict]:
    results = []
    for problem in problems:
        methods = {
            OURS: functools.partial(_influence, problem, Identity(), "cosine"),
            DENSE: peers.dense_cosine(problem),
            TORCH: peers.torch_func(problem),
        }
        runs = interleaved(methods, dict.fromkeys(methods, sizes.repeats), {OURS, DENSE})
        few = problem.first(len(problem.train["y"]), sizes.oracle_columns)
        oracle = on_host(peers.torch_func(few, double=True)())
        reference = runs[TORCH].result
        at_kink = [near_kink(problem, batch) for batch in (problem.train, problem.valid)]
        flops = ghost_flops(problem.model.loss, problem.params, problem.train, problem.valid)
        rate = sgemm_rate()
        results.append(
            _described(problem)
            | {
                "flops_per_pair": flops,
                "sgemm_flops_per_second": rate,
                "sgemm_size": sgemm_size(),
                "floor_seconds": flops * problem.num_pairs / rate,
                "samples_at_kinks": int(at_kink[0].sum() + at_kink[1].sum()),
                "methods": {
                    name: _summary(run, problem) | _differences(run.result, oracle, reference, at_kink)
                    for name, run in runs.items()
                },
            }
        )
        _say(results[-1])
    return results


def gauss_newton_section(sizes: Sizes) -> dict:
    """Damped Gauss–Newton beside the cosine matrix, EK-FAC and kronfluence; its error against converged CG."""
    problem = mlp_problem(*sizes.mlp)
    gauss_newton = GaussNewton(damping=DAMPING, samples=sizes.samples)
    methods = {
        f"{OURS}, cosine": functools.partial(_influence, problem, Identity(), "cosine"),
        f"{OURS}, GaussNewton": functools.partial(_influence, problem, gauss_newton, None),
        f"{OURS}, EKFAC": functools.partial(_influence, problem, EKFAC(damping=DAMPING, samples=sizes.samples), None),
    }
    own = set(methods)
    methods |= _installed(
        {
            "kronfluence, EK-FAC": lambda: peers.kronfluence(problem, "ekfac", DAMPING, sizes.samples),
            "kronfluence, inner product": lambda: peers.kronfluence(problem, "identity"),
        }
    )
    repeats = {name: sizes.repeats if name in own else 1 for name in methods}
    runs = interleaved(methods, repeats, own)
    columns = [0, problem.valid["y"].size // 2]
    converged, residual = by_cg(problem, DAMPING, sizes.samples, columns)
    got = runs[f"{OURS}, GaussNewton"].result[:, columns]
    result = _described(problem) | {
        "damping": DAMPING,
        "samples": sizes.samples,
        "methods": {name: _summary(run, problem) for name, run in runs.items()},
        "error_against_cg": _relative(got, converged),
        "cg_residual": residual,
    }
    _say(result)
    return result


def exactness_section(sizes: Sizes) -> dict:
    """Gauss–Newton against the explicit inverse of small models: 2, 3 and 10 classes, and regression."""
    del sizes
    rows = []
    for num_outputs in (2, 3, 10, 1):
        problem = mlp_problem(600, 100, widths=(32, 16), num_outputs=num_outputs, num_features=20, steps=200)
        got = _influence(problem, GaussNewton(damping=DAMPING), None)
        want = by_inverse(problem, DAMPING)
        rows.append(_described(problem) | {"damping": DAMPING, "error_against_inverse": _relative(got, want)})
    _say(rows)
    return {"problems": rows}


def peers_section(sizes: Sizes) -> dict:
    """The libraries that do the same mathematical job, on a smaller problem."""
    problem = mlp_problem(*sizes.peers)
    gauss_newton = GaussNewton(damping=DAMPING)
    methods = {
        f"{OURS}, cosine": functools.partial(_influence, problem, Identity(), "cosine"),
        f"{OURS}, inner product": functools.partial(_influence, problem, Identity(), None),
        f"{OURS}, GaussNewton": functools.partial(_influence, problem, gauss_newton, None),
        f"{OURS}, EKFAC": functools.partial(_influence, problem, EKFAC(damping=DAMPING), None),
    }
    own = set(methods)
    wanted = {
        "torch.func, cosine": lambda: peers.torch_func(problem),
        "dattri, cosine (TracIn)": lambda: peers.dattri_cosine(problem),
        "captum, inner product (TracInCP)": lambda: peers.captum_tracin(problem),
        "kronfluence, inner product": lambda: peers.kronfluence(problem, "identity"),
        "kronfluence, EK-FAC": lambda: peers.kronfluence(problem, "ekfac", DAMPING),
    }
    methods |= _installed(wanted)
    repeats = {name: sizes.repeats if name in own else 2 for name in methods}
    runs = interleaved(methods, repeats, own)
    jobs = {}
    for name, run in runs.items():
        job = name.split(", ")[1].split(" (")[0].replace("EK-FAC", "EKFAC")
        reference = runs[f"{OURS}, {job}"].result
        agreement = float(np.corrcoef(run.result.ravel(), reference.ravel())[0, 1])
        jobs[name] = _summary(run, problem) | {"job": job, "correlation_with_ours": agreement}
    result = _described(problem) | {"methods": jobs, "not_installed": sorted(set(wanted) - set(methods))}
    _say(result)
    return result


def scaling_section(sizes: Sizes) -> dict:
    """Time against N, M, P and depth."""
    num_train, num_valid = sizes.sweep
    largest = mlp_problem(max(sizes.train_sizes), max(sizes.valid_sizes))
    sweeps = {
        "N": [(num, largest.first(num, largest.valid["y"].size)) for num in sizes.train_sizes],
        "M": [(num, largest.first(num_train, num)) for num in sizes.valid_sizes],
        "P": [],
        "hidden layers": [],
    }
    for widths in ((32,), (64, 32), (128, 64, 32), (256, 128, 64), (512, 256, 128)):
        problem = mlp_problem(num_train, num_valid, widths=widths, steps=50)
        sweeps["P"].append((num_parameters(problem.params), problem))
    for depth in (1, 2, 4, 8):
        sweeps["hidden layers"].append((depth, mlp_problem(num_train, num_valid, widths=(128,) * depth, steps=50)))
    curves: dict[str, Any] = {}
    for axis, points in sweeps.items():
        curves[axis] = []
        for value, problem in points:
            gauss_newton = GaussNewton(damping=DAMPING, samples=min(sizes.samples, len(problem.train["y"])))
            methods = {
                f"{OURS}, cosine": functools.partial(_influence, problem, Identity(), "cosine"),
                f"{OURS}, GaussNewton": functools.partial(_influence, problem, gauss_newton, None),
                f"{TORCH}, cosine": peers.torch_func(problem),
            }
            runs = interleaved(methods, dict.fromkeys(methods, 1), {name for name in methods if OURS in name})
            curves[axis].append(
                _described(problem) | {"value": value, "seconds": {name: run.seconds for name, run in runs.items()}}
            )
            _say(curves[axis][-1])
    return {"curves": curves}


SECTIONS: dict[str, Callable[[Sizes], dict]] = {
    "cosine": cosine_section,
    "clicks": clicks_section,
    "gauss_newton": gauss_newton_section,
    "exactness": exactness_section,
    "peers": peers_section,
    "scaling": scaling_section,
}


def _influence(problem: Problem, curvature: Any, normalize: str | None) -> Any:
    return influence_matrix(
        problem.model.loss, problem.params, problem.train, problem.valid, curvature=curvature, normalize=normalize
    )


def _installed(builders: dict[str, Callable[[], peers.Method]]) -> dict[str, peers.Method]:
    methods = {}
    for name, build in builders.items():
        try:
            methods[name] = build()
        except ImportError as error:
            print(f"{name}: not installed ({error})", flush=True)
    return methods


def _described(problem: Problem) -> dict:
    return {
        "problem": problem.name,
        "num_train": len(problem.train["y"]),
        "num_valid": len(problem.valid["y"]),
        "num_parameters": num_parameters(problem.params),
    }


def _summary(run: Run, problem: Problem) -> dict:
    return {
        "seconds": run.seconds,
        "slowest_over_fastest": run.spread,
        "first_run_seconds": run.first,
        "pairs_per_second": problem.num_pairs / run.seconds,
        "memory_bytes": run.memory,
    }


def _differences(result: np.ndarray, oracle: np.ndarray, reference: np.ndarray, at_kink: list[np.ndarray]) -> dict:
    """Largest differences of a matrix f[N, M] from `oracle`, its first columns, and from `reference`, and off kinks."""
    columns = oracle.shape[1]
    error, difference = np.abs(result[:, :columns] - oracle), np.abs(result - reference)
    rows, smooth = ~at_kink[0], ~at_kink[1]
    return {
        "max_error": float(error.max()),
        "max_difference_from_torch": float(difference.max()),
        "max_difference_from_torch_off_kinks": float(difference[np.ix_(rows, smooth)].max()),
        "max_error_off_kinks": float(error[np.ix_(rows, smooth[:columns])].max()),
    }


def _relative(got: Any, want: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(got, np.float64) - want) / np.linalg.norm(want))


def _say(result: Any) -> None:
    print(json.dumps(result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    arguments = parser.parse_args()
    on_cpu = jax.default_backend() == "cpu"
    name_of_run = name_on_device("influence_speed") + "-quick" * arguments.quick
    sizes = QUICK if arguments.quick else Sizes() if on_cpu else ACCELERATOR
    path = arguments.out / f"{name_of_run}.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    for name in arguments.only:
        measured = SECTIONS[name](sizes)
        results[name] = measured | {"run": _run_record(arguments.quick)}
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(path, results)
        write_text(path.with_suffix(".md"), markdown(results, f"{name_of_run}.png", targets=on_cpu))
    if "scaling" in results:
        plot(results["scaling"]["curves"], path.with_suffix(".png"))


def _run_record(quick: bool) -> dict:
    record = provenance()
    return record | {
        "versions": {name: version for name, version in record["versions"].items() if name != "scikit-learn"}
        | peers.versions(),
        "command": "python -m benchmarks.influence.speed " + " ".join(sys.argv[1:]),
        "quick": quick,
    }


if __name__ == "__main__":
    main()
