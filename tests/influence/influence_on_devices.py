"""A program that computes influence on several devices or processes and leaves the results in a file.

    python -m tests.influence.influence_on_devices RESULTS.npz FOLDER [COORDINATOR NUM_PROCESSES PROCESS]

It also writes the matrix to FOLDER, together with the other processes where there are any.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from demix_jax.curvature import GaussNewton, Identity
from tests.influence.influence_job import KEYWORDS, loss, small_problem

# Sizes that no number of devices divides.
NUM_TRAIN, NUM_VALID = 101, 13
CHUNK_SHAPE = (16, 5)
CURVATURES = {
    "Identity": Identity(),
    "GaussNewton in sample space": GaussNewton(damping=1.0, samples=9),
    "GaussNewton in parameter space": GaussNewton(damping=0.1),
}
MESHES = {1: (1, 1), 2: (2, 1), 8: (4, 2)}


def computed_on(num_devices):
    """Names of the curvatures that are tried on so many devices."""
    identity, sample_space, parameter_space = CURVATURES
    return {1: [identity], 2: [sample_space], 8: [identity, parameter_space]}[num_devices]


def main(results, folder, coordinator=None, num_processes="1", process="0"):
    if coordinator is not None:
        jax.distributed.initialize(coordinator, int(num_processes), int(process))
    from jax.experimental import multihost_utils

    from demix_jax.influence import influence_matrix, write_influence

    problem, gathered = small_problem(NUM_TRAIN, NUM_VALID), {}
    for num, shape in MESHES.items():
        if num > jax.device_count() or num < jax.process_count():
            continue
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:num]).reshape(shape), ("train", "valid"))
        for name in computed_on(num):
            matrix = influence_matrix(loss, *problem, curvature=CURVATURES[name], mesh=mesh, **KEYWORDS)
            whole = matrix if jax.process_count() == 1 else multihost_utils.process_allgather(matrix, tiled=True)
            gathered[f"{num} {name}"] = np.asarray(whole)
    if folder:
        write_influence(Path(folder), loss, *problem, chunk_shape=CHUNK_SHAPE, **KEYWORDS)
    if jax.process_index() == 0:
        np.savez(results, **gathered)


if __name__ == "__main__":
    main(*sys.argv[1:])
