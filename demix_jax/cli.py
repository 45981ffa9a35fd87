"""The command `demix-jax`: what is typed, checked before any work, handed to the library, and said afterwards."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from demix_jax.checks import InputError
from demix_jax.error_types import ERROR_TYPES
from demix_jax.files import (
    DIAGNOSIS_FILES,
    SAMPLES_FILE,
    atomic_paths,
    check_writable,
    same_file,
    table_suffix,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

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
    out: Annotated[Path, typer.Option(help="Folder for what is written.", show_default=False)],
    train: Annotated[
        Path | None,
        typer.Argument(help="Table, as .csv or .parquet; or preference pairs.", metavar="TRAIN", show_default=False),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Name of the column that a model is to predict.")] = None,
    valid: Annotated[
        Path | None, typer.Option(help="Trusted validation samples; without them TRAIN is cross-fitted.")
    ] = None,
    task: Annotated[
        Literal["auto", "classification", "regression", "recommendation", "preference"],
        typer.Option(
            help="What the label is. recommendation takes --interactions instead of TRAIN and --label; preference, a "
            "file of pairs of answers to prompts and --model."
        ),
    ] = "auto",
    interactions: Annotated[
        Path | None, typer.Option(help="Interaction log with user, item and timestamp, for recommendation.")
    ] = None,
    users: Annotated[Path | None, typer.Option(help="Side features of users, by the same id.")] = None,
    items: Annotated[Path | None, typer.Option(help="Side features of items, by the same id.")] = None,
    min_rating: Annotated[
        float | None, typer.Option(help="Interactions rated lower were not clicked; without it all are clicks.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Task model: mlp (default) or ft-transformer; for recommendation din (default) or dien; for "
            "preference the folder or file of a decoder."
        ),
    ] = None,
    classifier: Annotated[
        str, typer.Option(help='Error classifier: a weights file, or "default" for the one that comes along.')
    ] = "default",
    seed: Seed = 0,
) -> None:
    """Tell for every row of TRAIN whether its label or its features are wrong or it breaks a shortcut.

    Writes diagnosis.csv, summary.json and report.html to the folder --out; for recommendation also samples.csv, the
    click samples that the log was made into.
    """
    of_table = {"TRAIN": train, "--label": label, "--valid": valid}
    of_log = {"--users": users, "--items": items, "--min-rating": min_rating}
    if task == "recommendation":
        _check_given({"--interactions": interactions}, of_table, "--task recommendation")
    elif task == "preference":
        needed = {"TRAIN": train, "--model": model}
        unfit = {"--label": label, "--interactions": interactions, **of_log}
        _check_given(needed, unfit, "--task preference")
    else:
        needed = {"TRAIN": train, "--label": label}
        _check_given(needed, {"--interactions": interactions, **of_log}, f"--task {task}")
    inputs = [path for path in (train, valid, interactions, users, items) if path is not None]
    check_writable(out, folder=True)
    for name in (*DIAGNOSIS_FILES, *([SAMPLES_FILE] if interactions else [])):
        check_writable(out / name, folder=False)
        if any(same_file(out / name, path) for path in inputs):
            raise InputError(f"{out / name} is an input; it would be overwritten. Choose another folder for --out.")

    from demix_jax.classifier import load_classifier
    from demix_jax.progress import ProgressDisplay

    load_classifier(classifier)
    options: dict[str, Any] = {"classifier": classifier, "seed": seed} | ({} if model is None else {"model": model})
    with ProgressDisplay() as progress:
        options["progress"] = progress
        if interactions is not None:
            log = {"interactions": interactions, "users": users, "items": items, "min_rating": min_rating}
            show = _diagnose_log(log, out, options)
        elif task == "preference":
            show = _diagnose_pairs(cast(Path, train), out, options | {"valid": valid})
        else:
            options |= {"label": label, "valid": valid, "task": task}
            show = _diagnose_table(cast(Path, train), out, options)
    show()


def _diagnose_table(train: Path, out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """Diagnose a table and save what was found; returns what prints it."""
    from demix_jax.diagnose import diagnose as run
    from demix_jax.report.terminal import print_diagnosis

    diagnosis = run(train, **options)
    diagnosis.save(out)
    return partial(print_diagnosis, diagnosis, train, out)


def _diagnose_log(log: dict[str, Any], out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """The same for the click samples of a log, which are written to `out`, so that they can be repaired."""
    from demix_jax.data.recommendation import make_samples, read_recommendation_data
    from demix_jax.diagnose_interactions import diagnose_interactions
    from demix_jax.report.terminal import print_diagnosis

    data = read_recommendation_data(**log)
    diagnosis = diagnose_interactions(make_samples(data, seed=options["seed"]).part("train"), **options)
    write_table(out / SAMPLES_FILE, diagnosis.train)
    diagnosis.summary["train"] = str(out / SAMPLES_FILE)
    diagnosis.save(out)
    return partial(print_diagnosis, diagnosis, out / SAMPLES_FILE, out)


def _diagnose_pairs(train: Path, out: Path, options: dict[str, Any]) -> Callable[[], None]:
    """The same for preference pairs."""
    from demix_jax.preference import diagnose as run
    from demix_jax.preference.terminal import print_diagnosis

    diagnosis = run(train, **options)
    diagnosis.save(out)
    return partial(print_diagnosis, diagnosis, out)


_NEEDED = {
    "TRAIN": "a file to diagnose",
    "--label": "the name of the column that a model is to predict",
    "--interactions": "an interaction log",
    "--model": "the folder or the .gguf file of a decoder",
}


def _check_given(needed: dict[str, object], unfit: dict[str, object], task: str) -> None:
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{' and '.join(missing)} {verb} missing; {task} needs {' and '.join(_NEEDED[name] for name in missing)}."
        )
    extra = [name for name, value in unfit.items() if value is not None]
    if extra:
        raise InputError(f"{' and '.join(extra)} does not go with {task}; leave it out.")


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

    from demix_jax.repair import repair as run
    from demix_jax.report.terminal import say

    repaired = run(
        train,
        diagnosis,
        label=label,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        seed=seed,
    )
    write_table(out, repaired.table)
    say(*repaired.changes.sentences, f"Written: {out}")


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
    from demix_jax.report.terminal import say

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
    say(f"{len(injected.table):,} of {len(table):,} rows kept.")
    say(*(f"{name}: {injected.truth[name].eq(1).sum():,} rows" for name in ERROR_TYPES))
    if injected.shortcut is not None:
        say(f"Shortcut: {injected.shortcut.text}")
    say(f"Written: {corrupted}, {truth}")


@app.command("train-classifier")
def train_classifier(
    out: Annotated[Path, typer.Option(help="Weights file to write, .safetensors.", show_default=False)],
    table: Annotated[
        list[str] | None,
        typer.Option(help='A clean table and its label, as "FILE:LABEL"; may be given many times.', show_default=False),
    ] = None,
    synthetic: Annotated[int, typer.Option(min=0, help="Synthetic tables besides.")] = 100,
    worlds_per_table: Annotated[int, typer.Option(min=1, help="Corrupted versions of each table.")] = 20,
    rows: Annotated[int, typer.Option(min=200, help="Rows drawn from a table for a version, at most.")] = 4000,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each network.")] = 1500,
    members: Annotated[int, typer.Option(min=1, help="Networks in the ensemble.")] = 3,
    worlds: Annotated[
        Path | None, typer.Option(help="Folder that keeps the corrupted versions, to go on after an interruption.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train an error classifier on clean tables and synthetic ones, and write one weights file."""
    if out.suffix != ".safetensors":
        raise InputError(f"--out is {out}; end its name in .safetensors.")
    check_writable(out, folder=False)
    if worlds is not None:
        check_writable(worlds, folder=True)
    named = _named_tables(table or [])

    from demix_jax.classifier import TrainingOptions
    from demix_jax.data import check_table, read_table
    from demix_jax.progress import ProgressDisplay, duration
    from demix_jax.report.terminal import say
    from demix_jax.train_classifier import train_classifier as run

    tables = {name: (read_table(path), label) for name, (path, label) in named.items()}
    for frame, label in tables.values():
        check_table(frame, label)
    with ProgressDisplay() as progress:
        classifier = run(
            tables,
            worlds_per_table=worlds_per_table,
            num_synthetic=synthetic,
            num_rows=rows,
            seed=seed,
            options=TrainingOptions(num_members=members, num_steps=steps),
            worlds_dir=worlds,
            progress=progress,
        )
    classifier.save(out)
    card = classifier.card
    say(
        f"Trained on {card['num_worlds']:,} corrupted versions of {len(card['tables']):,} tables in "
        f"{duration(card['training_seconds'])}. Scores are honest only on other tables.",
        f"Written: {out}",
    )


