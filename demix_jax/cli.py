"""The command `demix-jax`: what is typed, checked before any work, handed to the library, and said afterwards."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from demix_jax.checks import InputError
from demix_jax.error_types import ERROR_TYPES
from demix_jax.files import atomic_paths, check_writable, same_file, table_suffix, write_table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from demix_jax.diagnose import Diagnosis

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find out which rows of a table are wrong, in which way, and repair them.",
)

Train = Annotated[Path, typer.Argument(help="Table, as .csv or .parquet.", metavar="TRAIN", show_default=False)]
Label = Annotated[str, typer.Option(help="Name of the column that a model is to predict.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness; the same seed gives the same result.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"demix-jax {_version()}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def diagnose(
    train: Train,
    label: Label,
    out: Annotated[Path, typer.Option(help="Folder for the three files.", show_default=False)],
    valid: Annotated[
        Path | None, typer.Option(help="Trusted validation table; without it TRAIN is cross-fitted.")
    ] = None,
    task: Annotated[Literal["auto", "classification", "regression"], typer.Option(help="What the label is.")] = "auto",
    model: Annotated[Literal["mlp", "ft-transformer"], typer.Option(help="Task model.")] = "mlp",
    classifier: Annotated[
        str, typer.Option(help='Error classifier: a weights file, or "default" for the one that comes along.')
    ] = "default",
    seed: Seed = 0,
) -> None:
    """Tell for every row of TRAIN whether its label or its features are wrong or it breaks a shortcut.

    Writes diagnosis.csv, summary.json and report.html to the folder --out.
    """
    check_writable(out, folder=True)
    for name in ("diagnosis.csv", "summary.json", "report.html"):
        check_writable(out / name, folder=False)
        if same_file(out / name, train) or (valid is not None and same_file(out / name, valid)):
            raise InputError(f"{out / name} is an input; it would be overwritten. Choose another folder for --out.")

    from demix_jax.classifier import load_classifier
    from demix_jax.diagnose import diagnose as run
    from demix_jax.progress import ProgressDisplay

    load_classifier(classifier)
    with ProgressDisplay() as progress:
        diagnosis = run(
            train,
            label=label,
            valid=valid,
            task=task,
            model=model,
            classifier=classifier,
            seed=seed,
            progress=progress,
        )
    diagnosis.save(out)
    _print_diagnosis(_console(), diagnosis, train, out)


@app.command()
def repair(
    train: Train,
    label: Label,
    diagnosis: Annotated[Path, typer.Option(help="diagnosis.csv that `diagnose` wrote.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet.", show_default=False)],
    label_errors: Annotated[
        Literal["relabel", "drop", "keep"], typer.Option(help="Rows with a wrong label.")
    ] = "relabel",
    feature_errors: Annotated[
        Literal["impute", "drop", "keep"], typer.Option(help="Rows with wrong features.")
    ] = "impute",
    spurious: Annotated[
        Literal["reweight", "keep"], typer.Option(help="Rows that break a shortcut; they are never dropped.")
    ] = "reweight",
    seed: Seed = 0,
) -> None:
    """Write a repaired copy of TRAIN with a sample_weight column; TRAIN stays as it is."""
    table_suffix(out)
    check_writable(out, folder=False)
    for name, path in (("TRAIN", train), ("the diagnosis", diagnosis)):
        if same_file(out, path):
            raise InputError(f"--out {out} is {name}, which is never overwritten; name another file.")

    from demix_jax.data import read_table
    from demix_jax.repair import repair as run

    repaired = run(
        read_table(train),
        diagnosis,
        label=label,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        seed=seed,
    )
    write_table(out, repaired.table)
    _print_changes(_console(), repaired.changes, out)


@app.command()
def inject(
    train: Train,
    label: Label,
    out: Annotated[Path, typer.Option(help="Folder for the corrupted table and truth.csv.", show_default=False)],
    label_errors: Annotated[float, typer.Option(help="Share of rows that get a wrong label.")] = 0.15,
    feature_errors: Annotated[float, typer.Option(help="Share of rows that get wrong features.")] = 0.15,
    spurious: Annotated[float, typer.Option(help="Share of rows that break the shortcut; 0 for none.")] = 0.15,
    shortcut: Annotated[
        str | None, typer.Option(help='The shortcut, as in "sex=Male -> >50K"; found in the table if not given.')
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write a corrupted copy of TRAIN, and truth.csv that says what was done to each row."""
    check_writable(out, folder=True)
    corrupted = out / ("corrupted.parquet" if train.suffix.lower() in (".parquet", ".pq") else "corrupted.csv")
    truth = out / "truth.csv"
    for path in (corrupted, truth):
        check_writable(path, folder=False)
        if same_file(path, train):
            raise InputError(f"{path} is TRAIN, which is never overwritten; choose another folder for --out.")

    from demix_jax.corruption import inject_errors
    from demix_jax.data import read_table

    table = read_table(train)
    injected = inject_errors(
        table,
        label=label,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        shortcut=shortcut,
        seed=seed,
    )
    _write_both(corrupted, injected.table, truth, injected.truth)
    console = _console()
    _say(console, f"{len(injected.table):,} of {len(table):,} rows kept.")
    for name in ERROR_TYPES:
        _say(console, f"{name}: {injected.truth[name].eq(1).sum():,} rows")
    if injected.shortcut is not None:
        _say(console, f"Shortcut: {injected.shortcut.text}")
    _say(console, f"Written: {corrupted}, {truth}")


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Folder to keep the tables and the report in.")] = None,
    seed: Seed = 0,
) -> None:
    """Corrupt a table, diagnose and repair it, and compare with the truth; about a minute."""
    if out is not None:
        check_writable(out, folder=True)

    from demix_jax.demo import print_result, run
    from demix_jax.progress import ProgressDisplay

    with ProgressDisplay() as progress:
        result = run(seed=seed, out=out, progress=progress)
    print_result(result, _console())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: done. 1: a file could not be written. 2: bad input, said in one sentence on standard error. 130: interrupted.

    Args:
      arguments: what is typed after `demix-jax`; those of this process if None.
    """
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


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _write_both(first: Path, first_table: pd.DataFrame, second: Path, second_table: pd.DataFrame) -> None:
    with atomic_paths(first, second) as (first_name, second_name):
        write_table(first_name, first_table)
        write_table(second_name, second_table)


def _print_diagnosis(console: Console, diagnosis: Diagnosis, train: Path, out: Path) -> None:
    from rich import box
    from rich.table import Table

    from demix_jax.report import headline
    from demix_jax.report.words import NAMES, percent

    first, second = headline(diagnosis)
    _say(console, f"{first}.\n{second}\n")
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    table.add_column("Type")
    for name in ("Rows", "Share", "Mean probability"):
        table.add_column(name, justify="right")
    table.add_column("What to do")
    advice = ("relabel or drop", "correct or drop", "keep and give weight: valuable, not wrong")
    for name, do in zip(ERROR_TYPES, advice, strict=True):
        flagged = diagnosis.table[name] == 1
        mean = diagnosis.table.loc[flagged, f"p_{name}"].mean() if flagged.any() else None
        share = percent(float(flagged.mean()))
        table.add_row(NAMES[name], f"{flagged.sum():,}", share, "–" if mean is None else f"{mean:.2f}", do)
    console.print(table)
    for note in diagnosis.summary.get("notes", []):
        _say(console, f"Note: {note}")
    _say(console, f"\nOpen in a browser: {out / 'report.html'}")
    _say(console, f"Also written: {out / 'diagnosis.csv'}, {out / 'summary.json'}")
    csv, target = shlex.quote(str(out / "diagnosis.csv")), "repaired" + (train.suffix or ".csv")
    command = (
        f"demix-jax repair {shlex.quote(str(train))} --label {shlex.quote(str(diagnosis.label))} --diagnosis {csv}"
    )
    _say(console, f"Go on: {command} --out {target}")


def _print_changes(console: Console, changes: dict[str, Any], out: Path) -> None:
    for name, value in changes.items():
        _say(console, f"{name}: {value}")
    _say(console, f"Written: {out}")
