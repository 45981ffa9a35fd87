"""How long `diagnose` takes on parts of Adult, step by step: the first time in a process, and once all is compiled.

    python -m benchmarks.tables.diagnose_speed

Writes results/diagnose_speed.md and .json, on a GPU results/diagnose_speed-gpu.*. With JAX_COMPILATION_CACHE_DIR set
the first run may find programs that an earlier one kept; the report says so.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.common.records import markdown_table, name_on_device, provenance, run_line
from demix_jax import diagnose
from demix_jax.common.files import write_json, write_text
from demix_jax.data import load_named

_RESULTS = Path(__file__).parents[1] / "results"
_TABLE = "adult"


def measure(num_rows: int, seeds: tuple[int, ...] = (0, 1)) -> dict:
    """Seconds of a diagnosis per seed, one after the other in this process, in all and by step."""
    table, label = load_named(_TABLE)
    table = table.iloc[np.random.default_rng(0).permutation(len(table))[:num_rows]].reset_index(drop=True)
    runs = []
    for seed in seeds:
        start = time.perf_counter()
        found = diagnose(table, label=label, seed=seed)
        runs.append({"seconds": time.perf_counter() - start, "steps": dict(found.summary.seconds)})
        print(f"{len(table):,} rows, seed {seed}: {runs[-1]['seconds']:.1f} s", flush=True)
    return {"table": _TABLE, "rows": len(table), "columns": table.shape[1] - 1, "runs": runs}


def markdown(result: dict) -> str:
    """The report."""
    parts = result["parts"]
    runs = [run for part in parts for run in part["runs"]]
    head = [f"{part['rows']:,} rows, {run}" for part in parts for run in ("first", "second")]
    rows = [[step, *(f"{run['steps'][step]:.1f}" for run in runs)] for step in runs[0]["steps"]]
    rows.append(["**all**", *(f"**{run['seconds']:.1f}**" for run in runs)])
    return "\n\n".join(
        [
            "# How long a diagnosis takes",
            f"`diagnose` of rows of {parts[0]['table']}, {parts[0]['columns']} columns, everything included, seconds. "
            f"The first run compiles{result['programs']}; the second, with another seed, does not. All in one process, "
            "from left to right.",
            markdown_table(["step", *head], rows),
            f"{run_line(result['run'])}\n",
        ]
    )


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 34_000])
    parser.add_argument("--results", type=Path, default=_RESULTS)
    options = parser.parse_args()
    kept = " what no earlier run had kept" if os.environ.get("JAX_COMPILATION_CACHE_DIR") else ""
    flags = os.environ.get("XLA_FLAGS", "")
    result = {
        "parts": [measure(num_rows) for num_rows in options.rows],
        "programs": kept + (f" with `XLA_FLAGS={flags}`" if flags else ""),
        "run": provenance("diagnose_speed"),
    }
    stem = options.results / name_on_device("diagnose_speed")
    write_json(f"{stem}.json", result)
    write_text(f"{stem}.md", markdown(result))


if __name__ == "__main__":
    main()
