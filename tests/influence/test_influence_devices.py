"""Influence on several devices and in several processes: the numbers of one device."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from demix_jax.common.checks import InputError
from demix_jax.influence import influence_matrix, read_influence, write_influence
from tests.influence.influence_job import KEYWORDS, loss, small_problem
from tests.influence.influence_on_devices import CHUNK_SHAPE, CURVATURES, NUM_TRAIN, NUM_VALID, computed_on
from tests.influence.test_influence_crash import bits


@pytest.fixture(scope="module")
def problem():
    return small_problem(NUM_TRAIN, NUM_VALID)


@pytest.fixture(scope="module")
def on_one_device(problem):
    return {
        name: np.asarray(influence_matrix(loss, *problem, curvature=curvature, **KEYWORDS))
        for name, curvature in CURVATURES.items()
    }


def start(*arguments, devices):
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "tests.influence.influence_on_devices", *map(str, arguments)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], env=environment)


def check_results(path, on_one_device, numbers):
    results = np.load(path)
    assert sorted(results) == sorted(f"{num} {name}" for num in numbers for name in computed_on(num))
    for name, got in results.items():
        want = on_one_device[name.split(" ", 1)[1]]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6, err_msg=name)  # cosines, in [−1, 1]


@pytest.fixture(scope="module")
def written_alone(problem, tmp_path_factory):
    pytest.importorskip("tensorstore")
    path = tmp_path_factory.mktemp("alone") / "influence"
    write_influence(path, loss, *problem, chunk_shape=CHUNK_SHAPE, **KEYWORDS)
    return bits(path)


def test_one_two_and_eight_devices_agree(on_one_device, written_alone, tmp_path):
    assert start(tmp_path / "results.npz", tmp_path / "influence", devices=8).wait(timeout=240) == 0
    check_results(tmp_path / "results.npz", on_one_device, [1, 2, 8])
    assert bits(tmp_path / "influence") == written_alone


def test_two_processes_agree_and_write_one_matrix(on_one_device, written_alone, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    results, folder = tmp_path / "results.npz", tmp_path / "influence"
    processes = [start(results, folder, coordinator, 2, number, devices=1) for number in range(2)]
    try:
        assert [process.wait(timeout=240) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    check_results(results, on_one_device, [2])
    stored = read_influence(folder)
    assert stored.damaged() == []
    np.testing.assert_allclose(stored[:], on_one_device["Identity"], rtol=0, atol=1e-6)
    journals = [journal.read_bytes().count(b"\n") for journal in sorted(folder.glob("influence/finished-*"))]
    assert journals == [12, 9]  # seven rows of three chunks
    assert bits(folder) == written_alone


def test_a_mesh_of_one_device_is_no_special_case(problem, on_one_device):
    mesh = jax.make_mesh((1,), ("train",))
    wide = jax.tree.map(lambda leaf: leaf.astype(np.int64) if leaf.dtype == np.int32 else leaf, problem)
    got = influence_matrix(loss, *wide, mesh=mesh, **KEYWORDS)
    np.testing.assert_allclose(got, on_one_device["Identity"], rtol=0, atol=1e-6)
    tight = influence_matrix(loss, *problem, mesh=mesh, memory=5000, **KEYWORDS)
    np.testing.assert_allclose(tight, on_one_device["Identity"], rtol=0, atol=1e-6)


def test_bad_input_is_named_on_a_mesh(problem):
    params, train, valid = problem
    with pytest.raises(InputError, match=r"axes \('data',\)"):
        influence_matrix(loss, *problem, mesh=jax.make_mesh((1,), ("data",)))
    broken = {**train, "x": np.where(np.arange(NUM_TRAIN)[:, None] == 70, np.nan, train["x"])}
    with pytest.raises(InputError, match="train sample 70"):
        influence_matrix(loss, params, broken, valid, mesh=jax.make_mesh((1,), ("train",)))
    broken = {**valid, "x": np.where(np.arange(NUM_VALID)[:, None] == 12, np.inf, valid["x"])}
    with pytest.raises(InputError, match="valid sample 12"):
        influence_matrix(loss, params, train, broken, mesh=jax.make_mesh((1,), ("valid",)), memory=3000)
