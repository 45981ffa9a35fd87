"""Progress of long commands: bars on a terminal, lines in a log."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from demix_jax.common.wording import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class ProgressDisplay:
    """Bars on a terminal; elsewhere a line every ten seconds and one at the end of each stage.

    It shows only what was reported: a stage that ends early keeps the count that it reached.

    Args:
      console: where to write. None: standard error, so that standard output stays clean.
      clock: returns seconds; tests pass their own.
    """

    def __init__(self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic):
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._view: _Bars | _Lines
        self._view = _Bars(self._console, clock) if self._console.is_terminal else _Lines(self._console, clock)
        self._open = False

    def stage(self, name: str, total: int) -> None:
        if self._open:
            self._view.end()
        self._view.begin(name, max(int(total), 0))
        self._open = True

    def advance(self, n: int = 1) -> None:
        if not self._open:
            raise RuntimeError("advance was called before stage; name the stage first.")
        self._view.advance(int(n))

    def done(self) -> None:
        if self._open:
            self._view.end()
        self._open = False
        self._view.close()

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None:
            self.done()
        else:  # do not report an interrupted stage as ended
            self._open = False
            self._view.close()


class _Bars:
    """One bar per stage, drawn by rich; finished stages stay above."""

    def __init__(self, console: Console, clock: Callable[[], float]):
        self._console, self._clock = console, clock
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._count = _Count(0, 0.0)

    def begin(self, name: str, total: int) -> None:
        if self._progress is None:
            self._progress = _rich_progress(self._console, self._clock)
            self._progress.start()
        self._count = _Count(total, self._clock())
        self._task = self._progress.add_task(name, total=total or None, text="")

    def advance(self, n: int) -> None:
        self._count.done += n
        self._show(self._count.how_far(), *self._count.how_fast(self._clock()))

    def end(self) -> None:
        self._show(self._count.ended())
        if self._progress is not None and self._task is not None:
            self._progress.stop_task(self._task)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None

    def _show(self, *parts: str) -> None:
        if self._progress is not None and self._task is not None:
            text = ", ".join(filter(None, parts))
            self._progress.update(self._task, completed=self._count.done, text=text)


class _Lines:
    """Plain lines, few enough for a log."""

    seconds_between_lines = 10.0

    def __init__(self, console: Console, clock: Callable[[], float]):
        self._console, self._clock = console, clock
        self._name, self._said = "", 0.0
        self._count = _Count(0, 0.0)

    def begin(self, name: str, total: int) -> None:
        self._name, self._said = name, self._clock()
        self._count = _Count(total, self._said)

    def advance(self, n: int) -> None:
        self._count.done += n
        now = self._clock()
        if now - self._said >= self.seconds_between_lines:
            self._said = now
            self._say(self._count.how_far(), *self._count.how_fast(now))

    def end(self) -> None:
        self._say(self._count.ended(), duration(self._clock() - self._count.started))

    def close(self) -> None: ...

    def _say(self, *parts: str) -> None:
        text = f"{self._name}: {', '.join(filter(None, parts))}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclasses.dataclass
class _Count:
    """Rows or steps done in one stage, in words. `total` is 0 if unknown."""

    total: int
    started: float
    done: int = 0

    def how_far(self) -> str:
        if not self.total:
            return f"{self.done:,}"
        return f"{self.done:,} of {self.total:,} ({100 * self.done / self.total:.0f} %)"

    def how_fast(self, now: float) -> tuple[str, str]:
        elapsed, left = now - self.started, self.total - self.done
        if elapsed <= 0 or self.done <= 0:
            return "", ""
        per_second = self.done / elapsed
        rate = f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"
        return rate, f"{duration(left / per_second)} left" if left > 0 else ""

    def ended(self) -> str:
        return f"{self.done:,} of {self.total:,}" if self.done < self.total else f"{self.done:,}"


def _rich_progress(console: Console, clock: Callable[[], float]) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
        get_time=clock,
    )
