"""Room for compiled programs: a process that works through many tables must not run out of memory or memory maps."""

from __future__ import annotations

import ctypes
import gc
import logging
from pathlib import Path

import jax

logger = logging.getLogger("demix_jax")

_MAPS = Path("/proc/self/maps")
_MOST_MAPS = Path("/proc/sys/vm/max_map_count")
_ENOUGH_MAPS = 20_000  # of a dozen tables; what is compiled into them takes some 2 GB


def make_room(maps: Path = _MAPS, most_maps: Path = _MOST_MAPS) -> bool:
    """Drop every program that JAX has compiled if they take much of the process's memory maps; whether it did.

    A table of another shape needs programs of its own: for a diagnosis on a CPU some 1,500 maps and 150 MB, mostly of
    what the compiler keeps beside the code. Linux allows a process 65,530 maps unless told otherwise, and where no more
    can be had, LLVM ends the process; where more are allowed, memory runs out first. So programs are dropped at 20,000
    maps, or at three quarters of a smaller limit. What is still needed is compiled again when it is next called.
    Systems without /proc are left alone.

    Args:
      maps: a line per map of this process. most_maps: their greatest number.
    """
    try:
        limit = int(most_maps.read_text())
        with maps.open("rb") as lines:
            used = sum(1 for _ in lines)
    except (OSError, ValueError):
        return False
    if used <= min(_ENOUGH_MAPS, limit * 3 // 4):
        return False
    logger.info("Dropping compiled programs: %d memory maps are used, %d allowed.", used, limit)
    jax.clear_caches()
    gc.collect()
    _return_freed_memory()
    return True


def _return_freed_memory() -> None:
    """Have the C library give back what is free; glibc keeps what lies between pieces still in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
