"""Make the worlds that the benchmark's classifiers are trained on; goes on where it was interrupted.

    python -m benchmarks.make_worlds --out worlds

A world takes some ten seconds on one core, so on many cores run shards side by side: --shard 0 --shards 4, and so on.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

import numpy as np

from demix_jax.data import NAMES, load_named
from demix_jax.progress import ProgressDisplay
from demix_jax.worlds import LABEL, make_world, save_world, synthetic_table

BUNDLED = ("breast_cancer", "diabetes", "wine")  # small tables that come with scikit-learn
_NUM_ROWS = 4_000
_PER_TABLE, _PER_BUNDLED, _PER_SYNTHETIC = 24, 6, 2


def plan(num_synthetic: int) -> list[tuple[str, int | None, int]]:
    """(table, number of the synthetic table or None, seed) of every world."""
    worlds: list[tuple[str, int | None, int]] = []
    for names, count in ((sorted(NAMES), _PER_TABLE), (sorted(BUNDLED), _PER_BUNDLED)):
        for t, name in enumerate(names):
            worlds += [(name, None, seed) for seed in _seeds([0, 0, t], count)]
    for s in range(num_synthetic):
        worlds += [(f"synthetic 0-{s}", s, seed) for seed in _seeds([0, 1, s], _PER_SYNTHETIC)]
    return worlds


def _seeds(entropy: list[int], count: int) -> list[int]:
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(entropy).spawn(count)]


def _file_name(world: tuple[str, int | None, int]) -> str:
    name, _, seed = world
    return f"{name.replace(' ', '-')}-{seed}.npz"


def _table(name: str, number: int | None):
    if number is not None:
        return synthetic_table(number, _NUM_ROWS), LABEL
    if name in NAMES:
        return load_named(name)
    import sklearn.datasets

    return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame, "target"


def main() -> int:
    """Make the worlds of one shard; 0 if all could be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("worlds"))
    parser.add_argument("--synthetic", type=int, default=90, help="tables drawn from random causal models")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--only", type=Path, help="list of file names; other worlds are not made")
    options = parser.parse_args()
    worlds = plan(options.synthetic)
    if options.only is not None:
        listed = set(options.only.read_text().split())
        worlds = [world for world in worlds if _file_name(world) in listed]
    order = np.random.default_rng(0).permutation(len(worlds))[options.shard :: options.shards]
    failed = 0
    with ProgressDisplay() as progress:
        progress.stage("make worlds", len(order))
        for world in (worlds[i] for i in order):
            name, number, seed = world
            path = options.out / _file_name(world)
            try:
                if not path.is_file():
                    frame, label = _table(name, number)
                    save_world(make_world(frame, label, name=name, seed=seed, num_rows=_NUM_ROWS), path)
            except Exception:  # one world that cannot be made must not end a run of hours
                traceback.print_exc()
                failed += 1
            progress.advance()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
