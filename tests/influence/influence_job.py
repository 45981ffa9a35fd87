"""A small influence matrix, and a program that writes it to one folder after another until it is killed.

    python -m tests.influence.influence_job FOLDER NUMBER

goes on with FOLDER/NUMBER, says "finished", begins the next one, says "writing", and so on.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NUM_TRAIN, NUM_VALID = 50, 11
KEYWORDS: dict[str, Any] = {"normalize": "cosine"}

# Of the matrix that is written to be killed: many small chunks.
CRASH_SHAPE, CRASH_CHUNK_SHAPE = (3000, 30), (50, 8)


def loss(params, example):
    hidden = jnp.tanh(example["x"] @ params["w1"] + params["b1"])
    return -jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])[example["y"]]


def small_problem(num_train=NUM_TRAIN, num_valid=NUM_VALID, width=6):
    rng = np.random.default_rng(0)
    params = {
        "w1": rng.standard_normal((4, width)).astype(np.float32),
        "b1": rng.standard_normal(width).astype(np.float32),
        "w2": rng.standard_normal((width, 3)).astype(np.float32),
        "b2": rng.standard_normal(3).astype(np.float32),
    }

    def batch(num):
        return {"x": rng.standard_normal((num, 4)).astype(np.float32), "y": rng.integers(0, 3, num).astype(np.int32)}

    return params, batch(num_train), batch(num_valid)


def write_to(path):
    from demix_jax.influence import write_influence

    write_influence(path, loss, *small_problem(*CRASH_SHAPE), chunk_shape=CRASH_CHUNK_SHAPE, **KEYWORDS)


def main(folder, number):
    while True:
        write_to(Path(folder) / str(number))
        print("finished", number, flush=True)
        number += 1
        print("writing", number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
