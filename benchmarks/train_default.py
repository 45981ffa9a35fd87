"""Train the error classifier that ships with the package, from worlds that `make_worlds` made.

python -m benchmarks.make_worlds --out worlds
python -m benchmarks.train_default --worlds worlds --out demix_jax/classifier/weights/default.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

from demix_jax.classifier import TrainingOptions, fit_classifier
from demix_jax.progress import ProgressDisplay
from demix_jax.worlds import load_world


def main() -> None:
    """Train on every world of the folder and write one weights file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=700, help="training steps of each network")
    given = parser.parse_args()
    worlds = [load_world(path) for path in sorted(given.worlds.glob("*.npz"))]
    options = TrainingOptions(num_steps=given.steps)
    with ProgressDisplay() as progress:
        progress.stage(f"train on {len(worlds)} worlds", options.num_steps * options.num_members)
        fit_classifier(worlds, seed=0, options=options, on_step=progress.advance).save(given.out)
        progress.done()


if __name__ == "__main__":
    main()
