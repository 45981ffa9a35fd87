"""How many threads trees are fitted with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

# For fewer, another thread gains little, and threads that wait for each other hold on to their cores: where two
# processes did so on two cores, a fit of 120,000 values, 0.1 s on one thread, took 14 s.
_VALUES_PER_THREAD = 1_000_000


def one_thread() -> AbstractContextManager[Any]:
    """Many small fits run faster on one thread than threads can be handed work, far faster on a busy machine."""
    import sklearn.ensemble  # noqa: F401  a limit holds only for libraries that are loaded
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def threads_for(num_values: int) -> AbstractContextManager[Any]:
    """A fit has one thread per million values, and at least one, but no more than it would have by itself.

    Fits are not to run side by side in threads of Python's: they wait for the interpreter most of the time, and a limit
    set here does not hold in other threads. Ten fits of 178 rows took 0.9 s one after another, and 6 s side by side.

    Args:
      num_values: rows × features.
    """
    import sklearn.ensemble  # noqa: F401  as above
    from threadpoolctl import threadpool_info, threadpool_limits

    by_itself = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"), default=1)
    return threadpool_limits(limits=min(by_itself, max(1, num_values // _VALUES_PER_THREAD)), user_api="openmp")
