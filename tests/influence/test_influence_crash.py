"""`write_influence` killed at random times: every resumed run ends with the bits of one that ran through."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demix_jax.influence import read_influence
from tests.influence.influence_job import CRASH_CHUNK_SHAPE, CRASH_SHAPE, write_to

pytest.importorskip("tensorstore")

NUM_CHUNKS = -(-CRASH_SHAPE[0] // CRASH_CHUNK_SHAPE[0]) * -(-CRASH_SHAPE[1] // CRASH_CHUNK_SHAPE[1])


class Writer:
    """`tests.influence.influence_job` in a process of its own."""

    def __init__(self, folder, number):
        command = [sys.executable, "-m", "tests.influence.influence_job", str(folder), str(number)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.output = self.process.stdout

    def wait_for(self, word):
        for line in self.output:
            if line.split()[0] == word:
                return int(line.split()[1])
        raise AssertionError(f"the writer ended with {self.process.wait()} before it was {word}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.output.close()


def bits(path):
    files = sorted((path / "influence" / "c").rglob("*"))
    return {file.relative_to(path): file.read_bytes() for file in files if file.is_file()}


def kill_and_resume(folder, kills, seed):
    """Kill a writer `kills` times somewhere in the time that a run takes; how many chunks were finished each time."""
    write_to(folder / "whole")
    whole, finished, wait = bits(folder / "whole"), [], random.Random(seed)
    assert len(whole) == NUM_CHUNKS
    writer, number = Writer(folder, 0), 0
    try:
        writer.wait_for("writing")
        start = time.perf_counter()
        writer.wait_for("finished")
        duration = time.perf_counter() - start
        writer.wait_for("writing")
        number = 2
        for _ in range(kills):
            time.sleep(wait.uniform(0, duration))
            writer.kill()
            journal = folder / str(number) / "influence" / "finished-00000.jsonl"
            finished.append(journal.read_bytes().count(b"\n") if journal.exists() else 0)
            writer = Writer(folder, number)
            assert writer.wait_for("finished") == number
            assert bits(folder / str(number)) == whole
            assert read_influence(folder / str(number)).damaged() == []
            number = writer.wait_for("writing")
    finally:
        writer.kill()
    return finished


def test_three_kills(tmp_path):
    kill_and_resume(tmp_path, kills=3, seed=0)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    finished = kill_and_resume(tmp_path, kills=100, seed=1)
    print("chunks finished when killed:", sorted(finished))
    assert sum(0 < count < NUM_CHUNKS for count in finished) > 50  # most of them in the middle
