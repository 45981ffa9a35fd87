"""One measured point of the scaling benchmark, in a process of its own, so that no point warms or bloats another.

    python -m benchmarks.influence.scaling_points '{"job": "write", "rows": 1000, …}'

prints one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.common.measure import num_parameters, status_bytes
from benchmarks.influence.problems import Problem, mlp_problem, table_like
from demix_jax import EKFAC, GaussNewton, Identity, influence_blocks, influence_matrix, influence_plan, write_influence
from demix_jax.influence.sharded import TRAIN_AXIS

NUM_FEATURES = 100
CURVATURES = {
    "Identity": Identity(),
    "GaussNewton, 2,048 samples": GaussNewton(damping=1e-2, samples=2048),
    "EKFAC, 4,096 samples": EKFAC(damping=1e-2, samples=4096),
}


class AnonymousMemory:
    """The process's own memory, without what is mapped from files: now, and at its peak (Linux)."""

    def __init__(self) -> None:
        self.before = self.peak = self._now()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def beyond(self) -> int:
        """Bytes at the peak beyond what was there before; ends the watch."""
        self._ended.set()
        return max(self.peak, self._now()) - self.before

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        return status_bytes("RssAnon")


def problem(rows: int, columns: int, widths: list[int], data: str) -> tuple[Problem, dict]:
    """A perceptron, and `rows` training samples mapped from the files that `map_training_data` made."""
    made = mlp_problem(4096, columns, widths=tuple(widths), num_features=NUM_FEATURES, steps=50)
    train = {key: np.load(Path(data) / f"{key}.npy", mmap_mode="r")[:rows] for key in ("x", "y")}
    return made, train


def map_training_data(folder: Path, rows: int) -> None:
    """Files of `rows` training samples: those of the problem with noise of their own in the numbers."""
    made = table_like(65_536, NUM_FEATURES, 2, "classification")
    rng = np.random.default_rng(1)
    files = {
        key: np.lib.format.open_memmap(folder / f"{key}.npy", "w+", leaf.dtype, (rows, *leaf.shape[1:]))
        for key, leaf in made.items()
    }
    for start in range(0, rows, len(made["y"])):
        num = min(len(made["y"]), rows - start)
        files["x"][start : start + num] = made["x"][:num]
        files["x"][start : start + num, :6] += 0.1 * rng.standard_normal((num, 6), np.float32)
        files["y"][start : start + num] = made["y"][:num]


def stream(made: Problem, train: dict, point: dict) -> dict:
    """All blocks of the matrix, computed and dropped; once for the compiler, then several times."""

    def run() -> None:
        for _ in influence_blocks(made.model.loss, made.params, train, made.valid, normalize="cosine"):
            pass

    run()
    seconds, memory = [], AnonymousMemory()
    while len(seconds) < 3 or (sum(seconds) < 2 and len(seconds) < 50):
        seconds.append(_seconds(run))
    return {"seconds": min(seconds), "median_seconds": statistics.median(seconds), "memory": memory.beyond()}


def write(made: Problem, train: dict, point: dict) -> dict:
    """From a cold start to the finished array on disk."""
    memory = AnonymousMemory()
    with tempfile.TemporaryDirectory(dir=point["data"]) as folder:
        path = Path(folder) / "influence"
        seconds = _seconds(
            lambda: write_influence(path, made.model.loss, made.params, train, made.valid, **_how(point))
        )
        beyond = memory.beyond()
        disk = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {
        "seconds": seconds,
        "memory": beyond,
        "process": memory.before + beyond,
        "resident": status_bytes("VmHWM"),
        "disk": disk,
    }


def plan(made: Problem, train: dict, point: dict) -> dict:
    """What the planner says of `write`."""
    start = time.perf_counter()
    predicted = influence_plan(
        made.model.loss, made.params, train, made.valid, path=Path(point["data"]) / "new", **_how(point)
    )
    return {
        "seconds": predicted.seconds,
        "memory": predicted.peak_memory,
        "disk": predicted.disk,
        "planning_seconds": time.perf_counter() - start,
    }


def devices(made: Problem, train: dict, point: dict) -> dict:
    """The matrix in memory, on all devices there are."""
    mesh = jax.make_mesh((jax.device_count(),), (TRAIN_AXIS,))
    rows = {key: np.array(leaf) for key, leaf in train.items()}

    def run() -> Any:
        matrix = influence_matrix(made.model.loss, made.params, rows, made.valid, normalize="cosine", mesh=mesh)
        return matrix.block_until_ready()

    run()
    return {"seconds": min(_seconds(run) for _ in range(3)), "devices": jax.device_count()}


JOBS = {"stream": stream, "write": write, "plan": plan, "devices": devices}


def _how(point: dict) -> dict:
    curvature = CURVATURES[point["curvature"]]
    return {"curvature": curvature, "normalize": "cosine" if isinstance(curvature, Identity) else None}


def _seconds(run: Callable) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    point = json.loads(sys.argv[1])
    made, train = problem(point["rows"], point["columns"], point["widths"], point["data"])
    result = JOBS[point["job"]](made, train, point)
    print(json.dumps(point | {"parameters": num_parameters(made.params)} | result))


if __name__ == "__main__":
    main()
