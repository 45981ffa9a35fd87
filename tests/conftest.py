"""Settings of the whole suite: no silent rank promotion, and references in full f32 on an accelerator, too.

JAX_ENABLE_X64=1 runs it in 64 bits. Compiled programs are kept in .pytest_cache, which a second run is faster by.
"""

import os
from pathlib import Path

PROGRAMS = Path(__file__).parent.parent / ".pytest_cache" / "programs"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))  # before jax is imported; processes inherit it
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))

import jax  # noqa: E402
import pytest  # noqa: E402

from demix_jax.common.compiled_programs import make_room  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture(scope="module", autouse=True)
def _room_for_compiled_programs() -> None:
    """The suite works through many tables in one process."""
    make_room()
