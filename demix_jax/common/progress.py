"""How far a long call has come: stages, their rate and the time left, on a terminal or in a log."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    pass


class ProgressLike(Protocol):
    """What `diagnose` and its like report to."""

    def stage(self, name: str, total: int) -> None:
        """A new stage of `total` rows or steps begins; the one before it is over."""
        ...

    def advance(self, n: int = 1) -> None:
        """`n` more rows or steps of this stage are done."""
        ...

    def done(self) -> None:
        """The last stage is over."""
        ...


class Silent:
    """Reports to nobody."""

    def stage(self, name: str, total: int) -> None: ...

    def advance(self, n: int = 1) -> None: ...

    def done(self) -> None: ...


@dataclasses.dataclass
class StepTimer:
    """Runs named steps, times them, and tells the progress display (None, or stage and advance)."""

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
        """The last step is over."""
        if self.progress is not None:
            self.progress.done()

    def rounded(self) -> dict[str, float]:
        """Seconds by step, to the millisecond."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}
