"""Plans: sizes against what is then written, times against what then passes, refusals by what to change."""

import math
import time

import jax
import numpy as np
import pytest

from demix_jax.cli import main
from demix_jax.common.checks import InputError
from demix_jax.influence import influence_plan, planning, write_influence
from demix_jax.influence.timing import Steps
from tests.influence.influence_job import loss, small_problem


@pytest.fixture(scope="module")
def problem():
    return small_problem(5000, 40)


def as_shapes(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def test_a_plan_says_what_is_then_written(problem, tmp_path):
    pytest.importorskip("tensorstore")
    plan = influence_plan(loss, *problem, path=tmp_path / "i")
    assert not (tmp_path / "i").exists()
    stored = write_influence(tmp_path / "i", loss, *problem, memory=plan.memory)
    assert stored.grid == plan.grid and plan.num_parameters == 51
    written = sum(file.stat().st_size for file in (tmp_path / "i" / "influence" / "c").rglob("*") if file.is_file())
    assert plan.disk == written


def test_shapes_are_enough(problem):
    plan = influence_plan(loss, *map(as_shapes, problem))
    assert plan.grid == influence_plan(loss, *problem).grid
    large = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((10**9, *leaf.shape[1:]), leaf.dtype), as_shapes(problem[1]))
    huge = influence_plan(loss, problem[0], large, as_shapes(problem[2]))
    assert 1.0 <= huge.disk / (10**9 * 40 * 4) < 1.001 and huge.peak_memory < 2**30
    assert huge.compute_seconds > 1000 * plan.compute_seconds


@pytest.mark.slow
def test_time_is_predicted_within_a_factor(problem, tmp_path):
    """Of two here, as a busy machine's speed changes; `benchmarks/influence/scaling.py` has the quiet figures."""
    pytest.importorskip("tensorstore")
    problem = small_problem(400_000, 256, width=64)
    plan = influence_plan(loss, *problem, path=tmp_path)
    start = time.perf_counter()
    write_influence(tmp_path / "i", loss, *problem, memory=plan.memory)
    taken = time.perf_counter() - start
    assert 0.5 < plan.seconds / taken < 2


def test_growth_with_curvature_samples_is_extrapolated():
    """Of a fit that takes cubic, a solve that takes quadratic and a chunk that takes linear time."""

    def steps(n):
        return Steps(n, 400.0 * n + 4.0 * n**2, 1.0, 1e-8 * n**3, 1e-6 * n**2, 0.1 + 1e-4 * n)

    got = steps(2000).with_samples(8000, steps(500), num_parameters=10**6)
    np.testing.assert_allclose(got, steps(8000), rtol=1e-6)
    capped = steps(2000).with_samples(8000, steps(500), num_parameters=1000)
    assert capped.kept == 400 * 8000 + 8 * 1000**2 or capped.kept == steps(2000).kept
    flat = Steps(2000, 10.0, 1.0, 1e-4, 1e-4, 1e-4)
    assert flat.with_samples(10**9, flat._replace(samples=500), num_parameters=10) == flat._replace(samples=10**9)


def test_what_does_not_fit_is_refused_with_the_knob(problem, tmp_path, monkeypatch):
    free = 10**5
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: type("usage", (), {"free": free}))
    with pytest.raises(InputError, match='at most 5 validation samples, dtype="bfloat16"'):
        influence_plan(loss, *problem, path=tmp_path)
    with pytest.raises(InputError, match=r"chunks of .* are available; pass a smaller memory \(it is 256 MiB\)"):
        influence_plan(loss, *problem, memory=2**28, available_memory=2**20)
    params, train, valid = map(as_shapes, problem)
    large = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((10**6, *leaf.shape[1:]), leaf.dtype), train)
    plan = influence_plan(loss, params, large, valid, available_memory=2**26)
    assert plan.memory < 2**28 and plan.peak_memory <= 2**26
    monkeypatch.setattr(planning, "measured_steps", lambda *_: Steps(5000, 2.0**30, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"curvature of 5,000 samples takes the memory .* to 3 GiB.* fewer `samples`"):
        influence_plan(loss, *problem, available_memory=2**31)
    with pytest.raises(InputError, match="dtype is 'int8'"):
        influence_plan(loss, *problem, dtype="int8")


def test_command(capsys, tmp_path):
    command = ["plan", "--train-samples", "20000", "--valid-samples", "64", "--parameters", "5000"]
    assert main([*command, "--out", str(tmp_path / "i")]) == 0
    said = capsys.readouterr().out
    assert "20,000 training × 64 validation samples" in said and "Disk: 4.88 MiB" in said
    parameters = int(said.split("samples, ")[1].split()[0].replace(",", ""))
    assert math.isclose(parameters, 5000, rel_tol=0.05)
    command[2] = "1" + "0" * 12
    assert main([*command, "--out", str(tmp_path / "i")]) == 2
    assert "validation samples, dtype=" in capsys.readouterr().err
    assert main([*command[:-2], "--widths", "64;32"]) == 2
    assert '--widths is "64;32"' in capsys.readouterr().err
