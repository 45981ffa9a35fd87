"""How many threads trees are fitted with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

# With them two threads gain a quarter of the time, if any, but threads that wait for each other hold on to their cores:
# where two processes did so on two cores, a fit of 0.1 s on one thread took 14 s.
_FEW_VALUES = 2_000_000


def one_thread() -> AbstractContextManager[Any]:
    """Many small fits run faster on one thread than threads can be handed work, far faster on a busy machine."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def threads_for(num_values: int) -> AbstractContextManager[Any]:
    """A fit of few values has one thread, one of many the learner's own.

    Fits are not to run side by side in threads of Python's: they wait for the interpreter most of the time, and a limit
    set here does not hold in other threads. Ten fits of 178 rows took 0.9 s one after another, and 6 s side by side.

    Args:
      num_values: rows × features.
    """
    return one_thread() if num_values < _FEW_VALUES else nullcontext()
