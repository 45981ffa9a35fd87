"""Settings of JAX's compiler: compiled programs are cached on disk, and a GPU skips a slow search."""

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
    """Configure compilation in this process, before JAX computes anything; the environment's settings stay.

    A first run spends much of its time compiling. On a GPU, three quarters of that is a search for the fastest matrix
    products. The search pays off only for huge matrices. On an H100, a diagnosis of 34,000 rows takes 110 s with it and
    40 s without. Once all is compiled, it takes 14 s and 15 s.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _TRITON_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_TRITON_FLAG}=false".strip()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        folder = cache_dir() / "programs" / _processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return
    if not os.access(folder, os.W_OK):
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    for name, value in _KEPT.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)


def check_platform() -> None:
    """InputError where JAX_PLATFORMS names a device that JAX does not have; for commands that compute."""
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
    """Name shared by processors that can run the same programs; different machines may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()  # last, since it may start a process
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
