"""How many threads trees are fitted with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

_FEW_VALUES = 100_000  # with them two threads are no faster than one


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
