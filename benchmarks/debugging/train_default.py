"""Train the error classifier that ships with the package, from worlds that `make_worlds` made.

python -m benchmarks.debugging.make_worlds --out worlds
python -m benchmarks.debugging.train_default --worlds worlds --out demix_jax/classifier/weights/default.safetensors

Each network that is done is kept in the folder of the worlds; a run that was interrupted goes on behind it.
With --calibrate FILE the networks of that file stay as they are and are calibrated anew, each by the worlds of tables
that it was trained without.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from demix_jax.classifier import TrainingOptions, fit_classifier, load_classifier, recalibrate
from demix_jax.cli.display import ProgressDisplay
from demix_jax.meta_training import load_world


def main() -> None:
    """Train on every world of the folder, or calibrate by them, and write one weights file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=TrainingOptions().num_steps, help="training steps of each network")
    parser.add_argument("--calibrate", type=Path, help="weights file to calibrate anew in place of training")
    given = parser.parse_args()
    worlds = [load_world(path) for path in sorted(given.worlds.glob("*.npz"))]
    if given.calibrate is not None:
        recalibrate(load_classifier(given.calibrate), worlds).save(given.out)
        return
    options = TrainingOptions(num_steps=given.steps)
    with ProgressDisplay() as progress:
        progress.stage(f"train on {len(worlds)} worlds", options.num_steps * options.num_members)
        fit = {"seed": 0, "options": options, "networks_dir": given.worlds, "on_step": progress.advance}
        fit_classifier(worlds, **fit).save(given.out)
        progress.done()


if __name__ == "__main__":
    main()
