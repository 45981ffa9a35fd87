"""The commands put together, and what ends them: done, bad input, a full disk, Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from demix_jax.cli.compiling import prepare_compiling
from demix_jax.cli.diagnosing import diagnose
from demix_jax.cli.influence_plan import plan
from demix_jax.cli.tables import demo, inject, repair
from demix_jax.cli.training import train_classifier
from demix_jax.common.checks import InputError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find out which rows of a table are wrong, in which way, and repair them.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"demix-jax {_version()}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
    else:
        prepare_compiling()


app.command()(diagnose)
app.command()(repair)
app.command()(inject)
app.command("train-classifier")(train_classifier)
app.command()(plan)
app.command()(demo)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: done. 1: a file could not be written. 2: bad input, said in one sentence on standard error. 130: interrupted.

    Args:
      arguments: what is typed after `demix-jax`; those of this process if None.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # of another encoding than UTF-8, which lacks some of what is printed
    with _cleaning_up_when_terminated():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = typer.main.get_command(app).main(
            args=None if arguments is None else list(arguments), prog_name="demix-jax", standalone_mode=False
        )
    except InputError as error:
        return _complain(str(error), 2)
    except typer.TyperException as error:
        return _complain(_usage_sentence(error.format_message()), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", 1)
    if code == 130:
        return _complain("stopped; no file was left half-written.", 130)
    return code if isinstance(code, int) else 0


@contextlib.contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """SIGTERM, which ends a process at once otherwise, takes temporary files away as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    raise SystemExit(143)


def _complain(sentence: str, code: int) -> int:
    print(f"demix-jax: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def _usage_sentence(message: str) -> str:
    return f"{message.replace('Value error, ', '').rstrip('.')}; see `demix-jax --help`."


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("demix_jax")
    except PackageNotFoundError:
        return "(not installed)"
