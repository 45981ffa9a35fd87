"""All commands as one program, and how it ends: done, bad input, a full disk, Ctrl-C."""

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
from demix_jax.cli.demo import show_demo
from demix_jax.cli.diagnosing import diagnose
from demix_jax.cli.influence_plan import plan
from demix_jax.cli.injecting import inject
from demix_jax.cli.logs import log_commands
from demix_jax.cli.misuse import misuse_sentence
from demix_jax.cli.pairs import pair_commands
from demix_jax.cli.repairing import repair
from demix_jax.cli.training import train_classifier
from demix_jax.common.checks import InputError

_NAME = "demix-jax"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
    help="Find out what is wrong with training data, and repair it.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"{_NAME} {_version()}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
    else:
        prepare_compiling()


app.command("diagnose")(diagnose)
app.command("repair")(repair)
app.command("inject")(inject)
app.command("demo")(show_demo)
app.command("train-classifier")(train_classifier)
app.command("plan")(plan)
app.add_typer(pair_commands)
app.add_typer(log_commands)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
      arguments: what is typed after `demix-jax`. None: the arguments of this process.
    Returns:
      0: done. 1: a file could not be written. 2: bad input, explained in one sentence on standard error.
      130: interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # encodings other than UTF-8 lack some of the characters printed
    with _cleaning_up_when_terminated():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else list(arguments)
    program = typer.main.get_command(app)
    try:
        code = program.main(args=words, prog_name=_NAME, standalone_mode=False)
    except InputError as error:
        return _complain(str(error), 2)
    except typer.TyperException as error:
        return _complain(misuse_sentence(error, _NAME, program, words), 2)
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
    """Remove temporary files on SIGTERM, too, as on Ctrl-C; by default the process would end at once."""
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
    print(f"{_NAME}: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("demix_jax")
    except PackageNotFoundError:
        return "(not installed)"
