"""How the commands have JAX compile: programs are kept for the next run, and on a GPU soon found."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from demix_jax.common.checks import InputError
from demix_jax.common.files import cache_dir

_TRITON_FLAG = "xla_gpu_enable_triton_gemm"
_KEPT = {"jax_compilation_cache_max_size": 2**29, "jax_persistent_cache_min_compile_time_secs": 0.1}


def prepare_compiling() -> None:
    """Settings for this process, to be made before JAX computes anything; what the environment sets stays as it is.

    Much of the time of a first run goes into compiling. On a GPU three quarters of that would be a search for the
    fastest matrix products, which gains less than it takes unless matrices are huge (H100: a diagnosis of 34,000 rows
    takes 110 s with it and 40 s without, 14 and 15 s once all is compiled).
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _TRITON_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_TRITON_FLAG}=false".strip()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        folder = cache_dir() / "programs" / _processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the latter where there is no home folder
        return
    if not os.access(folder, os.W_OK):
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    for name, value in _KEPT.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def check_platform() -> None:
    """InputError where the environment asks for a device that JAX does not have; for commands that compute by it."""
    wanted = os.environ.get("JAX_PLATFORMS")
    if not wanted:
        return
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        said = str(error).split("\n")[0].rstrip(".")
        raise InputError(
            f"JAX_PLATFORMS is {wanted}, which JAX cannot use here{f' ({said})' if said else ''}; set it to cpu, or "
            "install JAX for that device."
        ) from error


def _processor() -> str:
    """A name for processors that can run each other's programs; machines of other kinds may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()  # where a process may have to be started for it
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
