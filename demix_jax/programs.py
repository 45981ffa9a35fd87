"""Room for compiled programs: a process that works through many tables must not run out of memory maps."""

from __future__ import annotations

import logging
from pathlib import Path

import jax

logger = logging.getLogger("demix_jax")

_MAPS = Path("/proc/self/maps")
_MOST_MAPS = Path("/proc/sys/vm/max_map_count")


def make_room(maps: Path = _MAPS, most_maps: Path = _MOST_MAPS) -> bool:
    """Drop every program that JAX has compiled if three quarters of the process's memory maps are used; whether it did.

    A table of another shape needs programs of its own, some 2,000 maps for a diagnosis on a CPU. Linux allows a process
    65,530 unless told otherwise, and where no more can be had, LLVM ends the process. What is still needed is compiled
    again when it is next called. Systems without /proc have no such limit.

    Args:
      maps: a line per map of this process. most_maps: their greatest number.
    """
    try:
        limit = int(most_maps.read_text())
        with maps.open("rb") as lines:
            used = sum(1 for _ in lines)
    except (OSError, ValueError):
        return False
    if used <= limit * 3 // 4:
        return False
    logger.info("Dropping compiled programs: %d of %d memory maps are used.", used, limit)
    jax.clear_caches()
    return True
