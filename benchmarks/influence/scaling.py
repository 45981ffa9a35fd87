"""Benchmark: time and memory of influence against N, M, P and devices, and plans against what then happened.

    python -m benchmarks.influence.scaling    # about fifteen minutes on two cores; 3 GB of temporary disk
    python -m benchmarks.influence.scaling --only plans --quick

Every point runs in a process of its own, one after another. Results go to benchmarks/results/scaling.{json,md,png}; a
section run again replaces only itself. `--quick` writes to scaling-quick.* instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common.records import provenance
from benchmarks.influence.scaling_points import map_training_data
from benchmarks.influence.scaling_report import markdown, plot
from demix_jax.common.files import write_json, write_text

WIDTHS = [64, 32]


def run_point(job: str, rows: int, columns: int, data: Path, *, widths: list | None = None, devices: int = 1, **more):
    """The result of `benchmarks.influence.scaling_points` with these settings."""
    point = {"job": job, "rows": rows, "columns": columns, "widths": widths or WIDTHS, "data": str(data)} | more
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.influence.scaling_points", json.dumps(point)],
        env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{point} failed:\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    del result["data"]
    print({key: result[key] for key in ("job", "rows", "columns", "parameters", "seconds")}, flush=True)
    return result


def curve(axis: str, smallest: dict, points: list[dict]) -> dict:
    """Points along an axis, with the exponent of time by least squares in logarithms: of all of it, and of what the
    samples add to the time of the `smallest` problem, a fixed cost."""
    fixed = smallest["seconds"]
    sizes, seconds = (np.array([point[key] for point in points]) for key in (axis, "seconds"))
    added = np.maximum(seconds - fixed, 1e-9)
    exponents = [float(np.polyfit(np.log(sizes), np.log(part), 1)[0]) for part in (seconds, added)]
    return {"axis": axis, "fixed_seconds": fixed, "exponent": exponents[0], "added": exponents[1], "points": points}


def rows_section(data: Path, quick: bool) -> dict:
    """N, the matrix streamed and dropped."""
    sizes = (1_000, 3_000) if quick else (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
    smallest = run_point("stream", 1, 256, data)
    return curve("rows", smallest, [run_point("stream", rows, 256, data) for rows in sizes])


def columns_section(data: Path, quick: bool) -> dict:
    """M."""
    sizes, rows = ((64, 128), 2_000) if quick else ((16, 64, 256, 1_024, 4_096, 16_384), 10_000)
    smallest = run_point("stream", rows, 1, data)
    return curve("columns", smallest, [run_point("stream", rows, columns, data) for columns in sizes])


def parameters_section(data: Path, quick: bool) -> dict:
    """P, by the widths of three hidden layers."""
    sizes = (16, 32) if quick else (16, 32, 64, 128, 256, 512)
    points = [run_point("stream", 2_000 if quick else 20_000, 256, data, widths=[width] * 3) for width in sizes]
    return curve("parameters", run_point("stream", points[0]["rows"], 256, data, widths=[1]), points)


def devices_section(data: Path, quick: bool) -> dict:
    """Virtual devices of one CPU: what sharing the work costs where there is nothing to gain."""
    counts = (1, 2) if quick else (1, 2, 4, 8)
    rows = 2_000 if quick else 200_000
    return {"points": [run_point("devices", rows, 256, data, devices=count) for count in counts]}


def million_section(data: Path, quick: bool) -> dict:
    """A million rows from a cold start to the finished array on disk."""
    return run_point("write", 3_000 if quick else 1_000_000, 256, data, curvature="Identity")


def plans_section(data: Path, quick: bool) -> dict:
    """Predicted, then done: both in processes of their own."""
    cases = [(1_000_000, 256, "Identity"), (100_000, 2_048, "Identity"),
             (50_000, 256, "GaussNewton, 2,048 samples"), (50_000, 256, "EKFAC, 4,096 samples")]  # fmt: skip
    if quick:
        cases = [(2_000, 64, "Identity")]
    return {
        "cases": [
            {job: run_point(job, rows, columns, data, curvature=curvature) for job in ("plan", "write")}
            for rows, columns, curvature in cases
        ]
    }


SECTIONS = {
    "rows": rows_section,
    "columns": columns_section,
    "parameters": parameters_section,
    "devices": devices_section,
    "million": million_section,
    "plans": plans_section,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this section only; may be given many times")
    parser.add_argument("--quick", action="store_true", help="small sizes: checks that everything runs")
    options = parser.parse_args()
    out = Path(__file__).parents[1] / "results" / ("scaling-quick" if options.quick else "scaling")
    results = json.loads(out.with_suffix(".json").read_text()) if out.with_suffix(".json").is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        map_training_data(Path(folder), 5_000 if options.quick else 1_000_000)
        for name in options.only or SECTIONS:
            results[name] = SECTIONS[name](Path(folder), options.quick)
            results[name]["run"] = provenance() | {"command": f"python -m benchmarks.influence.scaling --only {name}"}
            write_json(out.with_suffix(".json"), results)
    plot(results, out.with_suffix(".png"))
    write_text(out.with_suffix(".md"), markdown(results, out.with_suffix(".png").name))


if __name__ == "__main__":
    main()
