"""Drops compiled programs before a process with many tables runs out of memory or memory maps."""

from __future__ import annotations

import ctypes
import gc
import logging
from pathlib import Path

import jax

logger = logging.getLogger("demix_jax")

_MAPS = Path("/proc/self/maps")
_MOST_MAPS = Path("/proc/sys/vm/max_map_count")
_ENOUGH_MAPS = 20_000  # about a dozen tables; their compiled programs take some 2 GB


def make_room(maps: Path = _MAPS, most_maps: Path = _MOST_MAPS) -> bool:
    """Drop all programs that JAX has compiled if the process uses many memory maps.

    Every new table shape needs its own programs: some 1,500 maps and 150 MB for a diagnosis on a CPU. Most of that is
    compiler data kept beside the code. Linux allows a process 65,530 maps by default, and LLVM ends the process at the
    limit. With a higher limit, memory runs out first. So programs are dropped at 20,000 maps, or at three quarters of a
    smaller limit. Programs that are still needed are compiled again at their next call. Nothing happens on systems
    without /proc.

    Args:
      maps: file with one line per memory map of this process. most_maps: file with the allowed number of maps.
    Returns:
      Whether programs were dropped.
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
    """Return free memory to the system; glibc keeps free blocks that lie between used ones."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
