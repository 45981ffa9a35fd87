"""The commands keep compiled programs where nothing says otherwise, and leave alone what the environment sets."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import os
from demix_jax.cli.compiling import prepare_compiling
prepare_compiling()
import jax, jax.numpy as jnp
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(os.environ["XLA_FLAGS"])
print(jax.config.jax_compilation_cache_dir)
print(float(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).sum()))
"""

NO_HOME = """
import pathlib
def home():
    raise RuntimeError("Could not determine home directory.")
pathlib.Path.home = home
"""


def run(tmp_path, before="", **environment):
    """Flags, folder of programs and the number that a process prints which runs `before` and makes the settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    env = kept | {"XDG_CACHE_HOME": str(tmp_path / "cache")} | environment
    done = subprocess.run([sys.executable, "-c", before + CODE], capture_output=True, text=True, env=env, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:3]


def test_programs_are_kept_for_the_next_run(tmp_path):
    flags, folder, number = run(tmp_path)
    assert flags == "--xla_gpu_enable_triton_gemm=false"
    assert folder.startswith(str(tmp_path / "cache" / "demix_jax" / "programs"))
    written = sorted(os.listdir(folder))
    assert any(name.startswith("jit_") for name in written)
    assert run(tmp_path) == [flags, folder, number]
    assert sorted(os.listdir(folder)) == written


def test_what_the_environment_sets_stays(tmp_path):
    own = tmp_path / "own"
    flags, folder, _ = run(
        tmp_path,
        XLA_FLAGS="--xla_gpu_enable_triton_gemm=true --xla_force_host_platform_device_count=2",
        JAX_COMPILATION_CACHE_DIR=str(own),
    )
    assert flags == "--xla_gpu_enable_triton_gemm=true --xla_force_host_platform_device_count=2"
    assert folder == str(own) and not (tmp_path / "cache").exists()


def test_without_a_place_for_them_no_programs_are_kept(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert run(tmp_path)[1] == "None"


def test_without_a_home_no_programs_are_kept(tmp_path):
    assert run(tmp_path, NO_HOME, XDG_CACHE_HOME="")[1] == "None"
