"""What the progress display says is what was reported to it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from demix_jax.cli.display import ProgressDisplay
from demix_jax.common.progress import Silent
from demix_jax.common.wording import duration


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def display(*, terminal: bool) -> tuple[ProgressDisplay, Clock, io.StringIO]:
    output, clock = io.StringIO(), Clock()
    console = Console(file=output, force_terminal=terminal, width=120, color_system=None)
    return ProgressDisplay(console, clock=clock), clock, output


def test_lines_give_count_rate_and_time_left():
    progress, clock, output = display(terminal=False)
    progress.stage("influence", 1000)
    for _ in range(3):
        clock.now += 5
        progress.advance(100)
    clock.now += 35
    progress.advance(700)
    progress.stage("classifier", 4)
    clock.now += 0.5
    progress.advance(4)
    progress.done()
    assert output.getvalue().splitlines() == [
        "influence: 200 of 1,000 (20 %), 20/s, 40 s left",  # 200 in 10 s: 800 more take 40 s
        "influence: 1,000 of 1,000 (100 %), 20/s",
        "influence: 1,000, 50 s",
        "classifier: 4, 0.5 s",
    ]


def test_a_stage_that_ends_early_says_so():
    progress, _, output = display(terminal=False)
    progress.stage("training", 500)
    progress.advance(120)
    progress.done()
    assert output.getvalue() == "training: 120 of 500, 0.0 s\n"


def test_an_interrupted_stage_is_not_called_ended():
    progress, _, output = display(terminal=False)
    with pytest.raises(KeyboardInterrupt), progress:
        progress.stage("training", 500)
        raise KeyboardInterrupt
    assert output.getvalue() == ""


def test_unknown_total():
    progress, clock, output = display(terminal=False)
    with progress:
        progress.stage("reading", 0)
        clock.now += 20
        progress.advance(10)
    assert output.getvalue().splitlines() == ["reading: 10, 0.5/s", "reading: 10, 20 s"]


def test_terminal_shows_bars_with_the_same_figures():
    progress, clock, output = display(terminal=True)
    with progress:
        progress.stage("influence [valid]", 1000)
        clock.now += 10
        progress.advance(200)
        progress.stage("classifier", 10)
        progress.advance(10)
    last = output.getvalue()
    assert "influence [valid]" in last and "200 of 1,000" in last and "classifier" in last


def test_advance_needs_a_stage():
    progress, _, _ = display(terminal=False)
    with pytest.raises(RuntimeError, match="stage"):
        progress.advance()
    Silent().advance()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
