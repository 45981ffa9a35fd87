"""A table that need not fit in memory, diagnosed by the command: time, memory, and what fitting on a sample costs.

    python -m benchmarks.tables.large_table --rows 1000000

Makes a table of 50 columns with known errors, runs `demix-jax diagnose --out-of-core` in a process of its own, and
compares with the truth; then the first rows of it in memory and out of core, fitted on all rows and on fewer. Writes
results/large_table.md and .json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from benchmarks.common.records import markdown_table, provenance
from demix_jax import ERROR_TYPES, inject_errors
from demix_jax.common.files import write_json, write_text
from demix_jax.common.wording import in_words

_RESULTS = Path(__file__).parents[1] / "results"


def make_table(num_rows: int, seed: int = 0) -> pd.DataFrame:
    """50 columns that six hidden causes are seen through: numbers, amounts, categories, a date and short codes."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(num_rows, 6))
    noise = lambda scale: scale * rng.normal(size=num_rows)  # noqa: E731
    columns: dict[str, Any] = {f"number{j}": np.round(cause[:, j % 6] + noise(0.5), 3) for j in range(29)}
    columns |= {f"amount{j}": np.exp(cause[:, j] + 3 + noise(0.2)).astype(int) for j in range(3)}
    levels = np.array(["north", "south", "east", "west", "inner", "outer", "other", "none"])
    for j in range(15):
        place = np.clip(np.floor(1.5 * cause[:, j % 6] + 4 + noise(0.5)), 0, 7).astype(int)
        columns[f"level{j}"] = levels[place]
    days = np.clip(750 + 300 * cause[:, 5] + noise(100), 0, 1_500).astype(int)
    columns["day"] = np.datetime_as_string(np.datetime64("2020-01-01") + days, unit="D")
    columns["code"] = np.array([f"k{i}" for i in range(400)])[rng.integers(0, 400, num_rows)]
    score = cause[:, 0] + cause[:, 1] * cause[:, 2] + noise(0.3)
    return pd.DataFrame(columns | {"label": np.where(score > 0, "yes", "no")})


_RUN = """
import sys
from benchmarks.common.measure import status_bytes
from demix_jax.cli import main
status = main(sys.argv[2:])
open(sys.argv[1], "w").write(str(status_bytes("VmHWM")))
sys.exit(status)
"""


def run(table: Path, folder: Path, *options: str) -> dict[str, float]:
    """Diagnose by the command in a process of its own; seconds, and the peak of its memory in bytes."""
    told = folder / "memory.txt"
    arguments = ["diagnose", str(table), "--label", "label", "--out", str(folder / "out"), *options]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _RUN, str(told), *arguments], check=True)
    return {"seconds": time.perf_counter() - start, "memory": int(told.read_text())}


def measured(name: str, table: Path, truth: pd.DataFrame, folder: Path, *options: str) -> dict[str, Any]:
    """One run with its F1 by type."""
    told = run(table, folder, *options)
    found = pd.read_csv(folder / "out" / "diagnosis.csv")
    scores = {kind: float(f1_score(truth[kind] == 1, found[kind] == 1)) for kind in ERROR_TYPES}
    return {"run": name, "rows": len(truth), **told, **scores}


def report(runs: list[dict[str, Any]], cells: int, size: int, source: dict[str, Any]) -> str:
    """The figures as Markdown."""
    head = ["run", "rows", "time", "peak memory", "label F1", "feature F1", "shortcut F1"]
    rows = [
        [
            r["run"],
            f"{r['rows']:,}",
            f"{r['seconds']:.0f} s",
            in_words(r["memory"]),
            *(f"{r[t]:.3f}" for t in ERROR_TYPES),
        ]
        for r in runs
    ]
    parts = [
        "# A table that need not fit in memory",
        f"{runs[0]['rows']:,} rows × {cells} columns, {size / 1e6:,.0f} MB of CSV, with label errors, feature errors "
        "and a shortcut that 10 % of the rows break; F1 with the classifier that ships, which never saw such a table.",
        markdown_table(head, rows),
        f"Made by `{source['command']}`, {source['date']}, {source['machine']}, commit {source['commit']}.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--compared", type=int, default=18_000, help="rows that are diagnosed in memory too")
    parser.add_argument("--folder", type=Path, default=Path("out/large"), help="where the table is put")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    clean = make_table(2 * options.rows)  # the shortcut is made by leaving rows out
    injected = inject_errors(clean, label="label", label_errors=0.1, feature_errors=0.1, spurious=0.1, seed=0)
    whole, part = options.folder / "large.csv", options.folder / "part.csv"
    injected.table.iloc[: options.rows].to_csv(whole, index=False)
    injected.table.iloc[: options.compared].to_csv(part, index=False)
    truth, few_truth = injected.truth.iloc[: options.rows], injected.truth.iloc[: options.compared]
    cells, size = injected.table.shape[1], whole.stat().st_size
    del clean, injected
    sixth = str(options.compared // 6)
    fewer = ("--out-of-core", "--fit-rows", sixth)
    runs = [
        measured("out of core, fitted on 50,000 rows", whole, truth, options.folder, "--out-of-core"),
        measured("in memory", part, few_truth, options.folder, "--in-memory"),
        measured("out of core, fitted on all rows", part, few_truth, options.folder, "--out-of-core"),
        measured(f"out of core, fitted on {int(sixth):,} rows", part, few_truth, options.folder, *fewer),
    ]
    source = provenance("large_table")
    write_json(_RESULTS / "large_table.json", {"runs": runs, **source})
    write_text(_RESULTS / "large_table.md", report(runs, cells, size, source))


if __name__ == "__main__":
    main()