@app.command()
def plan(
    train_samples: Annotated[int, typer.Option(min=1, help="N, rows to find the influence of.", show_default=False)],
    valid_samples: Annotated[int, typer.Option(min=1, help="M, rows to find it on.", show_default=False)],
    features: Annotated[int, typer.Option(min=1, help="Of the model, columns encoded.")] = 100,
    widths: Annotated[str, typer.Option(help="Hidden layers of the model.")] = "64,32",
    parameters: Annotated[
        int | None, typer.Option(min=1, help="P; one hidden layer that gives about so many, in place of --widths.")
    ] = None,
    classes: Annotated[int, typer.Option(min=2, help="Of the label.")] = 2,
    curvature: Annotated[Literal["identity", "gauss-newton", "ek-fac"], typer.Option(help="H.")] = "identity",
    curvature_samples: Annotated[int, typer.Option(min=1, help="Training samples that make up H.")] = 4096,
    normalize: Annotated[Literal["cosine", "none"], typer.Option(help="Cosines, or losses per weight.")] = "cosine",
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="On disk.")] = "float32",
    memory: Annotated[int | None, typer.Option(min=1, help="Bytes to work in; chosen if not given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that the matrix would go to.")] = None,
) -> None:
    """Predict time, memory and disk of an influence matrix, after a few seconds of calibration.

    Refuses, with what to change, a matrix that does not fit.
    """
    from demix_jax.plan import CURVATURES, plan_perceptron, sentences, width_for
    from demix_jax.report.terminal import say

    if parameters is None:
        hidden = _numbers("--widths", widths)
    else:
        hidden = (width_for(parameters, features, classes),)
    result = plan_perceptron(
        train_samples,
        valid_samples,
        num_features=features,
        widths=hidden,
        num_classes=classes,
        curvature=CURVATURES[curvature](curvature_samples),
        normalize=None if normalize == "none" else normalize,
        dtype=dtype,
        path=out,
        memory=memory,
    )
    say(*sentences(result, out))


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
    from demix_jax.report.terminal import make_console

    with ProgressDisplay() as progress:
        result = run(seed=seed, out=out, progress=progress)
    print_result(result, make_console())


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


def _named_tables(given: list[str]) -> dict[str, tuple[Path, str]]:
    """ "FILE:LABEL" texts as file name without suffix -> (file, label)."""
    tables: dict[str, tuple[Path, str]] = {}
    for text in given:
        file, colon, label = text.rpartition(":")
        if not (file and colon and label):
            raise InputError(f'--table is "{text}"; write the file and its label column as "FILE:LABEL".')
        if Path(file).stem in tables:
            raise InputError(f"two tables are called {Path(file).stem}; rename one of the files.")
        tables[Path(file).stem] = (Path(file), label)
    return tables


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """ "64,32" as (64, 32)."""
    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f'{option} is "{text}"; write positive numbers with commas between them, as in "64,32".')
    return tuple(int(part) for part in parts)


def _write_both(first: Path, first_table: pd.DataFrame, second: Path, second_table: pd.DataFrame) -> None:
    with atomic_paths(first, second) as (first_name, second_name):
        write_table(first_name, first_table)
        write_table(second_name, second_table)
