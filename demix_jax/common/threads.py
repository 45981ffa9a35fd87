"""Limits the number of threads that trees are fitted with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

# With fewer values, another thread gains little, and threads that wait for each other keep their cores busy. With two
# such processes on two cores, a fit of 120,000 values took 14 s; on one thread it took 0.1 s.
_VALUES_PER_THREAD = 1_000_000


def one_thread() -> AbstractContextManager[Any]:
    """Limit fits to one thread; many small fits run faster that way, far faster on a busy machine."""
    import sklearn.ensemble  # noqa: F401  a limit applies only to loaded libraries
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def threads_for(num_values: int) -> AbstractContextManager[Any]:
    """Limit a fit to one thread per million values: at least one, and at most the library's default.

    Do not run fits in parallel Python threads. They mostly wait for the interpreter, and this limit does not apply in
    other threads. Ten fits of 178 rows took 0.9 s in sequence and 6 s in parallel.

    Args:
      num_values: rows × features.
    """
    import sklearn.ensemble  # noqa: F401  as above
    from threadpoolctl import threadpool_info, threadpool_limits

    by_itself = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"), default=1)
    return threadpool_limits(limits=min(by_itself, max(1, num_values // _VALUES_PER_THREAD)), user_api="openmp")
