"""Do two versions of the code give the same results, byte for byte? Writes results to a folder, compares two folders.

    python tests/same_results.py write before          # at the old version
    python tests/same_results.py write after           # at the new one
    python tests/same_results.py compare before after

Tables, the MovieLens log and UltraFeedback are looked for in the folder that DEMIX_DATA_DIR names. Cases: the demo;
Adult and Bike Sharing as they are; tables with injected errors; a table larger than memory; a MovieLens slice;
preference pairs read by a tiny untrained decoder; two training worlds. `--only` takes some of them.

Programs are compiled anew: one that comes from JAX's compilation cache may round otherwise than a fresh one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import demix_jax
from demix_jax import preference
from demix_jax.data import load_named

_TIMED = ("seconds", "versions", "train", "classifier")  # of a summary: what differs between two runs or places
_EXACT = (".csv", ".jsonl", ".npz.txt")


def write_demo(out: Path) -> None:
    from demix_jax.cli import main

    main(["demo", "--out", str(out)])


def _write_table(name: str, out: Path) -> None:
    table, label = load_named(name)
    _diagnose_and_repair(table, label, out)


def _diagnose_and_repair(table: pd.DataFrame, label: str, out: Path, **options: object) -> None:
    diagnosis = demix_jax.diagnose(table, label=label, **options)  # pyright: ignore[reportArgumentType]
    diagnosis.save(out)
    repaired = demix_jax.repair(table, diagnosis, label=label)
    repaired.table.to_csv(out / "repaired.csv", index=False)
    repaired.changes.cells.to_csv(out / "changes.csv", index=False)


def write_adult(out: Path) -> None:
    _write_table("adult", out)


def write_bike_sharing(out: Path) -> None:
    _write_table("bike_sharing", out)


def write_injected(out: Path) -> None:
    for name, rows in (("adult", 2_000), ("air_quality", 1_500), ("covertype", 1_200)):
        table, label = load_named(name)
        part = table.sample(rows, random_state=0).reset_index(drop=True)
        injected = demix_jax.inject_errors(part, label=label, seed=3)
        valid = table.sample(400, random_state=1).reset_index(drop=True)
        options = {"valid": valid} if name == "covertype" else {"model": "mlp-small"} if name == "air_quality" else {}
        injected.truth.to_csv((out / f"truth-{name}.csv"), index=False)
        (out / name).mkdir()
        _diagnose_and_repair(injected.table, label, out / name, **options)


def write_out_of_core(out: Path) -> None:
    table, label = load_named("bank")
    path = out / "bank.parquet"
    table.head(12_000).to_parquet(path)
    demix_jax.diagnose_out_of_core(path, label=label, out=out / "diagnosis", fit_rows=3_000, seed=1)


def write_movielens(out: Path) -> None:
    try:
        from demix_jax.recommendation import (  # pyright: ignore[reportMissingImports]
            load_recommendation,
            make_samples,
        )
    except ImportError:
        from demix_jax.domains.recommendation import load_recommendation, make_samples

    samples = make_samples(load_recommendation("movielens"), max_samples=3_000, seed=0).part("train")
    injected = demix_jax.inject_interaction_errors(samples, seed=0)
    diagnosis = demix_jax.diagnose_interactions(injected.samples)
    diagnosis.save(out)
    repaired = demix_jax.repair(diagnosis.train, diagnosis, label="clicked")
    repaired.table.to_csv(out / "repaired.csv", index=False)


def write_pairs(out: Path) -> None:
    from tiny_decoder import tiny_decoder

    folder = Path(os.environ["DEMIX_DATA_DIR"])
    pairs = preference.read_pairs(folder / "preference_ultrafeedback.parquet")
    clean = preference.make_pairs(pairs.pairs[:150])
    injected = preference.inject_errors(clean, shortcut="longer", seed=0)
    diagnosis = preference.diagnose(injected.pairs, model=tiny_decoder(), max_prompt=100, max_answer=200)
    diagnosis.save(out)
    preference.repair(injected.pairs, diagnosis).save(out / "repaired.jsonl")


def write_worlds(out: Path) -> None:
    from demix_jax.meta_training import Variety, make_world

    for name, variety in (("adult", Variety()), ("bike_sharing", Variety(every_probe=False))):
        table, label = load_named(name)
        world = make_world(table, label, name=name, seed=5, variety=variety, num_rows=1_500)
        lines = [f"facts {world.facts.tolist()}", f"truth {_digest(world.truth)}"]
        for view in world.views:
            lines += [f"vectors {_digest(view.vectors)}", f"signals {_digest(view.signals)}"]
            if view.probes is not None:
                lines += [_digest(view.probes.vectors), _digest(view.probes.signals), _digest(view.probes.truth)]
        (out / f"{name}.npz.txt").write_text("\n".join(lines))


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


CASES: dict[str, Callable[[Path], None]] = {
    "injected": write_injected,
    "pairs": write_pairs,
    "movielens": write_movielens,
    "worlds": write_worlds,
    "demo": write_demo,
    "out-of-core": write_out_of_core,
    "bike_sharing": write_bike_sharing,
    "adult": write_adult,
}


def compare(before: Path, after: Path) -> list[str]:
    """What differs between two folders, a line per file; empty if nothing does."""
    differing = []
    for path in sorted(before.rglob("*")):
        name = path.relative_to(before)
        other = after / name
        if (
            not path.is_file()
            or not other.parent.exists()
            or not (path.name.endswith(_EXACT) or path.suffix == ".json")
        ):
            continue
        if not other.is_file():
            differing.append(f"{name}: missing")
        elif path.name == "summary.json":
            known, new = (json.loads(one.read_text()) for one in (path, other))
            keys = [key for key in {**known, **new} if key not in _TIMED and known.get(key) != new.get(key)]
            differing += [f"{name}: {', '.join(keys)}"] if keys else []
        elif path.suffix != ".json" and path.read_bytes() != other.read_bytes():
            differing.append(f"{name}: other bytes")
    return differing


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("out", type=Path)
    writing.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "write":
        jax.config.update("jax_enable_compilation_cache", False)
        for name in options.only:
            folder = options.out / name
            folder.mkdir(parents=True)
            CASES[name](folder)
            print(f"{name}: written", file=sys.stderr)
        return 0
    differing = compare(options.before, options.after)
    print("\n".join(differing) or "Everything is the same, byte for byte.")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
