"""Progress of long calls: the interface of a progress display, and a timer of named steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class ProgressLike(Protocol):
    """Progress display of `diagnose` and similar calls."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of `total` rows or steps; this ends the previous stage."""
        ...

    def advance(self, n: int = 1) -> None:
        """Report that `n` more rows or steps of this stage are done."""
        ...

    def done(self) -> None:
        """End the last stage."""
        ...


class Silent:
    """Progress display that shows nothing."""

    def stage(self, name: str, total: int) -> None: ...

    def advance(self, n: int = 1) -> None: ...

    def done(self) -> None: ...


@dataclasses.dataclass
class StepTimer:
    """Times named steps and reports them to a progress display, which may be None."""

    progress: Any = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str, total: int) -> Iterator[Any]:
        started = time.perf_counter()
        if self.progress is not None:
            self.progress.stage(name, total)
        yield self.progress.advance if self.progress is not None else (lambda amount=1: None)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def done(self) -> None:
        """End the last step."""
        if self.progress is not None:
            self.progress.done()

    def rounded(self) -> dict[str, float]:
        """Seconds per step, rounded to milliseconds."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}
